#include "page_template.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "endian.hpp"

namespace galvo {

PageTemplate::PageTemplate(const std::uint8_t *block, std::int64_t block_size, const std::uint8_t *mask,
                           std::int64_t mask_size, const std::int64_t *relocations, std::int64_t relocation_count,
                           int width, bool little_endian, std::int64_t next_position)
    : width_(width), little_endian_(little_endian), next_position_(next_position) {
    if (width != 4 && width != 8) throw std::invalid_argument("width must be 4 or 8");
    if (block_size != mask_size) throw std::invalid_argument("block and mask must have the same length");
    if (block_size == 0) throw std::invalid_argument("block is empty");
    const auto require_inside = [&](std::int64_t position, const char *what) {
        if (position < 0 || position > block_size - width)
            throw std::invalid_argument(std::string(what) + " " + std::to_string(position) +
                                        " does not lie inside the block of " + std::to_string(block_size) + " bytes");
    };
    require_inside(next_position, "next_position");
    for (std::int64_t i = 0; i < relocation_count; ++i) require_inside(relocations[i], "relocation");

    block_.assign(block, block + block_size);
    relocations_.assign(relocations, relocations + relocation_count);
    mask_.resize(block_.size());
    std::transform(mask, mask + mask_size, mask_.begin(),
                   [](std::uint8_t m) { return static_cast<std::uint8_t>(m != 0 ? 0xFF : 0); });
    // Integers that move along have their own rule.
    std::fill_n(mask_.begin() + next_position, width, std::uint8_t(0));
    for (const std::int64_t position : relocations_) std::fill_n(mask_.begin() + position, width, std::uint8_t(0));
}

std::uint64_t PageTemplate::integer(const std::uint8_t *p) const noexcept {
    return load_integer(p, width_, little_endian_);
}

std::int64_t PageTemplate::integer_difference(const std::uint8_t *data, std::int64_t position,
                                              std::uint64_t expected) const noexcept {
    if (integer(data + position) == expected) return -1;
    int i = 0;
    for (; i < width_ - 1; ++i) {
        const int place = little_endian_ ? i : width_ - 1 - i;
        if (data[position + i] != static_cast<std::uint8_t>(expected >> (8 * place))) break;
    }
    return position + i;
}

std::int64_t PageTemplate::moved_difference(const std::uint8_t *data, std::int64_t position,
                                            std::int64_t delta) const noexcept {
    const std::uint64_t base = integer(block_.data() + position);
    const std::uint64_t most =
        width_ == 4 ? std::numeric_limits<std::uint32_t>::max() : std::numeric_limits<std::uint64_t>::max();
    const std::uint64_t distance = delta < 0 ? 0 - static_cast<std::uint64_t>(delta) : static_cast<std::uint64_t>(delta);
    // A sum that has no room in the file's integers cannot be what the page says.
    if (delta < 0 ? distance > base : distance > most - base) return position;
    return integer_difference(data, position, delta < 0 ? base - distance : base + distance);
}

std::int64_t PageTemplate::first_difference(const std::uint8_t *data, std::int64_t delta, bool last) const noexcept {
    const std::size_t size = block_.size();
    std::uint8_t differs = 0;
    for (std::size_t i = 0; i < size; ++i)
        differs = static_cast<std::uint8_t>(differs | ((data[i] ^ block_[i]) & mask_[i]));
    constexpr std::int64_t none = std::numeric_limits<std::int64_t>::max();
    std::int64_t first = none;
    if (differs != 0)
        for (std::size_t i = 0; i < size; ++i)
            if (((data[i] ^ block_[i]) & mask_[i]) != 0) {
                first = static_cast<std::int64_t>(i);
                break;
            }
    const auto consider = [&](std::int64_t position) {
        if (position >= 0) first = std::min(first, position);
    };
    for (const std::int64_t position : relocations_) consider(moved_difference(data, position, delta));
    consider(last ? integer_difference(data, next_position_, 0) : moved_difference(data, next_position_, delta));
    return first == none ? -1 : first;
}

}  // namespace galvo
