// Which instruction set the kernels run on; decided once, when the module is imported.
#pragma once

#if defined(__x86_64__) || defined(_M_X64)
#define GALVO_X86_64 1
#endif

#if defined(GALVO_X86_64) && (defined(__GNUC__) || defined(__clang__))
#define GALVO_TARGET(features) __attribute__((target(features)))
#else
#define GALVO_TARGET(features)
#endif

// Between these all functions are compiled for AVX2.
#if defined(GALVO_X86_64) && defined(__clang__)
#define GALVO_AVX2_BEGIN _Pragma("clang attribute push(__attribute__((target(\"avx2\"))), apply_to = function)")
#define GALVO_AVX2_END _Pragma("clang attribute pop")
#elif defined(GALVO_X86_64) && defined(__GNUC__)
#define GALVO_AVX2_BEGIN _Pragma("GCC push_options") _Pragma("GCC target(\"avx2\")")
#define GALVO_AVX2_END _Pragma("GCC pop_options")
#else
#define GALVO_AVX2_BEGIN
#define GALVO_AVX2_END
#endif

#if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#define GALVO_ARM_CRC 1
#endif

namespace galvo {

// avx2 includes BMI1 and BMI2.
enum class Isa { baseline, sse42, avx2, armv8_crc };

// The set in use: the best the machine has, lowered to GALVO_ISA where that names a smaller set.
Isa active_isa() noexcept;
const char *isa_name(Isa isa) noexcept;

}  // namespace galvo
