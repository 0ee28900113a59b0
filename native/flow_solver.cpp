#include "flow_solver.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "each_isa.hpp"

namespace galvo {
namespace {

constexpr float kSoftness = 1e-5f;  // in (s^2 + softness)^a
constexpr std::ptrdiff_t kRing = 32;  // diagonals of coefficients; a power of 2
constexpr int kTensor = 6, kCoefficients = 5, kState = 2, kCouplings = 2;

// value^power for positive values, with a relative error of about 1e-6 for small powers; polynomials fitted to
// log2(1 + f) / f on [sqrt(1/2) - 1, sqrt(2) - 1] and to 2^r on [-1/2, 1/2].
GALVO_INLINE float power_of(float value, float power) noexcept {
    std::int32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::int32_t exponent = (bits - 0x3f3504f3) >> 23;
    bits -= static_cast<std::int32_t>(static_cast<std::uint32_t>(exponent) << 23);
    float mantissa;
    std::memcpy(&mantissa, &bits, sizeof mantissa);
    const float f = mantissa - 1.0f;
    const float f2 = f * f, f4 = f2 * f2;
    const float log_low = (1.4426950216293335f - 0.7213472127914429f * f) + (0.4809102714061737f - 0.3607162535190582f * f) * f2;
    const float log_high = (0.2879391014575958f - 0.2386756837368011f * f) + (0.2152122706174850f - 0.2089337706565857f * f) * f2;
    const float log = log_low + (log_high + 0.1292642056941986f * f4) * f4;
    const float wanted = (log * f + static_cast<float>(exponent)) * power;
    constexpr float kWhole = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
    const float shifted = wanted + kWhole, whole = shifted - kWhole, r = wanted - whole;
    std::int32_t scale;
    std::memcpy(&scale, &shifted, sizeof scale);
    scale = static_cast<std::int32_t>((static_cast<std::uint32_t>(scale) << 23) + 0x3f800000u);
    float factor;
    std::memcpy(&factor, &scale, sizeof factor);
    const float r2 = r * r;
    const float exp_low = (1.0f + 0.6931471824645996f * r) + (0.24022652208805084f + 0.05550327152013779f * r) * r2;
    const float exp_high = (0.009617994539439678f + 0.001340043148957193f * r) + 0.00015478022396564484f * r2;
    const float exp = exp_low + exp_high * (r2 * r2);
    return exp * factor;
}

struct Diagonal {
    std::ptrdiff_t first, count;  // over y; count in whole vectors
};

GALVO_INLINE Diagonal diagonal_of(std::ptrdiff_t d, int rows, int columns) noexcept {
    const std::ptrdiff_t first = d > columns + 1 ? d - columns : 1, last = d - 1 < rows ? d - 1 : rows;
    return {first, whole_vectors(last - first + 1)};
}

struct Sweep {
    float *state;
    const float *coefficients, *couplings;
    std::ptrdiff_t pitch, mask;
    int rows, columns;
    float weight_x, weight_y, kept;
};

// `before` is the diagonal of the left and upper neighbours, `after` that of the right and lower ones.
template <bool robust>
GALVO_INLINE void sweep_row(const float *GALVO_RESTRICT coefficients, const float *GALVO_RESTRICT couplings,
                            const float *GALVO_RESTRICT before, const float *GALVO_RESTRICT after, std::ptrdiff_t pitch,
                            std::ptrdiff_t count, float weight_x, float weight_y, float kept, float *GALVO_RESTRICT u,
                            float *GALVO_RESTRICT v) noexcept {
    const std::ptrdiff_t up = -kCouplings * pitch + pitch - 1, left = -kCouplings * pitch;
    GALVO_INDEPENDENT
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        float around_u, around_v;
        if (robust) {
            const float to_left = couplings[i + left], to_right = couplings[i];
            const float to_up = couplings[i + up], to_down = couplings[i + pitch];
            around_u = (to_left * before[i] + to_right * after[i]) + (to_up * before[i - 1] + to_down * after[i + 1]);
            around_v = (to_left * before[i + pitch] + to_right * after[i + pitch]) +
                       (to_up * before[i + pitch - 1] + to_down * after[i + pitch + 1]);
        } else {
            around_u = weight_x * (before[i] + after[i]) + weight_y * (before[i - 1] + after[i + 1]);
            around_v = weight_x * (before[i + pitch] + after[i + pitch]) +
                       weight_y * (before[i + pitch - 1] + after[i + pitch + 1]);
        }
        const float inverse_u = coefficients[i], inverse_v = coefficients[i + pitch], mixed = coefficients[i + 4 * pitch];
        const float constant_u = coefficients[i + 2 * pitch], constant_v = coefficients[i + 3 * pitch];
        const float new_u = kept * u[i] + inverse_u * ((around_u + constant_u) - mixed * v[i]);
        u[i] = new_u;
        v[i] = kept * v[i] + inverse_v * ((around_v + constant_v) - mixed * new_u);
    }
}

template <bool robust>
GALVO_INLINE void sweep_diagonal(const Sweep &sweep, std::ptrdiff_t d) noexcept {
    const std::ptrdiff_t pitch = sweep.pitch;
    const Diagonal range = diagonal_of(d, sweep.rows, sweep.columns);
    float *here = sweep.state + d * kState * pitch, *before = here - kState * pitch, *after = here + kState * pitch;
    // A neighbour outside the grid has the value that the pixel had before this sweep.
    const auto copy_out = [pitch](float *to, const float *from) {
        to[0] = from[0];
        to[pitch] = from[pitch];
    };
    if (d <= sweep.columns + 1) copy_out(before, here + 1);
    if (d <= sweep.rows + 1) copy_out(before + d - 1, here + d - 1);
    if (d > sweep.rows) copy_out(after + sweep.rows + 1, here + sweep.rows);
    if (d > sweep.columns) copy_out(after + d - sweep.columns, here + d - sweep.columns);
    // Whole vectors run over the pixel below the grid, which robust smoothness looks at.
    const float below_u = here[sweep.rows + 1], below_v = here[pitch + sweep.rows + 1];
    const std::ptrdiff_t y = range.first;
    sweep_row<robust>(sweep.coefficients + (d & sweep.mask) * kCoefficients * pitch + y,
                      robust ? sweep.couplings + d * kCouplings * pitch + y : nullptr, before + y, after + y, pitch,
                      range.count, sweep.weight_x, sweep.weight_y, sweep.kept, here + y, here + pitch + y);
    if (!robust) return;
    here[sweep.rows + 1] = below_u;
    here[pitch + sweep.rows + 1] = below_v;
}

struct Update {
    const float *tensors, *weights, *linear, *state, *couplings;
    float *coefficients, *sums;  // `sums` is one row of five arrays
    const float *a_data;
    std::ptrdiff_t pitch, mask;  // coefficients of diagonal d are at d & mask
    int rows, columns, channels;
    float weight_x, weight_y, relaxation, robustness;
    bool quadratic;  // the first sweeps
};

template <bool first, bool robust>
GALVO_INLINE void add_channel(const float *GALVO_RESTRICT j, std::ptrdiff_t pitch, const float *GALVO_RESTRICT weight,
                              const float *GALVO_RESTRICT du, const float *GALVO_RESTRICT dv, float a, float robustness,
                              std::ptrdiff_t count, float *GALVO_RESTRICT sums) noexcept {
    const float *GALVO_RESTRICT j11 = j, *GALVO_RESTRICT j22 = j + pitch, *GALVO_RESTRICT j33 = j + 2 * pitch,
                *GALVO_RESTRICT j12 = j + 3 * pitch, *GALVO_RESTRICT j13 = j + 4 * pitch, *GALVO_RESTRICT j23 = j + 5 * pitch;
    float *GALVO_RESTRICT s11 = sums, *GALVO_RESTRICT s22 = sums + pitch, *GALVO_RESTRICT s12 = sums + 2 * pitch,
          *GALVO_RESTRICT s13 = sums + 3 * pitch, *GALVO_RESTRICT s23 = sums + 4 * pitch;
    const float quadratic_part = 1.0f - robustness, robust_part = robustness * a, power = a - 1.0f;
    GALVO_INDEPENDENT
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        float w = weight[i];
        if (robust) {
            const float u = du[i], v = dv[i], cross = j12[i] * u * v + j13[i] * u + j23[i] * v;
            float square = (j11[i] * u * u + j22[i] * v * v) + (cross + cross) + j33[i];
            square = square > 0.0f ? square : 0.0f;
            w *= quadratic_part + robust_part * power_of(square + kSoftness, power);
        }
        s11[i] = (first ? 0.0f : s11[i]) + w * j11[i];
        s22[i] = (first ? 0.0f : s22[i]) + w * j22[i];
        s12[i] = (first ? 0.0f : s12[i]) + w * j12[i];
        s13[i] = (first ? 0.0f : s13[i]) + w * j13[i];
        s23[i] = (first ? 0.0f : s23[i]) + w * j23[i];
    }
}

