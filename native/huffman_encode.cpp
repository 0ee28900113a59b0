#include "huffman_encode.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "endian.hpp"
#include "inline.hpp"
#include "isa.hpp"
#include "jobs.hpp"

namespace galvo {
namespace {

// From this size on tables of byte pairs pay for their making.
constexpr std::size_t kPairedData = std::size_t(1) << 16;
// Shorter slices are not worth a thread; that each has many bytes of the stream is also what write() relies on.
constexpr std::size_t kSmallestSlice = std::size_t(1) << 18;
constexpr std::size_t kSlicesPerThread = 2;  // so that a thread that starts late leaves its share to others

// An entry of the pair table: the bits of both codes above their length. Pairs that are longer than what the loop can take
// have a length that shows in any sum, and are written symbol by symbol.
constexpr int kLengthBits = 8;
constexpr std::uint32_t kLengthMask = (1u << kLengthBits) - 1;
constexpr std::uint32_t kLongPair = 63;
constexpr std::uint64_t kMostBits = 56;  // of a store, beyond up to 7 that wait

// 4 pairs of 14 bits, or 2 pairs of what an entry has room for.
constexpr std::uint32_t longest_pair(int pairs_per_store) { return pairs_per_store == 4 ? 14 : 24; }

[[noreturn]] void raise_changed() { throw std::runtime_error("the data changed while they were encoded"); }

void count_singly(const std::uint8_t *data, std::size_t size, Histogram &histogram) noexcept {
    // Four tables: equal neighbours would wait for each other's counter.
    std::uint32_t counts[4][kSymbols] = {};
    std::size_t i = 0;
    for (; i + 4 <= size; i += 4)
        for (std::size_t k = 0; k < 4; ++k) ++counts[k][data[i + k]];
    for (; i < size; ++i) ++counts[0][data[i]];
    for (std::size_t symbol = 0; symbol < kSymbols; ++symbol)
        for (std::size_t k = 0; k < 4; ++k) histogram[symbol] += counts[k][symbol];
}

// Bits on their way into [next, end): the low `count` bits of `waiting`, fewer than 8 between calls.
struct BitWriter {
    std::uint8_t *next, *end;
    std::uint64_t waiting;
    unsigned count;

    GALVO_INLINE void put(std::uint64_t bits, unsigned length) {
        waiting = waiting << length | bits;
        count += length;
        for (; count >= 8; count -= 8) {
            if (next == end) raise_changed();
            *next++ = static_cast<std::uint8_t>(waiting >> (count - 8));
        }
    }
};

GALVO_INLINE void put_symbol(BitWriter &writer, const HuffmanCodes &codes, std::uint8_t symbol) {
    writer.put(codes.bits[symbol], codes.length[symbol]);
}

// Pairs from `data` on while there is room for whole words; the position reached.
template <int kPairsPerStore>
GALVO_INLINE const std::uint8_t *put_pairs(BitWriter &writer, const std::uint32_t *table, const HuffmanCodes &codes,
                                           const std::uint8_t *data, const std::uint8_t *data_end) {
    constexpr std::ptrdiff_t kStep = 2 * kPairsPerStore;
    std::uint8_t *next = writer.next;
    std::uint64_t waiting = writer.waiting;
    std::uint64_t count = writer.count;
    for (;;) {
        // A store advances by at most 7 bytes.
        const std::ptrdiff_t steps = std::min((writer.end - next) / 8, (data_end - data) / kStep);
        if (steps == 0) break;
        const std::uint8_t *const stop = data + steps * kStep;
        for (; data != stop; data += kStep) {
            const std::uint64_t a = table[load_integer<std::uint16_t>(data, true)];
            const std::uint64_t b = table[load_integer<std::uint16_t>(data + 2, true)];
            std::uint64_t bits = (a >> kLengthBits) << (b & 63) | b >> kLengthBits;
            std::uint64_t lengths = a + b;
            if (kPairsPerStore == 4) {
                const std::uint64_t c = table[load_integer<std::uint16_t>(data + 4, true)];
                const std::uint64_t d = table[load_integer<std::uint16_t>(data + 6, true)];
                const std::uint64_t second = (c >> kLengthBits) << (d & 63) | d >> kLengthBits;
                bits = bits << ((c + d) & 63) | second;
                lengths += c + d;
            }
            lengths &= kLengthMask;
            if (GALVO_UNLIKELY(lengths > kMostBits)) break;
            waiting = waiting << lengths | bits;
            count += lengths;
            // No bits at all, which changed data can bring about, are stored as anything and then overwritten.
            store_integer<std::uint64_t>(next, waiting << ((64 - count) & 63), false);
            next += count >> 3;
            count &= 7;
        }
        if (data == stop) continue;
        writer.next = next;
        writer.waiting = waiting;
        writer.count = static_cast<unsigned>(count);
        for (std::ptrdiff_t i = 0; i < kStep; ++i) put_symbol(writer, codes, *data++);
        next = writer.next;
        waiting = writer.waiting;
        count = writer.count;
    }
    writer.next = next;
    writer.waiting = waiting;
    writer.count = static_cast<unsigned>(count);
    return data;
}

using PutPairs = const std::uint8_t *(*)(BitWriter &, const std::uint32_t *, const HuffmanCodes &, const std::uint8_t *,
                                         const std::uint8_t *);

template <int kPairsPerStore>
const std::uint8_t *put_pairs_baseline(BitWriter &writer, const std::uint32_t *table, const HuffmanCodes &codes,
                                       const std::uint8_t *data, const std::uint8_t *data_end) {
    return put_pairs<kPairsPerStore>(writer, table, codes, data, data_end);
}

#if defined(GALVO_X86_64)
template <int kPairsPerStore>
GALVO_TARGET("avx2,bmi,bmi2")
const std::uint8_t *put_pairs_avx2(BitWriter &writer, const std::uint32_t *table, const HuffmanCodes &codes,
                                   const std::uint8_t *data, const std::uint8_t *data_end) {
    return put_pairs<kPairsPerStore>(writer, table, codes, data, data_end);
}
#endif

template <int kPairsPerStore>
PutPairs chosen_put_pairs() noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) return put_pairs_avx2<kPairsPerStore>;
#endif
    return put_pairs_baseline<kPairsPerStore>;
}

