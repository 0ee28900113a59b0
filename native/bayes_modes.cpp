#include "bayes_modes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bayes_lanes.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo {
namespace {

constexpr std::int64_t kRows = 4;       // of c at a time
constexpr std::int64_t kPanel = 64;     // columns of b that stay in the first cache

template <int kRowCount>
GALVO_INLINE void multiply_tile(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b,
                                std::int64_t b_row, float *c, std::int64_t c_row, std::int64_t n,
                                std::int64_t k) noexcept {
    std::int64_t x = 0;
    for (; x + 2 * kLanes <= n; x += 2 * kLanes) {
        Lanes sum[kRowCount][2];
        for (int i = 0; i < kRowCount; ++i) sum[i][0] = sum[i][1] = all_lanes(0.0f);
        for (std::int64_t j = 0; j < k; ++j) {
            const Lanes first = load(b + j * b_row + x), second = load(b + j * b_row + x + kLanes);
            for (int i = 0; i < kRowCount; ++i) {
                const Lanes factor = all_lanes(a[i * a_row + j * a_column]);
                sum[i][0] += factor * first;
                sum[i][1] += factor * second;
            }
        }
        for (int i = 0; i < kRowCount; ++i) {
            store(c + i * c_row + x, sum[i][0]);
            store(c + i * c_row + x + kLanes, sum[i][1]);
        }
    }
    for (; x < n; x += kLanes) {
        const std::int64_t count = std::min(kLanes, n - x);
        Lanes sum[kRowCount];
        for (int i = 0; i < kRowCount; ++i) sum[i] = all_lanes(0.0f);
        for (std::int64_t j = 0; j < k; ++j) {
            float part[kLanes] = {};
            std::memcpy(part, b + j * b_row + x, static_cast<std::size_t>(count) * sizeof(float));
            const Lanes some = load(part);
            for (int i = 0; i < kRowCount; ++i) sum[i] += all_lanes(a[i * a_row + j * a_column]) * some;
        }
        for (int i = 0; i < kRowCount; ++i) {
            float part[kLanes];
            store(part, sum[i]);
            std::memcpy(c + i * c_row + x, part, static_cast<std::size_t>(count) * sizeof(float));
        }
    }
}

GALVO_INLINE void multiply_all(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b,
                               std::int64_t b_row, float *c, std::int64_t c_row, std::int64_t m, std::int64_t n,
                               std::int64_t k) noexcept {
    for (std::int64_t x = 0; x < n; x += kPanel) {
        const std::int64_t width = std::min(kPanel, n - x);
        std::int64_t y = 0;
        for (; y + kRows <= m; y += kRows)
            multiply_tile<kRows>(a + y * a_row, a_row, a_column, b + x, b_row, c + y * c_row + x, c_row, width, k);
        for (; y < m; ++y)
            multiply_tile<1>(a + y * a_row, a_row, a_column, b + x, b_row, c + y * c_row + x, c_row, width, k);
    }
}

void multiply_baseline(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b, std::int64_t b_row,
                       float *c, std::int64_t c_row, std::int64_t m, std::int64_t n, std::int64_t k) noexcept {
    multiply_all(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
}

#if defined(GALVO_X86_64)
GALVO_TARGET("avx2") void multiply_avx2(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b,
                                        std::int64_t b_row, float *c, std::int64_t c_row, std::int64_t m,
                                        std::int64_t n, std::int64_t k) noexcept {
    multiply_all(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
}
#endif

// Eight sums side by side, so that no instruction set has an order of its own.
float dot(const float *a, const float *b, std::int64_t count) noexcept {
    float sums[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (std::int64_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
    for (std::int64_t k = 0; i < count; ++i, ++k) sums[k] += a[i] * b[i];
    return sum_of(load(sums));
}

}  // namespace

void multiply(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b, std::int64_t b_row, float *c,
              std::int64_t c_row, std::int64_t m, std::int64_t n, std::int64_t k) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return multiply_avx2(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
#endif
    multiply_baseline(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
}

Modes::Modes(const float *rows, std::int64_t row_count, std::int64_t ky, const float *columns,
             std::int64_t column_count, std::int64_t kx)
    : row_count_(row_count), ky_(ky), column_count_(column_count), kx_(kx),
      rows_(rows, rows + row_count * ky), columns_(columns, columns + column_count * kx),
      columns_transposed_(columns_.size()) {
    for (std::int64_t x = 0; x < column_count; ++x)
        for (std::int64_t k = 0; k < kx; ++k) columns_transposed_[k * column_count + x] = columns[x * kx + k];
}

std::int64_t Modes::scratch_size() const noexcept {
    return std::max(3 * ky_ * column_count_ + column_count_, row_count_ * kx_);
}

void Modes::synthesize(const float *coefficients, float *out, float *scratch) const noexcept {
    float *const both = scratch, *const one = scratch + 2 * ky_ * column_count_;
    for (int component = 0; component < 2; ++component) {
        multiply(coefficients + component * ky_ * kx_, kx_, 1, columns_transposed_.data(), column_count_, one,
                 column_count_, ky_, column_count_, kx_);
        for (std::int64_t i = 0; i < ky_ * column_count_; ++i) both[2 * i + component] = one[i];
    }
    multiply(rows_.data(), ky_, 1, both, 2 * column_count_, out, 2 * column_count_, row_count_, 2 * column_count_,
             ky_);
}

void Modes::synthesize_one(const float *coefficients, float *out, float *scratch) const noexcept {
    multiply(coefficients, kx_, 1, columns_transposed_.data(), column_count_, scratch, column_count_, ky_,
             column_count_, kx_);
    multiply(rows_.data(), ky_, 1, scratch, column_count_, out, column_count_, row_count_, column_count_, ky_);
}

void Modes::analyze(const float *field, float *out, float *scratch) const noexcept {
    multiply(field, column_count_, 1, columns_.data(), kx_, scratch, kx_, row_count_, kx_, column_count_);
    multiply(rows_.data(), 1, ky_, scratch, kx_, out, kx_, ky_, kx_, row_count_);
}

void SolveWorkspace::shape(const Modes &modes, std::int64_t count) {
    const std::size_t points = static_cast<std::size_t>(modes.row_count() * modes.column_count());
    grid.assign(static_cast<std::size_t>(2 * modes.ky() * modes.kx()), 0.0f);
    fields.assign(2 * points, 0.0f);
    scratch.assign(static_cast<std::size_t>(modes.scratch_size()), 0.0f);
    for (std::vector<float> *vector : {&r, &z, &p, &ap}) vector->assign(static_cast<std::size_t>(count), 0.0f);
}

void apply_information(const Modes &modes, ActiveModes active, const float *information, const float *precision,
                       const float *in, float *out, SolveWorkspace &workspace) noexcept {
    const std::int64_t points = modes.row_count() * modes.column_count(), size = modes.ky() * modes.kx();
    float *const grid = workspace.grid.data(), *const u = workspace.fields.data(), *const v = u + points;
    std::fill(workspace.grid.begin(), workspace.grid.end(), 0.0f);
    for (std::int64_t i = 0; i < active.count; ++i) grid[active.index[i]] = in[i];
    modes.synthesize_one(grid, u, workspace.scratch.data());
    modes.synthesize_one(grid + size, v, workspace.scratch.data());
    const float *j11 = information, *j12 = information + points, *j22 = information + 2 * points;
    for (std::int64_t i = 0; i < points; ++i) {
        const float first = u[i], second = v[i];
        u[i] = j11[i] * first + j12[i] * second;
        v[i] = j12[i] * first + j22[i] * second;
    }
    modes.analyze(u, grid, workspace.scratch.data());
    modes.analyze(v, grid + size, workspace.scratch.data());
    for (std::int64_t i = 0; i < active.count; ++i) out[i] = grid[active.index[i]] + precision[i] * in[i];
}

int solve_modes(const Modes &modes, ActiveModes active, const float *information, const float *precision,
                const float *preconditioner, const float *gradient, float tolerance, int step_limit, float *d,
                SolveWorkspace &workspace) noexcept {
    const std::int64_t n = active.count;
    float *const r = workspace.r.data(), *const z = workspace.z.data(), *const p = workspace.p.data(),
                *const ap = workspace.ap.data();
    // Symmetric, so that its rows may be its columns: one contiguous row times a vector.
    const auto precondition = [&](const float *in, float *out) noexcept {
        multiply(in, 0, 1, preconditioner, n, out, n, 1, n, n);
    };
    std::fill_n(d, n, 0.0f);
    std::copy_n(gradient, n, r);
    precondition(r, z);
    std::copy_n(z, n, p);
    float rz = dot(r, z, n);
    int steps = 0;
    while (steps < step_limit && rz > 0.0f) {
        apply_information(modes, active, information, precision, p, ap, workspace);
        const float curvature = dot(p, ap, n);
        if (!(curvature > 0.0f)) break;
        const float length = rz / curvature;
        for (std::int64_t i = 0; i < n; ++i) {
            d[i] += length * p[i];
            r[i] -= length * ap[i];
        }
        ++steps;
        precondition(r, z);
        if (std::sqrt(dot(z, z, n)) < tolerance) {
            // z is what a good preconditioner takes for the rest of the way, and costs nothing more.
            for (std::int64_t i = 0; i < n; ++i) d[i] += z[i];
            break;
        }
        const float next = dot(r, z, n);
        const float share = next / rz;
        rz = next;
        for (std::int64_t i = 0; i < n; ++i) p[i] = z[i] + share * p[i];
    }
    return steps;
}

}  // namespace galvo
