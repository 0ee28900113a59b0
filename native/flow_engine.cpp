#include "flow_engine.hpp"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <stdexcept>

#include "flow_expand.hpp"
#include "frame_jobs.hpp"

namespace galvo {
namespace {

constexpr double kCubicA = -0.75;

void copy_plane(const float *from, Plane &out) noexcept {
    for (int y = 0; y < out.rows(); ++y)
        std::copy(from + static_cast<std::ptrdiff_t>(y) * out.columns(),
                  from + static_cast<std::ptrdiff_t>(y + 1) * out.columns(), out.row(y));
}

// `image` inside a ring of its own edge.
void with_ring(const Plane &image, Plane &out) noexcept {
    const int rows = image.rows(), columns = image.columns();
    for (int y = 0; y < rows; ++y) {
        float *row = out.row(y + 1);
        std::copy(image.row(y), image.row(y) + columns, row + 1);
        row[0] = row[1];
        row[columns + 1] = row[columns];
    }
    std::copy(out.row(1), out.row(1) + columns + 2, out.row(0));
    std::copy(out.row(rows), out.row(rows) + columns + 2, out.row(rows + 1));
}

void add(const Plane &change, Plane &sum) noexcept {
    for (int y = 0; y < sum.rows(); ++y) {
        const float *from = change.row(y);
        float *to = sum.row(y);
        for (int x = 0; x < sum.columns(); ++x) to[x] += from[x];
    }
}

// Two bands that change the size of planes.
struct Resampling {
    Band y, x;
    void operator()(const Plane &in, Plane &half, Plane &out, float *scratch) const noexcept {
        y.along_y(in, half);
        x.along_x(half, out, scratch);
    }
    std::size_t scratch_size() const noexcept { return x.scratch_size(); }
};

Resampling resampling(int from_rows, int from_columns, int rows, int columns, bool early) {
    const double smoothing = std::min(static_cast<double>(rows) / from_rows, static_cast<double>(columns) / from_columns);
    return {Band::resampled(from_rows, rows, smoothing, early), Band::resampled(from_columns, columns, smoothing, early)};
}

}  // namespace

struct FlowEngine::Level {
    int rows = 0, columns = 0;
    float alpha_x = 1, alpha_y = 1, spacing_x = 1, spacing_y = 1;
    std::vector<Plane> fixed;
    Skew skew;
    std::vector<float> weights;  // skewed
    Resampling down;             // from the full resolution, or from the next finer level
    Resampling up;               // of the field, from the next coarser level
    Resampling start;            // of a field at full resolution; coarsest level only
};

struct FlowEngine::Workspace {
    Workspace(const FlowEngine &engine);
    Preparer preparer;
    std::vector<Plane> full;                 // prepared frame, by channel
    std::vector<std::vector<Plane>> moving;  // by level, channel
    std::vector<Plane> half_down, half_up;   // by level: between the two directions of a resampling
    Plane half_start, start_u, start_v;
    std::vector<Field> field, increment, filtered;  // by level
    std::vector<Field> ringed;                      // by level
    Plane warped;
    std::vector<Tensor> tensors;
    TensorMaker maker;
    LevelSolver solver;
    SolverSettings settings;
    Median median;
    PaddedPlane<float> padded;
    Positions positions;
    std::vector<float> scratch, scaled;
    std::vector<float> stage_field;
};

struct FlowEngine::Idle {
    std::mutex mutex;
    std::vector<std::unique_ptr<Workspace>> spaces;
};

FlowEngine::Workspace::Workspace(const FlowEngine &engine)
    : preparer(engine.preparation_, engine.smooth_y_, engine.smooth_x_), settings(engine.settings_.solver),
      positions(static_cast<std::size_t>(engine.finest().columns)) {
    const std::vector<Level> &levels = *engine.levels_;
    const std::size_t channels = static_cast<std::size_t>(engine.channels());
    const Level &finest = levels.back();
    full.assign(channels, Plane(engine.rows(), engine.columns()));
    std::size_t size = 0;
    for (std::size_t i = 0; i < levels.size(); ++i) {
        const Level &level = levels[i];
        moving.emplace_back(channels, Plane(level.rows, level.columns));
        half_down.emplace_back(level.rows, level.down.x.from());
        half_up.emplace_back(level.rows, i == 0 ? 1 : levels[i - 1].columns);
        Field one;
        one.resize(level.rows, level.columns);
        field.push_back(one);
        increment.push_back(one);
        filtered.push_back(one);
        one.resize(level.rows + 2, level.columns + 2);
        ringed.push_back(one);
        size = std::max({size, level.down.scratch_size(), i == 0 ? level.start.scratch_size() : level.up.scratch_size()});
    }
    half_start.resize(levels.front().rows, engine.columns());
    start_u.resize(engine.rows(), engine.columns());
    start_v.resize(engine.rows(), engine.columns());
    warped.resize(finest.rows, finest.columns);
    tensors.resize(channels);
    scratch.assign(size, 0.0f);
    scaled.assign(static_cast<std::size_t>(2 * (whole_vectors(finest.columns))), 0.0f);
    solver.reserve(finest.rows, finest.columns, engine.channels(), settings.a_smooth < 1);
    median.resize(finest.columns);
    if (engine.settings_.stages.size() > 1)
        stage_field.resize(static_cast<std::size_t>(engine.rows()) * static_cast<std::size_t>(engine.columns()) * 2);
}

// A workspace for one thread, given back for the next call.
struct FlowEngine::Borrowed {
    explicit Borrowed(const FlowEngine &engine) : idle(engine.idle_) {
        {
            const std::lock_guard<std::mutex> lock(idle->mutex);
            if (!idle->spaces.empty()) {
                space = std::move(idle->spaces.back());
                idle->spaces.pop_back();
            }
        }
        if (!space) space = std::make_unique<Workspace>(engine);
    }
    Borrowed(Borrowed &&) = default;
    ~Borrowed() {
        if (!space) return;
        const std::lock_guard<std::mutex> lock(idle->mutex);
        idle->spaces.push_back(std::move(space));
    }
    std::shared_ptr<Idle> idle;
    std::unique_ptr<Workspace> space;
};

FlowEngine::FlowEngine(const FlowSettings &settings, const Preparation &preparation, const float *fixed,
                       const float *unknown, const float *weights)
    : settings_(settings), preparation_(preparation), idle_(std::make_shared<Idle>()) {
    const int rows = settings.rows, columns = settings.columns;
    if (settings.levels.empty() || settings.channels < 1 || rows < 1 || columns < 1)
        throw std::invalid_argument("a pyramid needs levels, rows, columns and channels");
    if (preparation.offset.size() != static_cast<std::size_t>(settings.channels) ||
        preparation.scale.size() != preparation.offset.size() || settings.solver.a_data.size() != preparation.offset.size())
        throw std::invalid_argument("every channel needs an offset, a scale and an exponent");
    for (std::size_t i = 0; i < settings.levels.size(); ++i) {
        const FlowLevel &level = settings.levels[i];
        if (level.rows < 1 || level.columns < 1 || level.rows > rows || level.columns > columns ||
            (i > 0 && (level.rows < settings.levels[i - 1].rows || level.columns < settings.levels[i - 1].columns)))
            throw std::invalid_argument("levels must grow from the coarsest to the finest, within the frame");
    }
    smooth_y_ = Band::gaussian(rows, preparation.sigma_y);
    smooth_x_ = Band::gaussian(columns, preparation.sigma_x);
    const std::size_t pixels = static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
    auto levels = std::make_shared<std::vector<Level>>(settings.levels.size());
    const std::size_t channels = static_cast<std::size_t>(settings.channels);
    std::vector<Plane> full_weights;
    for (std::size_t c = 0; c < channels; ++c) {
        unknown_.emplace_back(unknown + c * pixels, unknown + (c + 1) * pixels);
        full_weights.emplace_back(rows, columns);
        copy_plane(weights + c * pixels, full_weights.back());
    }
    for (std::size_t i = levels->size(); i-- > 0;) {
        Level &level = (*levels)[i];
        const FlowLevel &wanted = settings.levels[i];
        level.rows = wanted.rows;
        level.columns = wanted.columns;
        level.alpha_x = wanted.alpha_x;
        level.alpha_y = wanted.alpha_y;
        level.spacing_y = static_cast<float>(static_cast<double>(rows) / wanted.rows);
        level.spacing_x = static_cast<float>(static_cast<double>(columns) / wanted.columns);
        const bool from_finer = settings.cascade && i + 1 < levels->size();
        const Level *finer = from_finer ? &(*levels)[i + 1] : nullptr;
        level.down = resampling(from_finer ? finer->rows : rows, from_finer ? finer->columns : columns, level.rows,
                                level.columns, settings.early_taps);
        if (i > 0)
            level.up = resampling(settings.levels[i - 1].rows, settings.levels[i - 1].columns, level.rows, level.columns,
                                  settings.early_taps);
        else
            level.start = resampling(rows, columns, level.rows, level.columns, settings.early_taps);
        level.skew = Skew(level.rows, level.columns);
        level.weights.assign(static_cast<std::size_t>(level.skew.size(settings.channels)), 0.0f);
        const Resampling of_weights = resampling(rows, columns, level.rows, level.columns, settings.early_taps);
        std::vector<float> scratch(std::max(level.down.scratch_size(), of_weights.scratch_size()));
        for (std::size_t c = 0; c < channels; ++c) {
            Plane image(rows, columns), out(level.rows, level.columns), ringed(level.rows + 2, level.columns + 2);
            if (!from_finer) copy_plane(fixed + c * pixels, image);
            const Plane &source = from_finer ? finer->fixed[c] : image;
            Plane half(level.rows, source.columns()), half_weights(level.rows, columns);
            level.down(source, half, out, scratch.data());
            level.fixed.push_back(out);
            of_weights(full_weights[c], half_weights, out, scratch.data());
            for (int y = 0; y < level.rows; ++y)
                std::copy(out.row(y), out.row(y) + level.columns, ringed.row(y + 1) + 1);
            level.skew.skew(ringed, static_cast<int>(c), settings.channels, level.weights.data());
        }
    }
    levels_ = levels;
}

void FlowEngine::downsample(Workspace &space) const noexcept {
    for (std::size_t i = levels_->size(); i-- > 0;) {
        const bool from_finer = settings_.cascade && i + 1 < levels_->size();
        for (std::size_t c = 0; c < space.full.size(); ++c)
            (*levels_)[i].down(from_finer ? space.moving[i + 1][c] : space.full[c], space.half_down[i], space.moving[i][c],
                               space.scratch.data());
    }
}

// The field of a level after one more linearisation.
void FlowEngine::refine(std::size_t i, bool warped, Workspace &space) const noexcept {
    const Level &level = (*levels_)[i];
    Field &field = space.field[i], &increment = space.increment[i], &filtered = space.filtered[i], &ringed = space.ringed[i];
    const bool staged = !settings_.stages.empty();
    with_ring(field.u, ringed.u);
    with_ring(field.v, ringed.v);
    space.maker.resize(level.rows, level.columns, settings_.term);
    const float scale_x = 1.0f / level.spacing_x, scale_y = 1.0f / level.spacing_y;
    for (std::size_t c = 0; c < level.fixed.size(); ++c) {
        for (Plane &part : space.tensors[c]) {
            part.reshape(level.rows + 2, level.columns + 2);
            part.clear_ring();
        }
        const Plane &moving = space.moving[i][c];
        if (!warped) {
            space.maker.make(level.fixed[c], moving, level.spacing_y, level.spacing_x, space.tensors[c]);
            continue;
        }
        space.warped.reshape(level.rows, level.columns);
        space.padded.resize(level.rows, level.columns);
        space.padded.fill(moving.row(0), moving.stride(), 1);
        for (int y = 0; y < level.rows; ++y) {
            const float *u = field.u.row(y), *v = field.v.row(y);
            find_positions(u, v, scale_x, scale_y, y, level.rows, level.columns, space.padded.stride(), space.positions,
                           settings_.thirty_seconds);
            float *row = space.warped.row(y);
            sample(space.padded.origin(), space.padded.stride(), space.positions, static_cast<std::size_t>(level.columns),
                   Sampling::cubic, static_cast<float>(kCubicA), row);
            const float *fixed = level.fixed[c].row(y);
            for (int x = 0; x < level.columns; ++x) {
                const float px = static_cast<float>(x) + u[x] * scale_x, py = static_cast<float>(y) + v[x] * scale_y;
                const bool inside = (px >= 0) & (px < static_cast<float>(level.columns)) & (py >= 0) &
                                    (py < static_cast<float>(level.rows));
                row[x] = inside ? row[x] : fixed[x];
            }
        }
        space.maker.make(level.fixed[c], space.warped, level.spacing_y, level.spacing_x, space.tensors[c]);
    }
    space.solver.solve(space.tensors, level.weights.data(), level.skew, ringed.u, ringed.v, level.alpha_x, level.alpha_y,
                       level.spacing_x, level.spacing_y, space.settings, increment.u, increment.v);
    const bool filter = std::min(level.rows, level.columns) > 5;
    if (filter && !staged) {
        space.median.filter(increment.u, filtered.u);
        space.median.filter(increment.v, filtered.v);
        add(filtered.u, field.u);
        add(filtered.v, field.v);
        return;
    }
    add(increment.u, field.u);
    add(increment.v, field.v);
    if (filter) {
        space.median.filter(field.u, filtered.u);
        space.median.filter(field.v, filtered.v);
        std::swap(field, filtered);
    }
}

void FlowEngine::solve_frame(const RawFrames &frames, std::int64_t t, const float *start, float *out, Workspace &space) const {
    const bool staged = !settings_.stages.empty();
    for (int c = 0; c < settings_.channels; ++c)
        space.preparer.prepare(frames, t, c, unknown_[static_cast<std::size_t>(c)].data(),
                               space.full[static_cast<std::size_t>(c)]);
    downsample(space);
    const std::size_t stage_count = std::max<std::size_t>(1, settings_.stages.size());
    for (std::size_t stage = 0; stage < stage_count; ++stage) {
        space.settings.robustness = staged ? settings_.stages[stage] : 1.0f;
        for (std::size_t i = 0; i < levels_->size(); ++i) {
            const Level &level = (*levels_)[i];
            Field &field = space.field[i];
            if (i > 0) {
                level.up(space.field[i - 1].u, space.half_up[i], field.u, space.scratch.data());
                level.up(space.field[i - 1].v, space.half_up[i], field.v, space.scratch.data());
            } else if (start != nullptr) {
                for (int y = 0; y < settings_.rows; ++y)
                    split_pairs(start + 2 * static_cast<std::ptrdiff_t>(y) * settings_.columns, settings_.columns,
                                space.start_u.row(y), space.start_v.row(y));
                level.start(space.start_u, space.half_start, field.u, space.scratch.data());
                level.start(space.start_v, space.half_start, field.v, space.scratch.data());
            } else {
                field.resize(level.rows, level.columns);
            }
            const bool warped = i > 0 || (start != nullptr && (settings_.warp_coarsest || staged));
            refine(i, warped, space);
            for (int step = 1; staged && step < settings_.warping_steps; ++step) refine(i, true, space);
        }
        const Field &finest = space.field.back();
        float *target = out;
        for (int y = 0; y < finest.u.rows(); ++y)
            interleave(finest.u.row(y), finest.v.row(y), finest.u.columns(),
                       target + 2 * static_cast<std::ptrdiff_t>(y) * finest.u.columns());
        if (stage + 1 < stage_count) {
            expand_fields(out, 1, finest.u.rows(), finest.u.columns(), settings_.rows, settings_.columns,
                          space.stage_field.data(), 1);
            start = space.stage_field.data();
        }
    }
}

void FlowEngine::solve(const RawFrames &frames, const float *start, float *out, int threads) const {
    const std::int64_t size = std::int64_t(2) * finest().rows * finest().columns;
    run_frames(frames.frame_count, threads, [&] {
        return [&, borrowed = Borrowed(*this)](std::int64_t t) {
            solve_frame(frames, t, start, out + t * size, *borrowed.space);
        };
    });
}

}  // namespace galvo
