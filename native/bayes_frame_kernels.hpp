// Conversion to float32, and binning.
// Included by bayes_frame.cpp once per instruction set.
#include "bayes_lanes.hpp"

struct Range {
    float smallest = std::numeric_limits<float>::infinity();
    float largest = -std::numeric_limits<float>::infinity();
};

template <class Pixel, bool kOneChannel>
GALVO_INLINE void convert_row(const Pixel *in, std::int64_t step, std::int64_t count, float *out) noexcept {
    if (kOneChannel) step = 1;
    for (std::int64_t x = 0; x < count; ++x) out[x] = static_cast<float>(in[x * step]);
}

GALVO_INLINE void extend(const float *row, std::int64_t count, Lanes &low, Lanes &high, Range &rest) noexcept {
    std::int64_t x = 0;
    for (; x + kLanes <= count; x += kLanes) {
        // A NaN as the first operand gives the second.
        low = smaller(load(row + x), low);
        high = larger(load(row + x), high);
    }
    for (; x < count; ++x) {
        rest.smallest = row[x] < rest.smallest ? row[x] : rest.smallest;
        rest.largest = row[x] > rest.largest ? row[x] : rest.largest;
    }
}

template <class Pixel, bool kOneChannel>
GALVO_INLINE bool bin_all(const Pixel *pixels, std::int64_t row_step, std::int64_t step, std::int64_t factor,
                          BorderedPlane &out) noexcept {
    constexpr std::int64_t kPart = 512;
    float converted[kPart], sums[kPart];
    const float scale = 1.0f / static_cast<float>(factor * factor);
    Range range;
    Lanes low = all_lanes(range.smallest), high = all_lanes(range.largest);
    for (std::int64_t y = 0; y < out.height(); ++y) {
        float *row = out.row(y);
        if (factor == 1) {
            convert_row<Pixel, kOneChannel>(pixels + y * row_step, step, out.width(), row);
            extend(row, out.width(), low, high, range);
            continue;
        }
        const std::int64_t bins = kPart / factor;
        for (std::int64_t x = 0; x < out.width(); x += bins) {
            const std::int64_t count = std::min(bins, out.width() - x);
            const Pixel *in = pixels + y * factor * row_step + x * factor * step;
            convert_row<Pixel, kOneChannel>(in, step, count * factor, sums);
            extend(sums, count * factor, low, high, range);
            for (std::int64_t k = 1; k < factor; ++k) {
                convert_row<Pixel, kOneChannel>(in + k * row_step, step, count * factor, converted);
                extend(converted, count * factor, low, high, range);
                for (std::int64_t i = 0; i < count * factor; ++i) sums[i] += converted[i];
            }
            for (std::int64_t i = 0; i < count; ++i) {
                float sum = sums[i * factor];
                for (std::int64_t k = 1; k < factor; ++k) sum += sums[i * factor + k];
                row[x + i] = sum * scale;
            }
        }
    }
    for (std::int64_t i = 0; i < kLanes; ++i) {
        range.smallest = std::min(range.smallest, low[i]);
        range.largest = std::max(range.largest, high[i]);
    }
    return range.smallest < range.largest;
}

template <class Pixel>
GALVO_INLINE bool bin_channel(const FrameStack &frames, std::int64_t frame, std::int64_t channel, std::int64_t factor,
                              BorderedPlane &out) noexcept {
    const std::int64_t step = frames.channel_count, row_step = frames.width * step;
    const Pixel *pixels = static_cast<const Pixel *>(frames.pixels) + frame * frames.height * row_step + channel;
    if (step == 1) return bin_all<Pixel, true>(pixels, row_step, step, factor, out);
    return bin_all<Pixel, false>(pixels, row_step, step, factor, out);
}

bool bin_frame(const FrameStack &frames, std::int64_t frame, std::int64_t channel, std::int64_t factor,
                          BorderedPlane &out) noexcept {
    switch (frames.type) {
        case PixelType::u8: return bin_channel<std::uint8_t>(frames, frame, channel, factor, out);
        case PixelType::i8: return bin_channel<std::int8_t>(frames, frame, channel, factor, out);
        case PixelType::u16: return bin_channel<std::uint16_t>(frames, frame, channel, factor, out);
        case PixelType::i16: return bin_channel<std::int16_t>(frames, frame, channel, factor, out);
        case PixelType::u32: return bin_channel<std::uint32_t>(frames, frame, channel, factor, out);
        case PixelType::i32: return bin_channel<std::int32_t>(frames, frame, channel, factor, out);
        case PixelType::f32: return bin_channel<float>(frames, frame, channel, factor, out);
        case PixelType::f64: return bin_channel<double>(frames, frame, channel, factor, out);
    }
    return false;
}

void halve(const BorderedPlane &in, BorderedPlane &out) noexcept {
    for (std::int64_t y = 0; y < out.height(); ++y) {
        const float *above = in.row(2 * y), *below = in.row(2 * y + 1);
        float *row = out.row(y);
        for (std::int64_t x = 0; x < out.width(); ++x)
            row[x] = ((above[2 * x] + above[2 * x + 1]) + (below[2 * x] + below[2 * x + 1])) * 0.25f;
    }
}
