#include "sqrt_quantize.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "inline.hpp"
#include "isa.hpp"
#include "pair_counts.hpp"

#if defined(GALVO_X86_64)
#include <immintrin.h>
#endif

// Both roundings of a product and a sum must happen, so no fused
// multiply-add may stand for them (-ffp-contract=off).

namespace galvo {
namespace {

GALVO_INLINE void quantize_all(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes, float offset,
                               float inverse) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const float above = static_cast<float>(pixels[i]) - offset;
        const float root = inverse * std::sqrt(above > 0.0f ? above : 0.0f);
        const float code = root < 255.0f ? root : 255.0f;
        const int whole = static_cast<int>(code);
        codes[i] = static_cast<std::uint8_t>(whole + (code - static_cast<float>(whole) >= 0.5f ? 1 : 0));
    }
}

template <class Pixel>
GALVO_INLINE void dequantize_all(const std::uint8_t *codes, std::size_t count, Pixel *out, float offset,
                                 float scale) noexcept {
    constexpr bool whole = std::is_integral<Pixel>::value;
    constexpr float largest = whole ? static_cast<float>(std::numeric_limits<Pixel>::max()) : 0.0f;
    for (std::size_t i = 0; i < count; ++i) {
        const float root = static_cast<float>(static_cast<int>(codes[i])) * scale;
        const float pixel = root * root + offset;
        if (whole) {
            const float above = pixel > 0.0f ? pixel : 0.0f;
            out[i] = static_cast<Pixel>(static_cast<int>(above < largest ? above : largest));
        } else {
            out[i] = static_cast<Pixel>(pixel);
        }
    }
}

void quantize_baseline(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes, float offset,
                       float inverse) noexcept {
    quantize_all(pixels, count, codes, offset, inverse);
}

template <class Pixel>
void dequantize_baseline(const std::uint8_t *codes, std::size_t count, Pixel *out, float offset, float scale) noexcept {
    dequantize_all(codes, count, out, offset, scale);
}

#if defined(GALVO_X86_64)

constexpr std::size_t kVector = 32;  // pixels

// Codes of 8 pixels as 32-bit integers.
GALVO_TARGET("avx2") inline __m256i codes_of(const std::uint16_t *pixels, __m256 offset, __m256 inverse) noexcept {
    const __m128i words = _mm_loadu_si128(reinterpret_cast<const __m128i *>(pixels));
    const __m256 above = _mm256_sub_ps(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(words)), offset);
    const __m256 root = _mm256_mul_ps(inverse, _mm256_sqrt_ps(_mm256_max_ps(above, _mm256_setzero_ps())));
    const __m256 code = _mm256_min_ps(root, _mm256_set1_ps(255.0f));
    const __m256i whole = _mm256_cvttps_epi32(code);
    const __m256 rest = _mm256_sub_ps(code, _mm256_cvtepi32_ps(whole));
    // The comparison gives -1 where it holds.
    return _mm256_sub_epi32(whole, _mm256_castps_si256(_mm256_cmp_ps(rest, _mm256_set1_ps(0.5f), _CMP_GE_OQ)));
}

GALVO_TARGET("avx2") inline void quantize_block(const std::uint16_t *pixels, std::uint8_t *codes, __m256 offset,
                                                __m256 inverse) noexcept {
    const __m256i first =
        _mm256_packus_epi32(codes_of(pixels, offset, inverse), codes_of(pixels + 8, offset, inverse));
    const __m256i second =
        _mm256_packus_epi32(codes_of(pixels + 16, offset, inverse), codes_of(pixels + 24, offset, inverse));
    // Packing works on each half alone.
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    _mm256_storeu_si256(reinterpret_cast<__m256i *>(codes),
                        _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), order));
}

GALVO_TARGET("avx2") void quantize_avx2(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes,
                                        float offset, float inverse) noexcept {
    const __m256 offsets = _mm256_set1_ps(offset), inverses = _mm256_set1_ps(inverse);
    std::size_t i = 0;
    for (; i + kVector <= count; i += kVector) quantize_block(pixels + i, codes + i, offsets, inverses);
    quantize_all(pixels + i, count - i, codes + i, offset, inverse);
}

