// Inner loops that are compiled once per instruction set must be inlined into each.
#pragma once

#if defined(__GNUC__) || defined(__clang__)
#define GALVO_INLINE inline __attribute__((always_inline))
#define GALVO_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#else
#define GALVO_INLINE __forceinline
#define GALVO_UNLIKELY(condition) (condition)
#endif
