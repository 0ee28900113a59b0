#include "flow_prepare.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

#include "frame_jobs.hpp"
#include "inline.hpp"

namespace galvo {
namespace {

template <class Pixel>
GALVO_INLINE void normalize_row(const Pixel *GALVO_RESTRICT in, std::ptrdiff_t step, int count, float offset, float scale,
                                float *GALVO_RESTRICT out) noexcept {
    if (step == 1)
        for (int x = 0; x < count; ++x) out[x] = (static_cast<float>(in[x]) - offset) * scale;
    else
        for (int x = 0; x < count; ++x) out[x] = (static_cast<float>(in[x * step]) - offset) * scale;
}

// Through doubles, for pixels of which floats lose digits.
template <class Pixel>
GALVO_INLINE void normalize_wide_row(const Pixel *in, std::ptrdiff_t step, int count, double offset, double scale,
                                     float *GALVO_RESTRICT out) noexcept {
    for (int x = 0; x < count; ++x) out[x] = static_cast<float>((static_cast<double>(in[x * step]) - offset) * scale);
}

template <class Pixel>
void normalize(const RawFrames &frames, std::int64_t t, int channel, double offset, double scale, Plane &out) noexcept {
    const Pixel *pixels = static_cast<const Pixel *>(frames.pixels) + t * frames.steps.t + channel * frames.steps.c;
    for (int y = 0; y < out.rows(); ++y) {
        const Pixel *row = pixels + y * frames.steps.y;
        if (sizeof(Pixel) <= 2)
            normalize_row(row, frames.steps.x, out.columns(), static_cast<float>(offset), static_cast<float>(scale), out.row(y));
        else
            normalize_wide_row(row, frames.steps.x, out.columns(), offset, scale, out.row(y));
    }
}

void normalize_any(const RawFrames &frames, std::int64_t t, int channel, double offset, double scale, Plane &out) noexcept {
    switch (frames.type) {
        case PixelType::int8: return normalize<std::int8_t>(frames, t, channel, offset, scale, out);
        case PixelType::uint8: return normalize<std::uint8_t>(frames, t, channel, offset, scale, out);
        case PixelType::int16: return normalize<std::int16_t>(frames, t, channel, offset, scale, out);
        case PixelType::uint16: return normalize<std::uint16_t>(frames, t, channel, offset, scale, out);
        case PixelType::int32: return normalize<std::int32_t>(frames, t, channel, offset, scale, out);
        case PixelType::uint32: return normalize<std::uint32_t>(frames, t, channel, offset, scale, out);
        case PixelType::int64: return normalize<std::int64_t>(frames, t, channel, offset, scale, out);
        case PixelType::uint64: return normalize<std::uint64_t>(frames, t, channel, offset, scale, out);
        case PixelType::float32: return normalize<float>(frames, t, channel, offset, scale, out);
        case PixelType::float64: return normalize<double>(frames, t, channel, offset, scale, out);
    }
}

void replace_unknown(PixelType type, const float *unknown, Plane &plane) noexcept {
    if (type != PixelType::float32 && type != PixelType::float64) return;
    for (int y = 0; y < plane.rows(); ++y)
        for (int x = 0; x < plane.columns(); ++x)
            if (!std::isfinite(plane.row(y)[x])) plane.row(y)[x] = unknown == nullptr ? 0.0f : unknown[y * plane.columns() + x];
}

}  // namespace

Preparer::Preparer(const Preparation &preparation, const Band &along_y, const Band &along_x)
    : preparation_(preparation), along_y_(along_y), along_x_(along_x),
      smooths_(preparation.sigma_y > 0 || preparation.sigma_x > 0) {
    if (!smooths_) return;
    raw_.resize(along_y.to(), along_x.to());
    half_.resize(along_y.to(), along_x.to());
    scratch_.assign(along_x.scratch_size(), 0.0f);
}

void Preparer::prepare(const RawFrames &frames, std::int64_t t, int channel, const float *unknown, Plane &out) noexcept {
    const std::size_t c = static_cast<std::size_t>(channel);
    Plane &raw = smooths_ ? raw_ : out;
    normalize_any(frames, t, channel, preparation_.offset[c], preparation_.scale[c], raw);
    replace_unknown(frames.type, unknown, raw);
    if (!smooths_) return;
    along_y_.along_y(raw_, half_);
    along_x_.along_x(half_, out, scratch_.data());
}

void prepare_frames(const RawFrames &frames, int rows, int columns, int channels, const Preparation &preparation, float *out,
                    int threads) {
    const Band along_y = Band::gaussian(rows, preparation.sigma_y), along_x = Band::gaussian(columns, preparation.sigma_x);
    run_frames(frames.frame_count, threads, [&] {
        struct Space {
            Preparer preparer;
            Plane plane;
        };
        auto space = std::make_unique<Space>(Space{Preparer(preparation, along_y, along_x), Plane(rows, columns)});
        return [&, space = std::move(space)](std::int64_t t) {
            for (int c = 0; c < channels; ++c) {
                space->preparer.prepare(frames, t, c, nullptr, space->plane);
                float *to = out + (t * channels + c) * static_cast<std::int64_t>(rows) * columns;
                for (int y = 0; y < rows; ++y, to += columns)
                    std::copy(space->plane.row(y), space->plane.row(y) + columns, to);
            }
        };
    });
}

}  // namespace galvo
