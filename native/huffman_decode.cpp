#include "huffman_decode.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "huffman_lanes.hpp"
#include "jobs.hpp"

// A look-up waits for the one before it, so one stream alone keeps a processor idle most of the time. Therefore four
// lanes decode one stream, each from a guessed position on. Huffman codes synchronise themselves: a lane that begins a
// little ahead of its part is, in all likelihood, at true symbol borders when it gets there. It is proven right when the
// lane before it, itself right, ends at the very bit where this one began to count; else it is decoded again from there.
// Threads share a stream in the same way, window by window.

namespace galvo {
namespace {

// A multiple of 1 .. 8: where all codes have one length, lanes begin at its multiples.
constexpr std::size_t kLaneUnit = 840;
constexpr std::size_t kShortestLane = 2 * kLaneUnit;
constexpr std::size_t kLeadBits = 256;  // how far ahead of its part a lane begins

constexpr int kPatience = 200;  // yields before a thread sleeps until its turn

constexpr std::size_t kBlock = 8192;  // symbols that one lane alone decodes at a time

[[noreturn]] void raise_early_end(std::size_t bit_count, std::size_t done, std::size_t count) {
    throw std::invalid_argument("the stream ends at bit " + std::to_string(bit_count) + ", after " +
                                std::to_string(done) + " of " + std::to_string(count) + " symbols");
}

constexpr std::size_t whole_units(std::size_t bits) noexcept { return bits - bits % kLaneUnit; }

// A part of a stream: the symbols that begin in [begin, limit).
struct Lane {
    std::size_t begin, limit;
    std::size_t end;  // behind the last symbol
    std::size_t count;
    std::unique_ptr<std::uint8_t[]> symbols;
};

// Neighbouring lanes.
struct Window {
    std::array<Lane, kLanes> lanes;

    // A symbol has a bit at least, so a lane holds as many as it has bits at most.
    explicit Window(std::size_t lane_bits) {
        for (Lane &lane : lanes) lane.symbols.reset(new std::uint8_t[kLeadBits + lane_bits + kStoreSize]);
    }
    void lay(std::size_t position, std::size_t lane_bits) noexcept {
        for (Lane &lane : lanes) {
            lane.begin = position;
            lane.limit = position += lane_bits;
        }
    }
};

class Decoder {
  public:
    Decoder(const Stream &stream, const DecodeTable &table, std::size_t position, std::size_t count, const Place &place,
            const SharedWork &work)
        : stream_(stream), table_(table), step_one_(chosen_step<1>()), step_lanes_(chosen_step<kLanes>()),
          first_(position), count_(count), place_(place), work_(work), position_(position) {}

    // The position behind the last symbol.
    std::size_t run(int threads) {
        run_threads(threads);
        run_windows();
        run_alone();
        return position_;
    }

  private:
    void run_threads(int threads);
    void run_windows();
    void run_alone();

    // Symbols that a window of lanes may be laid for, in bits: few codes are longer on average.
    std::size_t likely_bits() const noexcept { return std::min(count_ - done_, stream_.size) * 12; }
    std::size_t room() const noexcept {
        return stream_.load_end() > position_ ? std::min(stream_.load_end() - position_, likely_bits()) : 0;
    }

    void find_begin(Lane &lane) const noexcept;
    void decode(Window &window) const noexcept;
    void decode_rest(Lane &lane, std::size_t position, std::uint8_t *out) const noexcept;
    int settle(Window &window) noexcept;
    void place(const Window &window, int lane_count, std::size_t done) const;

