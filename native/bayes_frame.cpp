#include "bayes_frame.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "bayes_layout.hpp"
#include "inline.hpp"
#include "isa.hpp"

namespace galvo::bayes {
namespace {

#define GALVO_KERNELS "bayes_frame_kernels.hpp"
#include "each_isa_kernels.hpp"

}  // namespace

void BorderedPlane::shape(std::int64_t height, std::int64_t width) {
    height_ = height;
    width_ = width;
    // Not a power of two, or rows above each other share one set of the cache.
    stride_ = rounded_up(width, 16) + 2 * kBorder;
    pixels_.assign(static_cast<std::size_t>((height + 2 * kBorderRows) * stride_), 0.0f);
}

void BorderedPlane::fill_border() noexcept {
    const std::int64_t right = stride_ - kBorder;
    for (std::int64_t y = 0; y < height_; ++y) {
        float *line = row(y);
        std::fill(line - kBorder, line, line[0]);
        std::fill(line + width_, line + right, line[width_ - 1]);
    }
    const std::size_t bytes = static_cast<std::size_t>(stride_) * sizeof(float);
    for (std::int64_t k = 1; k <= kBorderRows; ++k) {
        std::memcpy(row(-k) - kBorder, row(0) - kBorder, bytes);
        std::memcpy(row(height_ - 1 + k) - kBorder, row(height_ - 1) - kBorder, bytes);
    }
}

bool bin_frame(const FrameStack &frames, std::int64_t frame, std::int64_t channel, std::int64_t factor,
               BorderedPlane &out) noexcept {
#if defined(GALVO_X86_64)
    const bool varied = active_isa() == Isa::avx2 ? avx2::bin_frame(frames, frame, channel, factor, out)
                                                  : baseline::bin_frame(frames, frame, channel, factor, out);
#else
    const bool varied = baseline::bin_frame(frames, frame, channel, factor, out);
#endif
    out.fill_border();
    return varied;
}

void halve(const BorderedPlane &in, BorderedPlane &out) noexcept {
#if defined(GALVO_X86_64)
    if (active_isa() == Isa::avx2)
        avx2::halve(in, out);
    else
        baseline::halve(in, out);
#else
    baseline::halve(in, out);
#endif
    out.fill_border();
}

}  // namespace galvo::bayes
