// Linear maps along one axis whose every output is a weighted sum of a few neighbouring inputs: resampling, smoothing.
#pragma once

#include <functional>
#include <vector>

#include "flow_plane.hpp"

namespace galvo {

class Band {
  public:
    Band() = default;

    // Values smoothed with a Gaussian of `sigma`, cut at four of them; edges are mirrored, edge values repeated.
    static Band gaussian(int count, double sigma);

    // Cubic convolution (A = -0.75) of a discrete Gaussian: sigma = 0.6 / `smoothing`, none from 1 on; edges are
    // mirrored, edge values repeated. `early` leaves out the last tap and begins one earlier.
    static Band resampled(int from, int to, double smoothing, bool early);

    // Cubic convolution (A = -0.75) without smoothing, edge values replicated.
    static Band interpolated(int from, int to);

    int from() const noexcept { return from_; }
    int to() const noexcept { return static_cast<int>(start_.size()); }

    // Along y: `out` has to() rows and the columns of `in`.
    void along_y(const Plane &in, Plane &out) const noexcept;
    void row_along_y(const Plane &in, int row, std::ptrdiff_t columns, float *out) const noexcept;
    // Along x: `out` has the rows of `in` and to() columns. `scratch` holds scratch_size() floats.
    void along_x(const Plane &in, Plane &out, float *scratch) const noexcept;
    std::size_t scratch_size() const noexcept { return static_cast<std::size_t>(8 * (whole_vectors(from_) + whole_vectors(to()))); }

  private:
    // `weight(i, j)` for inputs first(i) .. first(i) + count - 1, outside ones moved to `inside(j)`.
    static Band build(int from, int to, int count, const std::function<int(int)> &first,
                      const std::function<double(int, int)> &weight, const std::function<int(int)> &inside);

    int from_ = 0, taps_ = 0;
    std::vector<int> start_;
    std::vector<float> weights_;  // to() x taps_
};

}  // namespace galvo
