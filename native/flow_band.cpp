#include "flow_band.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "each_isa.hpp"

namespace galvo {
namespace {

double cubic(double distance) noexcept {  // Keys 1981
    constexpr double a = -0.75;
    const double d = std::fabs(distance);
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    return 0;
}

std::vector<double> gaussian_weights(double sigma, int radius) {
    std::vector<double> weights;
    double sum = 0;
    for (int r = -radius; r <= radius; ++r) {
        weights.push_back(radius == 0 ? 1.0 : std::exp(-0.5 * r * r / (sigma * sigma)));
        sum += weights.back();
    }
    for (double &weight : weights) weight /= sum;
    return weights;
}

int mirrored(int i, int count) noexcept {
    const int period = 2 * count;
    i = ((i % period) + period) % period;
    return i < count ? i : period - 1 - i;
}

#if defined(__GNUC__) || defined(__clang__)
// Compilers that are left to themselves vectorise sums of eight the wrong way round.
typedef float Eight __attribute__((vector_size(32)));
#else
struct Eight {
    float lane[8];
};
inline Eight operator*(float factor, Eight value) noexcept {
    for (float &lane : value.lane) lane *= factor;
    return value;
}
inline Eight &operator+=(Eight &sum, const Eight &value) noexcept {
    for (int j = 0; j < 8; ++j) sum.lane[j] += value.lane[j];
    return sum;
}
#endif

// `vectors` times eight weighted sums of values that lie `stride` apart.
template <int vectors>
GALVO_INLINE void weighted_sum(const float *GALVO_RESTRICT in, std::ptrdiff_t stride, const float *GALVO_RESTRICT weights,
                               int taps, float *GALVO_RESTRICT out) noexcept {
    Eight sum[vectors] = {};
    for (int k = 0; k < taps; ++k)
        for (int j = 0; j < vectors; ++j) {
            Eight value;
            std::memcpy(&value, in + k * stride + 8 * j, sizeof value);
            sum[j] += weights[k] * value;
        }
    std::memcpy(out, sum, sizeof sum);
}

// One row of weighted sums over rows.
GALVO_INLINE void weighted_rows_all(const float *in, std::ptrdiff_t stride, const float *weights, int taps,
                                    std::ptrdiff_t columns, float *out) noexcept {
    std::ptrdiff_t x = 0;
    for (; x + 64 <= columns; x += 64) weighted_sum<8>(in + x, stride, weights, taps, out + x);
    for (; x < columns; x += 8) weighted_sum<1>(in + x, stride, weights, taps, out + x);
}

// The same for eight rows at once that have been transposed: in[8 x + row].
GALVO_INLINE void weighted_columns_all(const float *in, const int *start, const float *weights, int taps, int count,
                                       float *out) noexcept {
    for (std::ptrdiff_t i = 0; i < count; ++i)
        weighted_sum<1>(in + 8 * static_cast<std::ptrdiff_t>(start[i]), 8, weights + i * taps, taps, out + 8 * i);
}

GALVO_EACH_ISA(weighted_rows,
               (const float *in, std::ptrdiff_t stride, const float *weights, int taps, std::ptrdiff_t columns, float *out),
               (in, stride, weights, taps, columns, out))
GALVO_EACH_ISA(weighted_columns,
               (const float *in, const int *start, const float *weights, int taps, int count, float *out),
               (in, start, weights, taps, count, out))

}  // namespace

Band Band::build(int from, int to, int count, const std::function<int(int)> &first,
                 const std::function<double(int, int)> &weight, const std::function<int(int)> &inside) {
    std::vector<std::vector<double>> rows;
    Band band;
    band.from_ = from;
    std::vector<double> all(static_cast<std::size_t>(from));
    std::vector<int> lasts;
    for (int i = 0; i < to; ++i) {
        std::fill(all.begin(), all.end(), 0.0);
        int low = from, high = -1;
        double sum = 0;
        for (int j = first(i); j < first(i) + count; ++j) {
            const double value = weight(i, j);
            const int at = inside(j);
            all[static_cast<std::size_t>(at)] += value;
            sum += value;
            low = std::min(low, at);
            high = std::max(high, at);
        }
        rows.emplace_back(all.begin() + low, all.begin() + high + 1);
        for (double &value : rows.back()) value /= sum;
        band.start_.push_back(low);
        band.taps_ = std::max(band.taps_, high - low + 1);
    }
    band.weights_.assign(static_cast<std::size_t>(to) * static_cast<std::size_t>(band.taps_), 0.0f);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const int moved = std::max(0, band.start_[i] + band.taps_ - from);  // the window ends inside
        band.start_[i] -= moved;
        for (std::size_t k = 0; k < rows[i].size(); ++k)
            band.weights_[i * static_cast<std::size_t>(band.taps_) + k + static_cast<std::size_t>(moved)] =
                static_cast<float>(rows[i][k]);
    }
    return band;
}

