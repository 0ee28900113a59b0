// Memory of arrays that goes on to the next array of its size: what is new to the process is paid for page by page, which
// takes as long as filling it from the page cache. `Spare` is the like for what lives no longer than one call.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

// Owns bytes whose content is undefined, aligned to 64.
class Recycled {
  public:
    // std::bad_alloc where there are none.
    explicit Recycled(std::size_t size);
    ~Recycled();
    Recycled(const Recycled &) = delete;
    Recycled &operator=(const Recycled &) = delete;

    std::uint8_t *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

  private:
    std::size_t size_;
    std::uint8_t *data_;
};

// What is kept, in bytes, and the most that may be: 0 until somebody raises it.
std::size_t recycled_kept() noexcept;
std::size_t recycled_limit() noexcept;
void recycled_raise_limit(std::int64_t difference) noexcept;

// Gives back all that is kept.
void recycled_clear() noexcept;

}  // namespace galvo