// Counting fills the time in which roots are awaited, if it works on codes that are long finished.
GALVO_TARGET("avx2") void quantize_avx2(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes,
                                        float offset, float inverse, PairCounts &counts) noexcept {
    constexpr std::size_t kLag = 16 * kVector;
    const __m256 offsets = _mm256_set1_ps(offset), inverses = _mm256_set1_ps(inverse);
    std::size_t i = std::min(count, kLag);
    quantize_avx2(pixels, i, codes, offset, inverse);
    for (; i + kVector <= count; i += kVector) {
        quantize_block(pixels + i, codes + i, offsets, inverses);
        for (std::size_t k = 0; k < kVector; k += 8) counts.add_eight(codes + i - kLag + k);
    }
    quantize_all(pixels + i, count - i, codes + i, offset, inverse);
    const std::size_t counted = i - std::min(count, kLag);
    counts.add(codes + counted, count - counted);
}

GALVO_TARGET("avx2") inline __m256 pixels_of(const std::uint8_t *codes, __m256 offset, __m256 scale) noexcept {
    const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(codes));
    const __m256 root = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), scale);
    return _mm256_add_ps(_mm256_mul_ps(root, root), offset);
}

// Cut to 0 .. 65535.
GALVO_TARGET("avx2") inline __m256i words_of(const std::uint8_t *codes, __m256 offset, __m256 scale) noexcept {
    const __m256 above = _mm256_max_ps(pixels_of(codes, offset, scale), _mm256_setzero_ps());
    return _mm256_cvttps_epi32(_mm256_min_ps(above, _mm256_set1_ps(65535.0f)));
}

template <class Pixel>
GALVO_TARGET("avx2") void dequantize_avx2(const std::uint8_t *codes, std::size_t count, Pixel *out, float offset,
                                          float scale) noexcept {
    dequantize_all(codes, count, out, offset, scale);
}

template <>
GALVO_TARGET("avx2") void dequantize_avx2(const std::uint8_t *codes, std::size_t count, std::uint16_t *out,
                                          float offset, float scale) noexcept {
    const __m256 offsets = _mm256_set1_ps(offset), scales = _mm256_set1_ps(scale);
    std::size_t i = 0;
    for (; i + 16 <= count; i += 16) {
        const __m256i words =
            _mm256_packus_epi32(words_of(codes + i, offsets, scales), words_of(codes + i + 8, offsets, scales));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + i), _mm256_permute4x64_epi64(words, 0xD8));
    }
    dequantize_all(codes + i, count - i, out + i, offset, scale);
}

#endif

template <class Pixel>
void dequantize_chosen(const std::uint8_t *codes, std::size_t count, Pixel *out, float offset, float scale) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return dequantize_avx2(codes, count, out, offset, scale);
#endif
    dequantize_baseline(codes, count, out, offset, scale);
}

}  // namespace

SqrtQuantizer::SqrtQuantizer(double offset, double scale)
    : offset_(static_cast<float>(offset)), scale_(static_cast<float>(scale)), inverse_(1.0f / scale_) {
    if (!std::isfinite(offset_)) throw std::invalid_argument("offset must be finite as float32");
    if (!(scale_ > 0) || !std::isfinite(scale_) || !(inverse_ > 0) || !std::isfinite(inverse_))
        throw std::invalid_argument("scale must be above 0 and finite as float32, and so must be 1 / scale");
}

void SqrtQuantizer::quantize(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes) const noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return quantize_avx2(pixels, count, codes, offset_, inverse_);
#endif
    quantize_baseline(pixels, count, codes, offset_, inverse_);
}

void SqrtQuantizer::quantize(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes,
                             PairCounts &counts) const noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return quantize_avx2(pixels, count, codes, offset_, inverse_, counts);
#endif
    quantize_baseline(pixels, count, codes, offset_, inverse_);
    counts.add(codes, count);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, std::uint8_t *out) const noexcept {
    dequantize_chosen(codes, count, out, offset_, scale_);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, std::uint16_t *out) const noexcept {
    dequantize_chosen(codes, count, out, offset_, scale_);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, float *out) const noexcept {
    dequantize_chosen(codes, count, out, offset_, scale_);
}

}  // namespace galvo
