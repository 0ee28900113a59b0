#include "transpose.hpp"

#include <algorithm>
#include <cstring>

#include "inline.hpp"
#include "isa.hpp"

#if defined(GALVO_X86_64)
#include <emmintrin.h>
#endif

namespace galvo {
namespace {

struct Pair {
    std::uint64_t first, second;
};

// A cache line of each side: tiles go through a buffer of their own, so that lines which are a power of two apart, as
// those of images are, do not push each other out of the cache.
constexpr std::size_t kLine = 64;

template <class Item>
constexpr std::size_t kTile = kLine / sizeof(Item);

#if defined(GALVO_X86_64)

constexpr std::size_t kVector = 16;

template <std::size_t width>
GALVO_INLINE __m128i low(__m128i one, __m128i other) noexcept {
    if constexpr (width == 1) return _mm_unpacklo_epi8(one, other);
    if constexpr (width == 2) return _mm_unpacklo_epi16(one, other);
    if constexpr (width == 4) return _mm_unpacklo_epi32(one, other);
    return _mm_unpacklo_epi64(one, other);
}

template <std::size_t width>
GALVO_INLINE __m128i high(__m128i one, __m128i other) noexcept {
    if constexpr (width == 1) return _mm_unpackhi_epi8(one, other);
    if constexpr (width == 2) return _mm_unpackhi_epi16(one, other);
    if constexpr (width == 4) return _mm_unpackhi_epi32(one, other);
    return _mm_unpackhi_epi64(one, other);
}

// A square of as many lines as a vector has items. Interleaving the first half of the lines with the second moves one
// bit of an item's line number to its place in the line, so doing it for each bit swaps the two.
template <class Item>
GALVO_INLINE void turn_square(const std::uint8_t *source, std::ptrdiff_t stride, Item *tile) noexcept {
    constexpr std::size_t count = kVector / sizeof(Item);
    __m128i lines[count], mixed[count];
    for (std::size_t j = 0; j < count; ++j)
        lines[j] = _mm_loadu_si128(reinterpret_cast<const __m128i *>(source + static_cast<std::ptrdiff_t>(j) * stride));
    for (std::size_t bits = 1; bits < count; bits *= 2) {
        for (std::size_t j = 0; j < count / 2; ++j) {
            mixed[2 * j] = low<sizeof(Item)>(lines[j], lines[j + count / 2]);
            mixed[2 * j + 1] = high<sizeof(Item)>(lines[j], lines[j + count / 2]);
        }
        for (std::size_t j = 0; j < count; ++j) lines[j] = mixed[j];
    }
    for (std::size_t j = 0; j < count; ++j)
        _mm_store_si128(reinterpret_cast<__m128i *>(tile + j * kTile<Item>), lines[j]);
}

template <class Item>
GALVO_INLINE void turn_tile(const std::uint8_t *source, std::ptrdiff_t stride, Item *tile) noexcept {
    constexpr std::size_t count = kVector / sizeof(Item);
    for (std::size_t j = 0; j < kTile<Item>; j += count)
        for (std::size_t i = 0; i < kTile<Item>; i += count)
            turn_square(source + static_cast<std::ptrdiff_t>(j) * stride + i * sizeof(Item), stride,
                        tile + i * kTile<Item> + j);
}

#else

template <class Item>
GALVO_INLINE void turn_tile(const std::uint8_t *source, std::ptrdiff_t stride, Item *tile) noexcept {
    for (std::size_t j = 0; j < kTile<Item>; ++j) {
        Item line[kTile<Item>];
        std::memcpy(line, source + static_cast<std::ptrdiff_t>(j) * stride, kLine);
        for (std::size_t i = 0; i < kTile<Item>; ++i) tile[i * kTile<Item> + j] = line[i];
    }
}

#endif

template <class Item>
void transpose_items(const std::uint8_t *source, std::ptrdiff_t source_stride, std::uint8_t *out,
                     std::ptrdiff_t out_stride, std::size_t source_lines, std::size_t out_lines) noexcept {
    alignas(kLine) Item tile[kTile<Item> * kTile<Item>];
    for (std::size_t j = 0; j < source_lines; j += kTile<Item>) {
        const std::size_t width = std::min(kTile<Item>, source_lines - j);
        for (std::size_t i = 0; i < out_lines; i += kTile<Item>) {
            const std::size_t height = std::min(kTile<Item>, out_lines - i);
            const std::uint8_t *from = source + static_cast<std::ptrdiff_t>(j) * source_stride + i * sizeof(Item);
            std::uint8_t *to = out + static_cast<std::ptrdiff_t>(i) * out_stride + j * sizeof(Item);
            if (width == kTile<Item> && height == kTile<Item>) {
                turn_tile(from, source_stride, tile);
                for (std::size_t line = 0; line < height; ++line)
                    std::memcpy(to + static_cast<std::ptrdiff_t>(line) * out_stride, tile + line * kTile<Item>, kLine);
                continue;
            }
            for (std::size_t line = 0; line < height; ++line)
                for (std::size_t item = 0; item < width; ++item)
                    std::memcpy(to + static_cast<std::ptrdiff_t>(line) * out_stride + item * sizeof(Item),
                                from + static_cast<std::ptrdiff_t>(item) * source_stride + line * sizeof(Item),
                                sizeof(Item));
        }
    }
}

}  // namespace

void transpose(const std::uint8_t *source, std::ptrdiff_t source_stride, std::uint8_t *out, std::ptrdiff_t out_stride,
               std::size_t source_lines, std::size_t out_lines, std::size_t width) noexcept {
    const auto turn = width == 1   ? transpose_items<std::uint8_t>
                      : width == 2 ? transpose_items<std::uint16_t>
                      : width == 4 ? transpose_items<std::uint32_t>
                      : width == 8 ? transpose_items<std::uint64_t>
                                   : transpose_items<Pair>;
    turn(source, source_stride, out, out_stride, source_lines, out_lines);
}

}  // namespace galvo
