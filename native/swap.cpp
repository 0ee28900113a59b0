#include "swap.hpp"

#include <cstring>

#include "endian.hpp"
#include "isa.hpp"

#if defined(GALVO_X86_64)
#include <immintrin.h>
#endif

namespace galvo {
namespace {

// memcpy, since pixels may lie at any address.
template <class Word>
void swap_words(std::uint8_t *data, std::size_t size) noexcept {
    for (std::size_t i = 0; i + sizeof(Word) <= size; i += sizeof(Word)) {
        Word word;
        std::memcpy(&word, data + i, sizeof(Word));
        word = reversed(word);
        std::memcpy(data + i, &word, sizeof(Word));
    }
}

void swap_baseline(std::uint8_t *data, std::size_t size, int width) noexcept {
    switch (width) {
        case 2: swap_words<std::uint16_t>(data, size); break;
        case 4: swap_words<std::uint32_t>(data, size); break;
        case 8: swap_words<std::uint64_t>(data, size); break;
        default: break;
    }
}

#if defined(GALVO_X86_64)

// Source byte of each byte of a 16-byte lane, for widths 2, 4 and 8.
alignas(16) const std::uint8_t order[3][16] = {{1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14},
                                               {3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12},
                                               {7, 6, 5, 4, 3, 2, 1, 0, 15, 14, 13, 12, 11, 10, 9, 8}};

inline const __m128i *order_of(int width) noexcept {
    return reinterpret_cast<const __m128i *>(order[width == 2 ? 0 : width == 4 ? 1 : 2]);
}

GALVO_TARGET("ssse3") void swap_ssse3(std::uint8_t *data, std::size_t size, int width) noexcept {
    const __m128i shuffle = _mm_load_si128(order_of(width));
    std::size_t i = 0;
    for (; i + 16 <= size; i += 16) {
        __m128i *p = reinterpret_cast<__m128i *>(data + i);
        _mm_storeu_si128(p, _mm_shuffle_epi8(_mm_loadu_si128(p), shuffle));
    }
    swap_baseline(data + i, size - i, width);
}

GALVO_TARGET("avx2") void swap_avx2(std::uint8_t *data, std::size_t size, int width) noexcept {
    const __m256i shuffle = _mm256_broadcastsi128_si256(_mm_load_si128(order_of(width)));
    std::size_t i = 0;
    for (; i + 64 <= size; i += 64) {
        __m256i *p = reinterpret_cast<__m256i *>(data + i);
        const __m256i a = _mm256_loadu_si256(p), b = _mm256_loadu_si256(p + 1);
        _mm256_storeu_si256(p, _mm256_shuffle_epi8(a, shuffle));
        _mm256_storeu_si256(p + 1, _mm256_shuffle_epi8(b, shuffle));
    }
    swap_baseline(data + i, size - i, width);
}

#endif

}  // namespace

void swap_bytes(std::uint8_t *data, std::size_t size, int width) noexcept {
    if (width == 1) return;
#if defined(GALVO_X86_64)
    switch (active_isa()) {
        case Isa::avx2: return swap_avx2(data, size, width);
        case Isa::sse42: return swap_ssse3(data, size, width);
        default: break;
    }
#endif
    swap_baseline(data, size, width);
}

}  // namespace galvo
