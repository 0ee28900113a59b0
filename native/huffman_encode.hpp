// Huffman streams written bit for bit as the Basic Compression Library writes them, by any number of threads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "huffman_tree.hpp"
#include "pair_counts.hpp"
#include "spare.hpp"

namespace galvo {

// Codes of byte pairs.
using PairTable = std::array<std::uint32_t, PairCounts::kPairs>;
constexpr std::size_t kSpareTables = 4;

// A stream in two steps, so that the caller can make room for exactly its size: the constructor counts, write() encodes.
class HuffmanEncoder {
  public:
    // Makes the bytes [begin, end) of the data; where `counts` is given they are an even number, and are counted there.
    // Called once for each, from any thread.
    using Fill = std::function<void(std::size_t begin, std::size_t end, PairCounts *counts)>;

    HuffmanEncoder(const std::uint8_t *data, std::size_t size, int threads, const Fill &fill = nullptr);

    std::size_t stream_size() const noexcept { return (bit_count_ + 7) / 8; }

    // Fills stream_size() bytes. Throws std::runtime_error when the data are not those that were counted.
    void write(std::uint8_t *out) const;

  private:
    // A part of the data that one thread encodes, and where its bits begin in the stream.
    struct Slice {
        std::size_t begin, end, bit;
    };

    void count(const Slice &slice, const Fill &fill, Histogram &histogram) const;
    void make_pair_table();

    const std::uint8_t *data_;
    std::size_t size_;
    int threads_;
    SerialTree tree_;
    HuffmanCodes codes_;
    std::size_t bit_count_ = 0;
    std::vector<Slice> slices_;
    std::optional<Spare<PairTable, kSpareTables>::Loan> pair_table_;  // unless the data are too short for one
    int pairs_per_store_ = 0;
};

}  // namespace galvo
