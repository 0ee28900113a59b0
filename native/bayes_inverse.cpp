#include "bayes_inverse.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

constexpr std::int64_t kRows = 8;

// sum[x] += factor[p] rows[p][x] for p = 0 .. count - 1, in this order for every x.
GALVO_INLINE void add_rows_all(double *sum, const double *rows, std::int64_t row_step, const double *factors,
                               std::int64_t factor_step, std::int64_t count, std::int64_t length) noexcept {
    std::int64_t p = 0;
    for (; p + kRows <= count; p += kRows) {
        const double *const r = rows + p * row_step;
        double f[kRows];
        for (std::int64_t i = 0; i < kRows; ++i) f[i] = factors[(p + i) * factor_step];
        for (std::int64_t x = 0; x < length; ++x) {
            double value = sum[x];
            for (std::int64_t i = 0; i < kRows; ++i) value += f[i] * r[i * row_step + x];
            sum[x] = value;
        }
    }
    for (; p < count; ++p) {
        const double *const r = rows + p * row_step;
        const double f = factors[p * factor_step];
        for (std::int64_t x = 0; x < length; ++x) sum[x] += f * r[x];
    }
}

void add_rows_baseline(double *sum, const double *rows, std::int64_t row_step, const double *factors,
                       std::int64_t factor_step, std::int64_t count, std::int64_t length) noexcept {
    add_rows_all(sum, rows, row_step, factors, factor_step, count, length);
}

#if defined(GALVO_X86_64)
GALVO_TARGET("avx2") void add_rows_avx2(double *sum, const double *rows, std::int64_t row_step, const double *factors,
                                        std::int64_t factor_step, std::int64_t count, std::int64_t length) noexcept {
    add_rows_all(sum, rows, row_step, factors, factor_step, count, length);
}
#endif

void add_rows(double *sum, const double *rows, std::int64_t row_step, const double *factors, std::int64_t factor_step,
              std::int64_t count, std::int64_t length) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return add_rows_avx2(sum, rows, row_step, factors, factor_step, count, length);
#endif
    add_rows_baseline(sum, rows, row_step, factors, factor_step, count, length);
}

}  // namespace

bool invert(const double *matrix, std::int64_t n, double *out) {
    // No power of two between rows, or columns share one set of the cache.
    const std::int64_t step = n + (n % 64 == 0 ? 8 : 0);
    std::vector<double> upper(static_cast<std::size_t>(n * step)), lower(upper.size()), sum(static_cast<std::size_t>(n));

    // matrix = U^T U; row i of U needs those above it.
    for (std::int64_t i = 0; i < n; ++i) {
        std::fill(sum.begin(), sum.end(), 0.0);
        add_rows(sum.data() + i, upper.data() + i, step, upper.data() + i, step, i, n - i);
        const double pivot = matrix[i * n + i] - sum[static_cast<std::size_t>(i)];
        if (!(pivot > 0) || !std::isfinite(pivot)) return false;
        const double scale = 1 / std::sqrt(pivot);
        double *const row = upper.data() + i * step;
        for (std::int64_t j = i; j < n; ++j) row[j] = (matrix[i * n + j] - sum[static_cast<std::size_t>(j)]) * scale;
    }
    // L = U^-T, so that matrix^-1 = L^T L; row i of L needs those above it.
    for (std::int64_t i = 0; i < n; ++i) {
        double *const row = lower.data() + i * step;
        add_rows(row, lower.data(), step, upper.data() + i, step, i, i);
        const double scale = 1 / upper[static_cast<std::size_t>(i * step + i)];
        for (std::int64_t j = 0; j < i; ++j) row[j] *= -scale;
        row[i] = scale;
    }
    for (std::int64_t i = 0; i < n; ++i) {
        std::fill(sum.begin(), sum.end(), 0.0);
        const double *const first = lower.data() + i * step;
        add_rows(sum.data(), first, step, first + i, step, n - i, i + 1);
        for (std::int64_t j = 0; j <= i; ++j) out[i * n + j] = out[j * n + i] = sum[static_cast<std::size_t>(j)];
    }
    return true;
}

}  // namespace galvo::bayes
