#include "flow_plane.hpp"

#include "isa.hpp"

#if defined(GALVO_X86_64)
#include <immintrin.h>
#endif

namespace galvo {
namespace {

#if defined(GALVO_X86_64)
GALVO_TARGET("avx2")
void transpose_avx2(const float *in, std::ptrdiff_t stride_in, std::ptrdiff_t step_in, float *out,
                    std::ptrdiff_t stride_out, std::ptrdiff_t step_out, std::ptrdiff_t blocks) noexcept {
    for (std::ptrdiff_t b = 0; b < blocks; ++b, in += step_in, out += step_out) {
        __m256 half[8], pair[8];
        // Rows k and k + 4 share a register, so that what crosses its middle is done by the loads.
        for (int k = 0; k < 4; ++k) {
            const float *upper = in + k * stride_in, *lower = in + (k + 4) * stride_in;
            half[k] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper)), _mm_loadu_ps(lower), 1);
            half[k + 4] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(upper + 4)), _mm_loadu_ps(lower + 4), 1);
        }
        for (int k = 0; k < 8; k += 4) {
            pair[k] = _mm256_unpacklo_ps(half[k], half[k + 1]);
            pair[k + 1] = _mm256_unpackhi_ps(half[k], half[k + 1]);
            pair[k + 2] = _mm256_unpacklo_ps(half[k + 2], half[k + 3]);
            pair[k + 3] = _mm256_unpackhi_ps(half[k + 2], half[k + 3]);
        }
        for (int k = 0; k < 8; k += 4) {
            float *to = out + k * stride_out;
            _mm256_storeu_ps(to, _mm256_shuffle_ps(pair[k], pair[k + 2], 0x44));
            _mm256_storeu_ps(to + stride_out, _mm256_shuffle_ps(pair[k], pair[k + 2], 0xEE));
            _mm256_storeu_ps(to + 2 * stride_out, _mm256_shuffle_ps(pair[k + 1], pair[k + 3], 0x44));
            _mm256_storeu_ps(to + 3 * stride_out, _mm256_shuffle_ps(pair[k + 1], pair[k + 3], 0xEE));
        }
    }
}
#endif

}  // namespace

void transpose_blocks(const float *in, std::ptrdiff_t stride_in, std::ptrdiff_t step_in, float *out,
                      std::ptrdiff_t stride_out, std::ptrdiff_t step_out, std::ptrdiff_t blocks) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2)
        return transpose_avx2(in, stride_in, step_in, out, stride_out, step_out, blocks);
#endif
    for (std::ptrdiff_t b = 0; b < blocks; ++b, in += step_in, out += step_out)
        for (int i = 0; i < 8; ++i)
            for (int j = 0; j < 8; ++j) out[i * stride_out + j] = in[j * stride_in + i];
}

}  // namespace galvo