// Never destroyed: threads may encode while the process ends.
Spare<PairTable, kSpareTables> &spare_tables() {
    static auto *const spare = new Spare<PairTable, kSpareTables>;
    return *spare;
}

Spare<PairCounts, kSpareTables> &spare_counts() {
    static auto *const spare = new Spare<PairCounts, kSpareTables>;
    return *spare;
}

// What a job costs, so that run_jobs hands out each alone.
std::int64_t alone(std::int64_t) noexcept { return std::int64_t(1) << 22; }

}  // namespace

HuffmanEncoder::HuffmanEncoder(const std::uint8_t *data, std::size_t size, int threads, const Fill &fill)
    : data_(data), size_(size), threads_(threads) {
    if (size == 0) return;
    std::size_t slice_count = 1;
    if (threads > 1)
        slice_count = std::clamp<std::size_t>(size / kSmallestSlice, 1, static_cast<std::size_t>(threads) * kSlicesPerThread);
    const std::size_t slice_size = size / slice_count & ~std::size_t(1);
    std::vector<Histogram> histograms(slice_count, Histogram{});
    for (std::size_t i = 0; i < slice_count; ++i)
        slices_.push_back({i * slice_size, i + 1 == slice_count ? size : (i + 1) * slice_size, 0});

    run_jobs(static_cast<std::int64_t>(slice_count), threads, alone, [&] {
        return [&](std::int64_t job) {
            const auto i = static_cast<std::size_t>(job);
            count(slices_[i], fill, histograms[i]);
            return Outcome{};
        };
    });

    Histogram histogram{};
    for (const Histogram &part : histograms)
        for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) histogram[symbol] += part[symbol];
    const HuffmanTree tree = tree_of(histogram);
    tree_ = serialized(tree);
    codes_ = codes_of(tree);
    bit_count_ = static_cast<std::size_t>(tree_.bit_count);
    for (std::size_t i = 0; i < slice_count; ++i) {
        slices_[i].bit = bit_count_;
        for (std::size_t symbol = 0; symbol < kSymbols; ++symbol)
            bit_count_ += histograms[i][symbol] * codes_.length[symbol];
    }
    if (size >= kPairedData) make_pair_table();
}

