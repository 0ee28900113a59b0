// Python face of the warp and of the variational flow.
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

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
    if (displacements.shape(1) != frames.shape(1) || displacements.shape(2) != frames.shape(2) || displacements.shape(3) != 2 ||
        (displacements.shape(0) != 1 && displacements.shape(0) != frames.shape(0)))
        throw std::invalid_argument("displacements must be (T or 1, Y, X, 2)");
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

}  // namespace

void define_flow(nb::module_ &m) {
    m.def("warp", &py_warp, "frames"_a, "displacements"_a.noconvert(), "out"_a.noconvert(), "interpolation"_a = "cubic",
          "cubic_a"_a = -0.5, "fill_value"_a.none() = nb::none(), "fill_image"_a.noconvert().none() = nb::none(),
          "reach_before"_a = 0.5, "reach_after"_a = 0.5, "threads"_a = 1,
          "Fill `out` with the frames sampled at displaced positions; the number of displacements that are not finite.");
}

}  // namespace galvo
