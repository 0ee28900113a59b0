// A frame's channel as float32 at the full and at binned resolution, with a border, so that no tap needs a check.
#pragma once

#include <cstdint>
#include <vector>

namespace galvo {

enum class PixelType { u8, i8, u16, i16, u32, i32, f32, f64 };

// Frames (T, Y, X, C), C-contiguous.
struct FrameStack {
    const void *pixels = nullptr;
    PixelType type = PixelType::u16;
    std::int64_t frame_count = 0, height = 0, width = 0, channel_count = 0;
};

// An image with kBorder pixels around it that repeat its edge.
class BorderedPlane {
  public:
    static constexpr std::int64_t kBorder = 16;      // columns on each side
    static constexpr std::int64_t kBorderRows = 4;   // rows above and below

    void shape(std::int64_t height, std::int64_t width);

    std::int64_t height() const noexcept { return height_; }
    std::int64_t width() const noexcept { return width_; }
    std::int64_t stride() const noexcept { return stride_; }
    // Row y, -kBorderRows <= y < height + kBorderRows, at column 0.
    float *row(std::int64_t y) noexcept { return pixels_.data() + (y + kBorderRows) * stride_ + kBorder; }
    const float *row(std::int64_t y) const noexcept {
        return pixels_.data() + (y + kBorderRows) * stride_ + kBorder;
    }
    void fill_border() noexcept;

  private:
    std::int64_t height_ = 0, width_ = 0, stride_ = 0;
    std::vector<float> pixels_;
};

// Means of factor x factor pixels of one channel of one frame; rows and columns that do not fill a bin are left out.
// `out` has its shape already and its border is filled. False if all pixels are equal or none is a number.
bool bin_frame(const FrameStack &frames, std::int64_t frame, std::int64_t channel, std::int64_t factor,
               BorderedPlane &out) noexcept;

// Means of 2 x 2 pixels.
void halve(const BorderedPlane &in, BorderedPlane &out) noexcept;

}  // namespace galvo
