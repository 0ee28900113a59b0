// Fletcher-32 as HDF5 stores it behind a chunk.
#pragma once

#include <cstddef>
#include <cstdint>

namespace galvo {

// Checksum of `size` bytes; where `copy` is not null they are copied to it on the way.
std::uint32_t fletcher32(const std::uint8_t *data, std::size_t size, std::uint8_t *copy) noexcept;

}  // namespace galvo
