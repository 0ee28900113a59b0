#include "warp.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "each_isa.hpp"
#include "frame_jobs.hpp"

#if defined(GALVO_X86_64)
#include <immintrin.h>
#endif

// Every instruction set does the same operations in the same order, so that results are equal on all.

namespace galvo {
namespace {

constexpr int kBefore = 1, kAfter = 2;     // taps beyond an edge

// Floor without a call, for |value| < 2^31.
GALVO_INLINE int floor_of(float value) noexcept {
    const int whole = static_cast<int>(value);
    return whole - static_cast<int>(static_cast<float>(whole) > value);
}

template <bool rounded>
GALVO_INLINE void find_positions_in(const float *GALVO_RESTRICT u, const float *GALVO_RESTRICT v, float scale_x,
                                    float scale_y, int y, int rows, int columns, int stride,
                                    std::int32_t *GALVO_RESTRICT base, float *GALVO_RESTRICT fx,
                                    float *GALVO_RESTRICT fy) noexcept {
    // 1.5 * 2^23 / 32: adding it leaves five bits for a fraction.
    constexpr float kThirtySeconds = 393216.0f;
    const float up = static_cast<float>(-y), down = static_cast<float>(rows - 1 - y);
    for (int x = 0; x < columns; ++x) {
        const float left = static_cast<float>(-x), right = static_cast<float>(columns - 1 - x);
        float du = u[x] * scale_x, dv = v[x] * scale_y;
        du = du > left ? du : left;  // NaN too
        du = du < right ? du : right;
        dv = dv > up ? dv : up;
        dv = dv < down ? dv : down;
        if (rounded) {
            du = (du + kThirtySeconds) - kThirtySeconds;
            dv = (dv + kThirtySeconds) - kThirtySeconds;
        }
        const int iu = floor_of(du), iv = floor_of(dv);
        fx[x] = du - static_cast<float>(iu);
        fy[x] = dv - static_cast<float>(iv);
        base[x] = (y + iv) * stride + x + iu;
    }
}

GALVO_INLINE void find_all(const float *u, const float *v, float scale_x, float scale_y, int y, int rows, int columns,
                           int stride, bool thirty_seconds, std::int32_t *base, float *fx, float *fy) noexcept {
    if (thirty_seconds)
        find_positions_in<true>(u, v, scale_x, scale_y, y, rows, columns, stride, base, fx, fy);
    else
        find_positions_in<false>(u, v, scale_x, scale_y, y, rows, columns, stride, base, fx, fy);
}

GALVO_INLINE int count_outside(const float *GALVO_RESTRICT u, const float *GALVO_RESTRICT v, float y, int columns,
                               float before, float after_x, float after_y) noexcept {
    int inside = 0;
    for (int x = 0; x < columns; ++x) {
        const float px = static_cast<float>(x) + u[x], py = y + v[x];
        inside += (px >= before) & (px < after_x) & (py >= before) & (py < after_y);
    }
    return columns - inside;
}

GALVO_INLINE int count_finite(const float *GALVO_RESTRICT u, const float *GALVO_RESTRICT v, int columns) noexcept {
    constexpr float kMost = std::numeric_limits<float>::max();
    int finite = 0;
    for (int x = 0; x < columns; ++x) finite += int(std::fabs(u[x]) <= kMost) & int(std::fabs(v[x]) <= kMost);
    return finite;
}

GALVO_INLINE void split_all(const float *GALVO_RESTRICT pairs, int count, float *GALVO_RESTRICT u,
                            float *GALVO_RESTRICT v) noexcept {
    for (int x = 0; x < count; ++x) {
        u[x] = pairs[2 * x];
        v[x] = pairs[2 * x + 1];
    }
}

GALVO_EACH_ISA(find,
               (const float *u, const float *v, float scale_x, float scale_y, int y, int rows, int columns, int stride,
                bool thirty_seconds, std::int32_t *base, float *fx, float *fy),
               (u, v, scale_x, scale_y, y, rows, columns, stride, thirty_seconds, base, fx, fy))
GALVO_EACH_ISA(split, (const float *pairs, int count, float *u, float *v), (pairs, count, u, v))

int count_baseline(const float *u, const float *v, float y, int columns, float before, float after_x,
                   float after_y) noexcept {
    return count_outside(u, v, y, columns, before, after_x, after_y);
}

int count_finite_baseline(const float *u, const float *v, int columns) noexcept { return count_finite(u, v, columns); }

#if defined(GALVO_X86_64)
GALVO_TARGET("avx2")
int count_finite_avx2(const float *u, const float *v, int columns) noexcept { return count_finite(u, v, columns); }

GALVO_TARGET("avx2")
int count_avx2(const float *u, const float *v, float y, int columns, float before, float after_x, float after_y) noexcept {
    return count_outside(u, v, y, columns, before, after_x, after_y);
}
#endif

// Weight of tap k = ((cubic[k] f + square[k]) f + linear[k]) f + constant[k].
template <class Real>
struct CubicWeights {
    explicit CubicWeights(Real a) noexcept
        : cubic{a, a + 2, -(a + 2), -a}, square{-2 * a, -(a + 3), 2 * a + 3, a}, linear{a, 0, -a, 0}, constant{0, 1, 0, 0} {}
    Real cubic[4], square[4], linear[4], constant[4];
};

template <class Real>
GALVO_INLINE void sample_cubic(const Real *origin, int stride, const Positions &positions, std::size_t begin,
                               std::size_t end, const CubicWeights<Real> &weights, Real *out) noexcept {
    for (std::size_t i = begin; i < end; ++i) {
        const Real *taps = origin + (static_cast<std::ptrdiff_t>(positions.base[i]) - stride - 1);
        const Real fx = positions.fx[i], fy = positions.fy[i];
        Real wx[4], wy[4], sum[4];
        for (int k = 0; k < 4; ++k) {
            wx[k] = ((weights.cubic[k] * fx + weights.square[k]) * fx + weights.linear[k]) * fx + weights.constant[k];
            wy[k] = ((weights.cubic[k] * fy + weights.square[k]) * fy + weights.linear[k]) * fy + weights.constant[k];
        }
        for (int k = 0; k < 4; ++k) {
            const Real upper = taps[k] * wy[0] + taps[stride + k] * wy[1];
            const Real lower = taps[2 * stride + k] * wy[2] + taps[3 * stride + k] * wy[3];
            sum[k] = (upper + lower) * wx[k];
        }
        out[i] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    }
}

#if defined(GALVO_X86_64)

GALVO_TARGET("avx2")
inline __m256 two(const float *low, const float *high) noexcept {
    return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(low)), _mm_loadu_ps(high), 1);
}

