#include "fletcher32.hpp"

#include <algorithm>
#include <cstring>

#include "endian.hpp"

namespace galvo {
namespace {

constexpr std::uint64_t kModulus = 65535;
constexpr std::size_t kLanes = 32;
// The most rows that 32 bits hold: 360 * 361 / 2 * 65535 < 2**32.
constexpr std::size_t kRows = 360;
constexpr std::size_t kRowBytes = 2 * kLanes;

// HDF5 adds words of two bytes, the first one the higher, to the first sum, and that to the second, both modulo 65535.
// Modulo 65535 exchanging the bytes of a word is multiplying it by 256, so words are added in the machine's order.
struct Sums {
    std::uint64_t first = 0, second = 0;
    bool any = false;  // whether a byte was not zero

    // Words in lanes: the word of row r and lane j, of n in all, is counted n - r * kLanes - j times by the second sum.
    void add_rows(const std::uint8_t *data, std::size_t row_count) noexcept {
        std::uint32_t sum[kLanes] = {}, sum_of_sums[kLanes] = {};
        for (std::size_t row = 0; row < row_count; ++row) {
            std::uint16_t words[kLanes];
            std::memcpy(words, data + row * kRowBytes, kRowBytes);
            for (std::size_t lane = 0; lane < kLanes; ++lane) {
                sum[lane] += words[lane];
                sum_of_sums[lane] += sum[lane];
            }
        }
        std::uint64_t plain = 0, weighted = 0;
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
            plain += sum[lane];
            weighted += std::uint64_t(kLanes) * sum_of_sums[lane] - std::uint64_t(lane) * sum[lane];
        }
        second = (second + row_count * kLanes * first + weighted) % kModulus;
        first = (first + plain) % kModulus;
        any |= plain != 0;
    }

    void add_word(std::uint16_t word) noexcept {
        first = (first + word) % kModulus;
        second = (second + first) % kModulus;
        any |= word != 0;
    }

    // Folding carries never makes zero of what is not zero, so its zero is 65535.
    std::uint32_t folded(std::uint64_t sum) const noexcept {
        const std::uint64_t rest = (kLittleHost ? sum * 256 : sum) % kModulus;
        return static_cast<std::uint32_t>(rest == 0 && any ? kModulus : rest);
    }
};

}  // namespace

std::uint32_t fletcher32(const std::uint8_t *data, std::size_t size, std::uint8_t *copy) noexcept {
    Sums sums;
    std::size_t at = 0;
    while (size - at >= kRowBytes) {
        const std::size_t rows = std::min(kRows, (size - at) / kRowBytes);
        sums.add_rows(data + at, rows);
        // straight behind the sum, while the bytes are in the processor's cache
        if (copy != nullptr) std::memcpy(copy + at, data + at, rows * kRowBytes);
        at += rows * kRowBytes;
    }
    if (copy != nullptr && at < size) std::memcpy(copy + at, data + at, size - at);
    for (; at < size; at += 2) {
        std::uint8_t last[2] = {data[at], at + 1 < size ? data[at + 1] : std::uint8_t(0)};
        std::uint16_t word;
        std::memcpy(&word, last, 2);
        sums.add_word(word);
    }
    return (sums.folded(sums.second) << 16) | sums.folded(sums.first);
}

}  // namespace galvo