template <bool robust>
GALVO_INLINE void coefficient_row(const float *GALVO_RESTRICT sums, const float *GALVO_RESTRICT linear,
                                  const float *GALVO_RESTRICT couplings, std::ptrdiff_t pitch, std::ptrdiff_t count,
                                  float all, float relaxation, float *GALVO_RESTRICT out) noexcept {
    const std::ptrdiff_t up = -kCouplings * pitch + pitch - 1, left = -kCouplings * pitch;
    GALVO_INDEPENDENT
    for (std::ptrdiff_t i = 0; i < count; ++i) {
        const float sum = robust ? (couplings[i + left] + couplings[i]) + (couplings[i + up] + couplings[i + pitch]) : all;
        out[i] = relaxation / (sum + sums[i]);
        out[i + pitch] = relaxation / (sum + sums[i + pitch]);
        out[i + 2 * pitch] = linear[i] - sums[i + 3 * pitch];
        out[i + 3 * pitch] = linear[i + pitch] - sums[i + 4 * pitch];
        out[i + 4 * pitch] = sums[i + 2 * pitch];
    }
}

template <bool robust_smoothness>
GALVO_INLINE void update_diagonal(const Update &update, std::ptrdiff_t d) noexcept {
    const std::ptrdiff_t pitch = update.pitch;
    const Diagonal range = diagonal_of(d, update.rows, update.columns);
    const std::ptrdiff_t y = range.first, count = range.count;
    const float *du = update.state + d * kState * pitch + y, *dv = du + pitch;
    float *sums = update.sums;
    for (int c = 0; c < update.channels; ++c) {
        const float *j = update.tensors + (d * update.channels + c) * kTensor * pitch + y;
        const float *weight = update.weights + (d * update.channels + c) * pitch + y;
        const float a = update.a_data[c];
        const bool robust = !update.quadratic && a < 1;
        if (c == 0 && robust)
            add_channel<true, true>(j, pitch, weight, du, dv, a, update.robustness, count, sums);
        else if (c == 0)
            add_channel<true, false>(j, pitch, weight, du, dv, a, update.robustness, count, sums);
        else if (robust)
            add_channel<false, true>(j, pitch, weight, du, dv, a, update.robustness, count, sums);
        else
            add_channel<false, false>(j, pitch, weight, du, dv, a, update.robustness, count, sums);
    }
    const float all = 2.0f * (update.weight_x + update.weight_y);
    coefficient_row<robust_smoothness>(
        sums, update.linear + d * kState * pitch + y,
        robust_smoothness ? update.couplings + d * kCouplings * pitch + y : nullptr, pitch, count, all,
        update.relaxation, update.coefficients + (d & update.mask) * kCoefficients * pitch + y);
}

