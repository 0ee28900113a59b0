// Counts of byte pairs, which take half the steps of counts of bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "endian.hpp"
#include "huffman_tree.hpp"
#include "inline.hpp"

namespace galvo {

class PairCounts {
  public:
    static constexpr std::size_t kPairs = std::size_t(1) << 16;
    static constexpr std::size_t kMost = std::size_t(1) << 31;  // bytes that the counters have room for

    // To be called before counting.
    void clear() noexcept { counts_.fill(0); }

    // Two tables: equal neighbours would wait for each other's counter.
    GALVO_INLINE void add_eight(const std::uint8_t *data) noexcept {
        std::uint32_t *const even = counts_.data(), *const odd = counts_.data() + kPairs;
        const std::uint64_t word = load_integer<std::uint64_t>(data, true);
        ++even[word & 0xFFFF];
        ++odd[(word >> 16) & 0xFFFF];
        ++even[(word >> 32) & 0xFFFF];
        ++odd[word >> 48];
    }

    // `size` is even.
    void add(const std::uint8_t *data, std::size_t size) noexcept {
        std::size_t i = 0;
        for (; i + 8 <= size; i += 8) add_eight(data + i);
        for (; i < size; i += 2) ++counts_[load_integer<std::uint16_t>(data + i, true)];
    }

    // Adds the counts, of both bytes of each pair, to the histogram.
    void add_to(Histogram &histogram) const noexcept {
        std::array<std::uint32_t, kSymbols> low{};
        for (std::size_t high = 0; high < kSymbols; ++high) {
            const std::uint32_t *const even = counts_.data() + high * kSymbols, *const odd = even + kPairs;
            std::uint32_t any = 0, row = 0;
            for (std::size_t i = 0; i < kSymbols; ++i) any |= even[i] | odd[i];
            if (any == 0) continue;
            for (std::size_t i = 0; i < kSymbols; ++i) {
                const std::uint32_t sum = even[i] + odd[i];
                low[i] += sum;
                row += sum;
            }
            histogram[high] += row;
        }
        for (std::size_t i = 0; i < kSymbols; ++i) histogram[i] += low[i];
    }

  private:
    std::array<std::uint32_t, 2 * kPairs> counts_;
};

}  // namespace galvo
