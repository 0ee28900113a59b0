// How well corrected frames agree with their reference, and how long their displacements are.
#pragma once

#include <cstdint>

namespace galvo {

struct FrameQuality {
    const float *corrected = nullptr;      // (T, Y, X, C)
    const float *displacements = nullptr;  // (T, Y, X, 2)
    const float *reference = nullptr;      // (Y, X, C)
    std::int64_t frame_count = 0, rows = 0, columns = 0, channels = 0;
    int threads = 1;
};

constexpr int kQualityNumbers = 6;

// Fills `out` (T, 6) with correlation, residual, crispness, mean length, greatest length and divergence.
//
// Image measures are means over channels of the frame without a border as wide as its greatest displacement, of which
// at least the inner half remains. Pixels that are not finite are left out.
void measure_frames(const FrameQuality &given, float *out);

}  // namespace galvo
