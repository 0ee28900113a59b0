// Python face of the kernels of the Bayesian motion estimator.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/vector.h>

#include "bayes_engine.hpp"
#include "bayes_frame.hpp"
#include "bayes_modes.hpp"
#include "bayes_step.hpp"
#include "jobs.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

using Frames = nb::ndarray<nb::ndim<4>, nb::ro, nb::c_contig, nb::device::cpu>;
template <int kAxes>
using Floats = nb::ndarray<const float, nb::ndim<kAxes>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

PixelType pixel_type(const Frames &frames) {
    const nb::dlpack::dtype type = frames.dtype();
    if (type == nb::dtype<std::uint8_t>()) return PixelType::u8;
    if (type == nb::dtype<std::int8_t>()) return PixelType::i8;
    if (type == nb::dtype<std::uint16_t>()) return PixelType::u16;
    if (type == nb::dtype<std::int16_t>()) return PixelType::i16;
    if (type == nb::dtype<std::uint32_t>()) return PixelType::u32;
    if (type == nb::dtype<std::int32_t>()) return PixelType::i32;
    if (type == nb::dtype<float>()) return PixelType::f32;
    if (type == nb::dtype<double>()) return PixelType::f64;
    throw nb::type_error("frames must be integers of 8, 16 or 32 bits, float32 or float64");
}

FrameStack stack_of(const Frames &frames) {
    FrameStack stack;
    stack.pixels = frames.data();
    stack.type = pixel_type(frames);
    stack.frame_count = static_cast<std::int64_t>(frames.shape(0));
    stack.height = static_cast<std::int64_t>(frames.shape(1));
    stack.width = static_cast<std::int64_t>(frames.shape(2));
    stack.channel_count = static_cast<std::int64_t>(frames.shape(3));
    return stack;
}

void require(bool holds, const char *message) {
    if (!holds) throw std::invalid_argument(message);
}

template <class Array>
void require_shape(const Array &array, std::initializer_list<std::int64_t> shape, const char *name) {
    std::size_t axis = 0;
    bool equal = true;
    std::string found, expected;
    for (const std::int64_t size : shape) {
        const std::int64_t actual = static_cast<std::int64_t>(array.shape(axis++));
        equal = equal && actual == size;
        found += (axis > 1 ? ", " : "") + std::to_string(actual);
        expected += (axis > 1 ? ", " : "") + std::to_string(size);
    }
    if (!equal)
        throw std::invalid_argument(std::string(name) + " has shape (" + found + "), expected (" + expected + ")");
}

void require_factor(std::int64_t factor) { require(factor == 1 || factor == 2 || factor == 4, "factor must be 1, 2 or 4"); }

// Memory that becomes an array.
template <class Value>
struct Result {
    explicit Result(std::vector<std::size_t> axes) : shape(std::move(axes)) {
        std::size_t size = 1;
        for (const std::size_t axis : shape) size *= axis;
        values.reset(new Value[std::max<std::size_t>(size, 1)]());
    }
    Value *data() const noexcept { return values.get(); }
    nb::object array() {
        Value *raw = values.get();
        const nb::capsule owner(values.release(), [](void *p) noexcept { delete[] static_cast<Value *>(p); });
        return nb::cast(nb::ndarray<nb::numpy, Value>(raw, shape.size(), shape.data(), owner));
    }

    std::vector<std::size_t> shape;
    std::unique_ptr<Value[]> values;
};