// New robust weights and `count` sweeps at once, each two diagonals behind the one before it: what one leaves in the
// cache, the next one finds there.
template <bool robust>
GALVO_INLINE void sweeps(const Update &update, const Sweep &sweep, int count) noexcept {
    const std::ptrdiff_t first = 2, last = sweep.rows + sweep.columns;
    for (std::ptrdiff_t t = first; t <= last + 2 * (count - 1); ++t) {
        if (t <= last) update_diagonal<robust>(update, t);
        for (int s = 0; s < count; ++s) {
            const std::ptrdiff_t d = t - 2 * s;
            if (d >= first && d <= last) sweep_diagonal<robust>(sweep, d);
        }
    }
}
GALVO_INLINE void plain_sweeps_all(const Update &update, const Sweep &sweep, int count) noexcept {
    sweeps<false>(update, sweep, count);
}
GALVO_INLINE void robust_sweeps_all(const Update &update, const Sweep &sweep, int count) noexcept {
    sweeps<true>(update, sweep, count);
}
GALVO_EACH_ISA(plain_sweeps, (const Update &update, const Sweep &sweep, int count), (update, sweep, count))
GALVO_EACH_ISA(robust_sweeps, (const Update &update, const Sweep &sweep, int count), (update, sweep, count))

// Differences of a row with its neighbours, weighted by constants.
GALVO_INLINE void laplacian_row_all(const float *GALVO_RESTRICT up, const float *GALVO_RESTRICT here,
                                    const float *GALVO_RESTRICT down, int columns, float weight_x, float weight_y,
                                    float *GALVO_RESTRICT out) noexcept {
    for (int x = 1; x <= columns; ++x)
        out[x] = weight_x * ((here[x - 1] - here[x]) + (here[x + 1] - here[x])) +
                 weight_y * ((up[x] - here[x]) + (down[x] - here[x]));
}
GALVO_EACH_ISA(laplacian_row,
               (const float *up, const float *here, const float *down, int columns, float weight_x, float weight_y, float *out),
               (up, here, down, columns, weight_x, weight_y, out))

