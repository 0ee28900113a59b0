// Motion tensors: the 3 x 3 matrix J whose quadratic form in (du, dv, 1) is the squared violation of a constancy.
#pragma once

#include <array>

#include "flow_plane.hpp"

namespace galvo {

enum class DataTerm { gradient, brightness, census };

// J11, J22, J33, J12, J13, J23 with x = 1, y = 2, t = 3.
using Tensor = std::array<Plane, 6>;

class TensorMaker {
  public:
    // Images of rows x columns.
    void resize(int rows, int columns, DataTerm term);

    // `tensor` has rows + 2 and columns + 2, and is 0 on its outermost ring. `spacing_y` and `spacing_x` are the
    // distances of pixels.
    void make(const Plane &fixed, const Plane &moving, float spacing_y, float spacing_x, Tensor &tensor) noexcept;

  private:
    void make_census(const Plane &fixed, const Plane &moving, float spacing_y, float spacing_x, Tensor &tensor) noexcept;

    DataTerm term_ = DataTerm::gradient;
    // With a ring of replicated pixels: (fixed + moving) / 2 and moving - fixed; census signatures.
    Plane mean_, change_;
    Plane fixed_, moving_;  // with their rings
};

}  // namespace galvo
