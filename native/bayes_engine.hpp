// All that happens to a frame after calibration: rigid start, rigid and elastic Gauss-Newton steps from coarse to fine,
// and what the temporal prior and the safeguards need.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "bayes_frame.hpp"
#include "bayes_modes.hpp"
#include "bayes_start.hpp"
#include "bayes_step.hpp"

namespace galvo {

struct EngineLevel {
    std::int64_t factor = 1;
    std::vector<ReferenceLevel> reference;  // of each channel; g is gamma times the gradient, iv 1 / variance
    std::vector<float> scale;               // of each channel's sums: weight / phi
    std::vector<float> dispersion;          // phi of each channel
    std::vector<float> preconditioner;      // padded inverse of nominal information + precision
    int step_count = 1;
};

struct EngineSettings {
    int rigid_steps = 3;
    // The finest level goes on, up to so many steps in all, while the last one is longer than `settled` (pixels, root
    // mean square over the image; 0: it never goes on).
    int most_fine_steps = 3;
    bool cubic = false;  // bicubic interpolation on the finest level
    float settled = 0.0f;
    float tolerance = 0.003f;  // of a solution at the finest level, in the same unit
};

struct EngineOutput {
    float *coefficients;  // (2, Ky, Kx)
    float *information;   // (3, By, Bx), all channels, of the last linearisation
    float *right;         // (n,) Phi^T (b + J w0) of it, w0 being its displacement
    float *brightness;    // (C, 2), alpha and beta it used
    float *quantile;      // (C,)
    float *start, *rigid; // (2,), x before y
    float *step;          // length of the last step, root mean square over the image
    double *objective;    // (2,), of the rigid and of the elastic displacement
    std::int64_t *fine_steps;
    std::int64_t *solver_steps;  // conjugate gradient steps in all
};

class EngineWorkspace;

class Engine {
  public:
    // Levels from coarse to fine, the last one of factor 1. `blocks` and `nodes` are the modes at the centres of blocks
    // and at nodes; the first of either component's modes is its shift.
    Engine(std::int64_t height, std::int64_t width, std::vector<EngineLevel> levels,
           const std::vector<BorderedPlane> &reference, std::int64_t start_factor, const std::vector<float> &weights,
           Modes blocks, Modes nodes, std::vector<std::int64_t> active, std::vector<float> precision,
           EngineSettings how);

    std::int64_t height() const noexcept { return height_; }
    std::int64_t width() const noexcept { return width_; }
    std::int64_t channel_count() const noexcept { return static_cast<std::int64_t>(levels_.front().scale.size()); }
    std::int64_t unknown_count() const noexcept { return static_cast<std::int64_t>(active_.size()); }
    std::int64_t ky() const noexcept { return full_ky_; }
    std::int64_t kx() const noexcept { return full_kx_; }
    std::int64_t block_rows() const noexcept { return blocks_.row_count(); }
    std::int64_t block_columns() const noexcept { return blocks_.column_count(); }

    std::shared_ptr<EngineWorkspace> workspace() const;
    void run(const FrameStack &frames, std::int64_t frame, EngineWorkspace &workspace,
             const EngineOutput &output) const noexcept;

  private:
    void load(const FrameStack &frames, std::int64_t frame, EngineWorkspace &workspace) const noexcept;
    void linearise_level(std::size_t level, bool cubic, EngineWorkspace &workspace) const noexcept;
    void rigid_step(Shift &shift, EngineWorkspace &workspace) const noexcept;
    int elastic_step(std::size_t level, bool cubic, EngineWorkspace &workspace) const noexcept;
    void fill_nodes(EngineWorkspace &workspace) const noexcept;
    void fill_nodes(Shift shift, EngineWorkspace &workspace) const noexcept;
    void measure(Shift rigid, EngineWorkspace &workspace, double *objective) const noexcept;
    void finish(EngineWorkspace &workspace, float *right) const noexcept;
    double penalty(const EngineWorkspace &workspace) const noexcept;
    StepSettings settings(std::size_t level, bool cubic) const noexcept;

    std::int64_t height_, width_;
    std::vector<EngineLevel> levels_;
    RigidStart start_;
    Modes blocks_, nodes_;
    std::vector<std::int64_t> active_;
    std::vector<float> precision_;
    EngineSettings how_;
    std::int64_t full_ky_, full_kx_;          // of the coefficients that come out
    std::vector<std::int64_t> full_active_;   // places of the unknowns in these
};

}  // namespace galvo