// One component's squared gradient, added to `out`: central differences, one-sided at the ends of the grid.
void add_squared_gradient(const Plane &plane, int y, int grid_rows, int grid_columns, float spacing_x, float spacing_y,
                          float *out) noexcept {
    const int above = std::max(y - 1, 0), below = std::min(y + 1, grid_rows - 1);
    const float *up = plane.row(above), *here = plane.row(y), *down = plane.row(below);
    const float inverse_y = 1.0f / (static_cast<float>(below - above) * spacing_y);
    for (int x = 0; x < grid_columns; ++x) {
        const int before = std::max(x - 1, 0), after = std::min(x + 1, grid_columns - 1);
        const float dx = (here[after] - here[before]) / (static_cast<float>(after - before) * spacing_x);
        const float dy = (down[x] - up[x]) * inverse_y;
        out[x] += dx * dx + dy * dy;
    }
}

}  // namespace

Skew::Skew(int rows, int columns) : rows(rows), columns(columns) {
    pitch = whole_vectors(rows + 2 + 16);
    if (pitch / 8 % 2 == 0) pitch += 8;  // odd, so that diagonals do not meet in the cache
    diagonals = rows + columns + 4 + 32;
}

void Skew::skew(const Plane &plane, int index, int arrays, float *out) const noexcept {
    const std::ptrdiff_t blocks = (columns + 2 + 7 + 7) / 8;
    for (std::ptrdiff_t y = 0; y < rows + 2; y += 8)
        transpose_blocks(plane.row(y), plane.stride() - 1, 8, out + (y * arrays + index) * pitch + y, arrays * pitch,
                         8 * arrays * pitch, blocks);
}

void Skew::unskew(const float *in, int index, int arrays, int ring, Plane &plane) const noexcept {
    const std::ptrdiff_t blocks = (columns + 2 - ring + 7 + 7) / 8;
    for (std::ptrdiff_t y = ring; y < rows + 2 - ring; y += 8)
        transpose_blocks(in + ((y + ring) * arrays + index) * pitch + y, arrays * pitch, 8 * arrays * pitch,
                         plane.row(y - ring), plane.stride() - 1, 8, blocks);
}

void LevelSolver::reserve(int rows, int columns, int channels, bool robust_smoothness) {
    const Skew skew(rows, columns);
    const auto hold = [&](std::vector<float> &array, int arrays) {
        array.assign(static_cast<std::size_t>(skew.size(arrays)), 0.0f);
    };
    hold(tensors_, kTensor * channels);
    hold(linear_, kState);
    hold(coefficients_, kCoefficients);
    hold(state_, kState);
    sums_.assign(static_cast<std::size_t>(5 * skew.pitch), 0.0f);
    if (robust_smoothness) hold(couplings_, kCouplings);
}

// The couplings between neighbours, and what the field that is there already contributes: `flat` before the first update.
void LevelSolver::update_smoothness(const Skew &skew, const Plane &u, const Plane &v, bool flat) noexcept {
    const int rows = skew.rows + 2, columns = skew.columns + 2;
    if (!flat) {
        skew.unskew(state_.data(), 0, kState, 0, whole_u_);
        skew.unskew(state_.data(), 1, kState, 0, whole_v_);
        for (Plane *plane : {&whole_u_, &whole_v_}) {
            for (const int y : {0, rows - 1}) {
                plane->row(y)[0] = plane->row(y)[1];
                plane->row(y)[columns - 1] = plane->row(y)[columns - 2];
            }
            const Plane &base = plane == &whole_u_ ? u : v;
            for (int y = 0; y < rows; ++y)
                for (int x = 0; x < columns; ++x) plane->row(y)[x] += base.row(y)[x];
        }
    }
    for (int y = 0; y < rows; ++y) {
        float *row = diffusivity_.row(y);
        std::fill(row, row + columns, flat ? 1.0f : 0.0f);
        if (flat) continue;
        add_squared_gradient(whole_u_, y, rows, columns, spacing_x_, spacing_y_, row);
        add_squared_gradient(whole_v_, y, rows, columns, spacing_x_, spacing_y_, row);
        for (int x = 0; x < columns; ++x)
            row[x] = (1.0f - robustness_) + robustness_ * (a_smooth_ * power_of(row[x] + kSoftness, a_smooth_ - 1.0f));
    }
    for (int y = 0; y < rows - 1; ++y)
        for (int x = 0; x < columns - 1; ++x) {
            const float here = diffusivity_.row(y)[x];
            right_.row(y)[x] = 0.5f * (here + diffusivity_.row(y)[x + 1]) * weight_x_;
            down_.row(y)[x] = 0.5f * (here + diffusivity_.row(y + 1)[x]) * weight_y_;
        }
    for (int y = 1; y < rows - 1; ++y)
        for (int x = 1; x < columns - 1; ++x) {
            const float left = right_.row(y)[x - 1], right = right_.row(y)[x], up = down_.row(y - 1)[x], down = down_.row(y)[x];
            const auto flow = [&](const Plane &field) {
                const float here = field.row(y)[x];
                return (left * (field.row(y)[x - 1] - here) + right * (field.row(y)[x + 1] - here)) +
                       (up * (field.row(y - 1)[x] - here) + down * (field.row(y + 1)[x] - here));
            };
            linear_u_.row(y)[x] = flow(u);
            linear_v_.row(y)[x] = flow(v);
        }
    skew.skew(right_, 0, kCouplings, couplings_.data());
    skew.skew(down_, 1, kCouplings, couplings_.data());
}

