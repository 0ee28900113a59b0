// How rows are laid out for vectors.
#pragma once

#include <cstdint>

namespace galvo {

constexpr std::int64_t kLanes = 8;  // floats of a vector

constexpr std::int64_t rounded_up(std::int64_t value, std::int64_t multiple) noexcept {
    return (value + multiple - 1) / multiple * multiple;
}

}  // namespace galvo
