// Huffman streams written bit for bit as the Basic Compression Library writes them, by any number of threads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "huffman_tree.hpp"
#include "sqrt_quantize.hpp"

namespace galvo {

// A stream in two steps, so that the caller can make room for exactly its size: the constructor counts, write() encodes.
class HuffmanEncoder {
  public:
    HuffmanEncoder(const std::uint8_t *data, std::size_t size, int threads);

    std::size_t stream_size() const noexcept { return (bit_count_ + 7) / 8; }

    // Fills stream_size() bytes. Throws std::runtime_error when the data are not those that were counted.
    void write(std::uint8_t *out) const;

  private:
    const std::uint8_t *data_;
    std::size_t size_;
    int threads_;
    SerialTree tree_;
    HuffmanCodes codes_;
    std::size_t bit_count_ = 0;
};

}  // namespace galvo
