// Python face of the warp and of the variational flow.
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <algorithm>
#include <string>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "flow_engine.hpp"
#include "flow_expand.hpp"
#include "flow_median.hpp"
#include "module_motion.hpp"
#include "warp.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

template <class Value, std::size_t dimensions>
using In = nb::ndarray<const Value, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

Sampling sampling_of(const std::string &name) {
    if (name == "cubic") return Sampling::cubic;
    if (name == "linear") return Sampling::linear;
    if (name == "nearest") return Sampling::nearest;
    throw std::invalid_argument("interpolation must be cubic, linear or nearest, not " + name);
}

std::int64_t py_warp(const AnyPixels &frames, const In<float, 4> &displacements, const AnyOut &out,
                     const std::string &interpolation, double cubic_a, std::optional<double> fill_value,
                     const std::optional<In<double, 3>> &fill_image, double reach_before, double reach_after, int threads) {
    for (std::size_t axis = 0; axis < 4; ++axis)
        if (frames.shape(axis) != out.shape(axis)) throw std::invalid_argument("out must have the shape of frames");
    const bool one_row = displacements.shape(1) == 1;
    if ((!one_row && displacements.shape(1) != frames.shape(1)) || displacements.shape(2) != frames.shape(2) || displacements.shape(3) != 2 ||
        (displacements.shape(0) != 1 && displacements.shape(0) != frames.shape(0)))
        throw std::invalid_argument("displacements must be (T or 1, Y or 1, X, 2)");
    Warp warp;
    warp.frames = frames.data();
    warp.out = out.data();
    warp.steps = steps_of(frames);
    warp.out_steps = steps_of(out);
    warp.type = pixel_type(frames.dtype());
    warp.out_type = pixel_type(out.dtype());
    warp.frame_count = static_cast<std::int64_t>(frames.shape(0));
    warp.rows = static_cast<std::int64_t>(frames.shape(1));
    warp.columns = static_cast<std::int64_t>(frames.shape(2));
    warp.channels = static_cast<std::int64_t>(frames.shape(3));
    warp.displacements = displacements.data();
    warp.one_displacement = displacements.shape(0) == 1;
    warp.one_row = one_row;
    warp.sampling = sampling_of(interpolation);
    warp.cubic_a = cubic_a;
    warp.fill = fill_value.has_value() || fill_image.has_value();
    if (fill_value) warp.fill_value = *fill_value;
    if (fill_image) {
        for (std::size_t axis = 0; axis < 3; ++axis)
            if (fill_image->shape(axis) != frames.shape(axis + 1)) throw std::invalid_argument("fill_image must be (Y, X, C)");
        warp.fill_image = fill_image->data();
    }
    warp.reach_before = reach_before;
    warp.reach_after = reach_after;
    warp.threads = threads;
    const nb::gil_scoped_release released;
    return warp_frames(warp);
}

DataTerm term_of(const std::string &name) {
    if (name == "gradient") return DataTerm::gradient;
    if (name == "brightness") return DataTerm::brightness;
    if (name == "census") return DataTerm::census;
    throw std::invalid_argument("the data term must be gradient, brightness or census, not " + name);
}

RawFrames raw_frames(const AnyPixels &frames) {
    RawFrames raw;
    raw.pixels = frames.data();
    raw.type = pixel_type(frames.dtype());
    raw.steps = steps_of(frames);
    raw.frame_count = static_cast<std::int64_t>(frames.shape(0));
    return raw;
}

template <class Array>
Plane plane_of(const Array &image) {
    Plane plane(static_cast<int>(image.shape(0)), static_cast<int>(image.shape(1)));
    for (int y = 0; y < plane.rows(); ++y) {
        const float *from = image.data() + static_cast<std::ptrdiff_t>(y) * plane.columns();
        std::copy(from, from + plane.columns(), plane.row(y));
    }
    return plane;
}

void copy_out(const Plane &plane, float *out) {
    for (int y = 0; y < plane.rows(); ++y)
        std::copy(plane.row(y), plane.row(y) + plane.columns(), out + static_cast<std::ptrdiff_t>(y) * plane.columns());
}

template <std::size_t dimensions>
using Out = nb::ndarray<float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;

void require(bool fits, const char *what) {
    if (!fits) throw std::invalid_argument(what);
}

Preparation preparation_of(const std::vector<double> &offset, const std::vector<double> &scale, double sigma_y, double sigma_x) {
    require(sigma_y >= 0 && sigma_x >= 0 && sigma_y < 1e3 && sigma_x < 1e3, "sigma must be from 0 to 1000 pixels");
    return {offset, scale, sigma_y, sigma_x};
}

