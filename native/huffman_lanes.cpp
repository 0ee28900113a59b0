#include "huffman_lanes.hpp"

#include "isa.hpp"

namespace galvo {
namespace {

using Entry = DecodeTable::Entry;

constexpr int kWindow = DecodeTable::kWindow;
constexpr std::size_t kLengthByte = kLittleHost ? DecodeTable::kLengthShift / 8 : 7 - DecodeTable::kLengthShift / 8;
constexpr std::size_t kCountByte = kLittleHost ? DecodeTable::kCountShift / 8 : 7 - DecodeTable::kCountShift / 8;

// Behind a code that is longer than a window, if no longer than a step. By value, so that lanes can stay in registers.
GALVO_NOINLINE Cursor after_long_code(Cursor cursor, const DecodeTable &table) noexcept {
    const std::size_t window = cursor.bits >> (64 - kWindow);
    if (table.first_length(window) != 0) return cursor;  // somebody writes to the stream meanwhile
    const HuffmanTree &tree = table.tree();
    const HuffmanTree::Node *node = &tree.nodes[static_cast<std::size_t>(table.node_behind(window))];
    std::size_t used = kWindow;
    for (; !node->is_leaf() && used < kStepBits; ++used)
        node = &tree.nodes[static_cast<std::size_t>(node->child[(cursor.bits >> (63 - used)) & 1])];
    if (!node->is_leaf()) return cursor;
    *cursor.out++ = node->symbol;
    cursor.bits <<= used;
    cursor.load(trailing_zeros(cursor.bits));
    return cursor;
}

template <int kCount>
GALVO_INLINE bool step(Cursor (&lanes)[kCount], const DecodeTable &table, std::size_t steps) noexcept {
    const Entry *const entries = table.entries();
    Cursor local[kCount];
    for (int lane = 0; lane < kCount; ++lane) local[lane] = lanes[lane];
    bool stopped = false;
    for (; steps > 0 && !stopped; --steps) {
        std::size_t last[kCount];
        for (int lookup = 0; lookup < kLookups; ++lookup)
            for (int lane = 0; lane < kCount; ++lane) {
                Cursor &cursor = local[lane];
                const Entry *const entry = entries + (cursor.bits >> (64 - kWindow));
                // Loads of single bytes, since there are more load units than shifters.
                const auto *const bytes = reinterpret_cast<const std::uint8_t *>(entry);
                store_integer(cursor.out, *entry, true);
                cursor.bits <<= bytes[kLengthByte] & 63;
                cursor.out += last[lane] = bytes[kCountByte];
            }
        for (int lane = 0; lane < kCount; ++lane) {
            local[lane].load(trailing_zeros(local[lane].bits));
            stopped |= last[lane] == 0;
        }
        if (GALVO_UNLIKELY(stopped) && steps > 1) {
            --steps;
            stopped = false;
            for (int lane = 0; lane < kCount; ++lane) {
                if (last[lane] != 0) continue;
                const std::uint8_t *const out = local[lane].out;
                local[lane] = after_long_code(local[lane], table);
                stopped |= local[lane].out == out;
            }
        }
    }
    for (int lane = 0; lane < kCount; ++lane) lanes[lane] = local[lane];
    return stopped;
}

template <int kCount>
bool step_baseline(Cursor (&lanes)[kCount], const DecodeTable &table, std::size_t steps) {
    return step(lanes, table, steps);
}

#if defined(GALVO_X86_64)
template <int kCount>
GALVO_TARGET("avx2,bmi,bmi2")
bool step_avx2(Cursor (&lanes)[kCount], const DecodeTable &table, std::size_t steps) {
    return step(lanes, table, steps);
}
#endif

}  // namespace

template <int kCount>
Step<kCount> chosen_step() noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return step_avx2<kCount>;
#endif
    return step_baseline<kCount>;
}

template Step<1> chosen_step<1>() noexcept;
template Step<kLanes> chosen_step<kLanes>() noexcept;

bool decode_symbol(const Stream &stream, const DecodeTable &table, std::size_t &position, std::uint8_t &symbol) noexcept {
    const std::size_t window = stream.window(position), end = stream.bit_count();
    const unsigned length = table.first_length(window);
    if (length != 0) {
        if (length > end - position) return false;
        position += length;
        symbol = static_cast<std::uint8_t>(table.entries()[window]);
        return true;
    }
    std::size_t next = position + kWindow;
    const HuffmanTree &tree = table.tree();
    const HuffmanTree::Node *node = &tree.nodes[static_cast<std::size_t>(table.node_behind(window))];
    for (; !node->is_leaf(); ++next) {
        if (next >= end) return false;
        node = &tree.nodes[static_cast<std::size_t>(node->child[stream.bit(next)])];
    }
    position = next;
    symbol = node->symbol;
    return true;
}

}  // namespace galvo
