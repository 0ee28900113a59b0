// Arrays of motion's kernels as Python passes them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <stdexcept>

#include "warp.hpp"

namespace galvo {

namespace nb = nanobind;

// Pixels of any dtype, their axes in any order in memory.
using AnyPixels = nb::ndarray<nb::ro, nb::ndim<4>, nb::device::cpu>;
using AnyOut = nb::ndarray<nb::ndim<4>, nb::device::cpu>;

template <class Array>
Steps steps_of(const Array &pixels) {
    return {static_cast<std::ptrdiff_t>(pixels.stride(0)), static_cast<std::ptrdiff_t>(pixels.stride(1)),
            static_cast<std::ptrdiff_t>(pixels.stride(2)), static_cast<std::ptrdiff_t>(pixels.stride(3))};
}

inline PixelType pixel_type(nanobind::dlpack::dtype dtype) {
    using Code = nb::dlpack::dtype_code;
    if (dtype.lanes == 1) {
        const auto is = [&](Code code, int bits) { return dtype.code == static_cast<std::uint8_t>(code) && dtype.bits == bits; };
        if (is(Code::Int, 8)) return PixelType::int8;
        if (is(Code::UInt, 8)) return PixelType::uint8;
        if (is(Code::Int, 16)) return PixelType::int16;
        if (is(Code::UInt, 16)) return PixelType::uint16;
        if (is(Code::Int, 32)) return PixelType::int32;
        if (is(Code::UInt, 32)) return PixelType::uint32;
        if (is(Code::Int, 64)) return PixelType::int64;
        if (is(Code::UInt, 64)) return PixelType::uint64;
        if (is(Code::Float, 32)) return PixelType::float32;
        if (is(Code::Float, 64)) return PixelType::float64;
    }
    throw nb::type_error("pixels must be integers of 8 to 64 bits, float32 or float64");
}

}  // namespace galvo
