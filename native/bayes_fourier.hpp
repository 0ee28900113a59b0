// Fourier transforms of many columns at once.
#pragma once

#include <cstdint>
#include <vector>

namespace galvo {

// The smallest number >= `size` with no prime factor above 5 that is a multiple of 2.
std::int64_t smooth_size(std::int64_t size) noexcept;

// Transforms of length n along the first axis of (n, batch), real and imaginary parts apart (Stockham, radices 2 to 5).
class ColumnTransform {
  public:
    // `n` from smooth_size; `batch` a multiple of 8.
    ColumnTransform(std::int64_t n, std::int64_t batch);

    std::int64_t size() const noexcept { return n_; }
    std::int64_t batch() const noexcept { return batch_; }

    // sum_x a[x] exp(-2 pi i k x / n); `work` is (2, n, batch). With `real` and `imaginary` exchanged it is the inverse,
    // times n.
    void forward(float *real, float *imaginary, float *work) const noexcept;

  private:
    struct Stage {
        int radix;
        std::int64_t groups, stride;  // n / radix of the stage; length of what was done before
        std::size_t twiddles;
    };
    template <int kRadix>
    void run(const Stage &stage, const float *real, const float *imaginary, float *out_real,
             float *out_imaginary) const noexcept;

    std::int64_t n_, batch_;
    std::vector<Stage> stages_;
    std::vector<float> twiddles_;  // cosine and sine of the k-th power, k = 1 .. radix - 1, of each group
};

}  // namespace galvo
