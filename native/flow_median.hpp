// The median of 5 x 5 pixels; edges are mirrored, edge values not repeated.
#pragma once

#include <vector>

#include "flow_plane.hpp"

namespace galvo {

class Median {
  public:
    void resize(int columns);
    // Both sides of the image must have at least 3 pixels.
    void filter(const Plane &in, Plane &out) noexcept;

  private:
    std::vector<float> sorted_;  // five rows: each column's five pixels in order
};

}  // namespace galvo
