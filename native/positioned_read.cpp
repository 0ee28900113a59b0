#include "positioned_read.hpp"

#include <algorithm>
#include <cerrno>

#if defined(_WIN32)
#include <io.h>
#include <stdlib.h>
#include <windows.h>
#else
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#endif

namespace galvo {
namespace {

// Windows counts in DWORD, macOS refuses more than INT_MAX in one call.
constexpr std::int64_t kLargestCall = std::int64_t(1) << 30;

#if defined(_WIN32)

#if defined(_MSC_VER)

void ignore_invalid_parameter(const wchar_t *, const wchar_t *, const wchar_t *, unsigned int, uintptr_t) {}

// The C runtime ends the process for a descriptor that is not open unless its handler is replaced.
HANDLE handle_of(int fd) noexcept {
    const auto before = _set_thread_local_invalid_parameter_handler(ignore_invalid_parameter);
    const intptr_t handle = _get_osfhandle(fd);
    _set_thread_local_invalid_parameter_handler(before);
    return reinterpret_cast<HANDLE>(handle);
}

#else

// MinGW has no such handler.
HANDLE handle_of(int fd) noexcept { return reinterpret_cast<HANDLE>(_get_osfhandle(fd)); }

#endif

int errno_of(DWORD error) noexcept {
    switch (error) {
        case ERROR_INVALID_HANDLE: return EBADF;
        case ERROR_ACCESS_DENIED:
        case ERROR_SHARING_VIOLATION:
        case ERROR_LOCK_VIOLATION: return EACCES;
        case ERROR_NOT_ENOUGH_MEMORY:
        case ERROR_NO_SYSTEM_RESOURCES: return ENOMEM;
        case ERROR_INVALID_PARAMETER: return EINVAL;
        default: return EIO;
    }
}

ReadResult read_once(int fd, std::int64_t offset, std::uint8_t *out, std::int64_t size) noexcept {
    const HANDLE handle = handle_of(fd);
    if (handle == INVALID_HANDLE_VALUE || handle == reinterpret_cast<HANDLE>(intptr_t(-2))) return {0, EBADF};
    OVERLAPPED position = {};
    position.Offset = static_cast<DWORD>(static_cast<std::uint64_t>(offset) & 0xFFFFFFFFu);
    position.OffsetHigh = static_cast<DWORD>(static_cast<std::uint64_t>(offset) >> 32);
    DWORD count = 0;
    if (ReadFile(handle, out, static_cast<DWORD>(std::min(size, kLargestCall)), &count, &position))
        return {static_cast<std::int64_t>(count), 0};
    const DWORD error = GetLastError();
    if (error == ERROR_HANDLE_EOF || error == ERROR_BROKEN_PIPE) return {0, 0};
    return {0, errno_of(error)};
}

#else

ReadResult read_once(int fd, std::int64_t offset, std::uint8_t *out, std::int64_t size) noexcept {
    for (;;) {
        const ssize_t count =
            ::pread(fd, out, static_cast<std::size_t>(std::min(size, kLargestCall)), static_cast<off_t>(offset));
        if (count >= 0) return {static_cast<std::int64_t>(count), 0};
        if (errno != EINTR) return {0, errno};
    }
}

#endif

}  // namespace

ReadResult read_fully(int fd, std::int64_t offset, std::uint8_t *out, std::int64_t size) noexcept {
    std::int64_t done = 0;
    while (done < size) {
        const ReadResult part = read_once(fd, offset + done, out + done, size - done);
        if (part.error != 0) return {done, part.error};
        if (part.size == 0) break;
        done += part.size;
    }
    return {done, 0};
}

ReadResult read_fully(int fd, std::int64_t offset, std::uint8_t *first, std::int64_t first_size, std::uint8_t *second,
                      std::int64_t second_size) noexcept {
    std::int64_t done = 0;
#if defined(__linux__) || defined(__FreeBSD__)
    if (first_size > 0 && second_size > 0 && first_size < kLargestCall) {
        struct iovec parts[2];
        parts[0].iov_base = first;
        parts[0].iov_len = static_cast<std::size_t>(first_size);
        parts[1].iov_base = second;
        parts[1].iov_len = static_cast<std::size_t>(std::min(second_size, kLargestCall - first_size));
        ssize_t count;
        do {
            count = ::preadv(fd, parts, 2, static_cast<off_t>(offset));
        } while (count < 0 && errno == EINTR);
        if (count < 0) return {0, errno};
        if (count == 0) return {0, 0};
        done = static_cast<std::int64_t>(count);
    }
#endif
    if (done < first_size) {
        const ReadResult part = read_fully(fd, offset + done, first + done, first_size - done);
        done += part.size;
        if (part.error != 0 || done < first_size) return {done, part.error};
    }
    const std::int64_t second_done = done - first_size;
    const ReadResult part = read_fully(fd, offset + done, second + second_done, second_size - second_done);
    return {done + part.size, part.error};
}

void close_descriptor(int fd) noexcept {
#if defined(_WIN32)
    ::_close(fd);
#else
    ::close(fd);
#endif
}

std::int64_t regular_file_size(int fd) noexcept {
#if defined(_WIN32)
    const HANDLE handle = handle_of(fd);
    LARGE_INTEGER size;
    if (handle == INVALID_HANDLE_VALUE || GetFileType(handle) != FILE_TYPE_DISK || !GetFileSizeEx(handle, &size))
        return -1;
    return static_cast<std::int64_t>(size.QuadPart);
#else
    struct stat status;
    if (::fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) return -1;
    return static_cast<std::int64_t>(status.st_size);
#endif
}

}  // namespace galvo
