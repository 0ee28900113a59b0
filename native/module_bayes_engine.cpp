// Python face of the engine of the Bayesian motion estimator.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/vector.h>

#include "bayes_engine.hpp"
#include "module_bayes.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

using namespace bayes;

constexpr std::int64_t kCoarseStart = 384;  // pixels; smaller frames need finer bins for as many bins
constexpr std::int64_t kBinnedStart = 64;

void init_engine(Engine *self, const Floats<3> &reference, const Floats<1> &weights,
                 const std::vector<Floats<4>> &planes, const Floats<2> &scale, const Floats<2> &dispersion,
                 const Floats<3> &preconditioners, const Floats<2> &block_rows, const Floats<2> &block_columns,
                 const Floats<2> &node_rows, const Floats<2> &node_columns, const Indices &active,
                 const Floats<1> &precision, const std::vector<int> &steps, int rigid_steps, bool cubic,
                 float settled, int most_fine_steps, float tolerance, std::optional<Floats<2>> pixel_rows,
                 std::optional<Floats<2>> pixel_columns) {
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
    std::optional<Modes> pixels;
    if (pixel_rows && pixel_columns) {
        require_shape(*pixel_rows, {height, blocks.ky()}, "pixel_rows");
        require_shape(*pixel_columns, {width, blocks.kx()}, "pixel_columns");
        pixels = modes_of(*pixel_rows, *pixel_columns);
    }
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
                      std::move(nodes), std::move(pixels), std::move(unknowns),
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
    results["step"] = step.array();
    results["fine_steps"] = fine_steps.array();
    results["solver_steps"] = solver_steps.array();
    return results;
}

}  // namespace

void define_bayes_engine(nb::module_ &m) {
    nb::class_<Engine>(m, "BayesEngine", "Everything that happens to a frame after calibration.")
        .def("__init__", &init_engine, "reference"_a.noconvert(), "weights"_a.noconvert(), "planes"_a,
             "scale"_a.noconvert(), "dispersion"_a.noconvert(), "preconditioners"_a.noconvert(),
             "block_rows"_a.noconvert(), "block_columns"_a.noconvert(), "node_rows"_a.noconvert(),
             "node_columns"_a.noconvert(), "active"_a.noconvert(), "precision"_a.noconvert(), "steps"_a,
             "rigid_steps"_a = 3, "cubic"_a = false, "settled"_a = 0.0f, "most_fine_steps"_a = 3,
             "tolerance"_a = 0.003f, "pixel_rows"_a.noconvert() = nb::none(),
             "pixel_columns"_a.noconvert() = nb::none())
        .def("run", &py_run, "frames"_a.noconvert(), "threads"_a = 1, "Results of all frames by name.");
}

}  // namespace galvo