GALVO_TARGET("avx2")
inline __m256 twice(const float *four) noexcept {
    return _mm256_broadcast_ps(reinterpret_cast<const __m128 *>(four));
}

GALVO_TARGET("avx2")
inline __m256 cubic_weights(const __m256 *weights, const float *f) noexcept {
    const __m256 both = _mm256_insertf128_ps(_mm256_broadcast_ss(f), _mm_broadcast_ss(f + 1), 1);
    __m256 sum = _mm256_add_ps(_mm256_mul_ps(weights[0], both), weights[1]);
    sum = _mm256_add_ps(_mm256_mul_ps(sum, both), weights[2]);
    return _mm256_add_ps(_mm256_mul_ps(sum, both), weights[3]);
}

// Two pixels at a time, 16 taps each: one in each half of the registers.
GALVO_TARGET("avx2")
inline __m256 weighted_taps(const float *origin, int stride, const Positions &positions, std::size_t i,
                            const __m256 *weights) noexcept {
    const float *a = origin + (static_cast<std::ptrdiff_t>(positions.base[i]) - stride - 1);
    const float *b = origin + (static_cast<std::ptrdiff_t>(positions.base[i + 1]) - stride - 1);
    const __m256 wx = cubic_weights(weights, positions.fx.data() + i);
    const __m256 wy = cubic_weights(weights, positions.fy.data() + i);
    const std::ptrdiff_t s = stride;
    const __m256 upper = _mm256_add_ps(_mm256_mul_ps(two(a, b), _mm256_permute_ps(wy, 0x00)),
                                       _mm256_mul_ps(two(a + s, b + s), _mm256_permute_ps(wy, 0x55)));
    const __m256 lower = _mm256_add_ps(_mm256_mul_ps(two(a + 2 * s, b + 2 * s), _mm256_permute_ps(wy, 0xAA)),
                                       _mm256_mul_ps(two(a + 3 * s, b + 3 * s), _mm256_permute_ps(wy, 0xFF)));
    return _mm256_mul_ps(_mm256_add_ps(upper, lower), wx);
}

