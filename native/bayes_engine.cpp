#include "bayes_engine.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace galvo {

namespace {

constexpr float kCoarser = 10.0f;  // tolerance of the equations above the finest level, whose solutions are starts
constexpr int kSolverSteps = 30;
constexpr double kGainPrecision = 400.0;  // of alpha ~ N(1, 0.05^2)
constexpr double kSmallestGain = 0.5, kLargestGain = 2.0;
constexpr int kFineBox = 7, kCoarseBox = 3;

float length(const std::vector<float> &change) noexcept {
    double sum = 0;
    for (const float value : change) sum += static_cast<double>(value) * value;
    return static_cast<float>(std::sqrt(sum));
}

// The regression of f_w on r.
Brightness brightness_of(const RegressionSums &sums, double dispersion, Brightness now) noexcept {
    const double w = sums[0];
    if (!(w > 0)) return now;
    const double r = sums[1] / w, f = sums[3] / w;
    const double gain = ((sums[4] - sums[1] * f) / dispersion + kGainPrecision) /
                        ((sums[2] - sums[1] * r) / dispersion + kGainPrecision);
    const double alpha = std::clamp(gain, kSmallestGain, kLargestGain);
    return {static_cast<float>(alpha), static_cast<float>(f - alpha * r)};
}

}  // namespace

class EngineWorkspace {
  public:
    std::vector<std::vector<BorderedPlane>> planes;  // of each factor 1, 2, 4 in use, and each channel
    std::vector<StepWorkspace> steps;                // of each level
    std::vector<char> varied;                        // whether a channel has anything to say
    std::vector<Brightness> brightness, used, rigid_brightness, coarse_brightness;
    std::vector<RegressionSums> regression;
    std::vector<float> quantile;
    std::vector<float> nodes, sums, equations, coefficients, gradient, change, old, scratch;
    SolveWorkspace solve;
    StartWorkspace start;
};

namespace {

// Modes of which only the first ky, kx are in use.
Modes trimmed(const Modes &modes, std::int64_t ky, std::int64_t kx) {
    std::vector<float> rows, columns;
    for (std::int64_t y = 0; y < modes.row_count(); ++y)
        rows.insert(rows.end(), modes.row(y), modes.row(y) + ky);
    for (std::int64_t x = 0; x < modes.column_count(); ++x)
        columns.insert(columns.end(), modes.column(x), modes.column(x) + kx);
    return Modes(rows.data(), modes.row_count(), ky, columns.data(), modes.column_count(), kx);
}

std::size_t place_of(std::int64_t factor) noexcept { return factor == 1 ? 0 : factor == 2 ? 1 : 2; }

}  // namespace

Engine::Engine(std::int64_t height, std::int64_t width, std::vector<EngineLevel> levels,
               const std::vector<BorderedPlane> &reference, std::int64_t start_factor,
               const std::vector<float> &weights, Modes blocks, Modes nodes, std::vector<std::int64_t> active,
               std::vector<float> precision, EngineSettings how)
    : height_(height), width_(width), levels_(std::move(levels)), start_(reference, start_factor, weights),
      blocks_(std::move(blocks)), nodes_(std::move(nodes)), precision_(std::move(precision)), how_(how),
      full_ky_(blocks_.ky()), full_kx_(blocks_.kx()), full_active_(std::move(active)) {
    std::int64_t ky = 1, kx = 1;
    for (const std::int64_t index : full_active_) {
        ky = std::max(ky, index / full_kx_ % full_ky_ + 1);
        kx = std::max(kx, index % full_kx_ + 1);
    }
    blocks_ = trimmed(blocks_, ky, kx);
    nodes_ = trimmed(nodes_, ky, kx);
    for (const std::int64_t index : full_active_) {
        const std::int64_t component = index / (full_ky_ * full_kx_), row = index / full_kx_ % full_ky_;
        active_.push_back((component * ky + row) * kx + index % full_kx_);
    }
}

