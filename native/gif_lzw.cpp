#include "gif_lzw.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace galvo {
namespace {

constexpr unsigned kMostBits = 12;
constexpr unsigned kCodes = 1u << kMostBits;
constexpr std::size_t kBlock = 255;

// Codes into blocks.
class CodeWriter {
  public:
    explicit CodeWriter(std::vector<std::uint8_t> &out) : out_(out) { open(); }

    void put(unsigned code, unsigned width) {
        bits_ |= static_cast<std::uint64_t>(code) << count_;
        count_ += width;
        while (count_ >= 8) {
            add(static_cast<std::uint8_t>(bits_));
            bits_ >>= 8;
            count_ -= 8;
        }
    }

    void finish() {
        if (count_ != 0) add(static_cast<std::uint8_t>(bits_));
        close();
        if (out_.back() != 0 || out_.size() - 1 != start_) out_.push_back(0);
    }

  private:
    void open() {
        start_ = out_.size();
        out_.push_back(0);
    }

    void close() { out_[start_] = static_cast<std::uint8_t>(out_.size() - start_ - 1); }

    void add(std::uint8_t byte) {
        out_.push_back(byte);
        if (out_.size() - start_ - 1 == kBlock) {
            close();
            open();
        }
    }

    std::vector<std::uint8_t> &out_;
    std::size_t start_ = 0;
    std::uint64_t bits_ = 0;
    unsigned count_ = 0;
};

// Which code stands for a string and one more index. Clearing is counting: entries of an earlier generation are empty.
class Strings {
  public:
    void clear() {
        if (++generation_ == 0) {
            slots_.fill({});
            generation_ = 1;
        }
    }

    // The slot of that string, or the empty one where it belongs.
    std::size_t find(unsigned prefix, std::uint8_t index) const {
        const std::uint32_t key = prefix << 8 | index;
        std::size_t slot = (key * 2654435761u) >> (32 - kSlotBits);
        while (slots_[slot].generation == generation_ && slots_[slot].key != key) slot = (slot + 1) & (kSlots - 1);
        return slot;
    }

    bool holds(std::size_t slot) const { return slots_[slot].generation == generation_; }
    unsigned code(std::size_t slot) const { return slots_[slot].code; }

    void add(std::size_t slot, unsigned prefix, std::uint8_t index, unsigned code) {
        slots_[slot] = {prefix << 8 | index, static_cast<std::uint16_t>(code), generation_};
    }

  private:
    static constexpr unsigned kSlotBits = 14;
    static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
    struct Slot {
        std::uint32_t key = 0;
        std::uint16_t code = 0;
        std::uint16_t generation = 0;
    };
    std::array<Slot, kSlots> slots_{};
    std::uint16_t generation_ = 0;
};

// Codes out of blocks.
class CodeReader {
  public:
    CodeReader(const std::uint8_t *data, std::size_t nbytes) : at_(data), end_(data + nbytes) {}

    // False where the data end.
    bool get(unsigned width, unsigned &code) {
        while (count_ < width) {
            if (left_ == 0) {
                if (at_ == end_ || *at_ == 0) return false;
                left_ = *at_++;
            }
            if (at_ == end_) return false;
            bits_ |= static_cast<std::uint32_t>(*at_++) << count_;
            count_ += 8;
            --left_;
        }
        code = bits_ & ((1u << width) - 1);
        bits_ >>= width;
        count_ -= width;
        return true;
    }

  private:
    const std::uint8_t *at_;
    const std::uint8_t *end_;
    unsigned left_ = 0;
    std::uint32_t bits_ = 0;
    unsigned count_ = 0;
};

}  // namespace

std::vector<std::uint8_t> gif_encode(const std::uint8_t *indices, std::size_t size) {
    constexpr unsigned kRoot = 8, kClear = 1u << kRoot, kEnd = kClear + 1;
    std::vector<std::uint8_t> out;
    out.reserve(size / 2 + 64);
    out.push_back(kRoot);
    CodeWriter writer(out);
    Strings strings;
    strings.clear();
    unsigned width = kRoot + 1, next = kEnd + 1;
    writer.put(kClear, width);
    if (size != 0) {
        unsigned prefix = indices[0];
        for (std::size_t i = 1; i < size; ++i) {
            const std::size_t slot = strings.find(prefix, indices[i]);
            if (strings.holds(slot)) {
                prefix = strings.code(slot);
                continue;
            }
            writer.put(prefix, width);
            if (next == kCodes) {
                writer.put(kClear, width);
                strings.clear();
                width = kRoot + 1;
                next = kEnd + 1;
            } else {
                strings.add(slot, prefix, indices[i], next);
                if (next == 1u << width) ++width;
                ++next;
            }
            prefix = indices[i];
        }
        writer.put(prefix, width);
        // the reader makes an entry of this code, too
        if (next == 1u << width && width < kMostBits) ++width;
    }
    writer.put(kEnd, width);
    writer.finish();
    return out;
}

std::size_t gif_decode(const std::uint8_t *data, std::size_t nbytes, std::uint8_t *out, std::size_t size) {
    if (nbytes == 0 || data[0] < 1 || data[0] > 8) throw std::invalid_argument("no GIF has codes of that size");
    const unsigned root = data[0], clear = 1u << root, end = clear + 1;
    // a string is one that was put out before, and its next index
    struct String {
        std::size_t start;
        std::size_t size;
    };
    std::array<String, kCodes> strings;
    CodeReader reader(data + 1, nbytes - 1);
    unsigned width = root + 1, next = end + 1, code = 0;
    std::size_t at = 0;
    String last{0, 0};
    while (at < size && reader.get(width, code)) {
        if (code == clear) {
            width = root + 1;
            next = end + 1;
            last.size = 0;
            continue;
        }
        if (code == end) break;
        if (code > next || (code == next && (last.size == 0 || next == kCodes)) || (last.size == 0 && code > clear))
            throw std::invalid_argument("a code for nothing that came before");
        if (last.size != 0 && next < kCodes) {
            strings[next] = {last.start, last.size + 1};
            if (++next == 1u << width && width < kMostBits) ++width;
        }
        if (code < clear) {
            last = {at, 1};
            out[at++] = static_cast<std::uint8_t>(code);
            continue;
        }
        const String found = strings[code];
        const std::size_t count = std::min(found.size, size - at);
        // forward, byte by byte: the string may end with the first byte that is written here
        for (std::size_t i = 0; i < count; ++i) out[at + i] = out[found.start + i];
        last = {at, count};
        at += count;
    }
    return at;
}

}  // namespace galvo