GALVO_TARGET("avx2")
inline __m256 weights_of_tap(const CubicWeights<float> &cubic, int k, __m256 f) noexcept {
    __m256 sum = _mm256_add_ps(_mm256_mul_ps(_mm256_set1_ps(cubic.cubic[k]), f), _mm256_set1_ps(cubic.square[k]));
    sum = _mm256_add_ps(_mm256_mul_ps(sum, f), _mm256_set1_ps(cubic.linear[k]));
    return _mm256_add_ps(_mm256_mul_ps(sum, f), _mm256_set1_ps(cubic.constant[k]));
}

// Whether eight positions follow each other as pixels do, as those of a smooth field mostly are.
GALVO_TARGET("avx2")
inline bool follow_each_other(const std::int32_t *base) noexcept {
    const __m256i found = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(base));
    const __m256i expected = _mm256_add_epi32(_mm256_set1_epi32(base[0]), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    return _mm256_movemask_epi8(_mm256_cmpeq_epi32(found, expected)) == -1;
}

// Eight pixels whose taps lie side by side.
GALVO_TARGET("avx2")
inline __m256 eight_side_by_side(const float *origin, int stride, const Positions &positions, std::size_t i,
                                 const CubicWeights<float> &cubic) noexcept {
    const std::ptrdiff_t s = stride;
    const float *taps = origin + (static_cast<std::ptrdiff_t>(positions.base[i]) - s - 1);
    const __m256 fx = _mm256_loadu_ps(positions.fx.data() + i), fy = _mm256_loadu_ps(positions.fy.data() + i);
    __m256 wy[4], sum[4];
    for (int k = 0; k < 4; ++k) wy[k] = weights_of_tap(cubic, k, fy);
    for (int k = 0; k < 4; ++k) {
        const float *tap = taps + k;
        const __m256 upper =
            _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(tap), wy[0]), _mm256_mul_ps(_mm256_loadu_ps(tap + s), wy[1]));
        const __m256 lower = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(tap + 2 * s), wy[2]),
                                           _mm256_mul_ps(_mm256_loadu_ps(tap + 3 * s), wy[3]));
        sum[k] = _mm256_mul_ps(_mm256_add_ps(upper, lower), weights_of_tap(cubic, k, fx));
    }
    return _mm256_add_ps(_mm256_add_ps(sum[0], sum[1]), _mm256_add_ps(sum[2], sum[3]));
}

GALVO_TARGET("avx2")
void sample_cubic_avx2(const float *origin, int stride, const Positions &positions, std::size_t count,
                       const CubicWeights<float> &cubic, float *out) noexcept {
    const __m256 weights[4] = {twice(cubic.cubic), twice(cubic.square), twice(cubic.linear), twice(cubic.constant)};
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        if (follow_each_other(positions.base.data() + i)) {
            _mm256_storeu_ps(out + i, eight_side_by_side(origin, stride, positions, i, cubic));
            continue;
        }
        const __m256 first = weighted_taps(origin, stride, positions, i, weights);
        const __m256 second = weighted_taps(origin, stride, positions, i + 2, weights);
        const __m256 third = weighted_taps(origin, stride, positions, i + 4, weights);
        const __m256 fourth = weighted_taps(origin, stride, positions, i + 6, weights);
        const __m256 sums = _mm256_hadd_ps(_mm256_hadd_ps(first, second), _mm256_hadd_ps(third, fourth));
        // Each half holds the even or the odd pixels.
        const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
        _mm256_storeu_ps(out + i, _mm256_permutevar8x32_ps(sums, order));
    }
    sample_cubic(origin, stride, positions, i, count, cubic, out);
}

#endif

template <class Real>
void sample_linear(const Real *origin, int stride, const Positions &positions, std::size_t count, Real *out) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const Real *taps = origin + positions.base[i];
        const Real fx = positions.fx[i], fy = positions.fy[i];
        // A tap of weight 0 is not looked at: it may be NaN.
        const std::ptrdiff_t right = fx > 0 ? 1 : 0, below = fy > 0 ? stride : 0;
        const Real upper = taps[0] + fx * (taps[right] - taps[0]);
        const Real lower = taps[below] + fx * (taps[below + right] - taps[below]);
        out[i] = fy > 0 ? upper + fy * (lower - upper) : upper;
    }
}

