#include "recycled.hpp"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace galvo {
namespace {

constexpr std::size_t kAlignment = 64;
constexpr std::size_t kPage = 4096;
// Smaller ones the C library recycles itself.
constexpr std::size_t kSmallest = std::size_t(64) << 10;
// From here on huge pages pay.
constexpr std::size_t kHuge = std::size_t(4) << 20;
constexpr int kAttempts = 1000;

std::uint8_t *allocate(std::size_t size) {
    auto *data = static_cast<std::uint8_t *>(::operator new(size, std::align_val_t(kAlignment)));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (size >= kHuge) {
        const std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(data) + kPage - 1) / kPage * kPage;
        const std::uintptr_t last = (reinterpret_cast<std::uintptr_t>(data) + size) / kPage * kPage;
        ::madvise(reinterpret_cast<void *>(first), last - first, MADV_HUGEPAGE);
    }
#endif
    return data;
}

void release(std::uint8_t *data) noexcept { ::operator delete(data, std::align_val_t(kAlignment)); }

std::size_t rounded(std::size_t size) {
    if (size > std::numeric_limits<std::size_t>::max() - kPage) throw std::bad_alloc();
    return size < kSmallest ? std::max(size, std::size_t(1)) : (size + kPage - 1) / kPage * kPage;
}

struct Piece {
    std::uint8_t *data;
    std::size_t size;
};

// Nobody waits for the lock, so a process that was forked while it was held goes on as well.
class Pool {
  public:
    std::uint8_t *take(std::size_t size) noexcept {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        if (!lock) return nullptr;
        // the last one given back is the likeliest to be in the processor's cache
        const auto found =
            std::find_if(pieces_.rbegin(), pieces_.rend(), [size](const Piece &piece) { return piece.size == size; });
        if (found == pieces_.rend()) {
            // what is kept and what is in use are together never more than was in use at once
            drop(size);
            return nullptr;
        }
        std::uint8_t *data = found->data;
        pieces_.erase(std::next(found).base());
        kept_ -= size;
        return data;
    }

    bool give_back(Piece piece) noexcept {
        const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
        const std::size_t limit = limit_;
        if (!lock || piece.size > limit) return false;
        try {
            pieces_.push_back(piece);
        } catch (const std::bad_alloc &) {
            return false;
        }
        kept_ += piece.size;
        if (kept_ > limit) drop(kept_ - limit);
        return true;
    }

    void clear() noexcept {
        for (int attempt = 0; attempt < kAttempts; ++attempt) {
            const std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
            if (lock) {
                drop(kept_);
                return;
            }
            std::this_thread::yield();
        }
    }

    std::size_t kept() const noexcept { return kept_; }
    std::size_t limit() const noexcept { return limit_; }
    void raise_limit(std::int64_t difference) noexcept { limit_ += static_cast<std::size_t>(difference); }

  private:
    // At least `size` bytes, or all, the oldest first.
    void drop(std::size_t size) noexcept {
        std::size_t dropped = 0;
        auto piece = pieces_.begin();
        for (; piece != pieces_.end() && dropped < size; ++piece) {
            release(piece->data);
            dropped += piece->size;
        }
        pieces_.erase(pieces_.begin(), piece);
        kept_ -= dropped;
    }

    std::mutex mutex_;
    std::vector<Piece> pieces_;
    std::atomic<std::size_t> kept_{0};
    std::atomic<std::size_t> limit_{0};
};

// Never destroyed: arrays may outlive everything static.
Pool &pool() {
    static auto *const made = new Pool;
    return *made;
}

}  // namespace

Recycled::Recycled(std::size_t size) : size_(size), data_(nullptr) {
    const std::size_t room = rounded(size);
    if (room >= kSmallest) data_ = pool().take(room);
    if (data_ == nullptr) data_ = allocate(room);
}

Recycled::~Recycled() {
    const std::size_t room = rounded(size_);
    if (room < kSmallest || !pool().give_back({data_, room})) release(data_);
}

std::size_t recycled_kept() noexcept { return pool().kept(); }
std::size_t recycled_limit() noexcept { return pool().limit(); }
void recycled_raise_limit(std::int64_t difference) noexcept {
    pool().raise_limit(difference);
    if (pool().kept() > pool().limit()) pool().clear();
}
void recycled_clear() noexcept { pool().clear(); }

}  // namespace galvo
