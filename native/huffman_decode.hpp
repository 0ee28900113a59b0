// Reading Huffman streams of the Basic Compression Library. Nothing in a stream is trusted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "sqrt_quantize.hpp"

namespace galvo {

// Decodes `count` bytes into `out`; the number of bytes of the stream that were used. Throws std::invalid_argument where
// the tree is malformed or the stream ends too early.
std::size_t huffman_decode(const std::uint8_t *stream, std::size_t size, std::uint8_t *out, std::size_t count, int threads);

}  // namespace galvo