template <class Real>
void sample_nearest(const Real *origin, int stride, const Positions &positions, std::size_t count, Real *out) noexcept {
    for (std::size_t i = 0; i < count; ++i)
        out[i] = origin[positions.base[i] + (positions.fx[i] >= 0.5f ? 1 : 0) + (positions.fy[i] >= 0.5f ? stride : 0)];
}

template <class Real>
void sample_other(const Real *origin, int stride, const Positions &positions, std::size_t count, Sampling sampling,
                  Real *out) noexcept {
    if (sampling == Sampling::linear) return sample_linear(origin, stride, positions, count, out);
    sample_nearest(origin, stride, positions, count, out);
}

template <class Pixel, class Real>
GALVO_INLINE Pixel rounded(Real value) noexcept {
    if (!std::is_integral<Pixel>::value) return static_cast<Pixel>(value);
    constexpr Real lowest = static_cast<Real>(std::numeric_limits<Pixel>::lowest());
    constexpr Real largest = static_cast<Real>(std::numeric_limits<Pixel>::max());
    // The largest integers of 64 bits have no exact double: at or above the next one the end of the type is meant.
    if (sizeof(Pixel) > 4 && !(value < largest)) return std::numeric_limits<Pixel>::max();
    value = value > lowest ? value : lowest;
    value = value < largest ? value : largest;
    if (sizeof(Pixel) > 2) return static_cast<Pixel>(std::nearbyint(value));
    // 1.5 * 2^23: adding it leaves no bits for a fraction, so that the addition itself rounds, halves to even.
    constexpr float kWhole = 12582912.0f;
    const float whole = (static_cast<float>(value) + kWhole) - kWhole;
    return static_cast<Pixel>(static_cast<int>(whole));
}

template <class Pixel, class Real>
GALVO_INLINE void store_all(const Real *values, std::ptrdiff_t count, Pixel *out, std::ptrdiff_t step) noexcept {
    if (step == 1) {
        for (std::ptrdiff_t i = 0; i < count; ++i) out[i] = rounded<Pixel>(values[i]);
        return;
    }
    // Vectors are rounded, and their pixels put where they belong.
    constexpr std::ptrdiff_t kBlock = 128;
    Pixel block[kBlock];
    for (std::ptrdiff_t begin = 0; begin < count; begin += kBlock) {
        const std::ptrdiff_t size = std::min(kBlock, count - begin);
        for (std::ptrdiff_t i = 0; i < size; ++i) block[i] = rounded<Pixel>(values[begin + i]);
        for (std::ptrdiff_t i = 0; i < size; ++i) out[(begin + i) * step] = block[i];
    }
}

template <class Pixel, class Real>
void store_baseline(const Real *values, std::ptrdiff_t count, Pixel *out, std::ptrdiff_t step) noexcept {
    store_all(values, count, out, step);
}

#if defined(GALVO_X86_64)
template <class Pixel, class Real>
GALVO_TARGET("avx2") void store_avx2(const Real *values, std::ptrdiff_t count, Pixel *out, std::ptrdiff_t step) noexcept {
    store_all(values, count, out, step);
}
#endif

template <class Pixel, class Real>
void store(const Real *values, std::ptrdiff_t count, Pixel *out, std::ptrdiff_t step) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return store_avx2(values, count, out, step);
#endif
    store_baseline(values, count, out, step);
}

// float is exact for pixels of up to 16 bits, and for its own.
template <class Pixel>
using RealOf = std::conditional_t<(sizeof(Pixel) <= 2) || std::is_same<Pixel, float>::value, float, double>;

template <class Real>
struct Workspace {
    Workspace(const Warp &warp)
        : positions(static_cast<std::size_t>(warp.columns)), u(static_cast<std::size_t>(warp.columns)),
          v(static_cast<std::size_t>(warp.columns)), row(static_cast<std::size_t>(warp.columns)), planes(static_cast<std::size_t>(warp.channels)) {
        for (auto &plane : planes) plane.resize(static_cast<int>(warp.rows), static_cast<int>(warp.columns));
    }
    Positions positions;
    std::vector<float> u, v;
    std::vector<Real> row;
    std::vector<PaddedPlane<Real>> planes;
};

