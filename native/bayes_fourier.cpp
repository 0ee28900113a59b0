#include "bayes_fourier.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "bayes_layout.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

constexpr double kPi = 3.14159265358979323846;

#define GALVO_KERNELS "bayes_fourier_kernels.hpp"
#include "each_isa_kernels.hpp"

}  // namespace

std::int64_t smooth_size(std::int64_t size) noexcept {
    for (std::int64_t candidate = std::max<std::int64_t>(2, size + size % 2);; candidate += 2) {
        std::int64_t rest = candidate;
        for (const std::int64_t factor : {2, 3, 5})
            while (rest % factor == 0) rest /= factor;
        if (rest == 1) return candidate;
    }
}

ColumnTransform::ColumnTransform(std::int64_t n, std::int64_t batch) : n_(n), batch_(batch) {
    std::int64_t rest = n, stride = 1;
    while (rest > 1) {
        const int radix = rest % 4 == 0 ? 4 : rest % 2 == 0 ? 2 : rest % 3 == 0 ? 3 : 5;
        stages_.push_back({radix, rest / radix, stride, twiddles_.size()});
        for (std::int64_t group = 0; group < rest / radix; ++group)
            for (int k = 1; k < radix; ++k) {
                const double angle = -2 * kPi * static_cast<double>(group * k) / static_cast<double>(rest);
                twiddles_.push_back(static_cast<float>(std::cos(angle)));
                twiddles_.push_back(static_cast<float>(std::sin(angle)));
            }
        rest /= radix;
        stride *= radix;
    }
}

template <int kRadix>
void ColumnTransform::run(const Stage &stage, const float *real, const float *imaginary, float *out_real,
                          float *out_imaginary) const noexcept {
    const std::int64_t count = stage.stride * batch_, in_step = stage.groups * count;
#if defined(GALVO_X86_64)
    const auto work = active_isa() == Isa::avx2 ? avx2::butterflies<kRadix> : baseline::butterflies<kRadix>;
#else
    const auto work = baseline::butterflies<kRadix>;
#endif
    for (std::int64_t group = 0; group < stage.groups; ++group)
        work(real + group * count, imaginary + group * count, in_step, out_real + group * kRadix * count,
             out_imaginary + group * kRadix * count, count,
             twiddles_.data() + stage.twiddles + group * 2 * (kRadix - 1), count);
}

void ColumnTransform::forward(float *real, float *imaginary, float *work) const noexcept {
    float *from_real = real, *from_imaginary = imaginary, *to_real = work, *to_imaginary = work + n_ * batch_;
    for (const Stage &stage : stages_) {
        switch (stage.radix) {
            case 2: run<2>(stage, from_real, from_imaginary, to_real, to_imaginary); break;
            case 3: run<3>(stage, from_real, from_imaginary, to_real, to_imaginary); break;
            case 4: run<4>(stage, from_real, from_imaginary, to_real, to_imaginary); break;
            default: run<5>(stage, from_real, from_imaginary, to_real, to_imaginary); break;
        }
        std::swap(from_real, to_real);
        std::swap(from_imaginary, to_imaginary);
    }
    if (from_real == real) return;
    std::copy_n(from_real, n_ * batch_, real);
    std::copy_n(from_imaginary, n_ * batch_, imaginary);
}

}  // namespace galvo::bayes
