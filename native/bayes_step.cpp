#include "bayes_step.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "bayes_layout.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

constexpr std::int64_t kRingPad = 16;  // zeros on both sides of a row of energies
constexpr std::int64_t kLargestBox = 15;
constexpr double kQuantile = 0.7;
constexpr std::int64_t kSampleStep = 3;
constexpr float kSmallestQuantile = 1e-12f;
// Residuals are never as large, sentinels of missing pixels are.
constexpr float kLargestResidual = 1e18f;

#define GALVO_KERNELS "bayes_step_kernels.hpp"
#include "each_isa_kernels.hpp"

// The value of rank int(quantile * count) of `values`, which are not negative.
float select(std::vector<float> &sample, std::size_t count) noexcept {
    if (count == 0) return 0.0f;
    const std::size_t rank =
        std::min(count - 1, static_cast<std::size_t>(kQuantile * static_cast<double>(count)));
    // Floats that are not negative are ordered as their bits are: a histogram of the highest bits leaves few of them.
    constexpr int kShift = 20;
    std::uint32_t counts[std::size_t(1) << (32 - kShift)] = {};
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, &sample[i], sizeof bits);
        ++counts[bits >> kShift];
    }
    std::size_t below = 0;
    std::uint32_t bin = 0;
    while (below + counts[bin] <= rank) below += counts[bin++];
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count; ++i) {
        std::uint32_t bits;
        std::memcpy(&bits, &sample[i], sizeof bits);
        const float value = sample[i];
        sample[kept] = value;
        kept += bits >> kShift == bin ? 1 : 0;
    }
    const auto first = sample.begin(), place = first + static_cast<std::ptrdiff_t>(rank - below);
    std::nth_element(first, place, first + static_cast<std::ptrdiff_t>(kept));
    return *place;
}

// Box sum at the quantile, over the pixels of a coarse grid that have a residual.
float energy_quantile(const ReferenceLevel &reference, StepWorkspace &workspace) noexcept {
    std::size_t count = 0;
    for (std::int64_t y = 0; y < reference.height(); y += kSampleStep) {
        const float *residual = workspace.residual.data() + y * workspace.stride;
        const float *energy = workspace.energy.data() + y * workspace.stride;
        const float *inverse = reference.inverse_variance(y);
        for (std::int64_t x = 0; x < reference.width(); x += kSampleStep) {
            workspace.sample[count] = energy[x];
            count += residual[x] == residual[x] && inverse[x] > 0.0f ? 1 : 0;
        }
    }
    return select(workspace.sample, count);
}

}  // namespace

ReferenceLevel::ReferenceLevel(const float *planes, std::int64_t height, std::int64_t width)
    : height_(height), width_(width), stride_(rounded_up(width, 16) + 16) {
    planes_.assign(static_cast<std::size_t>(4 * height * stride_), 0.0f);
    for (std::int64_t y = 0; y < 4 * height; ++y) std::copy_n(planes + y * width, width, planes_.data() + y * stride_);
}

void StepWorkspace::shape(std::int64_t height, std::int64_t width) {
    stride = rounded_up(width, 16) + 16;
    const std::size_t pixels = static_cast<std::size_t>(height * stride);
    const std::size_t row_size = static_cast<std::size_t>(stride + 2 * kRingPad);
    residual.assign(pixels, 0.0f);
    energy.assign(pixels, 0.0f);
    ring.assign(kLargestBox * row_size, 0.0f);
    rows.assign(8 * row_size, 0.0f);
    sample.assign(static_cast<std::size_t>((height / kSampleStep + 1) * (width / kSampleStep + 1)), 0.0f);
}

StepResult linearise(const BorderedPlane &frame, const ReferenceLevel &reference, const Field &displacement,
                     const StepSettings &settings, Brightness brightness, StepWorkspace &workspace,
                     float *sums) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2)
        avx2::find_energies(frame, reference, displacement, settings, brightness, workspace);
    else
        baseline::find_energies(frame, reference, displacement, settings, brightness, workspace);
#else
    baseline::find_energies(frame, reference, displacement, settings, brightness, workspace);
#endif
    const float at_quantile = energy_quantile(reference, workspace);
    const float divisor = std::max(at_quantile, kSmallestQuantile);
    StepResult result;
    result.quantile = at_quantile / static_cast<float>(settings.box * settings.box);
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2) {
        avx2::sum_blocks(reference, settings, divisor, brightness, workspace, sums, result.regression);
        return result;
    }
#endif
    baseline::sum_blocks(reference, settings, divisor, brightness, workspace, sums, result.regression);
    return result;
}

}  // namespace galvo::bayes
