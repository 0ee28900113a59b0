#include "huffman_encode.hpp"

#include <cstring>
#include <stdexcept>

namespace galvo {

HuffmanEncoder::HuffmanEncoder(const std::uint8_t *data, std::size_t size, int threads)
    : data_(data), size_(size), threads_(threads) {
    if (size == 0) return;
    Histogram histogram{};
    for (std::size_t i = 0; i < size; ++i) ++histogram[data[i]];
    const HuffmanTree tree = tree_of(histogram);
    tree_ = serialized(tree);
    codes_ = codes_of(tree);
    bit_count_ = static_cast<std::size_t>(tree_.bit_count);
    for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) bit_count_ += histogram[symbol] * codes_.length[symbol];
}

void HuffmanEncoder::write(std::uint8_t *out) const {
    std::memset(out, 0, stream_size());
    std::memcpy(out, tree_.bytes.data(), static_cast<std::size_t>((tree_.bit_count + 7) / 8));
    std::size_t position = static_cast<std::size_t>(tree_.bit_count);
    for (std::size_t i = 0; i < size_; ++i) {
        const std::uint8_t length = codes_.length[data_[i]];
        if (length == 0 || length > bit_count_ - position) throw std::runtime_error("the data changed while they were encoded");
        for (int bit = length - 1; bit >= 0; --bit, ++position)
            out[position >> 3] = static_cast<std::uint8_t>(out[position >> 3] | ((codes_.bits[data_[i]] >> bit) & 1) << (7 - (position & 7)));
    }
}

}  // namespace galvo