void py_prepare(const AnyPixels &frames, const std::vector<double> &offset, const std::vector<double> &scale, double sigma_y,
                double sigma_x, const Out<4> &out, int threads) {
    require(out.shape(0) == frames.shape(0) && out.shape(1) == frames.shape(3) && out.shape(2) == frames.shape(1) &&
                out.shape(3) == frames.shape(2) && offset.size() == frames.shape(3) && scale.size() == frames.shape(3),
            "out must be (T, C, Y, X), and every channel needs an offset and a scale");
    const RawFrames raw = raw_frames(frames);
    const Preparation preparation = preparation_of(offset, scale, sigma_y, sigma_x);
    const nb::gil_scoped_release released;
    prepare_frames(raw, static_cast<int>(frames.shape(1)), static_cast<int>(frames.shape(2)), static_cast<int>(frames.shape(3)),
                   preparation, out.data(), threads);
}

void py_expand(const In<float, 4> &fields, const Out<4> &out, int threads) {
    require(fields.shape(0) == out.shape(0) && fields.shape(3) == 2 && out.shape(3) == 2 && fields.size() > 0 && out.size() > 0,
            "fields and out must be (T, h, w, 2) and (T, Y, X, 2)");
    const nb::gil_scoped_release released;
    expand_fields(fields.data(), static_cast<std::int64_t>(fields.shape(0)), static_cast<int>(fields.shape(1)),
                  static_cast<int>(fields.shape(2)), static_cast<int>(out.shape(1)), static_cast<int>(out.shape(2)), out.data(),
                  threads);
}

void py_resample(const In<float, 2> &image, bool early_taps, const Out<2> &out) {
    const int rows = static_cast<int>(image.shape(0)), columns = static_cast<int>(image.shape(1));
    require(image.size() > 0 && out.size() > 0, "images must not be empty");
    const int to_rows = static_cast<int>(out.shape(0)), to_columns = static_cast<int>(out.shape(1));
    const double smoothing = std::min(static_cast<double>(to_rows) / rows, static_cast<double>(to_columns) / columns);
    const Band along_y = Band::resampled(rows, to_rows, smoothing, early_taps);
    const Band along_x = Band::resampled(columns, to_columns, smoothing, early_taps);
    Plane half(to_rows, columns), whole(to_rows, to_columns);
    std::vector<float> scratch(along_x.scratch_size());
    along_y.along_y(plane_of(image), half);
    along_x.along_x(half, whole, scratch.data());
    copy_out(whole, out.data());
}

void py_median(const In<float, 2> &image, const Out<2> &out) {
    require(image.shape(0) >= 3 && image.shape(1) >= 3 && image.shape(0) == out.shape(0) && image.shape(1) == out.shape(1),
            "both sides must have at least 3 pixels, and out the shape of image");
    Plane whole(static_cast<int>(image.shape(0)), static_cast<int>(image.shape(1)));
    Median median;
    median.resize(whole.columns());
    median.filter(plane_of(image), whole);
    copy_out(whole, out.data());
}

void py_tensor(const In<float, 2> &fixed, const In<float, 2> &moving, double spacing_y, double spacing_x, const std::string &term,
               const Out<3> &out) {
    const int rows = static_cast<int>(fixed.shape(0)), columns = static_cast<int>(fixed.shape(1));
    require(fixed.size() > 0 && moving.shape(0) == fixed.shape(0) && moving.shape(1) == fixed.shape(1) && out.shape(0) == 6 &&
                out.shape(1) == fixed.shape(0) + 2 && out.shape(2) == fixed.shape(1) + 2,
            "images must be of one size, and out (6, Y + 2, X + 2)");
    TensorMaker maker;
    maker.resize(rows, columns, term_of(term));
    Tensor tensor;
    for (Plane &part : tensor) part.resize(rows + 2, columns + 2);
    maker.make(plane_of(fixed), plane_of(moving), static_cast<float>(spacing_y), static_cast<float>(spacing_x), tensor);
    for (std::size_t k = 0; k < 6; ++k) copy_out(tensor[k], out.data() + k * out.shape(1) * out.shape(2));
}

