// Lines that become columns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

// Item i of source line j becomes item j of output line i. Strides are bytes from line to line; items of `width` bytes
// (1, 2, 4, 8 or 16) lie side by side in both. Source and output do not overlap.
void transpose(const std::uint8_t *source, std::ptrdiff_t source_stride, std::uint8_t *out, std::ptrdiff_t out_stride,
               std::size_t source_lines, std::size_t out_lines, std::size_t width) noexcept;

}  // namespace galvo
