// The LZW of TIFF: codes of 9 to 12 bits, most significant bit first, that grow one code early.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

// Fills `out` from a strip or tile; the number of bytes that there were, at most `size`.
// Throws std::invalid_argument for what no usual writer makes: no clear code first, a full table, codes for nothing.
std::size_t tiff_lzw_decode(const std::uint8_t *data, std::size_t nbytes, std::uint8_t *out, std::size_t size);

}  // namespace galvo
