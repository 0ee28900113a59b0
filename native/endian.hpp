// Integers of either byte order from unaligned bytes.
#pragma once

#include <cstdint>

namespace galvo {

template <class Word>
inline Word load_integer(const std::uint8_t *p, bool little) noexcept {
    // Compilers know both loops as one load, with or without a byte swap.
    Word value = 0;
    if (little)
        for (unsigned i = 0; i < sizeof(Word); ++i) value = static_cast<Word>(value | (static_cast<Word>(p[i]) << (8 * i)));
    else
        for (unsigned i = 0; i < sizeof(Word); ++i)
            value = static_cast<Word>(value | (static_cast<Word>(p[i]) << (8 * (sizeof(Word) - 1 - i))));
    return value;
}

// An unsigned integer of 1, 2, 4 or 8 bytes.
inline std::uint64_t load_integer(const std::uint8_t *p, int size, bool little) noexcept {
    switch (size) {
        case 1: return *p;
        case 2: return load_integer<std::uint16_t>(p, little);
        case 4: return load_integer<std::uint32_t>(p, little);
        default: return load_integer<std::uint64_t>(p, little);
    }
}

// Eight bytes, least or most significant first.
inline void store_little_endian(std::uint8_t *p, std::uint64_t value) noexcept {
    for (int i = 0; i < 8; ++i) p[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

inline void store_big_endian(std::uint8_t *p, std::uint64_t value) noexcept {
    for (int i = 0; i < 8; ++i) p[i] = static_cast<std::uint8_t>(value >> (56 - 8 * i));
}

}  // namespace galvo
