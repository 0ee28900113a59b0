// Boxes of rows from files into one output array.
#pragma once

#include <cstdint>

#include "jobs.hpp"
#include "page_template.hpp"

namespace galvo {

struct BoxPlan {
    std::int64_t job_count = 0;
    const std::int64_t *fds = nullptr;
    const std::int64_t *offset = nullptr;
    const std::int64_t *rows = nullptr;
    const std::int64_t *out_offset = nullptr;
    std::int64_t row_bytes = 0;
    std::int64_t file_row_stride = 0;
    std::uint8_t *out = nullptr;
    std::int64_t out_size = 0;
    std::int64_t out_row_stride = 0;
    int swap = 1;
    int threads = 1;
    const PageTemplate *page_template = nullptr;  // with it, the three columns below
    const std::int64_t *header_offset = nullptr;
    const std::int64_t *delta = nullptr;
    const std::uint8_t *last = nullptr;
};

// Throws std::invalid_argument for a job that does not fit, before anything is read.
Failure read_boxes(const BoxPlan &plan);

}  // namespace galvo
