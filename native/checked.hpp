// Arithmetic on sizes and file positions that cannot wrap.
#pragma once

#include <cstdint>
#include <limits>

namespace galvo {

constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

// Sum and product of two values >= 0; false when the result does not fit.
inline bool add_fits(std::int64_t a, std::int64_t b, std::int64_t &sum) noexcept {
    if (a > kLargest - b) return false;
    sum = a + b;
    return true;
}

inline bool multiply_fits(std::int64_t a, std::int64_t b, std::int64_t &product) noexcept {
    if (b != 0 && a > kLargest / b) return false;
    product = a * b;
    return true;
}

}  // namespace galvo
