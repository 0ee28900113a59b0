// Reading Huffman streams of the Basic Compression Library. Nothing in a stream is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace galvo {

// Takes the decoded bytes [index, index + count); called for each once, from any thread, in any order.
using Place = std::function<void(std::size_t index, const std::uint8_t *bytes, std::size_t count)>;

// How the work is shared; only tests, which have short streams, need other sizes.
struct SharedWork {
    std::size_t lane_bits = std::size_t(1) << 16;         // of a lane, at most
    std::size_t thread_lane_bits = std::size_t(1) << 17;  // the same where threads share a stream
    std::size_t threaded_count = std::size_t(1) << 18;    // fewer symbols are not worth a thread
};

// Decodes `count` bytes; the number of bytes of the stream that were used. Throws std::invalid_argument where the tree
// is malformed or the stream ends too early; some bytes may have been placed then.
std::size_t huffman_decode(const std::uint8_t *stream, std::size_t size, std::size_t count, int threads,
                           const Place &place, const SharedWork &work = {});

}  // namespace galvo
