// CRC-32C (Castagnoli), RFC 3720 appendix B.4; chainable like zlib's crc32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

std::uint32_t crc32c(const std::uint8_t *data, std::size_t size, std::uint32_t value) noexcept;

}  // namespace galvo