Band Band::gaussian(int count, double sigma) {
    const int radius = static_cast<int>(4 * sigma + 0.5);
    const std::vector<double> weights = gaussian_weights(sigma, radius);
    return build(
        count, count, 2 * radius + 1, [&](int i) { return i - radius; },
        [&](int i, int j) { return weights[static_cast<std::size_t>(j - i + radius)]; },
        [&](int j) { return mirrored(j, count); });
}

Band Band::resampled(int from, int to, double smoothing, bool early) {
    const double scale = static_cast<double>(to) / from, sigma = smoothing < 1 ? 0.6 / smoothing : 0;
    const int radius = static_cast<int>(std::ceil(2 * sigma));
    const std::vector<double> weights = gaussian_weights(sigma, radius);
    const auto centre = [&](int i) { return (i + 0.5) / scale - 0.5; };
    return build(
        from, to, 2 * radius + 4,
        [&](int i) { return static_cast<int>(std::floor(centre(i))) - (early ? 2 : 1) - radius; },
        [&](int i, int j) {
            double sum = 0;
            for (int r = -radius; r <= radius; ++r) sum += weights[static_cast<std::size_t>(r + radius)] * cubic(centre(i) - j - r);
            return sum;
        },
        [&](int j) { return mirrored(j, from); });
}

Band Band::interpolated(int from, int to) {
    const double scale = static_cast<double>(to) / from;
    const auto centre = [&](int i) { return (i + 0.5) / scale - 0.5; };
    return build(
        from, to, 4, [&](int i) { return static_cast<int>(std::floor(centre(i))) - 1; },
        [&](int i, int j) { return cubic(centre(i) - j); }, [&](int j) { return std::clamp(j, 0, from - 1); });
}

void Band::row_along_y(const Plane &in, int row, std::ptrdiff_t columns, float *out) const noexcept {
    const float *weights = weights_.data() + static_cast<std::ptrdiff_t>(row) * taps_;
    weighted_rows(in.row(start_[static_cast<std::size_t>(row)]), in.stride(), weights, taps_, whole_vectors(columns), out);
}

void Band::along_y(const Plane &in, Plane &out) const noexcept {
    for (int y = 0; y < to(); ++y) row_along_y(in, y, in.columns(), out.row(y));
}

void Band::along_x(const Plane &in, Plane &out, float *scratch) const noexcept {
    float *columns = scratch, *sums = scratch + 8 * whole_vectors(from_);
    for (int y = 0; y < in.rows(); y += 8) {  // planes have whole vectors of rows
        transpose_blocks(in.row(y), in.stride(), 8, columns, 8, 64, whole_vectors(from_) / 8);
        weighted_columns(columns, start_.data(), weights_.data(), taps_, to(), sums);
        transpose_blocks(sums, 8, 64, out.row(y), out.stride(), 8, whole_vectors(to()) / 8);
    }
}

}  // namespace galvo
