#include "bayes_modes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "bayes_layout.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

#define GALVO_KERNELS "bayes_modes_kernels.hpp"
#include "each_isa_kernels.hpp"

// Eight sums side by side, so that no instruction set has an order of its own.
float dot(const float *a, const float *b, std::int64_t count) noexcept {
    float sums[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (std::int64_t k = 0; k < kLanes; ++k) sums[k] += a[i + k] * b[i + k];
    for (std::int64_t k = 0; i < count; ++i, ++k) sums[k] += a[i] * b[i];
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

}  // namespace

void multiply(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b, std::int64_t b_row, float *c,
              std::int64_t c_row, std::int64_t m, std::int64_t n, std::int64_t k) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return avx2::multiply(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
#endif
    baseline::multiply(a, a_row, a_column, b, b_row, c, c_row, m, n, k);
}

Modes::Modes(const float *rows, std::int64_t row_count, std::int64_t ky, const float *columns,
             std::int64_t column_count, std::int64_t kx)
    : row_count_(row_count), ky_(ky), column_count_(column_count), kx_(kx), column_stride_(rounded_up(column_count, 2 * kLanes)),
      kx_stride_(rounded_up(kx, kLanes)), rows_(rows, rows + row_count * ky),
      columns_(static_cast<std::size_t>(column_count * kx_stride_)),
      columns_transposed_(static_cast<std::size_t>(kx * column_stride_)) {
    for (std::int64_t x = 0; x < column_count; ++x)
        for (std::int64_t k = 0; k < kx; ++k)
            columns_[static_cast<std::size_t>(x * kx_stride_ + k)] =
                columns_transposed_[static_cast<std::size_t>(k * column_stride_ + x)] = columns[x * kx + k];
}

std::int64_t Modes::scratch_size() const noexcept {
    return std::max(3 * ky_ * column_stride_, row_count_ * kx_stride_);
}

void Modes::synthesize(const float *coefficients, float *out, float *scratch) const noexcept {
    // Modes beyond the last that is used add nothing.
    std::int64_t ky = 1, kx = 1;
    for (std::int64_t i = 0; i < 2 * ky_ * kx_; ++i)
        if (coefficients[i] != 0.0f) {
            ky = std::max(ky, i / kx_ % ky_ + 1);
            kx = std::max(kx, i % kx_ + 1);
        }
    float *const both = scratch, *const one = scratch + 2 * ky_ * column_stride_;
    for (int component = 0; component < 2; ++component) {
        multiply(coefficients + component * ky_ * kx_, kx_, 1, columns_transposed_.data(), column_stride_, one,
                 column_stride_, ky, column_stride_, kx);
        for (std::int64_t i = 0; i < ky * column_stride_; ++i) both[2 * i + component] = one[i];
    }
    multiply(rows_.data(), ky_, 1, both, 2 * column_stride_, out, 2 * column_count_, row_count_, 2 * column_count_, ky);
}

void Modes::waves(const float *coefficients, float *out) const noexcept {
    multiply(coefficients, kx_, 1, columns_transposed_.data(), column_stride_, out, column_stride_, 2 * ky_,
             column_stride_, kx_);
}

void Modes::synthesize_one(const float *coefficients, float *out, float *scratch) const noexcept {
    multiply(coefficients, kx_, 1, columns_transposed_.data(), column_stride_, scratch, column_stride_, ky_,
             column_stride_, kx_);
    multiply(rows_.data(), ky_, 1, scratch, column_stride_, out, column_count_, row_count_, column_count_, ky_);
}

void Modes::analyze(const float *field, float *out, float *scratch) const noexcept {
    multiply(field, column_count_, 1, columns_.data(), kx_stride_, scratch, kx_stride_, row_count_, kx_stride_,
             column_count_);
    multiply(rows_.data(), 1, ky_, scratch, kx_stride_, out, kx_, ky_, kx_, row_count_);
}

std::int64_t preconditioner_stride(std::int64_t count) noexcept { return rounded_up(count, kLanes); }

std::vector<float> padded_preconditioner(const float *matrix, std::int64_t count) {
    const std::int64_t stride = preconditioner_stride(count);
    std::vector<float> padded(static_cast<std::size_t>(count * stride));
    for (std::int64_t i = 0; i < count; ++i) std::copy_n(matrix + i * count, count, padded.data() + i * stride);
    return padded;
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
    const std::int64_t stride = preconditioner_stride(n);
    const auto precondition = [&](const float *in, float *out) noexcept {
        multiply(in, 0, 1, preconditioner, stride, out, n, 1, n, n);
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

}  // namespace galvo::bayes
