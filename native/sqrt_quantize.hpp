// PZF's square root quantisation in float32: code = round(sqrt(pixel - offset) / scale), pixel = (code scale)^2 + offset.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace galvo {

class PairCounts;

class SqrtQuantizer {
  public:
    // Throws std::invalid_argument unless offset and scale are finite as float32, and scale and 1 / scale above 0.
    SqrtQuantizer(double offset, double scale);

    // Halves are rounded away from 0; pixels below the offset give 0, codes above 255 give 255.
    void quantize(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes) const noexcept;

    // Counts the codes as well, in hardly more time. `count` is even.
    void quantize(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes, PairCounts &counts) const noexcept;

    // Integers are cut off below the point and saturate at the ends of their type.
    void dequantize(const std::uint8_t *codes, std::size_t count, std::uint8_t *out) const noexcept;
    void dequantize(const std::uint8_t *codes, std::size_t count, std::uint16_t *out) const noexcept;
    void dequantize(const std::uint8_t *codes, std::size_t count, float *out) const noexcept;

  private:
    float offset_, scale_, inverse_;
};

}  // namespace galvo
