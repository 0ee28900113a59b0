// Python face of the measures of corrected frames.
#include <cstdint>
#include <memory>
#include <stdexcept>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "frame_quality.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

template <std::size_t dimensions>
using In = nb::ndarray<const float, nb::ndim<dimensions>, nb::c_contig, nb::device::cpu>;
using Numbers = nb::ndarray<nb::numpy, float, nb::ndim<2>>;

Numbers py_frame_quality(const In<4> &corrected, const In<4> &displacements, const In<3> &reference,
                         int threads) {
    for (std::size_t axis = 0; axis < 3; ++axis) {
        if (displacements.shape(axis) != corrected.shape(axis)) throw std::invalid_argument("displacements must be (T, Y, X, 2)");
        if (reference.shape(axis) != corrected.shape(axis + 1)) throw std::invalid_argument("reference must be (Y, X, C)");
    }
    if (displacements.shape(3) != 2) throw std::invalid_argument("displacements must be (T, Y, X, 2)");
    FrameQuality given;
    given.corrected = corrected.data();
    given.displacements = displacements.data();
    given.reference = reference.data();
    given.frame_count = static_cast<std::int64_t>(corrected.shape(0));
    given.rows = static_cast<std::int64_t>(corrected.shape(1));
    given.columns = static_cast<std::int64_t>(corrected.shape(2));
    given.channels = static_cast<std::int64_t>(corrected.shape(3));
    given.threads = threads;
    auto out = std::make_unique<float[]>(corrected.shape(0) * kQualityNumbers);
    {
        const nb::gil_scoped_release released;
        measure_frames(given, out.get());
    }
    float *numbers = out.release();
    const nb::capsule owner(numbers, [](void *pointer) noexcept { delete[] static_cast<float *>(pointer); });
    return Numbers(numbers, {corrected.shape(0), kQualityNumbers}, owner);
}

}  // namespace

void define_quality(nb::module_ &m) {
    m.def("frame_quality", &py_frame_quality, "corrected"_a.noconvert(), "displacements"_a.noconvert(),
          "reference"_a.noconvert(), "threads"_a = 1,
          "Correlation, residual, crispness, mean and greatest length, divergence of each frame: float32 (T, 6).");
}

}  // namespace galvo
