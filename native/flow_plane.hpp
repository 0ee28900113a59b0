// Images of floats in which vectors may run over the end of a row.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace galvo {

constexpr std::ptrdiff_t kLanes8 = 8;

constexpr std::ptrdiff_t whole_vectors(std::ptrdiff_t count) noexcept { return (count + 7) / 8 * 8; }

// rows x columns; what lies behind the columns, and `margin` floats on each side of the image, belong to it as well.
class Plane {
  public:
    Plane() = default;
    Plane(int rows, int columns) { resize(rows, columns); }
    // Zeros everywhere.
    void resize(int rows, int columns) {
        layout(rows, columns);
        values_.assign(size(), 0.0f);
    }
    // As resize(), but what is in it is left over from other uses.
    void reshape(int rows, int columns) {
        layout(rows, columns);
        if (values_.size() < size()) values_.resize(size(), 0.0f);
    }
    // Zeros on the outermost ring and beyond it.
    void clear_ring() noexcept {
        float *begin = values_.data();
        std::fill(begin, row(1) + 1, 0.0f);
        for (int y = 1; y < rows_ - 1; ++y) std::fill(row(y) + columns_ - 1, row(y + 1) + 1, 0.0f);
        std::fill(row(rows_ - 1), begin + size(), 0.0f);
    }
    int rows() const noexcept { return rows_; }
    int columns() const noexcept { return columns_; }
    std::ptrdiff_t stride() const noexcept { return stride_; }
    float *row(std::ptrdiff_t y) noexcept { return values_.data() + kMargin + y * stride_; }
    const float *row(std::ptrdiff_t y) const noexcept { return values_.data() + kMargin + y * stride_; }

    static constexpr std::ptrdiff_t kMargin = 32;

  private:
    std::size_t size() const noexcept { return static_cast<std::size_t>(stride_ * whole_vectors(rows_) + 2 * kMargin); }
    void layout(int rows, int columns) noexcept {
        rows_ = rows;
        columns_ = columns;
        // Odd numbers of vectors, so that rows do not meet in the cache.
        stride_ = (whole_vectors(columns) / 8 + 4) / 2 * 16 + 8;
    }

    int rows_ = 0, columns_ = 0;
    std::ptrdiff_t stride_ = 0;
    std::vector<float> values_;
};

// Transposes `blocks` squares of 8 x 8 floats; the next one is `step_in` and `step_out` floats further.
void transpose_blocks(const float *in, std::ptrdiff_t stride_in, std::ptrdiff_t step_in, float *out,
                      std::ptrdiff_t stride_out, std::ptrdiff_t step_out, std::ptrdiff_t blocks) noexcept;

}  // namespace galvo
