// A decoder as simple as the format allows: one bit, one branch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace galvo {

struct Decoded {
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    std::string error;  // empty: all is well
};

inline bool operator==(const Decoded &a, const Decoded &b) {
    return a.error == b.error && (!a.error.empty() || (a.used == b.used && a.bytes == b.bytes));
}

Decoded reference_decode(const std::vector<std::uint8_t> &stream, std::size_t count);

// Symbols that `stream` holds, at most `most`.
std::size_t symbols_in(const std::vector<std::uint8_t> &stream, std::size_t most);

}  // namespace galvo
