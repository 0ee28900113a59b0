// Code trees of the Basic Compression Library's Huffman coder over bytes: the tree that its writer makes of a histogram,
// and the tree at the head of a stream.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace galvo {

constexpr int kSymbols = 256;
constexpr int kMostNodes = 2 * kSymbols - 1;

// Counts by symbol.
using Histogram = std::array<std::uint64_t, kSymbols>;

struct HuffmanTree {
    struct Node {
        std::int16_t child[2];  // reached by a 0 and by a 1; negative on a leaf
        std::uint8_t symbol;    // of a leaf

        bool is_leaf() const noexcept { return child[0] < 0; }
    };

    std::array<Node, kMostNodes> nodes;
    int node_count = 0;
    int root = 0;

    bool is_lone_leaf() const noexcept { return node_count == 1; }
};

// The path to each symbol, root-nearest bit first; length 0: the symbol has no leaf.
struct HuffmanCodes {
    std::array<std::uint64_t, kSymbols> bits{};
    std::array<std::uint8_t, kSymbols> length{};
    int longest = 0;
};

// A tree as it stands in the stream, most significant bit first.
struct SerialTree {
    std::array<std::uint8_t, 10 * kSymbols / 8> bytes{};
    int bit_count = 0;
};

// The writer's tree; at least one count must not be 0. Ties decide which of several equally good trees it is, and with
// that the bytes of the stream.
HuffmanTree tree_of(const Histogram &histogram);

// Throws std::length_error where a code is longer than 56 bits, which takes a histogram of more than 2^39.
HuffmanCodes codes_of(const HuffmanTree &tree);

SerialTree serialized(const HuffmanTree &tree) noexcept;

// Reads the tree at the head of `stream` and sets `bit_count` to its size. Throws std::invalid_argument.
HuffmanTree parse_tree(const std::uint8_t *stream, std::size_t size, std::size_t &bit_count);

}  // namespace galvo
