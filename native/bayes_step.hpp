// One linearisation of a frame against the reference: the image pass of a Gauss-Newton step.
//
// With the displacement w, at level s: f_w = frame(x + w / s), e = f_w - (alpha r + beta), q = box(e^2 iv), qn = the
// 70th percentile of q, omega = iv / max(1, q / qn)^power; sums of omega g g^T and -omega g e over blocks of 8 x 8
// full-resolution pixels. Baker & Matthews 2004 (the gradient stays on the reference), Simoncelli et al. 1991 (weights).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bayes_frame.hpp"

namespace galvo {

constexpr std::int64_t kBlock = 8;  // full-resolution pixels, of blocks and between nodes

constexpr std::int64_t block_count(std::int64_t size) noexcept { return (size + kBlock - 1) / kBlock; }
constexpr std::int64_t node_count(std::int64_t size) noexcept { return (size - 1) / kBlock + 2; }

// What the reference says at one level and channel: rows of r, gx, gy, iv, one behind the other.
class ReferenceLevel {
  public:
    // `planes` is (4, height, width).
    ReferenceLevel(const float *planes, std::int64_t height, std::int64_t width);

    std::int64_t height() const noexcept { return height_; }
    std::int64_t width() const noexcept { return width_; }
    std::int64_t stride() const noexcept { return stride_; }
    const float *value(std::int64_t y) const noexcept { return row(0, y); }
    const float *gradient_x(std::int64_t y) const noexcept { return row(1, y); }
    const float *gradient_y(std::int64_t y) const noexcept { return row(2, y); }
    const float *inverse_variance(std::int64_t y) const noexcept { return row(3, y); }

  private:
    const float *row(std::int64_t plane, std::int64_t y) const noexcept {
        return planes_.data() + (plane * height_ + y) * stride_;
    }
    std::int64_t height_, width_, stride_;
    std::vector<float> planes_;  // 0 behind a row's end
};

struct StepSettings {
    std::int64_t factor = 1;  // 1, 2 or 4: full-resolution pixels along a pixel of the level
    std::int64_t full_height = 0, full_width = 0;
    int box = 7;     // odd
    int power = 2;   // of the weights, 1 or 2
    bool cubic = false;
};

struct Brightness {
    float alpha = 1.0f, beta = 0.0f;
};

// Sums of omega, omega r, omega r^2, omega f_w and omega r f_w, for the regression of f_w on r.
using RegressionSums = std::array<double, 5>;

struct StepResult {
    float quantile = 0.0f;  // qn
    RegressionSums regression{};
};

// What a thread needs for any number of steps of one shape.
class StepWorkspace {
  public:
    void shape(std::int64_t height, std::int64_t width);

    std::int64_t stride = 0;
    std::vector<float> residual, energy, ring, rows, sample;
};

// `nodes` is (node_count(full_height), node_count(full_width), 2), x before y, in full-resolution pixels, at the pixels
// 0, 8, 16, ...; `sums` is (5, block rows, block columns): J11, J12, J22, b1, b2.
StepResult linearise(const BorderedPlane &frame, const ReferenceLevel &reference, const float *nodes,
                     const StepSettings &settings, Brightness brightness, StepWorkspace &workspace,
                     float *sums) noexcept;

// What the residual of a displacement costs: the energies of `linearise` without the sums. The box sum at the quantile.
float measure_energy(const BorderedPlane &frame, const ReferenceLevel &reference, const float *nodes,
                     const StepSettings &settings, Brightness brightness, StepWorkspace &workspace) noexcept;

// Sum of qn rho(q / qn) over the pixels of the last pass, as many as the reference has: rho(z) = z below 1, 1 + ln z
// above, the cost whose weights are 1 / max(1, z).
double robust_cost(const ReferenceLevel &reference, const StepSettings &settings, float energy_at_quantile,
                   const StepWorkspace &workspace) noexcept;

}  // namespace galvo