    const Stream stream_;
    const DecodeTable &table_;
    const Step<1> step_one_;
    const Step<kLanes> step_lanes_;
    const std::size_t first_, count_;
    const Place &place_;
    const SharedWork work_;
    // How far the symbols are known.
    std::size_t position_, done_ = 0;
    std::size_t lane_count_ = 0, wrong_lane_count_ = 0;
};

// Moves the begin of a lane to the first border of symbols there, if its lead synchronises.
void Decoder::find_begin(Lane &lane) const noexcept {
    const std::size_t lead = kLeadBits - kLeadBits % table_.length_divisor();
    std::size_t position = lane.begin - std::min(lead, lane.begin - first_);
    while (position < lane.begin) {
        std::uint8_t symbol;
        const std::size_t length = (table_.entries()[stream_.window(position)] >> DecodeTable::kLengthShift) & 63;
        if (length != 0 && position + length <= lane.begin) position += length;
        else if (!decode_symbol(stream_, table_, position, symbol)) break;
    }
    lane.begin = position;
}

// From `position` on, `out` pointing behind the symbols so far.
void Decoder::decode_rest(Lane &lane, std::size_t position, std::uint8_t *out) const noexcept {
    while (position < lane.limit) {
        if (lane.limit - position >= kStepBits) {
            Cursor cursor[1];
            cursor[0].out = out;
            cursor[0].seek(stream_, position);
            bool stopped = false;
            for (std::size_t steps; !stopped && (steps = (lane.limit - position) / kStepBits) > 0;) {
                stopped = step_one_(cursor, table_, steps);
                position = cursor[0].position(stream_);
            }
            out = cursor[0].out;
            if (position >= lane.limit) break;
        }
        if (!decode_symbol(stream_, table_, position, *out)) break;
        ++out;
    }
    lane.end = position;
    lane.count = static_cast<std::size_t>(out - lane.symbols.get());
}

void Decoder::decode(Window &window) const noexcept {
    std::array<std::size_t, kLanes> position;
    Cursor cursors[kLanes];
    for (std::size_t i = 0; i < kLanes; ++i) {
        position[i] = window.lanes[i].begin;
        cursors[i].out = window.lanes[i].symbols.get();
    }
    for (bool all_run = true; all_run;) {
        for (std::size_t i = 0; i < kLanes; ++i) cursors[i].seek(stream_, position[i]);
        for (;;) {
            std::size_t steps = window.lanes[0].limit;
            for (std::size_t i = 0; i < kLanes; ++i)
                steps = std::min(steps, (window.lanes[i].limit - position[i]) / kStepBits);
            all_run = steps > 0;
            if (!all_run) break;
            const bool stopped = step_lanes_(cursors, table_, steps);
            for (std::size_t i = 0; i < kLanes; ++i) position[i] = cursors[i].position(stream_);
            if (stopped) break;
        }
        for (std::size_t i = 0; all_run && i < kLanes; ++i) {
            if (position[i] >= window.lanes[i].limit || table_.first_length(stream_.window(position[i])) != 0) continue;
            if (decode_symbol(stream_, table_, position[i], *cursors[i].out)) ++cursors[i].out;
            else all_run = false;
        }
        for (std::size_t i = 0; i < kLanes; ++i) all_run = all_run && position[i] < window.lanes[i].limit;
    }
    for (std::size_t i = 0; i < kLanes; ++i) decode_rest(window.lanes[i], position[i], cursors[i].out);
}

// Takes on the lanes in order, decoding again what does not begin where the lane before it ends. The number of lanes to
// place: fewer than all where the last symbol lies in the lane behind them, or where the stream ends.
int Decoder::settle(Window &window) noexcept {
    for (int i = 0; i < kLanes; ++i) {
        Lane &lane = window.lanes[static_cast<std::size_t>(i)];
        ++lane_count_;
        if (lane.begin != position_) {
            ++wrong_lane_count_;
            lane.begin = position_;
            decode_rest(lane, position_, lane.symbols.get());
        }
        if (lane.count > count_ - done_ || lane.end < lane.limit) return i;
        done_ += lane.count;
        position_ = lane.end;
    }
    return kLanes;
}

void Decoder::place(const Window &window, int lane_count, std::size_t done) const {
    for (int i = 0; i < lane_count; ++i) {
        const Lane &lane = window.lanes[static_cast<std::size_t>(i)];
        place_(done, lane.symbols.get(), lane.count);
        done += lane.count;
    }
}

// Window after window, each beginning where the one before it ended.
void Decoder::run_windows() {
    std::unique_ptr<Window> window;
    for (;;) {
        const std::size_t lane_bits = whole_units(std::min(room() / kLanes, work_.lane_bits));
        if (lane_bits < kShortestLane) return;
        // Some codes do not synchronise.
        if (lane_count_ >= 64 && wrong_lane_count_ * 4 > lane_count_ * 2) return;
        if (!window) window = std::make_unique<Window>(lane_bits);
        window->lay(position_, lane_bits);
        for (std::size_t i = 1; i < kLanes; ++i) find_begin(window->lanes[i]);
        decode(*window);
        const std::size_t done = done_;
        const int lane_count = settle(*window);
        place(*window, lane_count, done);
        if (lane_count < kLanes) return;
    }
}

// Windows at fixed distances, each by one thread, which takes it on when its predecessor has been.
void Decoder::run_threads(int threads) {
    if (threads < 2 || count_ < work_.threaded_count) return;
    const std::size_t parts = static_cast<std::size_t>(std::min(threads, 64)) * kLanes * 8;
    const std::size_t lane_bits = whole_units(std::max(std::min(room() / parts, work_.thread_lane_bits), kShortestLane));
    const std::size_t window_bits = lane_bits * kLanes, window_count = room() / window_bits;
    if (window_count < 2) return;

    std::vector<std::unique_ptr<Window>> windows;
    for (int i = 0; i < std::min(threads, 64); ++i) windows.push_back(std::make_unique<Window>(lane_bits));
    std::atomic<std::size_t> next_window{0}, turn{0};
    constexpr std::size_t kOver = ~std::size_t(0);  // a turn that ends it all
    std::mutex mutex;
    std::condition_variable turned;

    const auto cost = [](std::int64_t) { return std::int64_t(1) << 22; };
    run_jobs(static_cast<std::int64_t>(window_count), static_cast<int>(windows.size()), cost, [&] {
        Window &window = *windows[next_window++];
        return [&](std::int64_t job) {
            const auto index = static_cast<std::size_t>(job);
            if (turn == kOver) return Outcome{};
            window.lay(first_ + index * window_bits, lane_bits);
            for (Lane &lane : window.lanes) find_begin(lane);
            decode(window);
            for (int i = 0; i < kPatience && turn != index && turn != kOver; ++i) std::this_thread::yield();
            {
                std::unique_lock<std::mutex> lock(mutex);
                turned.wait(lock, [&] { return turn == index || turn == kOver; });
                if (turn == kOver) return Outcome{};
            }
            const std::size_t done = done_;
            const int lane_count = settle(window);
            {
                const std::lock_guard<std::mutex> lock(mutex);
                turn = lane_count == kLanes ? index + 1 : kOver;
            }
            turned.notify_all();
            place(window, lane_count, done);
            return Outcome{};
        };
    });
}

// One symbol after the other, several per look-up while whole loads are possible.
void Decoder::run_alone() {
    std::array<std::uint8_t, kBlock + kStoreSize> block;
    while (done_ < count_) {
        const std::size_t wanted = std::min(kBlock, count_ - done_);
        std::size_t got = 0;
        bool ended = false;
        while (got < wanted && !ended) {
            Cursor cursor[1];
            cursor[0].out = block.data() + got;
            const std::size_t room = stream_.load_end() > position_ ? stream_.load_end() - position_ : 0;
            const std::size_t steps = std::min(room / kStepBits, (wanted - got) / kStepSymbols);
            if (steps > 0) {
                cursor[0].seek(stream_, position_);
                step_one_(cursor, table_, steps);
                position_ = cursor[0].position(stream_);
                got = static_cast<std::size_t>(cursor[0].out - block.data());
                if (got == wanted || table_.first_length(stream_.window(position_)) != 0) continue;
            }
            ended = !decode_symbol(stream_, table_, position_, block[got]);
            if (!ended) ++got;
        }
        place_(done_, block.data(), got);
        done_ += got;
        if (ended) raise_early_end(stream_.bit_count(), done_, count_);
    }
}

}  // namespace

std::size_t huffman_decode(const std::uint8_t *bytes, std::size_t size, std::size_t count, int threads, const Place &place,
                           const SharedWork &work) {
    if (count == 0) return 0;
    std::size_t position = 0;
    const Stream stream{bytes, size};
    const HuffmanTree tree = parse_tree(bytes, size, position);
    if (tree.is_lone_leaf()) {
        // The tree says it all; the writer adds a 0 per symbol nevertheless.
        for (std::size_t done = 0; done < count; done += kBlock) {
            std::array<std::uint8_t, kBlock> block;
            block.fill(tree.nodes[0].symbol);
            if (done == 0 && count > stream.bit_count() - position)
                raise_early_end(stream.bit_count(), stream.bit_count() - position, count);
            place(done, block.data(), std::min(kBlock, count - done));
        }
        return (position + count + 7) / 8;
    }
    const DecodeTable table(tree);
    return (Decoder(stream, table, position, count, place, work).run(threads) + 7) / 8;
}

}  // namespace galvo
