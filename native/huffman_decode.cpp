#include "huffman_decode.hpp"

#include <cstring>
#include <stdexcept>
#include <string>

#include "huffman_tree.hpp"

namespace galvo {
namespace {

[[noreturn]] void raise_early_end(std::size_t bit_count, std::size_t done, std::size_t count) {
    throw std::invalid_argument("the stream ends at bit " + std::to_string(bit_count) + ", after " + std::to_string(done) +
                                " of " + std::to_string(count) + " symbols");
}

}  // namespace

std::size_t huffman_decode(const std::uint8_t *stream, std::size_t size, std::uint8_t *out, std::size_t count, int) {
    if (count == 0) return 0;
    std::size_t position = 0;
    const HuffmanTree tree = parse_tree(stream, size, position);
    const std::size_t end = size * 8;
    if (tree.is_lone_leaf()) {
        if (count > end - position) raise_early_end(end, end - position, count);
        std::memset(out, tree.nodes[0].symbol, count);
        return (position + count + 7) / 8;
    }
    for (std::size_t done = 0; done < count; ++done) {
        const HuffmanTree::Node *node = &tree.nodes[static_cast<std::size_t>(tree.root)];
        while (!node->is_leaf()) {
            if (position == end) raise_early_end(end, done, count);
            node = &tree.nodes[static_cast<std::size_t>(node->child[(stream[position >> 3] >> (7 - (position & 7))) & 1])];
            ++position;
        }
        out[done] = node->symbol;
    }
    return (position + 7) / 8;
}

}  // namespace galvo
