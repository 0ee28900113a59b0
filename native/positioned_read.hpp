// Positioned reads from a file descriptor: any number of threads may share one descriptor.
#pragma once

#include <cstdint>

namespace galvo {

struct ReadResult {
    std::int64_t size;  // bytes read; less than asked only at the end of the file or after an error
    int error;          // errno, 0 when the read went well
};

// Reads until `size` bytes are there or the file ends. offset + size must fit in int64.
ReadResult read_fully(int fd, std::int64_t offset, std::uint8_t *out, std::int64_t size) noexcept;

// The same for two neighbouring ranges of the file, by one system call where the platform has one.
ReadResult read_fully(int fd, std::int64_t offset, std::uint8_t *first, std::int64_t first_size, std::uint8_t *second,
                      std::int64_t second_size) noexcept;

void close_descriptor(int fd) noexcept;

// Size of a regular file, -1 for anything else.
std::int64_t regular_file_size(int fd) noexcept;

}  // namespace galvo
