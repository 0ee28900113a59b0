#include "sqrt_quantize.hpp"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <type_traits>

namespace galvo {
namespace {

inline std::uint8_t quantized(std::uint16_t pixel, float offset, float inverse) noexcept {
    const float above = static_cast<float>(pixel) - offset;
    const float root = inverse * std::sqrt(above > 0 ? above : 0.0f);
    const float code = root < 255.0f ? root : 255.0f;
    const int whole = static_cast<int>(code);
    return static_cast<std::uint8_t>(whole + (code - static_cast<float>(whole) >= 0.5f));
}

template <class Pixel>
inline Pixel dequantized(std::uint8_t code, float offset, float scale) noexcept {
    const float root = static_cast<float>(code) * scale;
    const float pixel = root * root + offset;
    if (std::is_floating_point<Pixel>::value) return static_cast<Pixel>(pixel);
    constexpr float largest = static_cast<float>(std::numeric_limits<Pixel>::max());
    return static_cast<Pixel>(pixel > 0 ? (pixel < largest ? pixel : largest) : 0.0f);
}

template <class Pixel>
void dequantize_all(const std::uint8_t *codes, std::size_t count, Pixel *out, float offset, float scale) noexcept {
    for (std::size_t i = 0; i < count; ++i) out[i] = dequantized<Pixel>(codes[i], offset, scale);
}

}  // namespace

SqrtQuantizer::SqrtQuantizer(double offset, double scale)
    : offset_(static_cast<float>(offset)), scale_(static_cast<float>(scale)), inverse_(static_cast<float>(1.0 / scale)) {
    if (!std::isfinite(offset_)) throw std::invalid_argument("offset must be finite as float32");
    if (!(scale > 0) || !(scale_ > 0) || !std::isfinite(scale_) || !(inverse_ > 0) || !std::isfinite(inverse_))
        throw std::invalid_argument("scale must be above 0 and finite as float32, and so must be 1 / scale");
}

void SqrtQuantizer::quantize(const std::uint16_t *pixels, std::size_t count, std::uint8_t *codes) const noexcept {
    for (std::size_t i = 0; i < count; ++i) codes[i] = quantized(pixels[i], offset_, inverse_);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, std::uint8_t *out) const noexcept {
    dequantize_all(codes, count, out, offset_, scale_);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, std::uint16_t *out) const noexcept {
    dequantize_all(codes, count, out, offset_, scale_);
}

void SqrtQuantizer::dequantize(const std::uint8_t *codes, std::size_t count, float *out) const noexcept {
    dequantize_all(codes, count, out, offset_, scale_);
}

}  // namespace galvo