void HuffmanEncoder::count(const Slice &slice, const Fill &fill, Histogram &histogram) const {
    const std::size_t even_end = slice.end - (slice.end - slice.begin) % 2;
    for (std::size_t begin = slice.begin, end; begin < even_end; begin = end) {
        end = std::min(even_end, begin + PairCounts::kMost);
        if (end - begin < kPairedData) {
            if (fill) fill(begin, end, nullptr);
            count_singly(data_ + begin, end - begin, histogram);
            continue;
        }
        const auto loan = spare_counts().lend();
        PairCounts &counts = *loan;
        counts.clear();
        if (fill) fill(begin, end, &counts);
        else counts.add(data_ + begin, end - begin);
        counts.add_to(histogram);
    }
    if (even_end == slice.end) return;
    if (fill) fill(even_end, slice.end, nullptr);
    ++histogram[data_[even_end]];
}

void HuffmanEncoder::make_pair_table() {
    // Few pairs may be too long for the loop: their length scatters by some bits around its mean.
    pairs_per_store_ = bit_count_ * 2 <= size_ * 10 + size_ / 2 ? 4 : 2;
    const std::uint32_t longest = longest_pair(pairs_per_store_);
    pair_table_.emplace(spare_tables().lend());
    PairTable &table = **pair_table_;
    std::array<std::uint32_t, kSymbols> bits, lengths;
    for (std::size_t symbol = 0; symbol < kSymbols; ++symbol) {
        const bool fits = codes_.length[symbol] < longest;
        bits[symbol] = fits ? static_cast<std::uint32_t>(codes_.bits[symbol]) : 0;
        lengths[symbol] = fits ? codes_.length[symbol] : longest + 1;
    }
    // The first byte of a pair is its low one.
    for (std::size_t high = 0; high < kSymbols; ++high) {
        std::uint32_t *const row = table.data() + high * kSymbols;
        if (lengths[high] == 0) {  // in no pair
            std::fill_n(row, kSymbols, kLongPair);
            continue;
        }
        const std::uint32_t last_bits = bits[high], last_length = lengths[high];
        for (std::size_t low = 0; low < kSymbols; ++low) {
            const std::uint32_t length = lengths[low] + last_length;
            const std::uint32_t entry = (bits[low] << last_length | last_bits) << kLengthBits | length;
            row[low] = length > longest ? kLongPair : entry;
        }
    }
}

void HuffmanEncoder::write(std::uint8_t *out) const {
    if (size_ == 0) return;
    // Neighbouring slices share a byte: the bits of the first one wait for the second one to be written.
    std::vector<std::uint8_t> shared(slices_.size());
    const auto write_slice = [&](std::int64_t job) {
        const auto i = static_cast<std::size_t>(job);
        const Slice &slice = slices_[i];
        const std::size_t end_bit = i + 1 == slices_.size() ? bit_count_ : slices_[i + 1].bit;
        BitWriter writer{out + slice.bit / 8, out + end_bit / 8, 0, static_cast<unsigned>(slice.bit % 8)};
        if (i == 0) {
            writer = {out, out + end_bit / 8, 0, 0};
            for (int bit = 0; bit < tree_.bit_count; bit += 8) {
                const int length = std::min(8, tree_.bit_count - bit);
                writer.put(tree_.bytes[static_cast<std::size_t>(bit / 8)] >> (8 - length), static_cast<unsigned>(length));
            }
        }
        const std::uint8_t *data = data_ + slice.begin, *const data_end = data_ + slice.end;
        if (pair_table_) {
            const PutPairs put = pairs_per_store_ == 4 ? chosen_put_pairs<4>() : chosen_put_pairs<2>();
            data = put(writer, (**pair_table_).data(), codes_, data, data_end);
        }
        while (data != data_end) put_symbol(writer, codes_, *data++);
        if (writer.next != writer.end || writer.count != end_bit % 8) raise_changed();
        shared[i] = writer.count == 0 ? 0 : static_cast<std::uint8_t>(writer.waiting << (8 - writer.count));
        return Outcome{};
    };
    run_jobs(static_cast<std::int64_t>(slices_.size()), threads_, alone, [&] { return write_slice; });
    for (std::size_t i = 0; i + 1 < slices_.size(); ++i) {
        std::uint8_t &byte = out[slices_[i + 1].bit / 8];
        byte = static_cast<std::uint8_t>(byte | shared[i]);
    }
    if (bit_count_ % 8 != 0) out[bit_count_ / 8] = shared.back();
}

}  // namespace galvo
