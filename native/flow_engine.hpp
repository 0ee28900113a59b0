// The variational estimator: a coarse-to-fine pyramid of linearisations, each solved by over-relaxation.
// T. Brox, A. Bruhn, N. Papenberg, J. Weickert, High accuracy optical flow estimation based on a theory for warping, 2004.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "flow_band.hpp"
#include "flow_median.hpp"
#include "flow_plane.hpp"
#include "flow_prepare.hpp"
#include "flow_solver.hpp"
#include "flow_tensor.hpp"
#include "warp.hpp"

namespace galvo {

struct FlowLevel {
    int rows = 0, columns = 0;
    float alpha_x = 1, alpha_y = 1;
};

struct FlowSettings {
    int rows = 0, columns = 0, channels = 0;
    std::vector<FlowLevel> levels;  // coarsest first
    DataTerm term = DataTerm::gradient;
    SolverSettings solver;
    bool early_taps = false;      // resampling as the original does it
    bool thirty_seconds = false;  // warps to 1/32 pixel, as the original does
    bool cascade = false;         // each level from the next finer one, not from the full resolution
    bool warp_coarsest = true;    // else the first level ignores the field it starts from
    std::vector<float> stages;    // graduated non-convexity; empty: none
    int warping_steps = 1;        // per level under graduated non-convexity
};

class FlowEngine {
  public:
    // All (C, Y, X): the prepared reference, what stands for unknown pixels before smoothing, and weights.
    FlowEngine(const FlowSettings &settings, const Preparation &preparation, const float *fixed, const float *unknown,
               const float *weights);

    // Fields (T, h, w, 2) of the finest level; `start` is one field (Y, X, 2) for all frames, or null.
    void solve(const RawFrames &frames, const float *start, float *out, int threads) const;

    int rows() const noexcept { return settings_.rows; }
    int columns() const noexcept { return settings_.columns; }
    int channels() const noexcept { return settings_.channels; }
    const FlowLevel &finest() const noexcept { return settings_.levels.back(); }

  private:
    struct Level;
    struct Workspace;
    struct Idle;
    struct Borrowed;
    void solve_frame(const RawFrames &frames, std::int64_t t, const float *start, float *out, Workspace &space) const;
    void downsample(Workspace &space) const noexcept;
    void refine(std::size_t level, bool warped, Workspace &space) const noexcept;

    FlowSettings settings_;
    Preparation preparation_;
    std::vector<std::vector<float>> unknown_;  // (Y, X) of each channel
    std::shared_ptr<const std::vector<Level>> levels_;
    Band smooth_y_, smooth_x_;
    std::shared_ptr<Idle> idle_;  // workspaces between calls
};

}  // namespace galvo