void LevelSolver::solve(const std::vector<Tensor> &tensors, const float *weights, const Skew &skew, const Plane &u,
                        const Plane &v, float alpha_x, float alpha_y, float spacing_x, float spacing_y,
                        const SolverSettings &settings, Plane &du, Plane &dv) noexcept {
    const int channels = static_cast<int>(tensors.size()), rows = skew.rows, columns = skew.columns;
    const bool robust = settings.a_smooth < 1;
    weight_x_ = alpha_x / (spacing_x * spacing_x);
    weight_y_ = alpha_y / (spacing_y * spacing_y);
    spacing_x_ = spacing_x;
    spacing_y_ = spacing_y;
    a_smooth_ = settings.a_smooth;
    robustness_ = settings.robustness;
    for (Plane *plane : {&linear_u_, &linear_v_}) {
        plane->reshape(rows + 2, columns + 2);
        plane->clear_ring();
    }
    if (robust)
        for (Plane *plane : {&whole_u_, &whole_v_, &diffusivity_, &right_, &down_}) plane->resize(rows + 2, columns + 2);
    for (int c = 0; c < channels; ++c)
        for (int k = 0; k < kTensor; ++k)
            skew.skew(tensors[static_cast<std::size_t>(c)][static_cast<std::size_t>(k)], c * kTensor + k, channels * kTensor,
                      tensors_.data());
    std::fill(state_.begin(), state_.begin() + skew.size(kState), 0.0f);
    if (robust) {
        update_smoothness(skew, u, v, true);
    } else {
        for (int y = 1; y <= rows; ++y) {
            laplacian_row(u.row(y - 1), u.row(y), u.row(y + 1), columns, weight_x_, weight_y_, linear_u_.row(y));
            laplacian_row(v.row(y - 1), v.row(y), v.row(y + 1), columns, weight_x_, weight_y_, linear_v_.row(y));
        }
    }
    const auto skew_linear = [&] {
        skew.skew(linear_u_, 0, kState, linear_.data());
        skew.skew(linear_v_, 1, kState, linear_.data());
    };
    skew_linear();
    // The fewest diagonals of coefficients that all sweeps at work need.
    const int most = std::min(settings.update_lag, settings.iterations);
    const std::ptrdiff_t mask = most <= kRing / 2 - 1 ? kRing - 1 : ~std::ptrdiff_t(0);
    Update updating{tensors_.data(), weights, linear_.data(), state_.data(), couplings_.data(), coefficients_.data(),
                    sums_.data(), settings.a_data.data(), skew.pitch, mask, rows, columns, channels, weight_x_, weight_y_,
                    settings.relaxation, settings.robustness, true};
    const Sweep sweep{state_.data(), coefficients_.data(), couplings_.data(), skew.pitch, mask, rows, columns, weight_x_,
                      weight_y_, 1.0f - settings.relaxation};
    for (int done = 0; done < settings.iterations;) {
        updating.quadratic = (done + 1) % settings.update_lag != 0;  // at the very beginning
        if (robust && !updating.quadratic) {
            update_smoothness(skew, u, v, false);
            skew_linear();
        }
        // To the next update, or to the end.
        const int next = ((done + 1) / settings.update_lag + 1) * settings.update_lag - 1;
        const int count = std::min(next, settings.iterations) - done;
        if (robust)
            robust_sweeps(updating, sweep, count);
        else
            plain_sweeps(updating, sweep, count);
        done += count;
    }
    skew.unskew(state_.data(), 0, kState, 1, du);
    skew.unskew(state_.data(), 1, kState, 1, dv);
}

}  // namespace galvo