int finite_of(const float *u, const float *v, int columns) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return count_finite_avx2(u, v, columns);
#endif
    return count_finite_baseline(u, v, columns);
}

// Which sources of a row count as inside.
struct Inside {
    Inside(const Warp &warp)
        : before(static_cast<float>(-warp.reach_before)),
          after_x(static_cast<float>(static_cast<double>(warp.columns - 1) + warp.reach_after)),
          after_y(static_cast<float>(static_cast<double>(warp.rows - 1) + warp.reach_after)) {}

    bool all(const float *u, const float *v, int y, int columns) const noexcept {
        const float py = static_cast<float>(y);
#if defined(GALVO_X86_64)
        if (active_isa() == Isa::avx2) return count_avx2(u, v, py, columns, before, after_x, after_y) == 0;
#endif
        return count_baseline(u, v, py, columns, before, after_x, after_y) == 0;
    }
    bool operator()(float px, float py) const noexcept {
        return px >= before && px < after_x && py >= before && py < after_y;
    }

    float before, after_x, after_y;
};

template <class Pixel, class Out>
std::int64_t warp_frame(const Warp &warp, std::int64_t t, Workspace<RealOf<Pixel>> &space) noexcept {
    using Real = RealOf<Pixel>;
    const std::size_t channels = static_cast<std::size_t>(warp.channels), columns = static_cast<std::size_t>(warp.columns);
    const std::size_t field_size = (warp.one_row ? 1 : static_cast<std::size_t>(warp.rows)) * columns;
    const Pixel *frame = static_cast<const Pixel *>(warp.frames) + t * warp.steps.t;
    Out *out = static_cast<Out *>(warp.out) + t * warp.out_steps.t;
    const float *displacements =
        warp.displacements + (warp.one_displacement ? 0 : static_cast<std::size_t>(t) * field_size * 2);
    for (std::size_t c = 0; c < channels; ++c) {
        const Pixel *plane = frame + static_cast<std::ptrdiff_t>(c) * warp.steps.c;
        space.planes[c].fill(plane, warp.steps.y, warp.steps.x);
    }
    const int stride = space.planes[0].stride(), rows = static_cast<int>(warp.rows), width = static_cast<int>(columns);
    const Inside inside(warp);
    std::int64_t not_finite = 0;
    for (int y = 0; y < rows; ++y) {
        const std::size_t first = static_cast<std::size_t>(y) * columns;
        float *u = space.u.data(), *v = space.v.data();
        if (y == 0 || !warp.one_row) split_pairs(displacements + 2 * first, width, u, v);
        find_positions(u, v, 1.0f, 1.0f, y, rows, width, stride, space.positions);
        const bool all_inside = inside.all(u, v, y, width);
        if (!all_inside) not_finite += width - finite_of(u, v, width);
        for (std::size_t c = 0; c < channels; ++c) {
            sample(space.planes[c].origin(), stride, space.positions, columns, warp.sampling,
                   static_cast<Real>(warp.cubic_a), space.row.data());
            for (int x = 0; warp.fill && !all_inside && x < width; ++x) {
                if (inside(static_cast<float>(x) + u[x], static_cast<float>(y) + v[x])) continue;
                const std::size_t pixel = (first + static_cast<std::size_t>(x)) * channels + c;
                space.row[static_cast<std::size_t>(x)] =
                    static_cast<Real>(warp.fill_image != nullptr ? warp.fill_image[pixel] : warp.fill_value);
            }
            Out *row = out + y * warp.out_steps.y + static_cast<std::ptrdiff_t>(c) * warp.out_steps.c;
            store(space.row.data(), width, row, warp.out_steps.x);
        }
    }
    return not_finite;
}

template <class Pixel, class Out>
std::int64_t warp_all(const Warp &warp) {
    std::atomic<std::int64_t> not_finite{0};
    run_frames(warp.frame_count, warp.threads, [&] {
        return [&, space = Workspace<RealOf<Pixel>>(warp)](std::int64_t t) mutable {
            not_finite += warp_frame<Pixel, Out>(warp, t, space);
        };
    });
    return not_finite;
}

