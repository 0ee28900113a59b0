// Fields of two components, and other sizes of them.
#pragma once

#include <cstdint>

#include "flow_plane.hpp"

namespace galvo {

// Displacements along x and along y.
struct Field {
    Plane u, v;
    void resize(int rows, int columns) {
        u.resize(rows, columns);
        v.resize(rows, columns);
    }
};

// out = u0 v0 u1 v1 ...
void interleave(const float *u, const float *v, int count, float *out) noexcept;

// Fields (T, h, w, 2) interpolated to (T, Y, X, 2).
void expand_fields(const float *fields, std::int64_t count, int from_rows, int from_columns, int rows, int columns, float *out,
                   int threads);

}  // namespace galvo
