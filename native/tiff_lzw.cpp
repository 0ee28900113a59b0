#include "tiff_lzw.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <stdexcept>

#include "endian.hpp"

namespace galvo {
namespace {

constexpr unsigned kClear = 256, kEnd = 257, kFirst = 258, kLeastBits = 9, kMostBits = 12;
constexpr std::size_t kInline = 8;

// A string: its first bytes, the length of all, and where it was put out before.
struct String {
    std::uint64_t bytes;
    std::uint32_t size;
    std::uint32_t start;
};

// Codes, wherever they begin: 64 bits from the byte of the first, zeros behind the end.
class CodeReader {
  public:
    CodeReader(const std::uint8_t *data, std::size_t nbytes) : data_(data), nbytes_(nbytes) {}

    // False where less than a code is left.
    bool get(unsigned width, unsigned &code) {
        if (at_ + width > 8 * static_cast<std::uint64_t>(nbytes_)) return false;
        const std::size_t byte = static_cast<std::size_t>(at_ >> 3);
        std::uint64_t bits = 0;
        if (nbytes_ - byte >= 8) {
            bits = load_integer<std::uint64_t>(data_ + byte, false);
        } else {
            for (std::size_t i = byte; i < nbytes_; ++i) bits |= std::uint64_t{data_[i]} << (56 - 8 * (i - byte));
        }
        code = static_cast<unsigned>((bits << (at_ & 7)) >> (64 - width));
        at_ += width;
        return true;
    }

  private:
    const std::uint8_t *data_;
    std::size_t nbytes_;
    std::uint64_t at_ = 0;
};

[[noreturn]] void refuse(const char *what) { throw std::invalid_argument(what); }

// A string to `out + at`, of which `count` bytes have room.
inline void put(const String &string, std::uint8_t *out, std::size_t at, std::size_t count, std::size_t size) {
    if (size - at >= kInline) {
        // bytes behind a short one are written over by the next
        store_integer<std::uint64_t>(out + at, string.bytes, true);
    } else {
        for (std::size_t i = 0; i < std::min(count, kInline); ++i)
            out[at + i] = static_cast<std::uint8_t>(string.bytes >> (8 * i));
    }
    // forward: the string may end with the first byte that is written here
    for (std::size_t i = kInline; i < count; ++i) out[at + i] = out[string.start + i];
}

}  // namespace

std::size_t tiff_lzw_decode(const std::uint8_t *data, std::size_t nbytes, std::uint8_t *out, std::size_t size) {
    if (size > UINT32_MAX) refuse("more bytes than a strip may have");
    // the last entry takes what follows a table that is full, which is refused when it is used
    std::array<String, (1u << kMostBits) + 1> strings;
    for (unsigned byte = 0; byte < kClear; ++byte) strings[byte] = {byte, 1, 0};
    CodeReader reader(data, nbytes);
    unsigned width = kLeastBits, next = kFirst, code = 0;
    std::size_t at = 0;
    if (size != 0 && (!reader.get(width, code) || code != kClear)) refuse("no clear code at the beginning");
    String last{0, 0, 0};
    while (at < size && reader.get(width, code)) {
        if (code == kClear || code == kEnd) {
            if (code == kEnd) break;
            width = kLeastBits;
            next = kFirst;
            last.size = 0;
            continue;
        }
        if (last.size != 0) {
            if (code > next || next == 1u << kMostBits) refuse("a code for nothing that came before");
            // the code may stand for the very string that is made here: then it begins as the last one does
            const std::uint64_t first = (code == next ? last.bytes : strings[code].bytes) & 0xFF;
            const bool fits = last.size < kInline;
            strings[next] = {last.bytes | (fits ? first << (8 * (last.size & 7)) : 0), last.size + 1, last.start};
            if (++next == (1u << width) - 1 && width < kMostBits) ++width;
        } else if (code > kClear) {
            refuse("a code for nothing that came before");
        }
        const String &found = strings[code];
        const std::size_t count = std::min<std::size_t>(found.size, size - at);
        put(found, out, at, count, size);
        last = {found.bytes, found.size, static_cast<std::uint32_t>(at)};
        at += count;
    }
    return at;
}

}  // namespace galvo