std::size_t as_size(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

// `work(frame, workspace)` for all frames; `cost` is that of a frame in bytes moved.
template <class MakeWorkspace, class Work>
void for_frames(std::int64_t frame_count, int threads, std::int64_t cost, const MakeWorkspace &make_workspace,
                const Work &work) {
    run_jobs(
        frame_count, threads, [&](std::int64_t) { return cost; },
        [&] {
            return [&work, workspace = make_workspace()](std::int64_t frame) mutable {
                work(frame, *workspace);
                return Outcome{};
            };
        });
}

nb::object py_bin(const Frames &frames, std::int64_t factor, int threads) {
    const FrameStack stack = stack_of(frames);
    require_factor(factor);
    const std::int64_t height = stack.height / factor, width = stack.width / factor;
    require(height > 0 && width > 0, "a frame is smaller than a bin");
    Result<float> out({as_size(stack.frame_count), as_size(stack.channel_count), as_size(height), as_size(width)});
    {
        const nb::gil_scoped_release released;
        for_frames(
            stack.frame_count, threads, stack.height * stack.width * stack.channel_count * 4,
            [&] {
                auto plane = std::make_unique<BorderedPlane>();
                plane->shape(height, width);
                return plane;
            },
            [&](std::int64_t frame, BorderedPlane &plane) {
                for (std::int64_t channel = 0; channel < stack.channel_count; ++channel) {
                    bin_frame(stack, frame, channel, factor, plane);
                    float *to = out.data() + (frame * stack.channel_count + channel) * height * width;
                    for (std::int64_t y = 0; y < height; ++y) std::copy_n(plane.row(y), width, to + y * width);
                }
            });
    }
    return out.array();
}

nb::tuple py_normal_equations(const Frames &frames, std::int64_t factor, const Floats<4> &planes,
                              const Floats<4> &nodes, const Floats<3> &brightness, int box, int power, bool cubic,
                              int threads) {
    const FrameStack stack = stack_of(frames);
    require_factor(factor);
    require(box > 0 && box % 2 == 1 && box <= 15, "box must be odd, 1 to 15");
    require(power == 1 || power == 2, "power must be 1 or 2");
    require(stack.height / factor >= box / 2 && stack.width / factor >= box / 2, "a frame is smaller than a box");
    const std::int64_t count = stack.frame_count, channels = stack.channel_count;
    const std::int64_t height = stack.height / factor, width = stack.width / factor;
    require(height > 0 && width > 0, "a frame is smaller than a bin");
    const std::int64_t node_rows = node_count(stack.height), node_columns = node_count(stack.width);
    require_shape(planes, {channels, 4, height, width}, "planes");
    require_shape(nodes, {count, node_rows, node_columns, 2}, "nodes");
    require_shape(brightness, {count, channels, 2}, "brightness");
    StepSettings settings;
    settings.factor = factor;
    settings.full_height = stack.height;
    settings.full_width = stack.width;
    settings.box = box;
    settings.power = power;
    settings.cubic = cubic;
    const std::int64_t sums_size = 5 * block_count(stack.height) * block_count(stack.width);
    Result<float> sums({as_size(count), as_size(channels), 5, as_size(block_count(stack.height)),
                        as_size(block_count(stack.width))});
    Result<float> quantiles({as_size(count), as_size(channels)});
    Result<double> regression({as_size(count), as_size(channels), 5});
    struct Workspace {
        BorderedPlane frame;
        StepWorkspace step;
    };
    {
        const nb::gil_scoped_release released;
        std::vector<ReferenceLevel> reference;
        for (std::int64_t channel = 0; channel < channels; ++channel)
            reference.emplace_back(planes.data() + channel * 4 * height * width, height, width);
        for_frames(
            count, threads, stack.height * stack.width * channels * 16,
            [&] {
                auto workspace = std::make_unique<Workspace>();
                workspace->frame.shape(height, width);
                workspace->step.shape(height, width);
                return workspace;
            },
            [&](std::int64_t frame, Workspace &workspace) {
                for (std::int64_t channel = 0; channel < channels; ++channel) {
                    const std::int64_t i = frame * channels + channel;
                    if (!bin_frame(stack, frame, channel, factor, workspace.frame)) continue;
                    const float *pair = brightness.data() + i * 2;
                    const StepResult result =
                        linearise(workspace.frame, reference[as_size(channel)],
                                  nodes.data() + frame * node_rows * node_columns * 2, settings,
                                  Brightness{pair[0], pair[1]}, workspace.step, sums.data() + i * sums_size);
                    quantiles.data()[i] = result.quantile;
                    std::copy(result.regression.begin(), result.regression.end(), regression.data() + i * 5);
                }
            });
    }
    return nb::make_tuple(sums.array(), quantiles.array(), regression.array());
}

Modes modes_of(const Floats<2> &rows, const Floats<2> &columns) {
    return Modes(rows.data(), static_cast<std::int64_t>(rows.shape(0)), static_cast<std::int64_t>(rows.shape(1)),
                 columns.data(), static_cast<std::int64_t>(columns.shape(0)),
                 static_cast<std::int64_t>(columns.shape(1)));
}

nb::object py_synthesize(const Floats<4> &coefficients, const Floats<2> &rows, const Floats<2> &columns,
                         int threads) {
    const Modes modes = modes_of(rows, columns);
    const std::int64_t count = static_cast<std::int64_t>(coefficients.shape(0));
    require_shape(coefficients, {count, 2, modes.ky(), modes.kx()}, "coefficients");
    const std::int64_t points = modes.row_count() * modes.column_count() * 2;
    Result<float> out({as_size(count), as_size(modes.row_count()), as_size(modes.column_count()), 2});
    {
        const nb::gil_scoped_release released;
        for_frames(
            count, threads, points * 16,
            [&] { return std::make_unique<std::vector<float>>(as_size(modes.scratch_size())); },
            [&](std::int64_t frame, std::vector<float> &scratch) {
                modes.synthesize(coefficients.data() + frame * 2 * modes.ky() * modes.kx(),
                                 out.data() + frame * points, scratch.data());
            });
    }
    return out.array();
}

nb::object py_analyze(const Floats<4> &fields, const Floats<2> &rows, const Floats<2> &columns, int threads) {
    const Modes modes = modes_of(rows, columns);
    const std::int64_t count = static_cast<std::int64_t>(fields.shape(0));
    const std::int64_t per_frame = static_cast<std::int64_t>(fields.shape(1));
    require_shape(fields, {count, per_frame, modes.row_count(), modes.column_count()}, "fields");
    const std::int64_t points = modes.row_count() * modes.column_count(), size = modes.ky() * modes.kx();
    Result<float> out({as_size(count), as_size(per_frame), as_size(modes.ky()), as_size(modes.kx())});
    {
        const nb::gil_scoped_release released;
        for_frames(
            count, threads, points * per_frame * 16,
            [&] { return std::make_unique<std::vector<float>>(as_size(modes.scratch_size())); },
            [&](std::int64_t frame, std::vector<float> &scratch) {
                for (std::int64_t i = frame * per_frame; i < (frame + 1) * per_frame; ++i)
                    modes.analyze(fields.data() + i * points, out.data() + i * size, scratch.data());
            });
    }
    return out.array();
}

nb::tuple py_solve(const Floats<4> &information, const Floats<2> &gradient, const Floats<2> &rows,
                   const Floats<2> &columns, const Indices &active, const Floats<2> &precision,
                   const Floats<2> &preconditioner, float tolerance, int step_limit, int threads) {
    const Modes modes = modes_of(rows, columns);
    const std::int64_t count = static_cast<std::int64_t>(information.shape(0));
    const ActiveModes unknowns{active.data(), static_cast<std::int64_t>(active.shape(0))};
    const std::int64_t n = unknowns.count, priors = static_cast<std::int64_t>(precision.shape(0));
    require_shape(information, {count, 3, modes.row_count(), modes.column_count()}, "information");
    require_shape(gradient, {count, n}, "gradient");
    require_shape(precision, {priors == 1 ? 1 : count, n}, "precision");
    require_shape(preconditioner, {n, n}, "preconditioner");
    for (std::int64_t i = 0; i < n; ++i)
        require(active.data()[i] >= 0 && active.data()[i] < 2 * modes.ky() * modes.kx(),
                "an active mode is not one of the coefficients");
    const std::int64_t points = modes.row_count() * modes.column_count();
    Result<float> out({as_size(count), as_size(n)});
    Result<std::int64_t> steps({as_size(count)});
    {
        const nb::gil_scoped_release released;
        const std::vector<float> padded = padded_preconditioner(preconditioner.data(), n);
        for_frames(
            count, threads, points * 256,
            [&] {
                auto workspace = std::make_unique<SolveWorkspace>();
                workspace->shape(modes, n);
                return workspace;
            },
            [&](std::int64_t frame, SolveWorkspace &workspace) {
                steps.data()[frame] =
                    solve_modes(modes, unknowns, information.data() + frame * 3 * points,
                                precision.data() + (priors == 1 ? 0 : frame * n), padded.data(),
                                gradient.data() + frame * n, tolerance, step_limit, out.data() + frame * n, workspace);
            });
    }
    return nb::make_tuple(out.array(), steps.array());
}

constexpr std::int64_t kCoarseStart = 384;  // pixels; smaller frames need finer bins for as many bins
constexpr std::int64_t kBinnedStart = 64;

void init_engine(Engine *self, const Floats<3> &reference, const Floats<1> &weights,
                 const std::vector<Floats<4>> &planes, const Floats<2> &scale, const Floats<2> &dispersion,
                 const Floats<3> &preconditioners, const Floats<2> &block_rows, const Floats<2> &block_columns,
                 const Floats<2> &node_rows, const Floats<2> &node_columns, const Indices &active,
                 const Floats<1> &precision, const std::vector<int> &steps, int rigid_steps, bool cubic,
                 float settled, int most_fine_steps, float tolerance) {
    const std::int64_t channels = static_cast<std::int64_t>(reference.shape(0));
    const std::int64_t height = static_cast<std::int64_t>(reference.shape(1));
    const std::int64_t width = static_cast<std::int64_t>(reference.shape(2));
    const std::int64_t level_count = static_cast<std::int64_t>(planes.size());
    const std::int64_t n = static_cast<std::int64_t>(active.shape(0));
    require(channels > 0 && height > 0 && width > 0, "the reference is empty");
    require(level_count >= 1 && level_count <= 3, "there are 1 to 3 levels");
    require(steps.size() == planes.size(), "steps needs a number for each level");
    require_shape(weights, {channels}, "weights");
    require_shape(scale, {level_count, channels}, "scale");
    require_shape(dispersion, {level_count, channels}, "dispersion");
    require_shape(preconditioners, {level_count, n, n}, "preconditioners");
    require_shape(precision, {n}, "precision");
    Modes blocks = modes_of(block_rows, block_columns), nodes = modes_of(node_rows, node_columns);
    require_shape(block_rows, {block_count(height), blocks.ky()}, "block_rows");
    require_shape(block_columns, {block_count(width), blocks.kx()}, "block_columns");
    require_shape(node_rows, {node_count(height), blocks.ky()}, "node_rows");
    require_shape(node_columns, {node_count(width), blocks.kx()}, "node_columns");
    const std::int64_t size = blocks.ky() * blocks.kx();
    std::vector<std::int64_t> unknowns(active.data(), active.data() + n);
    bool shift_x = false, shift_y = false;
    for (const std::int64_t index : unknowns) {
        require(index >= 0 && index < 2 * size, "an active mode is not one of the coefficients");
        shift_x = shift_x || index == 0;
        shift_y = shift_y || index == size;
    }
    require(shift_x && shift_y && unknowns.front() == 0, "both shifts must be active, that along x first");
    require(settled >= 0 && tolerance >= 0, "settled and tolerance must not be negative");

    std::vector<EngineLevel> levels;
    for (std::int64_t i = 0; i < level_count; ++i) {
        EngineLevel level;
        level.factor = std::int64_t(1) << (level_count - 1 - i);
        level.step_count = steps[as_size(i)];
        require(level.step_count >= 0, "steps must not be negative");
        const std::int64_t h = height / level.factor, w = width / level.factor;
        require(h >= 4 && w >= 4, "a level is smaller than 4 pixels");
        require_shape(planes[as_size(i)], {channels, 4, h, w}, "planes");
        for (std::int64_t channel = 0; channel < channels; ++channel) {
            level.reference.emplace_back(planes[as_size(i)].data() + channel * 4 * h * w, h, w);
            level.scale.push_back(scale.data()[i * channels + channel]);
            level.dispersion.push_back(dispersion.data()[i * channels + channel]);
        }
        level.preconditioner = padded_preconditioner(preconditioners.data() + i * n * n, n);
        levels.push_back(std::move(level));
    }
    require(steps.back() > 0, "the finest level needs a step");

    const std::int64_t smaller = std::min(height, width);
    const std::int64_t start_factor = smaller >= kCoarseStart ? 4 : smaller >= kBinnedStart ? 2 : 1;
    std::vector<BorderedPlane> binned;
    for (std::int64_t channel = 0; channel < channels; ++channel) {
        FrameStack image;
        image.pixels = reference.data() + channel * height * width;
        image.type = PixelType::f32;
        image.frame_count = image.channel_count = 1;
        image.height = height;
        image.width = width;
        binned.emplace_back();
        binned.back().shape(height / start_factor, width / start_factor);
        bin_frame(image, 0, 0, start_factor, binned.back());
    }
    new (self) Engine(height, width, std::move(levels), binned, start_factor,
                      std::vector<float>(weights.data(), weights.data() + channels), std::move(blocks),
                      std::move(nodes), std::move(unknowns),
                      std::vector<float>(precision.data(), precision.data() + n),
                      EngineSettings{rigid_steps, most_fine_steps, cubic, settled, tolerance});
}

nb::dict py_run(const Engine &self, const Frames &frames, int threads) {
    const FrameStack stack = stack_of(frames);
    const std::int64_t count = stack.frame_count, channels = self.channel_count(), n = self.unknown_count();
    require_shape(frames, {count, self.height(), self.width(), channels}, "frames");
    const std::int64_t size = 2 * self.ky() * self.kx(), points = self.block_rows() * self.block_columns();
    const std::size_t frame_count = as_size(count), channel_count = as_size(channels);
    Result<float> coefficients({frame_count, 2, as_size(self.ky()), as_size(self.kx())});
    Result<float> information({frame_count, 3, as_size(self.block_rows()), as_size(self.block_columns())});
    Result<float> right({frame_count, as_size(n)}), brightness({frame_count, channel_count, 2});
    Result<float> quantile({frame_count, channel_count}), start({frame_count, 2}), rigid({frame_count, 2});
    Result<float> step({frame_count});
    Result<double> objective({frame_count, 2});
    Result<std::int64_t> fine_steps({frame_count}), solver_steps({frame_count});
    {
        const nb::gil_scoped_release released;
        for_frames(
            count, threads, self.height() * self.width() * channels * 64, [&] { return self.workspace(); },
            [&](std::int64_t frame, EngineWorkspace &workspace) {
                EngineOutput output{};
                output.coefficients = coefficients.data() + frame * size;
                output.information = information.data() + frame * 3 * points;
                output.right = right.data() + frame * n;
                output.brightness = brightness.data() + frame * channels * 2;
                output.quantile = quantile.data() + frame * channels;
                output.start = start.data() + frame * 2;
                output.rigid = rigid.data() + frame * 2;
                output.objective = objective.data() + frame * 2;
                output.step = step.data() + frame;
                output.fine_steps = fine_steps.data() + frame;
                output.solver_steps = solver_steps.data() + frame;
                self.run(stack, frame, workspace, output);
            });
    }
    nb::dict results;
    results["coefficients"] = coefficients.array();
    results["information"] = information.array();
    results["right"] = right.array();
    results["brightness"] = brightness.array();
    results["quantile"] = quantile.array();
    results["start"] = start.array();
    results["rigid"] = rigid.array();
    results["objective"] = objective.array();
    results["step"] = step.array();
    results["fine_steps"] = fine_steps.array();
    results["solver_steps"] = solver_steps.array();
    return results;
}

}  // namespace

