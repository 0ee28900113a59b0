// What the header block of every page of an evenly spaced TIFF must hold.
#pragma once

#include <cstdint>
#include <vector>

namespace galvo {

class PageTemplate {
  public:
    // Throws std::invalid_argument for sizes or positions that do not fit together.
    PageTemplate(const std::uint8_t *block, std::int64_t block_size, const std::uint8_t *mask, std::int64_t mask_size,
                 const std::int64_t *relocations, std::int64_t relocation_count, int width, bool little_endian,
                 std::int64_t next_position);

    std::int64_t size() const noexcept { return static_cast<std::int64_t>(block_.size()); }

    // Position of the first byte of `data` (size() bytes) that is not as expected; -1 when all are.
    std::int64_t first_difference(const std::uint8_t *data, std::int64_t delta, bool last) const noexcept;

  private:
    std::uint64_t integer(const std::uint8_t *p) const noexcept;
    std::int64_t moved_difference(const std::uint8_t *data, std::int64_t position, std::int64_t delta) const noexcept;
    std::int64_t integer_difference(const std::uint8_t *data, std::int64_t position,
                                    std::uint64_t expected) const noexcept;

    std::vector<std::uint8_t> block_;
    std::vector<std::uint8_t> mask_;  // 0xFF where a byte must be equal, 0 elsewhere
    std::vector<std::int64_t> relocations_;
    int width_;
    bool little_endian_;
    std::int64_t next_position_;
};

}  // namespace galvo
