// Byte order reversal in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

// Reverses the bytes of each `width`-byte element (2, 4 or 8; 1 does nothing); `size` is a multiple of `width`.
void swap_bytes(std::uint8_t *data, std::size_t size, int width) noexcept;

}  // namespace galvo
