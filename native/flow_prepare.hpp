// Raw pixels made comparable with a reference.
#pragma once

#include <cstdint>
#include <vector>

#include "flow_band.hpp"
#include "flow_plane.hpp"
#include "warp.hpp"

namespace galvo {

// (T, Y, X, C) of any type.
struct RawFrames {
    const void *pixels = nullptr;
    PixelType type = PixelType::uint16;
    Steps steps;
    std::int64_t frame_count = 0;
};

// pixel -> (pixel - offset) * scale, then a Gaussian.
struct Preparation {
    std::vector<double> offset, scale;  // per channel
    double sigma_y = 0, sigma_x = 0;    // 0: no smoothing
};

class Preparer {
  public:
    // Refers to what it is given.
    Preparer(const Preparation &preparation, const Band &along_y, const Band &along_x);

    // One channel of one frame. A pixel that is not finite says nothing: it becomes that of `unknown`, (Y, X) and
    // normalised, or 0 where that is null.
    void prepare(const RawFrames &frames, std::int64_t t, int channel, const float *unknown, Plane &out) noexcept;

  private:
    const Preparation &preparation_;
    const Band &along_y_, &along_x_;
    bool smooths_;
    Plane raw_, half_;
    std::vector<float> scratch_;
};

// Prepared frames (T, C, Y, X).
void prepare_frames(const RawFrames &frames, int rows, int columns, int channels, const Preparation &preparation, float *out,
                    int threads);

}  // namespace galvo
