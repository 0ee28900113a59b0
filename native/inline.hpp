// What inner loops need that are compiled once per instruction set.
#pragma once

#include <cstdint>

#if defined(_MSC_VER)
#include <intrin.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define GALVO_INLINE inline __attribute__((always_inline))
#define GALVO_NOINLINE __attribute__((noinline))
#define GALVO_RESTRICT __restrict__
#define GALVO_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define GALVO_INLINE __forceinline
#define GALVO_NOINLINE __declspec(noinline)
#define GALVO_RESTRICT __restrict
#define GALVO_UNLIKELY(condition) (condition)
#endif

// Before a loop none of whose passes reads what another one writes.
#if defined(__clang__)
#define GALVO_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define GALVO_INDEPENDENT _Pragma("GCC ivdep")
#elif defined(_MSC_VER)
#define GALVO_INDEPENDENT __pragma(loop(ivdep))
#else
#define GALVO_INDEPENDENT
#endif

namespace galvo {

// Number of zeros below the lowest 1; `value` is not 0.
GALVO_INLINE unsigned trailing_zeros(std::uint64_t value) noexcept {
#if defined(__GNUC__) || defined(__clang__)
    return static_cast<unsigned>(__builtin_ctzll(value));
#elif defined(_M_X64) || defined(_M_ARM64)
    unsigned long index;
    _BitScanForward64(&index, value);
    return index;
#else
    unsigned count = 0;
    for (; (value & 1) == 0; value >>= 1) ++count;
    return count;
#endif
}

}  // namespace galvo