template <class Pixel>
std::int64_t warp_type(const Warp &warp) {
    if (warp.out_type == warp.type) return warp_all<Pixel, Pixel>(warp);
    if (warp.out_type != PixelType::float32) throw std::invalid_argument("out must be float32 or as frames are");
    return warp_all<Pixel, float>(warp);
}

}  // namespace

template <class Real>
void PaddedPlane<Real>::resize(int rows, int columns) {
    rows_ = rows;
    columns_ = columns;
    const auto all = static_cast<std::size_t>(rows + kBefore + kAfter) * static_cast<std::size_t>(columns + kBefore + kAfter);
    values_.assign(all, Real(0));
}

template <class Real>
template <class Pixel>
void PaddedPlane<Real>::fill(const Pixel *pixels, std::ptrdiff_t row_step, std::ptrdiff_t step) {
    const std::ptrdiff_t stride = this->stride();
    Real *row = values_.data() + stride + 1;
    for (int y = 0; y < rows_; ++y, row += stride) {
        const Pixel *in = pixels + y * row_step;
        if (step == 1)
            for (int x = 0; x < columns_; ++x) row[x] = static_cast<Real>(in[x]);
        else
            for (int x = 0; x < columns_; ++x) row[x] = static_cast<Real>(in[x * step]);
        row[-1] = row[0];
        row[columns_] = row[columns_ + 1] = row[columns_ - 1];
    }
    Real *first = values_.data() + stride;
    std::copy(first, first + stride, values_.data());
    const Real *last = values_.data() + static_cast<std::ptrdiff_t>(rows_) * stride;
    for (int k = 1; k <= kAfter; ++k) std::copy(last, last + stride, const_cast<Real *>(last) + k * stride);
}

template class PaddedPlane<float>;
template class PaddedPlane<double>;
template void PaddedPlane<float>::fill(const float *, std::ptrdiff_t, std::ptrdiff_t);

void split_pairs(const float *pairs, int count, float *u, float *v) noexcept { split(pairs, count, u, v); }

void find_positions(const float *u, const float *v, float scale_x, float scale_y, int y, int rows, int columns,
                    int stride, Positions &positions, bool thirty_seconds) noexcept {
    find(u, v, scale_x, scale_y, y, rows, columns, stride, thirty_seconds, positions.base.data(), positions.fx.data(),
         positions.fy.data());
}

void sample(const float *origin, int stride, const Positions &positions, std::size_t count, Sampling sampling,
            float cubic_a, float *out) noexcept {
    if (sampling != Sampling::cubic) return sample_other(origin, stride, positions, count, sampling, out);
    const CubicWeights<float> weights(cubic_a);
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return sample_cubic_avx2(origin, stride, positions, count, weights, out);
#endif
    sample_cubic(origin, stride, positions, 0, count, weights, out);
}

void sample(const double *origin, int stride, const Positions &positions, std::size_t count, Sampling sampling,
            double cubic_a, double *out) noexcept {
    if (sampling != Sampling::cubic) return sample_other(origin, stride, positions, count, sampling, out);
    sample_cubic(origin, stride, positions, 0, count, CubicWeights<double>(cubic_a), out);
}

std::int64_t warp_frames(const Warp &warp) {
    constexpr std::int64_t kLargestSide = 1 << 20;
    if (warp.rows < 1 || warp.columns < 1 || warp.channels < 1 || warp.rows > kLargestSide || warp.columns > kLargestSide ||
        (warp.rows + 3) * (warp.columns + 3) > std::numeric_limits<std::int32_t>::max())
        throw std::invalid_argument("frames must have from 1 x 1 to 2**31 pixels");
    switch (warp.type) {
        case PixelType::int8: return warp_type<std::int8_t>(warp);
        case PixelType::uint8: return warp_type<std::uint8_t>(warp);
        case PixelType::int16: return warp_type<std::int16_t>(warp);
        case PixelType::uint16: return warp_type<std::uint16_t>(warp);
        case PixelType::int32: return warp_type<std::int32_t>(warp);
        case PixelType::uint32: return warp_type<std::uint32_t>(warp);
        case PixelType::int64: return warp_type<std::int64_t>(warp);
        case PixelType::uint64: return warp_type<std::uint64_t>(warp);
        case PixelType::float32: return warp_type<float>(warp);
        case PixelType::float64: return warp_type<double>(warp);
    }
    return 0;
}

}  // namespace galvo
