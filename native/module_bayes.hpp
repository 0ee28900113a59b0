// What the Python faces of the Bayesian estimator's kernels share: arguments checked, results allocated, frames in
// parallel.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "bayes_frame.hpp"
#include "bayes_modes.hpp"
#include "jobs.hpp"

namespace galvo::bayes {

namespace nb = nanobind;

using Frames = nb::ndarray<nb::ndim<4>, nb::ro, nb::c_contig, nb::device::cpu>;
template <int kAxes>
using Floats = nb::ndarray<const float, nb::ndim<kAxes>, nb::c_contig, nb::device::cpu>;
using Indices = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline PixelType pixel_type(const Frames &frames) {
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

inline FrameStack stack_of(const Frames &frames) {
    FrameStack stack;
    stack.pixels = frames.data();
    stack.type = pixel_type(frames);
    stack.frame_count = static_cast<std::int64_t>(frames.shape(0));
    stack.height = static_cast<std::int64_t>(frames.shape(1));
    stack.width = static_cast<std::int64_t>(frames.shape(2));
    stack.channel_count = static_cast<std::int64_t>(frames.shape(3));
    return stack;
}

inline void require(bool holds, const char *message) {
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

inline void require_factor(std::int64_t factor) { require(factor == 1 || factor == 2 || factor == 4, "factor must be 1, 2 or 4"); }

// Memory that becomes an array; zeros where nothing is written to it.
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

inline std::size_t as_size(std::int64_t value) noexcept { return static_cast<std::size_t>(value); }

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

inline Modes modes_of(const Floats<2> &rows, const Floats<2> &columns) {
    return Modes(rows.data(), static_cast<std::int64_t>(rows.shape(0)), static_cast<std::int64_t>(rows.shape(1)),
                 columns.data(), static_cast<std::int64_t>(columns.shape(0)),
                 static_cast<std::int64_t>(columns.shape(1)));
}

}  // namespace galvo::bayes
