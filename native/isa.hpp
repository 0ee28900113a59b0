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