void define_bayes(nb::module_ &m) {
    m.def("bayes_bin", &py_bin, "frames"_a.noconvert(), "factor"_a, "threads"_a = 1,
          "Means of factor x factor pixels, float32 (T, C, h, w).");
    m.def("bayes_normal_equations", &py_normal_equations, "frames"_a.noconvert(), "factor"_a, "planes"_a.noconvert(),
          "nodes"_a.noconvert(), "brightness"_a.noconvert(), "box"_a = 7, "power"_a = 2, "cubic"_a = false,
          "threads"_a = 1, "Sums over blocks of one linearisation, energy quantiles and brightness sums.");
    m.def("bayes_synthesize", &py_synthesize, "coefficients"_a.noconvert(), "rows"_a.noconvert(),
          "columns"_a.noconvert(), "threads"_a = 1, "Fields (T, Ny, Nx, 2) of coefficients (T, 2, Ky, Kx).");
    m.def("bayes_analyze", &py_analyze, "fields"_a.noconvert(), "rows"_a.noconvert(), "columns"_a.noconvert(),
          "threads"_a = 1, "Products of fields (T, M, Ny, Nx) with all modes, (T, M, Ky, Kx).");
    m.def("bayes_solve", &py_solve, "information"_a.noconvert(), "gradient"_a.noconvert(), "rows"_a.noconvert(),
          "columns"_a.noconvert(), "active"_a.noconvert(), "precision"_a.noconvert(), "preconditioner"_a.noconvert(),
          "tolerance"_a = 0.0f, "step_limit"_a = 30, "threads"_a = 1, "Steps (T, n) of the coefficients.");
    nb::class_<Engine>(m, "BayesEngine", "Everything that happens to a frame after calibration.")
        .def("__init__", &init_engine, "reference"_a.noconvert(), "weights"_a.noconvert(), "planes"_a,
             "scale"_a.noconvert(), "dispersion"_a.noconvert(), "preconditioners"_a.noconvert(),
             "block_rows"_a.noconvert(), "block_columns"_a.noconvert(), "node_rows"_a.noconvert(),
             "node_columns"_a.noconvert(), "active"_a.noconvert(), "precision"_a.noconvert(), "steps"_a,
             "rigid_steps"_a = 3, "cubic"_a = false, "settled"_a = 0.0f, "most_fine_steps"_a = 3,
             "tolerance"_a = 0.003f)
        .def("run", &py_run, "frames"_a.noconvert(), "threads"_a = 1, "Results of all frames by name.");
}

}  // namespace galvo
