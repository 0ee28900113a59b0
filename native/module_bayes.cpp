// Python face of the kernels of the Bayesian motion estimator.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bayes_inverse.hpp"
#include "bayes_step.hpp"
#include "module_bayes.hpp"
#include "recycled.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {

void define_bayes_engine(nb::module_ &m);  // module_bayes_engine.cpp

namespace {

using namespace bayes;

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
                Field displacement;
                displacement.nodes = nodes.data() + frame * node_rows * node_columns * 2;
                for (std::int64_t channel = 0; channel < channels; ++channel) {
                    const std::int64_t i = frame * channels + channel;
                    if (!bin_frame(stack, frame, channel, factor, workspace.frame)) continue;
                    const float *pair = brightness.data() + i * 2;
                    const StepResult result =
                        linearise(workspace.frame, reference[as_size(channel)],
                                  displacement, settings,
                                  Brightness{pair[0], pair[1]}, workspace.step, sums.data() + i * sums_size);
                    quantiles.data()[i] = result.quantile;
                    std::copy(result.regression.begin(), result.regression.end(), regression.data() + i * 5);
                }
            });
    }
    return nb::make_tuple(sums.array(), quantiles.array(), regression.array());
}

nb::object py_synthesize(const Floats<4> &coefficients, const Floats<2> &rows, const Floats<2> &columns,
                         int threads) {
    const Modes modes = modes_of(rows, columns);
    const std::int64_t count = static_cast<std::int64_t>(coefficients.shape(0));
    require_shape(coefficients, {count, 2, modes.ky(), modes.kx()}, "coefficients");
    const std::int64_t points = modes.row_count() * modes.column_count() * 2;
    auto memory = std::make_unique<Recycled>(as_size(count * points) * sizeof(float));
    float *const out = reinterpret_cast<float *>(memory->data());
    {
        const nb::gil_scoped_release released;
        for_frames(
            count, threads, points * 16,
            [&] { return std::make_unique<std::vector<float>>(as_size(modes.scratch_size())); },
            [&](std::int64_t frame, std::vector<float> &scratch) {
                modes.synthesize(coefficients.data() + frame * 2 * modes.ky() * modes.kx(),
                                 out + frame * points, scratch.data());
            });
    }
    const std::size_t shape[] = {as_size(count), as_size(modes.row_count()), as_size(modes.column_count()), 2};
    const nb::capsule owner(memory.release(), [](void *p) noexcept { delete static_cast<Recycled *>(p); });
    return nb::cast(nb::ndarray<nb::numpy, float>(out, 4, shape, owner));
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

nb::object py_inverse(const nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu> &matrix) {
    const std::int64_t n = static_cast<std::int64_t>(matrix.shape(0));
    require_shape(matrix, {n, n}, "matrix");
    Result<double> out({as_size(n), as_size(n)});
    bool done = false;
    {
        const nb::gil_scoped_release released;
        done = invert(matrix.data(), n, out.data());
    }
    require(done, "the matrix is not positive definite");
    return out.array();
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
    m.def("bayes_inverse", &py_inverse, "matrix"_a.noconvert(), "Inverse of a symmetric positive definite matrix.");
    define_bayes_engine(m);
}

}  // namespace galvo
