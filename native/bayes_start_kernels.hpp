// Convolutions.
// Included by bayes_start.cpp once per instruction set.
#include "bayes_lanes.hpp"

// Sums of `tap_count` rows or of shifted copies of one row.
void weighted_sum(const float *const *inputs, const float *taps, std::int64_t tap_count,
                               std::int64_t count, float *out) noexcept {
    std::int64_t x = 0;
    for (; x + kLanes <= count; x += kLanes) {
        Lanes sum = all_lanes(0.0f);
        for (std::int64_t k = 0; k < tap_count; ++k) sum += all_lanes(taps[k]) * load(inputs[k] + x);
        store(out + x, sum);
    }
    for (; x < count; ++x) {
        float sum = 0.0f;
        for (std::int64_t k = 0; k < tap_count; ++k) sum += taps[k] * inputs[k][x];
        out[x] = sum;
    }
}
