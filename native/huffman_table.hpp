// Look-up tables that turn the next bits of a Huffman stream into symbols.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "huffman_tree.hpp"

namespace galvo {

class DecodeTable {
  public:
    static constexpr int kWindow = 12;  // bits that index the table
    static constexpr std::size_t kEntries = std::size_t(1) << kWindow;
    static constexpr int kMostSymbols = 6;

    // Symbols that lie wholly in the window, the first one in the lowest byte; their length in bits above them; their
    // number on top. No symbols: the first code is longer than the window.
    using Entry = std::uint64_t;
    static constexpr int kLengthShift = 48, kCountShift = 56;

    // The tree must have a branch.
    explicit DecodeTable(const HuffmanTree &tree);

    const Entry *entries() const noexcept { return entries_.data(); }
    const HuffmanTree &tree() const noexcept { return tree_; }

    // The length of the first symbol in the window, 0 where its code is longer.
    unsigned first_length(std::size_t window) const noexcept { return first_length_[window]; }

    // The node that the window's bits lead to where they are only the beginning of a code.
    int node_behind(std::size_t window) const noexcept { return static_cast<int>(entries_[window] & 0xFFFF); }

    // Largest number that divides the lengths of all codes: symbols start at multiples of it only.
    unsigned length_divisor() const noexcept { return length_divisor_; }

  private:
    HuffmanTree tree_;
    std::vector<Entry> entries_;
    std::array<std::uint8_t, kEntries> first_length_{};
    unsigned length_divisor_ = 0;
};

}  // namespace galvo
