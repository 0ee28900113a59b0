#include "huffman_tree.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>

namespace galvo {
namespace {

constexpr int kIndexBits = 9;  // kMostNodes fits
constexpr std::uint64_t kIndexMask = (1u << kIndexBits) - 1;
constexpr int kLongestCode = 56;

// A subtree that is yet to be visited.
struct Visit {
    std::int16_t node;
    std::uint8_t length;
    std::uint64_t bits;
};

void append(SerialTree &serial, unsigned bits, int count) noexcept {
    for (int bit = count - 1; bit >= 0; --bit, ++serial.bit_count)
        if ((bits >> bit) & 1u)
            serial.bytes[static_cast<std::size_t>(serial.bit_count >> 3)] |=
                static_cast<std::uint8_t>(0x80u >> (serial.bit_count & 7));
}

}  // namespace

HuffmanTree tree_of(const Histogram &histogram) {
    // A key is (count, -node), so that one comparison settles ties towards the highest node.
    std::array<std::uint64_t, kSymbols> heap;
    std::size_t size = 0;
    HuffmanTree tree;
    for (int symbol = 0; symbol < kSymbols; ++symbol) {
        const std::uint64_t count = histogram[static_cast<std::size_t>(symbol)];
        if (count == 0) continue;
        heap[size++] = count << kIndexBits | (kIndexMask - static_cast<unsigned>(tree.node_count));
        tree.nodes[static_cast<std::size_t>(tree.node_count++)] = {{-1, -1}, static_cast<std::uint8_t>(symbol)};
    }
    if (size == 0) throw std::invalid_argument("an empty histogram has no tree");

    const auto begin = heap.begin();
    const auto at = [&](std::size_t i) { return begin + static_cast<std::ptrdiff_t>(i); };
    std::make_heap(begin, at(size), std::greater<>());
    while (size > 1) {
        std::pop_heap(begin, at(size), std::greater<>());
        const std::uint64_t first = heap[--size];
        std::pop_heap(begin, at(size), std::greater<>());
        const std::uint64_t second = heap[size - 1];
        const auto node_of = [](std::uint64_t key) { return static_cast<std::int16_t>(kIndexMask - (key & kIndexMask)); };
        heap[size - 1] = ((first >> kIndexBits) + (second >> kIndexBits)) << kIndexBits |
                         (kIndexMask - static_cast<unsigned>(tree.node_count));
        std::push_heap(begin, at(size), std::greater<>());
        tree.nodes[static_cast<std::size_t>(tree.node_count++)] = {{node_of(first), node_of(second)}, 0};
    }
    tree.root = tree.node_count - 1;
    return tree;
}

HuffmanCodes codes_of(const HuffmanTree &tree) {
    HuffmanCodes codes;
    std::array<Visit, kSymbols> pending;
    std::size_t depth = 0;
    // The writer gives a lone symbol one bit, 0, although its tree has no branch.
    pending[depth++] = {static_cast<std::int16_t>(tree.root), static_cast<std::uint8_t>(tree.is_lone_leaf() ? 1 : 0), 0};
    while (depth > 0) {
        const Visit visit = pending[--depth];
        const HuffmanTree::Node &node = tree.nodes[static_cast<std::size_t>(visit.node)];
        if (node.is_leaf()) {
            if (visit.length > kLongestCode) throw std::length_error("a code is longer than 56 bits");
            codes.bits[node.symbol] = visit.bits;
            codes.length[node.symbol] = visit.length;
            codes.longest = std::max<int>(codes.longest, visit.length);
            continue;
        }
        const auto length = static_cast<std::uint8_t>(visit.length + 1);
        pending[depth++] = {node.child[1], length, visit.bits << 1 | 1};
        pending[depth++] = {node.child[0], length, visit.bits << 1};
    }
    return codes;
}

SerialTree serialized(const HuffmanTree &tree) noexcept {
    SerialTree serial;
    std::array<std::int16_t, kSymbols> pending;
    std::size_t depth = 0;
    pending[depth++] = static_cast<std::int16_t>(tree.root);
    while (depth > 0) {
        const HuffmanTree::Node &node = tree.nodes[static_cast<std::size_t>(pending[--depth])];
        if (node.is_leaf()) {
            append(serial, 0x100u | node.symbol, 9);
            continue;
        }
        append(serial, 0, 1);
        pending[depth++] = node.child[1];
        pending[depth++] = node.child[0];
    }
    return serial;
}

HuffmanTree parse_tree(const std::uint8_t *stream, std::size_t size, std::size_t &bit_count) {
    HuffmanTree tree;
    // Every 0 opens two subtrees; `open` are the child slots that the next nodes fill, the 0-branch on top.
    struct Slot {
        std::int16_t parent;
        std::uint8_t branch;
    };
    std::array<Slot, kMostNodes + 1> open;
    std::array<bool, kSymbols> seen{};
    std::size_t depth = 0, position = 0;
    int inner_count = 0;
    const std::size_t end = size * 8;
    const auto next_bit = [&] {
        if (position == end)
            throw std::invalid_argument("the stream ends at bit " + std::to_string(end) + ", inside the tree");
        const unsigned bit = (stream[position >> 3] >> (7 - (position & 7))) & 1u;
        ++position;
        return bit;
    };

    open[depth++] = {-1, 0};
    while (depth > 0) {
        const Slot slot = open[--depth];
        const auto index = static_cast<std::int16_t>(tree.node_count++);
        HuffmanTree::Node &node = tree.nodes[static_cast<std::size_t>(index)];
        node = {{-1, -1}, 0};
        if (slot.parent >= 0) tree.nodes[static_cast<std::size_t>(slot.parent)].child[slot.branch] = index;
        if (next_bit() == 0) {
            // An inner node more than 255 needs more leaves than there are symbols.
            if (++inner_count >= kSymbols) throw std::invalid_argument("the tree has more than 511 nodes");
            open[depth++] = {index, 1};
            open[depth++] = {index, 0};
            continue;
        }
        const std::size_t symbol_bit = position;
        unsigned symbol = 0;
        for (int bit = 0; bit < 8; ++bit) symbol = symbol << 1 | next_bit();
        if (seen[symbol])
            throw std::invalid_argument("the tree holds symbol " + std::to_string(symbol) + " twice, again at bit " +
                                        std::to_string(symbol_bit));
        seen[symbol] = true;
        node.symbol = static_cast<std::uint8_t>(symbol);
    }
    bit_count = position;
    return tree;
}

}  // namespace galvo
