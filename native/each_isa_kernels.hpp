// Includes GALVO_KERNELS, a header of kernels, once per instruction set: as `baseline` and, where there is it, as `avx2`.
// Included inside a namespace, behind inline.hpp and isa.hpp; without a guard, as every file has kernels of its own.

namespace baseline {
#include GALVO_KERNELS
}

#if defined(GALVO_X86_64)
GALVO_AVX2_BEGIN
namespace avx2 {
#include GALVO_KERNELS
}
GALVO_AVX2_END
#endif

#undef GALVO_KERNELS
