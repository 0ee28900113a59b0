// Matrix products of a few dozen rows.
// Included by bayes_modes.cpp once per instruction set.
#include "bayes_lanes.hpp"

// Tiles of kRows rows by kVectors vectors, of which the last may end early.
template <int kRows, int kVectors>
GALVO_INLINE void multiply_tile(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b,
                                std::int64_t b_row, float *c, std::int64_t c_row, std::int64_t n,
                                std::int64_t k) noexcept {
    Lanes sum[kRows][kVectors];
    for (int i = 0; i < kRows; ++i)
        for (int v = 0; v < kVectors; ++v) sum[i][v] = all_lanes(0.0f);
    for (std::int64_t j = 0; j < k; ++j) {
        Lanes some[kVectors];
        for (int v = 0; v < kVectors; ++v) some[v] = load(b + j * b_row + v * kLanes);
        for (int i = 0; i < kRows; ++i) {
            const Lanes factor = all_lanes(a[i * a_row + j * a_column]);
            for (int v = 0; v < kVectors; ++v) sum[i][v] += factor * some[v];
        }
    }
    if (n >= kVectors * kLanes) {
        for (int i = 0; i < kRows; ++i)
            for (int v = 0; v < kVectors; ++v) store(c + i * c_row + v * kLanes, sum[i][v]);
        return;
    }
    for (int i = 0; i < kRows; ++i)
        for (int v = 0; v < kVectors; ++v) {
            float part[kLanes];
            store(part, sum[i][v]);
            for (std::int64_t x = v * kLanes; x < std::min<std::int64_t>(n, (v + 1) * kLanes); ++x)
                c[i * c_row + x] = part[x - v * kLanes];
        }
}

// Along the rows of c, which may be long and are written once.
template <int kRows>
GALVO_INLINE void multiply_rows(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b,
                                std::int64_t b_row, float *c, std::int64_t c_row, std::int64_t n,
                                std::int64_t k) noexcept {
    std::int64_t x = 0;
    for (; x + kLanes < n; x += 2 * kLanes)
        multiply_tile<kRows, 2>(a, a_row, a_column, b + x, b_row, c + x, c_row, n - x, k);
    if (x < n) multiply_tile<kRows, 1>(a, a_row, a_column, b + x, b_row, c + x, c_row, n - x, k);
}

void multiply(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b, std::int64_t b_row, float *c,
              std::int64_t c_row, std::int64_t m, std::int64_t n, std::int64_t k) noexcept {
    std::int64_t y = 0;
    if (n <= kLanes)
        for (; y + 8 <= m; y += 8)
            multiply_tile<8, 1>(a + y * a_row, a_row, a_column, b, b_row, c + y * c_row, c_row, n, k);
    for (; y + 4 <= m; y += 4) multiply_rows<4>(a + y * a_row, a_row, a_column, b, b_row, c + y * c_row, c_row, n, k);
    for (; y < m; ++y) multiply_rows<1>(a + y * a_row, a_row, a_column, b, b_row, c + y * c_row, c_row, n, k);
}
