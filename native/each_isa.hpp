// A kernel written once and compiled for every instruction set.
#pragma once

#include "inline.hpp"
#include "isa.hpp"

// Defines `name parameters`, which calls `name_all arguments` as it is compiled for the set in use; `name_all` is
// GALVO_INLINE and does the same operations in the same order on all of them.
#if defined(GALVO_X86_64)
#define GALVO_EACH_ISA(name, parameters, arguments)                                              \
    static void name##_plain parameters noexcept { name##_all arguments; }                       \
    GALVO_TARGET("avx2") static void name##_avx2 parameters noexcept { name##_all arguments; }   \
    void name parameters noexcept {                                                              \
        if (active_isa() == Isa::avx2) return name##_avx2 arguments;                             \
        name##_plain arguments;                                                                  \
    }
#else
#define GALVO_EACH_ISA(name, parameters, arguments) \
    void name parameters noexcept { name##_all arguments; }
#endif
