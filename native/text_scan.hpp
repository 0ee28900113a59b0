// Numbers out of `key = value` lines, many texts at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "jobs.hpp"

namespace galvo {

constexpr std::int64_t kLargestText = 65536;  // bytes read of one text

// The value of one token, exactly rounded; NaN for anything that is not wholly one number.
// `text[size]` must be writable: it is overwritten for a moment.
double parse_number(char *text, std::size_t size) noexcept;

// Fills values, (job_count, keys.size()) in C order. Throws std::invalid_argument for jobs or keys that make no sense.
Failure scan_text(std::int64_t job_count, const std::int64_t *fds, const std::int64_t *offset,
                  const std::int64_t *size, const std::vector<std::string> &keys, int threads, double *values);

}  // namespace galvo
