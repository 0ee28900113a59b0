// Fields as sums of separable modes, and the equations between them.
#pragma once

#include <cstdint>
#include <vector>

namespace galvo {

// c (m x n) = a (m x k) b (k x n); the element (i, j) of `a` is a[i * a_row + j * a_column], rows of b and c are
// contiguous, and those of b can be read up to a multiple of 8. Every element is summed in order of k.
void multiply(const float *a, std::int64_t a_row, std::int64_t a_column, const float *b, std::int64_t b_row, float *c,
              std::int64_t c_row, std::int64_t m, std::int64_t n, std::int64_t k) noexcept;

// phi_k(y, x) = rows[y][ky] columns[x][kx] on a grid of points.
class Modes {
  public:
    // `rows` is (Ny, Ky), `columns` (Nx, Kx).
    Modes(const float *rows, std::int64_t row_count, std::int64_t ky, const float *columns, std::int64_t column_count,
          std::int64_t kx);

    std::int64_t row_count() const noexcept { return row_count_; }
    std::int64_t column_count() const noexcept { return column_count_; }
    std::int64_t ky() const noexcept { return ky_; }
    std::int64_t kx() const noexcept { return kx_; }
    const float *row(std::int64_t y) const noexcept { return rows_.data() + y * ky_; }
    const float *column(std::int64_t x) const noexcept { return columns_.data() + x * kx_stride_; }
    std::int64_t scratch_size() const noexcept;  // floats

    // out (Ny, Nx, 2) from coefficients (2, Ky, Kx).
    void synthesize(const float *coefficients, float *out, float *scratch) const noexcept;
    // out (Ny, Nx) from coefficients (Ky, Kx).
    void synthesize_one(const float *coefficients, float *out, float *scratch) const noexcept;
    // out (Ky, Kx): sums of field (Ny, Nx) times each mode.
    void analyze(const float *field, float *out, float *scratch) const noexcept;

  private:
    std::int64_t row_count_, ky_, column_count_, kx_, column_stride_, kx_stride_;
    std::vector<float> rows_, columns_, columns_transposed_;
};

// Which of the coefficients (2, Ky, Kx) are unknowns.
struct ActiveModes {
    const std::int64_t *index = nullptr;
    std::int64_t count = 0;
};

class SolveWorkspace {
  public:
    void shape(const Modes &modes, std::int64_t count);

    std::vector<float> grid, fields, scratch, r, z, p, ap;
};

// out = Phi^T J Phi in + precision in for J = (J11, J12, J22), each a field on the grid of `modes`.
void apply_information(const Modes &modes, ActiveModes active, const float *information, const float *precision,
                       const float *in, float *out, SolveWorkspace &workspace) noexcept;

// A symmetric matrix (count, count) as solve_modes takes it: rows padded with zeros.
std::vector<float> padded_preconditioner(const float *matrix, std::int64_t count);
std::int64_t preconditioner_stride(std::int64_t count) noexcept;

// Solves (Phi^T J Phi + diag(precision)) d = gradient by conjugate gradients, starting from `preconditioner` times the
// gradient, `preconditioner` being the padded inverse of a similar matrix. Stops when the next step is shorter than `tolerance`
// (root of the sum of squares of coefficients) or after `step_limit` steps; the number of steps taken.
int solve_modes(const Modes &modes, ActiveModes active, const float *information, const float *precision,
                const float *preconditioner, const float *gradient, float tolerance, int step_limit, float *d,
                SolveWorkspace &workspace) noexcept;

}  // namespace galvo
