// The LZW of GIF: codes least significant bit first, in blocks of at most 255 bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace galvo {

// Image data for indices of 8 bits: code size, blocks, terminator.
std::vector<std::uint8_t> gif_encode(const std::uint8_t *indices, std::size_t size);

// Fills `out` from image data; the number of indices that there were, at most `size`.
// Throws std::invalid_argument for a code that cannot be.
std::size_t gif_decode(const std::uint8_t *data, std::size_t nbytes, std::uint8_t *out, std::size_t size);

}  // namespace galvo