std::shared_ptr<EngineWorkspace> Engine::workspace() const {
    auto workspace = std::make_shared<EngineWorkspace>();
    const std::size_t channels = static_cast<std::size_t>(channel_count());
    const std::int64_t coarsest = std::max(levels_.front().factor, start_.factor());
    for (std::int64_t factor = 1; factor <= coarsest; factor *= 2) {
        workspace->planes.emplace_back(channels);
        for (BorderedPlane &plane : workspace->planes.back()) plane.shape(height_ / factor, width_ / factor);
    }
    workspace->steps.resize(levels_.size());
    for (std::size_t level = 0; level < levels_.size(); ++level)
        workspace->steps[level].shape(height_ / levels_[level].factor, width_ / levels_[level].factor);
    workspace->varied.assign(channels, 0);
    workspace->brightness.assign(channels, Brightness{});
    workspace->used = workspace->rigid_brightness = workspace->coarse_brightness = workspace->brightness;
    workspace->regression.assign(channels, RegressionSums{});
    workspace->quantile.assign(channels, 0.0f);
    const std::size_t points = static_cast<std::size_t>(blocks_.row_count() * blocks_.column_count());
    workspace->nodes.assign(static_cast<std::size_t>(nodes_.row_count() * nodes_.column_count() * 2), 0.0f);
    workspace->sums.assign(5 * points, 0.0f);
    workspace->equations.assign(5 * points, 0.0f);
    workspace->coefficients.assign(static_cast<std::size_t>(2 * blocks_.ky() * blocks_.kx()), 0.0f);
    for (std::vector<float> *vector : {&workspace->gradient, &workspace->change, &workspace->old})
        vector->assign(active_.size(), 0.0f);
    workspace->scratch.assign(static_cast<std::size_t>(std::max(nodes_.scratch_size(), blocks_.scratch_size())), 0.0f);
    workspace->solve.shape(blocks_, unknown_count());
    start_.shape(workspace->start);
    return workspace;
}

StepSettings Engine::settings(std::size_t level, bool cubic) const noexcept {
    StepSettings settings;
    settings.factor = levels_[level].factor;
    settings.full_height = height_;
    settings.full_width = width_;
    settings.box = settings.factor == 1 ? kFineBox : kCoarseBox;
    settings.power = settings.factor == 1 ? 2 : 1;
    settings.cubic = cubic;
    return settings;
}

void Engine::load(const FrameStack &frames, std::int64_t frame, EngineWorkspace &workspace) const noexcept {
    for (std::int64_t channel = 0; channel < channel_count(); ++channel) {
        const std::size_t c = static_cast<std::size_t>(channel);
        workspace.varied[c] = bin_frame(frames, frame, channel, 1, workspace.planes[0][c]) ? 1 : 0;
        for (std::size_t i = 1; i < workspace.planes.size(); ++i)
            halve(workspace.planes[i - 1][c], workspace.planes[i][c]);
    }
}

void Engine::fill_nodes(EngineWorkspace &workspace) const noexcept {
    nodes_.synthesize(workspace.coefficients.data(), workspace.nodes.data(), workspace.scratch.data());
}

void Engine::fill_nodes(Shift shift, EngineWorkspace &workspace) const noexcept {
    for (std::size_t i = 0; i < workspace.nodes.size(); i += 2) {
        workspace.nodes[i] = shift.x;
        workspace.nodes[i + 1] = shift.y;
    }
}

// Equations of all channels at the displacement of the nodes; the next brightness.
void Engine::linearise_level(std::size_t level, bool cubic, EngineWorkspace &workspace) const noexcept {
    const EngineLevel &now = levels_[level];
    std::fill(workspace.equations.begin(), workspace.equations.end(), 0.0f);
    for (std::size_t c = 0; c < now.reference.size(); ++c) {
        workspace.quantile[c] = 0.0f;
        workspace.used[c] = workspace.brightness[c];
        if (!workspace.varied[c]) continue;
        const StepResult result = linearise(workspace.planes[place_of(now.factor)][c], now.reference[c],
                                            workspace.nodes.data(), settings(level, cubic), workspace.brightness[c],
                                            workspace.steps[level], workspace.sums.data());
        workspace.quantile[c] = result.quantile;
        workspace.brightness[c] = brightness_of(result.regression, now.dispersion[c], workspace.brightness[c]);
        for (std::size_t i = 0; i < workspace.sums.size(); ++i)
            workspace.equations[i] += now.scale[c] * workspace.sums[i];
    }
}

