#include "frame_quality.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "inline.hpp"
#include "isa.hpp"
#include "jobs.hpp"

// Sums go into lanes of their own, added in one order, so that results are equal on all instruction sets.

namespace galvo {
namespace {

constexpr std::int64_t kFrameCost = std::int64_t(1) << 22;  // hands out one frame at a time
constexpr int kLanes = 16;

// A row's sums are float, those of rows are double: a lane adds few enough values of a row.
struct Lanes {
    double value[kLanes] = {};
    void add(const float *sums) noexcept {
        for (int lane = 0; lane < kLanes; ++lane) value[lane] += static_cast<double>(sums[lane]);
    }
    double sum() const noexcept {
        double total = 0;
        for (const double lane : value) total += lane;
        return total;
    }
};

// Of pixels that are finite in both images; values relative to a pivot of each.
struct Moments {
    Lanes count, f, r, ff, rr, fr;
};

struct Gradients {
    Lanes count, squares;
};

GALVO_INLINE void add_row_all(const float *GALVO_RESTRICT f, const float *GALVO_RESTRICT r, int count, float pivot_f,
                              float pivot_r, Moments &into) noexcept {
    float known[kLanes] = {}, sf[kLanes] = {}, sr[kLanes] = {}, sff[kLanes] = {}, srr[kLanes] = {}, sfr[kLanes] = {};
    const auto add = [&](int x, int lane_count) {
        for (int lane = 0; lane < lane_count; ++lane) {
            float a = f[x + lane] - pivot_f, b = r[x + lane] - pivot_r;
            const float one = (int(a - a == 0.0f) & int(b - b == 0.0f)) != 0 ? 1.0f : 0.0f;
            a = one != 0.0f ? a : 0.0f;
            b = one != 0.0f ? b : 0.0f;
            known[lane] += one;
            sf[lane] += a;
            sr[lane] += b;
            sff[lane] += a * a;
            srr[lane] += b * b;
            sfr[lane] += a * b;
        }
    };
    int x = 0;
    for (; x + kLanes <= count; x += kLanes) add(x, kLanes);
    add(x, count - x);
    into.count.add(known);
    into.f.add(sf);
    into.r.add(sr);
    into.ff.add(sff);
    into.rr.add(srr);
    into.fr.add(sfr);
}

GALVO_INLINE void add_gradients_all(const float *GALVO_RESTRICT from, const float *GALVO_RESTRICT to, int count,
                                    Gradients &into) noexcept {
    float known[kLanes] = {}, squares[kLanes] = {};
    const auto add = [&](int x, int lane_count) {
        for (int lane = 0; lane < lane_count; ++lane) {
            const float step = to[x + lane] - from[x + lane];
            const float one = step - step == 0.0f ? 1.0f : 0.0f, value = one != 0.0f ? step : 0.0f;
            known[lane] += one;
            squares[lane] += value * value;
        }
    };
    int x = 0;
    for (; x + kLanes <= count; x += kLanes) add(x, kLanes);
    add(x, count - x);
    into.count.add(known);
    into.squares.add(squares);
}

GALVO_INLINE void add_lengths_all(const float *GALVO_RESTRICT pairs, int count, Lanes &sum,
                                  float *GALVO_RESTRICT largest) noexcept {
    float lengths[kLanes] = {};
    const auto add = [&](int x, int lane_count) {
        for (int lane = 0; lane < lane_count; ++lane) {
            const float u = pairs[2 * (x + lane)], v = pairs[2 * (x + lane) + 1];
            const float length = std::sqrt(u * u + v * v);
            lengths[lane] += length;
            largest[lane] = length > largest[lane] ? length : largest[lane];
        }
    };
    int x = 0;
    for (; x + kLanes <= count; x += kLanes) add(x, kLanes);
    add(x, count - x);
    sum.add(lengths);
}

#define GALVO_TWICE(name, parameters, arguments)                                                 \
    void name##_baseline parameters noexcept { name##_all arguments; }                           \
    GALVO_TARGET("avx2") void name##_avx2 parameters noexcept { name##_all arguments; }          \
    void name parameters noexcept {                                                              \
        if (active_isa() == Isa::avx2) return name##_avx2 arguments;                             \
        name##_baseline arguments;                                                               \
    }

GALVO_TWICE(add_row, (const float *f, const float *r, int count, float pivot_f, float pivot_r, Moments &into),
            (f, r, count, pivot_f, pivot_r, into))
GALVO_TWICE(add_gradients, (const float *from, const float *to, int count, Gradients &into), (from, to, count, into))
GALVO_TWICE(add_lengths, (const float *pairs, int count, Lanes &sum, float *largest), (pairs, count, sum, largest))

#undef GALVO_TWICE

double mean_square(const Gradients &found) noexcept {
    const double count = found.count.sum();
    return count > 0 ? found.squares.sum() / count : 0;
}

class Worker {
  public:
    Worker(const FrameQuality &given, float *out)
        : given_(given), out_(out), row_(static_cast<std::size_t>(given.columns)), before_(row_.size()), fixed_(row_.size()) {}

