// Increments (du, dv) of a displacement field on one level of the pyramid, by successive over-relaxation.
//
// Pixels are updated column by column, each from the newest values of its neighbours (D. M. Young, 1954). Any order in
// which every pixel comes after its left and upper neighbours gives the same numbers, so whole anti-diagonals are
// updated at once: diagonal d = x + y is stored as a row over y, where all neighbours are unit-stride vectors.
#pragma once

#include <vector>

#include "flow_plane.hpp"
#include "flow_tensor.hpp"

namespace galvo {

struct SolverSettings {
    int iterations = 50;
    int update_lag = 5;           // sweeps from one update of the robust weights to the next
    float relaxation = 1.95f;
    std::vector<float> a_data;    // exponent of each channel's data term; 1 is quadratic
    float a_smooth = 1;           // exponent of the smoothness term
    float robustness = 1;         // graduated non-convexity: 0 treats all terms as quadratic
};

// Skewed arrays of a grid of (rows + 2) x (columns + 2) pixels, a ring of one pixel included.
struct Skew {
    Skew() = default;
    Skew(int rows, int columns);
    std::ptrdiff_t size(int arrays) const noexcept { return diagonals * arrays * pitch; }
    // Array `index` of `arrays` from a plane of the whole grid whose surroundings are zeros.
    void skew(const Plane &plane, int index, int arrays, float *out) const noexcept;
    // The grid without its first `ring` rows and columns.
    void unskew(const float *in, int index, int arrays, int ring, Plane &plane) const noexcept;

    int rows = 0, columns = 0;
    std::ptrdiff_t pitch = 0, diagonals = 0;
};

class LevelSolver {
  public:
    // Memory for grids of up to rows x columns.
    void reserve(int rows, int columns, int channels, bool robust_smoothness);

    // `tensors` of each channel, `weights` skewed (one array per channel), `u` and `v` with their rings.
    void solve(const std::vector<Tensor> &tensors, const float *weights, const Skew &skew, const Plane &u, const Plane &v,
               float alpha_x, float alpha_y, float spacing_x, float spacing_y, const SolverSettings &settings, Plane &du,
               Plane &dv) noexcept;

  private:
    void update_smoothness(const Skew &skew, const Plane &u, const Plane &v, bool flat) noexcept;

    float weight_x_ = 0, weight_y_ = 0, spacing_x_ = 1, spacing_y_ = 1, a_smooth_ = 1, robustness_ = 1;
    std::vector<float> tensors_, linear_, coefficients_, state_, couplings_, sums_;
    // Of the whole grid, for robust smoothness and for the divergence of what is there already.
    Plane whole_u_, whole_v_, diffusivity_, right_, down_, linear_u_, linear_v_;
};

}  // namespace galvo
