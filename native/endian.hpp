// Integers of either byte order at unaligned addresses.
#pragma once

#include <cstdint>
#include <cstring>

namespace galvo {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
constexpr bool kLittleHost = false;
#else
constexpr bool kLittleHost = true;
#endif

inline std::uint8_t reversed(std::uint8_t v) noexcept { return v; }

inline std::uint16_t reversed(std::uint16_t v) noexcept { return static_cast<std::uint16_t>((v << 8) | (v >> 8)); }

inline std::uint32_t reversed(std::uint32_t v) noexcept {
    v = ((v & 0x00FF00FFu) << 8) | ((v >> 8) & 0x00FF00FFu);
    return (v << 16) | (v >> 16);
}

inline std::uint64_t reversed(std::uint64_t v) noexcept {
    v = ((v & 0x00FF00FF00FF00FFull) << 8) | ((v >> 8) & 0x00FF00FF00FF00FFull);
    v = ((v & 0x0000FFFF0000FFFFull) << 16) | ((v >> 16) & 0x0000FFFF0000FFFFull);
    return (v << 32) | (v >> 32);
}

template <class Word>
inline Word load_integer(const std::uint8_t *p, bool little) noexcept {
    Word value;
    std::memcpy(&value, p, sizeof(Word));
    return little == kLittleHost ? value : reversed(value);
}

template <class Word>
inline void store_integer(std::uint8_t *p, Word value, bool little) noexcept {
    if (little != kLittleHost) value = reversed(value);
    std::memcpy(p, &value, sizeof(Word));
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

}  // namespace galvo
