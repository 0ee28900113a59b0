#include "isa.hpp"

#include <cstdlib>
#include <cstring>

#if defined(GALVO_X86_64) && defined(_MSC_VER)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace galvo {
namespace {

Isa best_isa() noexcept {
#if defined(GALVO_ARM_CRC)
    return Isa::armv8_crc;
#elif defined(GALVO_X86_64) && defined(_MSC_VER)
    int leaf[4] = {};
    __cpuid(leaf, 0);
    const int leaf_count = leaf[0];
    __cpuid(leaf, 1);
    const bool sse42 = (leaf[2] & (1 << 20)) != 0 && (leaf[2] & (1 << 9)) != 0;
    const bool osxsave = (leaf[2] & (1 << 27)) != 0;
    if (!sse42) return Isa::baseline;
    // AVX registers exist for a program only if the system saves them.
    if (leaf_count < 7 || !osxsave || (_xgetbv(0) & 6) != 6) return Isa::sse42;
    __cpuidex(leaf, 7, 0);
    constexpr int kWanted = 1 << 5 | 1 << 3 | 1 << 8;
    return (leaf[1] & kWanted) == kWanted ? Isa::avx2 : Isa::sse42;
#elif defined(GALVO_X86_64)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("ssse3")) return Isa::baseline;
    const bool all = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
    return all ? Isa::avx2 : Isa::sse42;
#else
    return Isa::baseline;
#endif
}

Isa choose_isa() noexcept {
    const Isa best = best_isa();
    const char *wish = std::getenv("GALVO_ISA");
    if (wish == nullptr) return best;
    if (std::strcmp(wish, "baseline") == 0) return Isa::baseline;
    if (best == Isa::avx2 && std::strcmp(wish, "sse4.2") == 0) return Isa::sse42;
    return best;
}

const Isa chosen = choose_isa();

}  // namespace

Isa active_isa() noexcept { return chosen; }

const char *isa_name(Isa isa) noexcept {
    switch (isa) {
        case Isa::sse42: return "sse4.2";
        case Isa::avx2: return "avx2";
        case Isa::armv8_crc: return "armv8-crc";
        case Isa::baseline: break;
    }
    return "baseline";
}

}  // namespace galvo
