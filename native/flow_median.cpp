#include "flow_median.hpp"

#include <utility>

#include "each_isa.hpp"

namespace galvo {
namespace {

GALVO_INLINE void order(float &a, float &b) noexcept {
    const float low = a < b ? a : b, high = a < b ? b : a;
    a = low;
    b = high;
}

// Nine comparisons (Knuth, The art of computer programming 3, 5.3.4).
GALVO_INLINE void sort_five(float &a, float &b, float &c, float &d, float &e) noexcept {
    order(a, b);
    order(d, e);
    order(c, e);
    order(c, d);
    order(a, d);
    order(a, c);
    order(b, e);
    order(b, d);
    order(b, c);
}

GALVO_INLINE void sort_columns_all(const float *GALVO_RESTRICT r0, const float *GALVO_RESTRICT r1,
                                   const float *GALVO_RESTRICT r2, const float *GALVO_RESTRICT r3,
                                   const float *GALVO_RESTRICT r4, std::ptrdiff_t count, std::ptrdiff_t stride,
                                   float *GALVO_RESTRICT out) noexcept {
    float *GALVO_RESTRICT o0 = out, *GALVO_RESTRICT o1 = out + stride, *GALVO_RESTRICT o2 = out + 2 * stride,
          *GALVO_RESTRICT o3 = out + 3 * stride, *GALVO_RESTRICT o4 = out + 4 * stride;
    for (std::ptrdiff_t x = 0; x < count; ++x) {
        float a = r0[x], b = r1[x], c = r2[x], d = r3[x], e = r4[x];
        sort_five(a, b, c, d, e);
        o0[x] = a;
        o1[x] = b;
        o2[x] = c;
        o3[x] = d;
        o4[x] = e;
    }
}
GALVO_EACH_ISA(sort_columns,
               (const float *r0, const float *r1, const float *r2, const float *r3, const float *r4, std::ptrdiff_t count,
                std::ptrdiff_t stride, float *out),
               (r0, r1, r2, r3, r4, count, stride, out))

// The columns of a 5 x 5 window are in order; so are its rows after this. Then the (i, j)-th is not below (i + 1)(j + 1)
// pixels and not above (5 - i)(5 - j), which leaves 13 that can be the median, and theirs is that of all 25.
GALVO_INLINE void medians_all(const float *GALVO_RESTRICT in, std::ptrdiff_t stride, std::ptrdiff_t count,
                              float *GALVO_RESTRICT out) noexcept {
    const float *GALVO_RESTRICT i0 = in, *GALVO_RESTRICT i1 = in + stride, *GALVO_RESTRICT i2 = in + 2 * stride,
                *GALVO_RESTRICT i3 = in + 3 * stride, *GALVO_RESTRICT i4 = in + 4 * stride;
    for (std::ptrdiff_t x = 0; x < count; ++x) {
        float a[5], b[5], c[5], d[5], e[5];
        for (int k = 0; k < 5; ++k) {
            a[k] = i0[x + k];
            b[k] = i1[x + k];
            c[k] = i2[x + k];
            d[k] = i3[x + k];
            e[k] = i4[x + k];
        }
        sort_five(a[0], a[1], a[2], a[3], a[4]);
        sort_five(b[0], b[1], b[2], b[3], b[4]);
        sort_five(c[0], c[1], c[2], c[3], c[4]);
        sort_five(d[0], d[1], d[2], d[3], d[4]);
        sort_five(e[0], e[1], e[2], e[3], e[4]);
        // The least of the 13 is one of the first four here, the largest one of the last four; each step drops both
        // ends of what is left.
        float p0 = a[3], p1 = b[2], p2 = c[1], p3 = d[0], q0 = b[4], q1 = c[3], q2 = d[2], q3 = e[1];
        order(p0, p1);
        order(p2, p3);
        order(p0, p2);  // p0 is dropped
        order(q0, q1);
        order(q2, q3);
        order(q1, q3);  // q3 is dropped
        float s0 = p1, s1 = p2, s2 = p3, s3 = q0, s4 = q1, s5 = q2, s6 = a[4];
        // Of the eleven left the sixth is wanted: neither end of any seven can be it.
        order(s0, s1);
        order(s2, s3);
        order(s4, s5);
        order(s0, s2);
        order(s0, s4);
        order(s0, s6);
        order(s1, s3);
        order(s3, s5);
        order(s5, s6);
        float t0 = s1, t1 = s2, t2 = s3, t3 = s4, t4 = s5, t5 = b[3];
        order(t0, t1);
        order(t2, t3);
        order(t4, t5);
        order(t0, t2);
        order(t0, t4);
        order(t1, t3);
        order(t3, t5);
        float v0 = t1, v1 = t2, v2 = t3, v3 = t4, v4 = c[2];
        order(v0, v1);
        order(v2, v3);
        order(v0, v2);
        order(v0, v4);
        order(v1, v3);
        order(v3, v4);
        float w0 = v1, w1 = v2, w2 = v3, w3 = d[1];
        order(w0, w1);
        order(w2, w3);
        order(w0, w2);
        order(w1, w3);
        float x0 = w1, x1 = w2, x2 = e[0];
        order(x0, x1);
        order(x1, x2);
        order(x0, x1);
        out[x] = x1;
    }
}
GALVO_EACH_ISA(medians, (const float *in, std::ptrdiff_t stride, std::ptrdiff_t count, float *out),
               (in, stride, count, out))

int mirrored(int i, int count) noexcept { return i < 0 ? -i : i >= count ? 2 * count - 2 - i : i; }

}  // namespace

void Median::resize(int columns) { sorted_.assign(static_cast<std::size_t>(5 * (whole_vectors(columns) + 24)), 0.0f); }

void Median::filter(const Plane &in, Plane &out) noexcept {
    const int rows = in.rows(), columns = in.columns();
    const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(sorted_.size()) / 5;
    for (int y = 0; y < rows; ++y) {
        const float *from[5];
        for (int k = 0; k < 5; ++k) from[k] = in.row(mirrored(y + k - 2, rows));
        sort_columns(from[0], from[1], from[2], from[3], from[4], columns, stride, sorted_.data() + 2);
        for (int k = 0; k < 5; ++k) {
            float *sorted = sorted_.data() + k * stride + 2;
            sorted[-1] = sorted[1];
            sorted[-2] = sorted[2];
            sorted[columns] = sorted[columns - 2];
            sorted[columns + 1] = sorted[columns - 3];
        }
        medians(sorted_.data(), stride, columns, out.row(y));
    }
}

}  // namespace galvo