void Engine::rigid_step(Shift &shift, EngineWorkspace &workspace) const noexcept {
    fill_nodes(shift, workspace);
    linearise_level(0, false, workspace);
    const std::size_t points = workspace.equations.size() / 5;
    double totals[5] = {};
    for (std::size_t k = 0; k < 5; ++k)
        for (std::size_t i = 0; i < points; ++i) totals[k] += workspace.equations[k * points + i];
    // As much prior as the shifts have in the elastic steps.
    const double xx = totals[0] + precision_.front(), yy = totals[2] + precision_.front(), xy = totals[1];
    const double determinant = xx * yy - xy * xy;
    if (!(determinant > 1e-9 * xx * yy)) return;
    const double x = (yy * totals[3] - xy * totals[4]) / determinant;
    const double y = (xx * totals[4] - xy * totals[3]) / determinant;
    // Beyond its first pixels a linearisation knows nothing.
    const double reach = 2.0 * static_cast<double>(levels_.front().factor);
    shift.x += static_cast<float>(std::clamp(x, -reach, reach));
    shift.y += static_cast<float>(std::clamp(y, -reach, reach));
}

int Engine::elastic_step(std::size_t level, bool cubic, EngineWorkspace &workspace) const noexcept {
    fill_nodes(workspace);
    linearise_level(level, cubic, workspace);
    const std::int64_t size = blocks_.ky() * blocks_.kx();
    const std::int64_t points = blocks_.row_count() * blocks_.column_count();
    float *const grid = workspace.solve.grid.data();
    blocks_.analyze(workspace.equations.data() + 3 * points, grid, workspace.solve.scratch.data());
    blocks_.analyze(workspace.equations.data() + 4 * points, grid + size, workspace.solve.scratch.data());
    for (std::size_t i = 0; i < active_.size(); ++i) {
        workspace.old[i] = workspace.coefficients[static_cast<std::size_t>(active_[i])];
        workspace.gradient[i] = grid[active_[i]] - precision_[i] * workspace.old[i];
    }
    const int steps = solve_modes(blocks_, {active_.data(), unknown_count()}, workspace.equations.data(),
                                  precision_.data(), levels_[level].preconditioner.data(), workspace.gradient.data(),
                                  how_.tolerance * (level + 1 == levels_.size() ? 1.0f : kCoarser), kSolverSteps, workspace.change.data(), workspace.solve);
    for (std::size_t i = 0; i < active_.size(); ++i)
        workspace.coefficients[static_cast<std::size_t>(active_[i])] = workspace.old[i] + workspace.change[i];
    return steps;
}

// Phi^T (b + J w0) of the last step, whose coefficients are in `old`.
void Engine::finish(EngineWorkspace &workspace, float *right) const noexcept {
    for (std::size_t i = 0; i < active_.size(); ++i)
        workspace.change[i] = workspace.gradient[i] + precision_[i] * workspace.old[i];
    std::fill(workspace.gradient.begin(), workspace.gradient.end(), 0.0f);
    apply_information(blocks_, {active_.data(), unknown_count()}, workspace.equations.data(),
                      workspace.gradient.data(), workspace.old.data(), right, workspace.solve);
    for (std::size_t i = 0; i < active_.size(); ++i) right[i] += workspace.change[i];
}

double Engine::penalty(const EngineWorkspace &workspace) const noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < active_.size(); ++i) {
        const double value = workspace.coefficients[static_cast<std::size_t>(active_[i])];
        sum += static_cast<double>(precision_[i]) * value * value;
    }
    return sum / 2;
}

