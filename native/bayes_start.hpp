// Where a frame lies on the reference: the peak of the cross-correlation of band-passed images.
#pragma once

#include <cstdint>
#include <vector>

#include "bayes_fourier.hpp"
#include "bayes_frame.hpp"

namespace galvo {

struct Shift {
    float x = 0.0f, y = 0.0f;
};

struct StartWorkspace {
    std::vector<float> image, smooth, line;            // (height, width) each; one row with its mirrored ends
    std::vector<float> real, imaginary, spectrum_real, spectrum_imaginary, sum_real, sum_imaginary, work;
};

// Correlates images of one shape with a reference's. Differences of Gaussians of 1.5 and 8 full-resolution pixels are
// cut at 4 standard deviations, tapered and padded, so that nothing wraps around at shifts up to a quarter of the image.
class RigidStart {
  public:
    // Images are binned by `factor`; `weights` (channels,).
    RigidStart(const std::vector<BorderedPlane> &reference, std::int64_t factor, const std::vector<float> &weights);

    std::int64_t factor() const noexcept { return factor_; }
    void shape(StartWorkspace &workspace) const;

    // Displacement in full-resolution pixels of a frame given by its binned channels, to a fraction of a bin; 0 where
    // nothing stands out.
    Shift find(const std::vector<BorderedPlane> &channels, StartWorkspace &workspace) const noexcept;

  private:
    // Band-passed, cut and tapered image of standard deviation 1, padded, as spectrum (width, height / 2 + 1).
    bool transform(const BorderedPlane &image, StartWorkspace &workspace) const noexcept;
    void band_pass(const BorderedPlane &image, StartWorkspace &workspace) const noexcept;

    std::int64_t height_, width_, factor_, padded_height_, padded_width_;
    std::vector<float> fine_, coarse_, taper_y_, taper_x_;
    ColumnTransform along_y_, along_x_;
    std::vector<std::vector<float>> reference_real_, reference_imaginary_;
};

}  // namespace galvo
