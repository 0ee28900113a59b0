// The inner loops of decoding: one symbol at a time anywhere, and several per look-up on one or four lanes at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "endian.hpp"
#include "huffman_table.hpp"
#include "inline.hpp"

namespace galvo {

constexpr int kLanes = 4;

// Of a step on a lane: at most so many bits, and symbols.
constexpr int kLookups = 4;  // between two loads, which leave at least 56 bits
constexpr std::size_t kStepBits = static_cast<std::size_t>(kLookups * DecodeTable::kWindow);
constexpr std::size_t kStepSymbols = static_cast<std::size_t>(kLookups * DecodeTable::kMostSymbols);

// Bits are loaded and symbols stored by so many bytes at a time.
constexpr std::size_t kLoadSize = 8, kStoreSize = 8;

struct Stream {
    const std::uint8_t *bytes;
    std::size_t size;

    std::size_t bit_count() const noexcept { return size * 8; }

    // Lanes have to stop here: behind it 8 bytes cannot be loaded.
    std::size_t load_end() const noexcept { return size > kLoadSize ? (size - kLoadSize) * 8 : 0; }

    unsigned bit(std::size_t position) const noexcept { return (bytes[position >> 3] >> (7 - (position & 7))) & 1u; }

    // The next bits of a look-up; zeros beyond the end.
    std::size_t window(std::size_t position) const noexcept {
        std::uint32_t bits = 0;
        for (std::size_t i = position >> 3; i < (position >> 3) + 3; ++i) bits = bits << 8 | (i < size ? bytes[i] : 0u);
        return (bits >> (24 - DecodeTable::kWindow - (position & 7))) & (DecodeTable::kEntries - 1);
    }
};

// One symbol at `position`, which moves behind it; false where the stream ends first.
bool decode_symbol(const Stream &stream, const DecodeTable &table, std::size_t &position, std::uint8_t &symbol) noexcept;

// Where a lane is: the bits at `next`, already moved up by those that are used; the lowest 1 marks how many these are.
struct Cursor {
    const std::uint8_t *next;
    std::uint64_t bits;
    std::uint8_t *out;

    GALVO_INLINE void load(std::size_t used) noexcept {
        next += used >> 3;
        bits = (load_integer<std::uint64_t>(next, false) | 1) << (used & 7);
    }
    GALVO_INLINE void seek(const Stream &stream, std::size_t position) noexcept {
        next = stream.bytes;
        load(position);
    }
    GALVO_INLINE std::size_t position(const Stream &stream) const noexcept {
        return static_cast<std::size_t>(next - stream.bytes) * 8 + trailing_zeros(bits);
    }
};

// Takes `steps` steps on every lane, each of kLookups look-ups or of one code that is longer than a window. Ends early,
// with true, where a lane stands before a long code that takes more than what is left. kStoreSize bytes behind the last
// symbol may be written.
template <int kCount>
using Step = bool (*)(Cursor (&lanes)[kCount], const DecodeTable &table, std::size_t steps);

// The step for the instruction set in use; kCount is 1 or kLanes.
template <int kCount>
Step<kCount> chosen_step() noexcept;

}  // namespace galvo