// Penalised cost of the rigid and of the elastic displacement at the coarsest level.
void Engine::measure(Shift rigid, EngineWorkspace &workspace, double *objective) const noexcept {
    const EngineLevel &level = levels_.front();
    const StepSettings how = settings(0, false);
    const std::vector<BorderedPlane> &planes = workspace.planes[place_of(level.factor)];
    objective[0] = (static_cast<double>(rigid.x) * rigid.x + static_cast<double>(rigid.y) * rigid.y) *
                   precision_.front() / 2;
    objective[1] = penalty(workspace);
    for (std::size_t c = 0; c < level.reference.size(); ++c) {
        if (!workspace.varied[c]) continue;
        fill_nodes(workspace);
        const float quantile = measure_energy(planes[c], level.reference[c], workspace.nodes.data(), how,
                                              workspace.coarse_brightness[c], workspace.steps.front());
        objective[1] += level.scale[c] * robust_cost(level.reference[c], how, quantile, workspace.steps.front()) / 2;
        fill_nodes(rigid, workspace);
        measure_energy(planes[c], level.reference[c], workspace.nodes.data(), how, workspace.rigid_brightness[c],
                       workspace.steps.front());
        objective[0] += level.scale[c] * robust_cost(level.reference[c], how, quantile, workspace.steps.front()) / 2;
    }
}

void Engine::run(const FrameStack &frames, std::int64_t frame, EngineWorkspace &workspace,
                 const EngineOutput &output) const noexcept {
    load(frames, frame, workspace);
    std::fill(workspace.brightness.begin(), workspace.brightness.end(), Brightness{});
    Shift shift = start_.find(workspace.planes[place_of(start_.factor())], workspace.start);
    output.start[0] = shift.x;
    output.start[1] = shift.y;
    for (int i = 0; i < how_.rigid_steps; ++i) rigid_step(shift, workspace);
    output.rigid[0] = shift.x;
    output.rigid[1] = shift.y;
    std::copy(workspace.brightness.begin(), workspace.brightness.end(), workspace.rigid_brightness.begin());

    std::fill(workspace.coefficients.begin(), workspace.coefficients.end(), 0.0f);
    workspace.coefficients[0] = shift.x;
    workspace.coefficients[static_cast<std::size_t>(blocks_.ky() * blocks_.kx())] = shift.y;
    int solver_steps = 0;
    for (std::size_t level = 0; level < levels_.size(); ++level) {
        const bool last = level + 1 == levels_.size();
        for (int i = 0; i < levels_[level].step_count; ++i)
            solver_steps += elastic_step(level, how_.cubic && last, workspace);
        // Interpolation costs contrast, and less of it on coarse levels: brightness is compared where it was fitted.
        if (level == 0)
            std::copy(workspace.brightness.begin(), workspace.brightness.end(), workspace.coarse_brightness.begin());
    }
    int fine_steps = levels_.back().step_count;
    for (; fine_steps < how_.most_fine_steps && how_.settled > 0; ++fine_steps) {
        if (!(length(workspace.change) > how_.settled)) break;
        solver_steps += elastic_step(levels_.size() - 1, how_.cubic, workspace);
    }
    *output.fine_steps = fine_steps;
    *output.step = length(workspace.change);
    std::copy_n(workspace.equations.data(), workspace.equations.size() / 5 * 3, output.information);
    finish(workspace, output.right);
    for (std::size_t c = 0; c < workspace.used.size(); ++c) {
        output.brightness[2 * c] = workspace.used[c].alpha;
        output.brightness[2 * c + 1] = workspace.used[c].beta;
        output.quantile[c] = workspace.quantile[c];
    }
    std::fill_n(output.coefficients, 2 * full_ky_ * full_kx_, 0.0f);
    for (std::size_t i = 0; i < active_.size(); ++i)
        output.coefficients[full_active_[i]] = workspace.coefficients[static_cast<std::size_t>(active_[i])];
    measure(shift, workspace, output.objective);
    *output.solver_steps = solver_steps;
}

}  // namespace galvo
