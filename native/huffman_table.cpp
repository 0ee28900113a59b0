#include "huffman_table.hpp"

#include <algorithm>
#include <numeric>

namespace galvo {
namespace {

constexpr DecodeTable::Entry kSymbolMask = (DecodeTable::Entry(1) << DecodeTable::kLengthShift) - 1;

struct Leaf {
    std::size_t code;
    unsigned length;
    std::uint8_t symbol;
};

struct Visit {
    std::int16_t node;
    std::uint8_t length;
    std::uint32_t code;  // its last bits
};

}  // namespace

DecodeTable::DecodeTable(const HuffmanTree &tree) : tree_(tree), entries_(kEntries) {
    std::array<Leaf, kSymbols> leaves;
    std::array<std::uint8_t, kSymbols> length_of{};
    std::size_t leaf_count = 0;
    std::array<Visit, kSymbols> pending;
    std::size_t depth = 0;
    pending[depth++] = {static_cast<std::int16_t>(tree.root), 0, 0};
    while (depth > 0) {
        const Visit visit = pending[--depth];
        const HuffmanTree::Node &node = tree.nodes[static_cast<std::size_t>(visit.node)];
        if (node.is_leaf()) {
            length_divisor_ = std::gcd(length_divisor_, static_cast<unsigned>(visit.length));
            if (visit.length > kWindow) continue;
            leaves[leaf_count++] = {visit.code, visit.length, node.symbol};
            length_of[node.symbol] = visit.length;
            continue;
        }
        if (visit.length == kWindow) entries_[visit.code] = static_cast<Entry>(visit.node);
        const auto length = static_cast<std::uint8_t>(visit.length + 1);
        pending[depth++] = {node.child[1], length, visit.code << 1 | 1};
        pending[depth++] = {node.child[0], length, visit.code << 1};
    }

    // What a window of w bits holds is its first symbol and what the window of the remaining bits holds.
    std::array<Entry, kEntries> narrower{};  // the windows of w bits from 2^w on; no bits hold no symbols
    for (unsigned w = 1; w <= static_cast<unsigned>(kWindow); ++w) {
        Entry *const windows = w == static_cast<unsigned>(kWindow) ? entries_.data() : narrower.data() + (std::size_t(1) << w);
        for (std::size_t i = 0; i < leaf_count; ++i) {
            const Leaf &leaf = leaves[i];
            if (leaf.length > w) continue;
            const std::size_t rest_count = std::size_t(1) << (w - leaf.length);
            const Entry *const rest = narrower.data() + rest_count;
            Entry *const to = windows + leaf.code * rest_count;
            const Entry first = Entry(1) << kCountShift | Entry(leaf.length) << kLengthShift | leaf.symbol;
            for (std::size_t j = 0; j < rest_count; ++j) {
                Entry behind = rest[j];
                if (behind >> kCountShift == kMostSymbols) {
                    const std::uint8_t last = static_cast<std::uint8_t>(behind >> (8 * (kMostSymbols - 1)));
                    behind -= Entry(1) << kCountShift | Entry(length_of[last]) << kLengthShift;
                }
                to[j] = first + (behind & ~kSymbolMask) + (behind << 8 & kSymbolMask);
            }
            if (w == static_cast<unsigned>(kWindow))
                std::fill_n(first_length_.begin() + static_cast<std::ptrdiff_t>(leaf.code * rest_count), rest_count,
                            static_cast<std::uint8_t>(leaf.length));
        }
    }
}

}  // namespace galvo
