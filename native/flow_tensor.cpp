#include "flow_tensor.hpp"

#include <algorithm>
#include <cmath>

#include "each_isa.hpp"

namespace galvo {
namespace {

constexpr float kSmallestGradient = 1e-6f;        // squared, per pixel squared
constexpr float kCensusSoftness = 0.1f / 255.0f;  // images being within 0 .. 1

// Columns 0 .. columns-1 of `row` become columns 1 .. columns of a row whose ends are replicated.
void close_row(float *row, int columns) noexcept {
    row[0] = row[1];
    row[columns + 1] = row[columns];
}

void close_plane(Plane &plane, int rows, int columns) noexcept {
    std::copy(plane.row(1), plane.row(1) + columns + 2, plane.row(0));
    std::copy(plane.row(rows), plane.row(rows) + columns + 2, plane.row(rows + 1));
}

GALVO_INLINE void combine_all(const float *GALVO_RESTRICT fixed, const float *GALVO_RESTRICT moving, int count,
                              float *GALVO_RESTRICT mean, float *GALVO_RESTRICT change) noexcept {
    for (int x = 0; x < count; ++x) {
        mean[x] = 0.5f * (fixed[x] + moving[x]);
        change[x] = moving[x] - fixed[x];
    }
}
GALVO_EACH_ISA(combine, (const float *fixed, const float *moving, int count, float *mean, float *change),
               (fixed, moving, count, mean, change))

// What one row of tensors is made of: rows y - 1, y, y + 1 of the mean and of the change, from column 0 on.
struct TensorRow {
    const float *up, *here, *down;
    const float *change_up, *change_here, *change_down;
    float *j11, *j22, *j33, *j12, *j13, *j23;
};

// Constancy of the gradient, each component divided by the gradient of what it compares: Zimmer, Bruhn and Weickert,
// Optic flow in harmony, IJCV 93, 2011.
GALVO_INLINE void gradient_row_all(const TensorRow &row, int columns, float inverse_y, float inverse_x) noexcept {
    const float *up = row.up, *here = row.here, *down = row.down;
    const float *change_up = row.change_up, *change_here = row.change_here, *change_down = row.change_down;
    float *j11 = row.j11, *j22 = row.j22, *j33 = row.j33, *j12 = row.j12, *j13 = row.j13, *j23 = row.j23;
    const float half_x = 0.5f * inverse_x, half_y = 0.5f * inverse_y, both = half_x * half_y;
    const float square_x = inverse_x * inverse_x, square_y = inverse_y * inverse_y;
    GALVO_INDEPENDENT
    for (int x = 1; x <= columns; ++x) {
        const float twice = here[x] + here[x];
        const float xx = (here[x + 1] + here[x - 1] - twice) * square_x;
        const float yy = (down[x] + up[x] - twice) * square_y;
        const float xy = ((down[x + 1] - down[x - 1]) - (up[x + 1] - up[x - 1])) * both;
        const float xt = (change_here[x + 1] - change_here[x - 1]) * half_x;
        const float yt = (change_down[x] - change_up[x]) * half_y;
        const float square_xy = xy * xy;
        const float along_x = 1.0f / (xx * xx + square_xy + kSmallestGradient);
        const float along_y = 1.0f / (square_xy + yy * yy + kSmallestGradient);
        const float x_xx = along_x * xx, x_xy = along_x * xy, y_xy = along_y * xy, y_yy = along_y * yy;
        j11[x] = x_xx * xx + y_xy * xy;
        j22[x] = x_xy * xy + y_yy * yy;
        j33[x] = along_x * xt * xt + along_y * yt * yt;
        j12[x] = x_xx * xy + y_xy * yy;
        j13[x] = x_xx * xt + y_xy * yt;
        j23[x] = x_xy * xt + y_yy * yt;
    }
}
GALVO_EACH_ISA(gradient_row, (const TensorRow &row, int columns, float inverse_y, float inverse_x),
               (row, columns, inverse_y, inverse_x))

GALVO_INLINE void brightness_row_all(const TensorRow &row, int columns, float inverse_y, float inverse_x, float factor,
                                     bool add) noexcept {
    const float *up = row.up, *here = row.here, *down = row.down, *change = row.change_here;
    float *j11 = row.j11, *j22 = row.j22, *j33 = row.j33, *j12 = row.j12, *j13 = row.j13, *j23 = row.j23;
    const float half_x = 0.5f * inverse_x, half_y = 0.5f * inverse_y, kept = add ? 1.0f : 0.0f;
    GALVO_INDEPENDENT
    for (int x = 1; x <= columns; ++x) {
        const float dx = (here[x + 1] - here[x - 1]) * half_x, dy = (down[x] - up[x]) * half_y, dt = change[x];
        j11[x] = kept * j11[x] + factor * dx * dx;
        j22[x] = kept * j22[x] + factor * dy * dy;
        j33[x] = kept * j33[x] + factor * dt * dt;
        j12[x] = kept * j12[x] + factor * dx * dy;
        j13[x] = kept * j13[x] + factor * dx * dt;
        j23[x] = kept * j23[x] + factor * dy * dt;
    }
}
GALVO_EACH_ISA(brightness_row,
               (const TensorRow &row, int columns, float inverse_y, float inverse_x, float factor, bool add),
               (row, columns, inverse_y, inverse_x, factor, add))

// Soft census signature of a row: how much brighter the neighbour is, 0 .. 1.
GALVO_INLINE void signature_row_all(const float *GALVO_RESTRICT here, const float *GALVO_RESTRICT there, int count,
                                    float inverse_distance, float *GALVO_RESTRICT out) noexcept {
    for (int x = 0; x < count; ++x) {
        const float rise = (there[x] - here[x]) * inverse_distance;
        out[x] = 0.5f + 0.5f * (rise / std::sqrt(rise * rise + kCensusSoftness * kCensusSoftness));
    }
}
GALVO_EACH_ISA(signature_row, (const float *here, const float *there, int count, float inverse_distance, float *out),
               (here, there, count, inverse_distance, out))

TensorRow rows_of(const Plane &mean, const Plane &change, Tensor &tensor, int y) noexcept {
    return {mean.row(y - 1),  mean.row(y),      mean.row(y + 1),  change.row(y - 1), change.row(y),    change.row(y + 1),
            tensor[0].row(y), tensor[1].row(y), tensor[2].row(y), tensor[3].row(y),  tensor[4].row(y), tensor[5].row(y)};
}

void copy_with_ring(const Plane &image, Plane &out) noexcept {
    for (int y = 0; y < image.rows(); ++y) {
        std::copy(image.row(y), image.row(y) + image.columns(), out.row(y + 1) + 1);
        close_row(out.row(y + 1), image.columns());
    }
    close_plane(out, image.rows(), image.columns());
}

}  // namespace

void TensorMaker::resize(int rows, int columns, DataTerm term) {
    term_ = term;
    mean_.reshape(rows + 2, columns + 2);
    change_.reshape(rows + 2, columns + 2);
    if (term == DataTerm::census) {
        fixed_.reshape(rows + 2, columns + 2);
        moving_.reshape(rows + 2, columns + 2);
    }
}

void TensorMaker::make(const Plane &fixed, const Plane &moving, float spacing_y, float spacing_x, Tensor &tensor) noexcept {
    if (term_ == DataTerm::census) return make_census(fixed, moving, spacing_y, spacing_x, tensor);
    const int rows = fixed.rows(), columns = fixed.columns();
    for (int y = 1; y <= rows; ++y) {
        combine(fixed.row(y - 1), moving.row(y - 1), columns, mean_.row(y) + 1, change_.row(y) + 1);
        close_row(mean_.row(y), columns);
        close_row(change_.row(y), columns);
    }
    close_plane(mean_, rows, columns);
    close_plane(change_, rows, columns);
    for (int y = 1; y <= rows; ++y) {
        const TensorRow row = rows_of(mean_, change_, tensor, y);
        if (term_ == DataTerm::gradient)
            gradient_row(row, columns, 1.0f / spacing_y, 1.0f / spacing_x);
        else
            brightness_row(row, columns, 1.0f / spacing_y, 1.0f / spacing_x, 1.0f, false);
    }
}

// Hafner, Demetz and Weickert, Why is the census transform good for robust optic flow computation?, SSVM 2013.
void TensorMaker::make_census(const Plane &fixed, const Plane &moving, float spacing_y, float spacing_x,
                              Tensor &tensor) noexcept {
    const int rows = fixed.rows(), columns = fixed.columns();
    copy_with_ring(fixed, fixed_);
    copy_with_ring(moving, moving_);
    bool first = true;
    for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
            if (dy == 0 && dx == 0) continue;
            const float inverse = 1.0f / std::hypot(static_cast<float>(dy) * spacing_y, static_cast<float>(dx) * spacing_x);
            for (int y = 1; y <= rows; ++y) {
                float *mean = mean_.row(y) + 1, *change = change_.row(y) + 1;
                signature_row(fixed_.row(y) + 1, fixed_.row(y + dy) + 1 + dx, columns, inverse, mean);
                signature_row(moving_.row(y) + 1, moving_.row(y + dy) + 1 + dx, columns, inverse, change);
                for (int x = 0; x < columns; ++x) {
                    const float before = mean[x], after = change[x];
                    mean[x] = 0.5f * (before + after);
                    change[x] = after - before;
                }
                close_row(mean_.row(y), columns);
                close_row(change_.row(y), columns);
            }
            close_plane(mean_, rows, columns);
            close_plane(change_, rows, columns);
            for (int y = 1; y <= rows; ++y)
                brightness_row(rows_of(mean_, change_, tensor, y), columns, 1.0f / spacing_y, 1.0f / spacing_x, 0.25f, !first);
            first = false;
        }
    }
}

}  // namespace galvo
