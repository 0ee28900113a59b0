// Butterflies of columns.
// Included by bayes_fourier.cpp once per instruction set.
#include "bayes_lanes.hpp"

struct Complex {
    Lanes re, im;
};

GALVO_INLINE Complex plus(const Complex &a, const Complex &b) noexcept { return {a.re + b.re, a.im + b.im}; }
GALVO_INLINE Complex minus(const Complex &a, const Complex &b) noexcept { return {a.re - b.re, a.im - b.im}; }
GALVO_INLINE Complex scaled(const Complex &a, float factor) noexcept {
    const Lanes lanes = all_lanes(factor);
    return {a.re * lanes, a.im * lanes};
}
GALVO_INLINE Complex times_minus_i(const Complex &a) noexcept { return {a.im, all_lanes(0.0f) - a.re}; }

GALVO_INLINE void transform(Complex (&a)[2]) noexcept {
    const Complex sum = plus(a[0], a[1]);
    a[1] = minus(a[0], a[1]);
    a[0] = sum;
}

GALVO_INLINE void transform(Complex (&a)[3]) noexcept {
    constexpr float kSine = 0.86602540378443864676f;
    const Complex sum = plus(a[1], a[2]), turned = times_minus_i(scaled(minus(a[1], a[2]), kSine));
    const Complex middle = minus(a[0], scaled(sum, 0.5f));
    a[0] = plus(a[0], sum);
    a[1] = plus(middle, turned);
    a[2] = minus(middle, turned);
}

GALVO_INLINE void transform(Complex (&a)[4]) noexcept {
    const Complex even = plus(a[0], a[2]), odd = plus(a[1], a[3]);
    const Complex difference = minus(a[0], a[2]), turned = times_minus_i(minus(a[1], a[3]));
    a[0] = plus(even, odd);
    a[2] = minus(even, odd);
    a[1] = plus(difference, turned);
    a[3] = minus(difference, turned);
}

GALVO_INLINE void transform(Complex (&a)[5]) noexcept {
    constexpr float kCosine1 = 0.30901699437494742410f, kCosine2 = -0.80901699437494742410f;
    constexpr float kSine1 = 0.95105651629515357212f, kSine2 = 0.58778525229247312917f;
    const Complex sum1 = plus(a[1], a[4]), sum2 = plus(a[2], a[3]);
    const Complex difference1 = minus(a[1], a[4]), difference2 = minus(a[2], a[3]);
    const Complex middle1 = plus(a[0], plus(scaled(sum1, kCosine1), scaled(sum2, kCosine2)));
    const Complex middle2 = plus(a[0], plus(scaled(sum1, kCosine2), scaled(sum2, kCosine1)));
    const Complex turned1 = times_minus_i(plus(scaled(difference1, kSine1), scaled(difference2, kSine2)));
    const Complex turned2 = times_minus_i(minus(scaled(difference1, kSine2), scaled(difference2, kSine1)));
    a[0] = plus(a[0], plus(sum1, sum2));
    a[1] = plus(middle1, turned1);
    a[4] = minus(middle1, turned1);
    a[2] = plus(middle2, turned2);
    a[3] = minus(middle2, turned2);
}

// One group: `count` transforms of length kRadix whose elements are `in_step` and `out_step` apart.
template <int kRadix>
void butterflies(const float *real, const float *imaginary, std::int64_t in_step, float *out_real,
                              float *out_imaginary, std::int64_t out_step, const float *twiddles,
                              std::int64_t count) noexcept {
    for (std::int64_t i = 0; i < count; i += kLanes) {
        Complex a[kRadix];
        for (int j = 0; j < kRadix; ++j) a[j] = {load(real + j * in_step + i), load(imaginary + j * in_step + i)};
        transform(a);
        store(out_real + i, a[0].re);
        store(out_imaginary + i, a[0].im);
        for (int k = 1; k < kRadix; ++k) {
            const Lanes cosine = all_lanes(twiddles[2 * k - 2]), sine = all_lanes(twiddles[2 * k - 1]);
            store(out_real + k * out_step + i, a[k].re * cosine - a[k].im * sine);
            store(out_imaginary + k * out_step + i, a[k].re * sine + a[k].im * cosine);
        }
    }
}