void py_solve_level(const In<float, 4> &tensors, const In<float, 3> &weights, const In<float, 3> &field, double alpha_x,
                    double alpha_y, double spacing_x, double spacing_y, int iterations, int update_lag, double relaxation,
                    const std::vector<float> &a_data, double a_smooth, double robustness, const Out<3> &out) {
    const std::size_t channels = tensors.shape(0), whole_rows = tensors.shape(2), whole_columns = tensors.shape(3);
    require(channels > 0 && tensors.shape(1) == 6 && whole_rows > 2 && whole_columns > 2 && weights.shape(0) == channels &&
                weights.shape(1) == whole_rows && weights.shape(2) == whole_columns && field.shape(0) == 2 &&
                field.shape(1) == whole_rows && field.shape(2) == whole_columns && a_data.size() == channels &&
                out.shape(0) == 2 && out.shape(1) == whole_rows - 2 && out.shape(2) == whole_columns - 2,
            "tensors (C, 6, Y + 2, X + 2), weights (C, Y + 2, X + 2), field (2, Y + 2, X + 2), a_data (C), out (2, Y, X)");
    require(iterations > 0 && update_lag > 0, "iterations and update_lag must be above 0");
    const int rows = static_cast<int>(whole_rows) - 2, columns = static_cast<int>(whole_columns) - 2;
    const std::size_t size = whole_rows * whole_columns;
    const auto whole_plane = [&](const float *from) {
        Plane plane(rows + 2, columns + 2);
        for (int y = 0; y < rows + 2; ++y)
            std::copy(from + y * (columns + 2), from + (y + 1) * (columns + 2), plane.row(y));
        return plane;
    };
    const Skew skew(rows, columns);
    std::vector<Tensor> planes(channels);
    std::vector<float> skewed(static_cast<std::size_t>(skew.size(static_cast<int>(channels))));
    for (std::size_t c = 0; c < channels; ++c) {
        for (std::size_t k = 0; k < 6; ++k) planes[c][k] = whole_plane(tensors.data() + (c * 6 + k) * size);
        skew.skew(whole_plane(weights.data() + c * size), static_cast<int>(c), static_cast<int>(channels), skewed.data());
    }
    SolverSettings settings;
    settings.iterations = iterations;
    settings.update_lag = update_lag;
    settings.relaxation = static_cast<float>(relaxation);
    settings.a_data = a_data;
    settings.a_smooth = static_cast<float>(a_smooth);
    settings.robustness = static_cast<float>(robustness);
    LevelSolver solver;
    solver.reserve(rows, columns, static_cast<int>(channels), settings.a_smooth < 1);
    Plane du(rows, columns), dv(rows, columns);
    const nb::gil_scoped_release released;
    solver.solve(planes, skewed.data(), skew, whole_plane(field.data()), whole_plane(field.data() + size),
                 static_cast<float>(alpha_x), static_cast<float>(alpha_y), static_cast<float>(spacing_x),
                 static_cast<float>(spacing_y), settings, du, dv);
    copy_out(du, out.data());
    copy_out(dv, out.data() + static_cast<std::ptrdiff_t>(rows) * columns);
}

void init_engine(FlowEngine *self, const In<float, 3> &fixed, const In<float, 3> &unknown, const In<float, 3> &weights, const std::vector<double> &offset,
                 const std::vector<double> &scale, double sigma_y, double sigma_x, const In<double, 2> &levels,
                 const std::string &term, int iterations, int update_lag, double relaxation, const std::vector<float> &a_data,
                 double a_smooth, bool early_taps, bool thirty_seconds, bool cascade, bool warp_coarsest, const std::vector<float> &stages,
                 int warping_steps) {
    for (std::size_t axis = 0; axis < 3; ++axis)
        require(weights.shape(axis) == fixed.shape(axis) && unknown.shape(axis) == fixed.shape(axis),
                "unknown and weights must have the shape of fixed, (C, Y, X)");
    require(levels.shape(1) == 4, "levels must be (levels, 4): rows, columns, alpha along x, along y");
    require(iterations > 0 && update_lag > 0 && warping_steps > 0, "iterations, update_lag and warping_steps must be above 0");
    FlowSettings settings;
    settings.channels = static_cast<int>(fixed.shape(0));
    settings.rows = static_cast<int>(fixed.shape(1));
    settings.columns = static_cast<int>(fixed.shape(2));
    for (std::size_t i = 0; i < levels.shape(0); ++i) {
        const double *row = levels.data() + 4 * i;
        settings.levels.push_back({static_cast<int>(row[0]), static_cast<int>(row[1]), static_cast<float>(row[2]),
                                   static_cast<float>(row[3])});
    }
    settings.term = term_of(term);
    settings.solver.iterations = iterations;
    settings.solver.update_lag = update_lag;
    settings.solver.relaxation = static_cast<float>(relaxation);
    settings.solver.a_data = a_data;
    settings.solver.a_smooth = static_cast<float>(a_smooth);
    settings.early_taps = early_taps;
    settings.thirty_seconds = thirty_seconds;
    settings.cascade = cascade;
    settings.warp_coarsest = warp_coarsest;
    settings.stages = stages;
    settings.warping_steps = warping_steps;
    new (self) FlowEngine(settings, preparation_of(offset, scale, sigma_y, sigma_x), fixed.data(), unknown.data(),
                          weights.data());
}

