// Images sampled at sub-pixel positions: nearest, linear, and cubic convolution (Keys 1981) with exact weights.
//
// A displacement (u, v) at (x, y) reads the image at (x + u, y + v). The integer and the fractional part of u are
// told apart before x is added, so that positions are as exact at the far end of a large frame as at its beginning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace galvo {

enum class Sampling { nearest, linear, cubic };

// What a displacement comes to: the tap up and left of the position, and how far the position lies beyond it.
// A position outside the image is moved to the nearest one inside.
struct Positions {
    explicit Positions(std::size_t count) : base(count), fx(count), fy(count) {}
    std::vector<std::int32_t> base;
    std::vector<float> fx, fy;
};

// An image with what cubic taps reach beyond its edges, by replication: one row and column before, two after.
template <class Real>
class PaddedPlane {
  public:
    void resize(int rows, int columns);
    // Copies (rows, columns) values, rows and columns being that many pixels apart in memory.
    template <class Pixel>
    void fill(const Pixel *pixels, std::ptrdiff_t row_step, std::ptrdiff_t step);

    int rows() const noexcept { return rows_; }
    int columns() const noexcept { return columns_; }
    int stride() const noexcept { return columns_ + 3; }
    const Real *origin() const noexcept { return values_.data() + stride() + 1; }

  private:
    int rows_ = 0, columns_ = 0;
    std::vector<Real> values_;
};

void split_pairs(const float *pairs, int count, float *u, float *v) noexcept;

// Positions of row `y` of an image of rows x columns, stored with `stride`; u and v are multiplied by the scales first.
// `thirty_seconds` rounds them to 1/32 pixel, halves to even, as OpenCV 4 does.
void find_positions(const float *u, const float *v, float scale_x, float scale_y, int y, int rows, int columns,
                    int stride, Positions &positions, bool thirty_seconds = false) noexcept;

// `count` values of the image; `cubic_a` is Keys' parameter.
void sample(const float *origin, int stride, const Positions &positions, std::size_t count, Sampling sampling,
            float cubic_a, float *out) noexcept;
void sample(const double *origin, int stride, const Positions &positions, std::size_t count, Sampling sampling,
            double cubic_a, double *out) noexcept;

enum class PixelType { int8, uint8, int16, uint16, int32, uint32, int64, uint64, float32, float64 };

// Pixels from one index to the next along each axis.
struct Steps {
    std::ptrdiff_t t = 0, y = 0, x = 0, c = 0;
};

struct Warp {
    const void *frames = nullptr;  // (T, Y, X, C)
    void *out = nullptr;           // (T, Y, X, C)
    Steps steps, out_steps;
    PixelType type = PixelType::uint16, out_type = PixelType::float32;
    std::int64_t frame_count = 0, rows = 0, columns = 0, channels = 0;
    const float *displacements = nullptr;  // (T, Y, X, 2), or one for all frames, or one row for all of a frame
    bool one_displacement = false, one_row = false;
    Sampling sampling = Sampling::cubic;
    double cubic_a = -0.5;
    bool fill = false;                   // else the edge is replicated
    double fill_value = 0;               // used without an image
    const double *fill_image = nullptr;  // (Y, X, C)
    // A source at p counts as inside for -reach_before <= p < size - 1 + reach_after.
    double reach_before = 0.5, reach_after = 0.5;
    int threads = 1;
};

// Number of displacements that are not finite; they count as outside.
std::int64_t warp_frames(const Warp &warp);

}  // namespace galvo