    Outcome operator()(std::int64_t t) {
        const int rows = static_cast<int>(given_.rows), columns = static_cast<int>(given_.columns);
        float *out = out_ + t * kQualityNumbers;
        const float *field = given_.displacements + t * given_.rows * given_.columns * 2;
        measure_field(field, out + 3);
        const double reach = std::ceil(static_cast<double>(out[4]));
        const auto border = [&](int side) { return reach < side / 4 ? static_cast<int>(reach) : side / 4; };
        const int border_y = border(rows), border_x = border(columns);
        double correlation = 0, residual = 0, crispness = 0;
        for (int c = 0; c < static_cast<int>(given_.channels); ++c) {
            Moments moments;
            Gradients across, down;
            agree(t, c, border_y, rows - border_y, border_x, columns - border_x, moments, across, down);
            const double n = std::max(1.0, moments.count.sum()), f = moments.f.sum() / n, r = moments.r.sum() / n;
            const double energy = moments.ff.sum() / n - f * f, known = moments.rr.sum() / n - r * r;
            const double together = moments.fr.sum() / n - f * r;
            const double square = energy > 0 && known > 0 ? std::min(1.0, together * together / (energy * known)) : 0.0;
            correlation += std::copysign(std::sqrt(square), together);
            residual += std::sqrt(std::max(0.0, energy) * (1 - square));
            crispness += std::sqrt(mean_square(across) + mean_square(down));
        }
        const double channels = static_cast<double>(given_.channels);
        out[0] = static_cast<float>(correlation / channels);
        out[1] = static_cast<float>(residual / channels);
        out[2] = static_cast<float>(crispness / channels);
        return {};
    }

  private:
    // Mean and greatest length; the mean of forward differences, which is what the ends say.
    void measure_field(const float *field, float *out) const {
        const int rows = static_cast<int>(given_.rows), columns = static_cast<int>(given_.columns);
        const std::size_t width = 2 * static_cast<std::size_t>(columns);
        Lanes sum;
        float largest[kLanes] = {};
        double along_x = 0, along_y = 0;
        for (int y = 0; y < rows; ++y) {
            const float *row = field + static_cast<std::size_t>(y) * width;
            add_lengths(row, columns, sum, largest);
            along_x += static_cast<double>(row[width - 2]) - static_cast<double>(row[0]);
        }
        const float *last = field + static_cast<std::size_t>(rows - 1) * width;
        for (std::size_t x = 1; x < width; x += 2) along_y += static_cast<double>(last[x]) - static_cast<double>(field[x]);
        const double area = static_cast<double>(rows) * columns;
        out[0] = static_cast<float>(sum.sum() / area);
        out[1] = *std::max_element(largest, largest + kLanes);
        out[2] = static_cast<float>((columns > 1 ? along_x / rows / (columns - 1) : 0.0) +
                                    (rows > 1 ? along_y / columns / (rows - 1) : 0.0));
    }

    void agree(std::int64_t t, int c, int top, int bottom, int left, int right, Moments &moments, Gradients &across,
               Gradients &down) {
        const auto channels = static_cast<std::size_t>(given_.channels), columns = static_cast<std::size_t>(given_.columns);
        const float *frame = given_.corrected + static_cast<std::size_t>(t) * static_cast<std::size_t>(given_.rows) * columns * channels;
        const int count = right - left;
        float pivot_f = 0, pivot_r = 0;
        for (int y = top; y < bottom; ++y) {
            const std::size_t first = (static_cast<std::size_t>(y) * columns + static_cast<std::size_t>(left)) * channels +
                                      static_cast<std::size_t>(c);
            const float *row = frame + first, *fixed = given_.reference + first;
            if (channels == 1) {
                std::copy(row, row + count, row_.data());
                std::copy(fixed, fixed + count, fixed_.data());
            } else {
                for (std::size_t x = 0; x < static_cast<std::size_t>(count); ++x) {
                    row_[x] = row[x * channels];
                    fixed_[x] = fixed[x * channels];
                }
            }
            if (y == top) {
                // any value that is near the others keeps the sums small
                pivot_f = row_[0] - row_[0] == 0.0f ? row_[0] : 0.0f;
                pivot_r = fixed_[0] - fixed_[0] == 0.0f ? fixed_[0] : 0.0f;
            } else {
                add_gradients(before_.data(), row_.data(), count, down);
            }
            add_row(row_.data(), fixed_.data(), count, pivot_f, pivot_r, moments);
            add_gradients(row_.data(), row_.data() + 1, count - 1, across);
            std::swap(row_, before_);
        }
    }

    const FrameQuality &given_;
    float *out_;
    std::vector<float> row_, before_, fixed_;
};

}  // namespace

void measure_frames(const FrameQuality &given, float *out) {
    if (given.rows * given.columns * given.channels == 0) {
        std::fill(out, out + given.frame_count * kQualityNumbers, 0.0f);
        return;
    }
    run_jobs(given.frame_count, given.threads, [](std::int64_t) { return kFrameCost; },
             [&] { return Worker(given, out); });
}

}  // namespace galvo