void engine_solve(const FlowEngine &self, const AnyPixels &frames, const std::optional<In<float, 3>> &start, const Out<4> &out,
                  int threads) {
    require(static_cast<int>(frames.shape(1)) == self.rows() && static_cast<int>(frames.shape(2)) == self.columns() &&
                static_cast<int>(frames.shape(3)) == self.channels(),
            "frames must be (T, Y, X, C) as the reference");
    require(out.shape(0) == frames.shape(0) && static_cast<int>(out.shape(1)) == self.finest().rows &&
                static_cast<int>(out.shape(2)) == self.finest().columns && out.shape(3) == 2,
            "out must be (T, h, w, 2) of the finest level");
    if (start)
        require(start->shape(0) == frames.shape(1) && start->shape(1) == frames.shape(2) && start->shape(2) == 2,
                "start must be (Y, X, 2)");
    const RawFrames raw = raw_frames(frames);
    const nb::gil_scoped_release released;
    self.solve(raw, start ? start->data() : nullptr, out.data(), threads);
}

}  // namespace

void define_flow(nb::module_ &m) {
    m.def("warp", &py_warp, "frames"_a, "displacements"_a.noconvert(), "out"_a.noconvert(), "interpolation"_a = "cubic",
          "cubic_a"_a = -0.5, "fill_value"_a.none() = nb::none(), "fill_image"_a.noconvert().none() = nb::none(),
          "reach_before"_a = 0.5, "reach_after"_a = 0.5, "threads"_a = 1,
          "Fill `out` with the frames sampled at displaced positions; the number of displacements that are not finite.");
    m.def("flow_prepare", &py_prepare, "frames"_a, "offset"_a, "scale"_a, "sigma_y"_a, "sigma_x"_a, "out"_a.noconvert(),
          "threads"_a = 1, "Fill `out` with normalised and smoothed frames.");
    m.def("flow_expand", &py_expand, "fields"_a.noconvert(), "out"_a.noconvert(), "threads"_a = 1,
          "Fill `out` with fields interpolated to another size.");
    m.def("flow_resample", &py_resample, "image"_a.noconvert(), "early_taps"_a, "out"_a.noconvert(),
          "Fill `out` with an image at another size.");
    m.def("flow_median", &py_median, "image"_a.noconvert(), "out"_a.noconvert(), "Fill `out` with medians of 5 x 5 pixels.");
    m.def("flow_tensor", &py_tensor, "fixed"_a.noconvert(), "moving"_a.noconvert(), "spacing_y"_a, "spacing_x"_a, "term"_a,
          "out"_a.noconvert(), "Fill `out` with the motion tensor of two images.");
    m.def("flow_solve_level", &py_solve_level, "tensors"_a.noconvert(), "weights"_a.noconvert(), "field"_a.noconvert(),
          "alpha_x"_a, "alpha_y"_a, "spacing_x"_a, "spacing_y"_a, "iterations"_a, "update_lag"_a, "relaxation"_a, "a_data"_a,
          "a_smooth"_a, "robustness"_a, "out"_a.noconvert(), "Fill `out` with the increments of one level.");
    nb::class_<FlowEngine>(m, "FlowEngine", "The pyramid of a reference, and fields of frames against it.")
        .def("__init__", &init_engine, "fixed"_a.noconvert(), "unknown"_a.noconvert(), "weights"_a.noconvert(), "offset"_a, "scale"_a, "sigma_y"_a,
             "sigma_x"_a, "levels"_a.noconvert(), "term"_a, "iterations"_a, "update_lag"_a, "relaxation"_a, "a_data"_a,
             "a_smooth"_a, "early_taps"_a, "thirty_seconds"_a, "cascade"_a, "warp_coarsest"_a, "stages"_a, "warping_steps"_a)
        .def("solve", &engine_solve, "frames"_a, "start"_a.noconvert().none(), "out"_a.noconvert(), "threads"_a = 1,
             "Fill `out` with the fields of frames at the finest level.");
}

}  // namespace galvo
