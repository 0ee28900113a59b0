// The two passes of a step.
// Included by bayes_step.cpp once per instruction set.
#include "bayes_lanes.hpp"

GALVO_INLINE std::int64_t floor_of(float value) noexcept {
    const std::int64_t whole = static_cast<std::int64_t>(value);
    return whole - (value < static_cast<float>(whole) ? 1 : 0);
}

GALVO_INLINE std::int64_t mirrored(std::int64_t i, std::int64_t size) noexcept {
    return i < 0 ? -1 - i : i < size ? i : 2 * size - 1 - i;
}

// Displacements of a level's row in its own pixels, bilinear between the nodes.
struct RowField {
    const float *nodes;       // (Ny, Nx, 2)
    std::int64_t node_columns, width;
    float limit;              // so that positions remain integers
    float *node_u, *node_v;   // the nodes of this row
    float *u, *v;
};

template <int kFactor>
GALVO_INLINE void expand_nodes(const float *nodes, std::int64_t cells, float *out) noexcept {
    constexpr int kPerCell = static_cast<int>(kBlock) / kFactor;
    for (std::int64_t i = 0; i < cells; ++i) {
        const float left = nodes[i], rise = nodes[i + 1] - nodes[i];
        for (int k = 0; k < kPerCell; ++k) {
            const float t = (static_cast<float>(kFactor * k) + 0.5f * (kFactor - 1)) / static_cast<float>(kBlock);
            out[i * kPerCell + k] = left + t * rise;
        }
    }
}

template <int kFactor>
GALVO_INLINE void fill_field(const RowField &field, std::int64_t y) noexcept {
    const float place = (static_cast<float>(kFactor * y) + 0.5f * (kFactor - 1)) / static_cast<float>(kBlock);
    const std::int64_t above = static_cast<std::int64_t>(place);
    const float t = place - static_cast<float>(above), scale = 1.0f / kFactor;
    const float *first = field.nodes + above * field.node_columns * 2, *second = first + field.node_columns * 2;
    for (std::int64_t i = 0; i < field.node_columns; ++i) {
        float u = (first[2 * i] + t * (second[2 * i] - first[2 * i])) * scale;
        float v = (first[2 * i + 1] + t * (second[2 * i + 1] - first[2 * i + 1])) * scale;
        u = u < field.limit ? u : field.limit;  // a NaN as well
        v = v < field.limit ? v : field.limit;
        field.node_u[i] = u > -field.limit ? u : -field.limit;
        field.node_v[i] = v > -field.limit ? v : -field.limit;
    }
    const std::int64_t cells = field.node_columns - 1, filled = cells * (kBlock / kFactor);
    expand_nodes<kFactor>(field.node_u, cells, field.u);
    expand_nodes<kFactor>(field.node_v, cells, field.v);
    for (std::int64_t x = filled; x < rounded_up(filled, kLanes); ++x) {
        field.u[x] = field.u[filled - 1];
        field.v[x] = field.v[filled - 1];
    }
}

// Smallest and largest of eight displacements that are linear inside a cell.
template <int kFactor>
GALVO_INLINE void bounds(const float *u, float &low, float &high) noexcept {
    constexpr int kPerCell = static_cast<int>(kBlock) / kFactor;
    low = high = u[0];
    for (int cell = 0; cell < kFactor; ++cell) {
        for (int end = cell == 0 ? 1 : 0; end < 2; ++end) {
            const float value = u[cell * kPerCell + end * (kPerCell - 1)];
            low = value < low ? value : low;
            high = value > high ? value : high;
        }
    }
}

// Keys 1981, a = -1/2, for the taps -1, 0, 1, 2 at 0 <= t <= 1.
template <class Value>
GALVO_INLINE void keys(Value t, Value one, Value half, Value *taps) noexcept {
    const Value s = one - t, th = t * half, sh = s * half;
    taps[0] = (th * s) * (t - one);
    taps[3] = (sh * t) * (s - one);
    const Value three_halves = one + half, five_halves = one + one + half;
    taps[1] = one + (t * t) * (three_halves * t - five_halves);
    taps[2] = one + (s * s) * (three_halves * s - five_halves);
}

// Weights of the taps 0, 1, 2 (linear) or -1 .. 3 (cubic) at 0 <= d < 2. Both integer positions below 2 fit into one
// window, so that eight pixels whose displacements differ by less than 1 need no gather.
GALVO_INLINE void window_weights(Lanes d, Lanes (&w)[3]) noexcept {
    const Lanes zero = all_lanes(0.0f), one = all_lanes(1.0f);
    w[0] = larger(one - d, zero);
    w[2] = larger(d - one, zero);
    w[1] = (one - w[0]) - w[2];
}

GALVO_INLINE void window_weights(Lanes d, Lanes (&w)[5]) noexcept {
    const Lanes zero = all_lanes(0.0f), one = all_lanes(1.0f), half = all_lanes(0.5f);
    Lanes taps[4];
    keys(where_not_above(one, d, d - one, d), one, half, taps);
    w[0] = where_not_above(one, d, zero, taps[0]);
    w[1] = where_not_above(one, d, taps[0], taps[1]);
    w[2] = where_not_above(one, d, taps[1], taps[2]);
    w[3] = where_not_above(one, d, taps[2], taps[3]);
    w[4] = where_not_above(one, d, taps[3], zero);
}

template <bool kCubic>
GALVO_INLINE Lanes sample_window(const float *corner, std::int64_t stride, Lanes dx, Lanes dy) noexcept {
    constexpr int kTaps = kCubic ? 5 : 3;
    Lanes wx[kTaps], wy[kTaps];
    window_weights(dx, wx);
    window_weights(dy, wy);
    const float *row = kCubic ? corner - stride - 1 : corner;
    Lanes sum = all_lanes(0.0f);
    for (int j = 0; j < kTaps; ++j, row += stride) {
        Lanes across = wx[0] * load(row);
        for (int i = 1; i < kTaps; ++i) across += wx[i] * load(row + i);
        sum += wy[j] * across;
    }
    return sum;
}

// One pixel anywhere inside the frame.
template <bool kCubic>
GALVO_INLINE float sample_one(const BorderedPlane &frame, float x, float y) noexcept {
    const std::int64_t column = floor_of(x), row = floor_of(y);
    const float tx = x - static_cast<float>(column), ty = y - static_cast<float>(row);
    float wx[4], wy[4];
    if (kCubic) {
        keys(tx, 1.0f, 0.5f, wx);
        keys(ty, 1.0f, 0.5f, wy);
    }
    float sum = 0.0f;
    for (int j = kCubic ? -1 : 0; j <= (kCubic ? 2 : 1); ++j) {
        const float *line = frame.row(row + j) + column;
        if (kCubic)
            sum += wy[j + 1] * (((wx[0] * line[-1] + wx[1] * line[0]) + wx[2] * line[1]) + wx[3] * line[2]);
        else
            sum += (j == 0 ? 1.0f - ty : ty) * ((1.0f - tx) * line[0] + tx * line[1]);
    }
    return sum;
}

// Residuals of a row into `residual`, NaN where there is none; their energies e^2 iv into `energy`.
template <int kFactor, bool kCubic>
GALVO_INLINE void residual_row(const BorderedPlane &frame, const ReferenceLevel &reference, const RowField &field,
                               std::int64_t y, Brightness brightness, float *residual, float *energy) noexcept {
    fill_field<kFactor>(field, y);
    const std::int64_t width = frame.width(), height = frame.height();
    const float *value = reference.value(y), *inverse = reference.inverse_variance(y);
    const Lanes alpha = all_lanes(brightness.alpha), beta = all_lanes(brightness.beta), zero = all_lanes(0.0f);
    const Lanes missing = all_lanes(std::numeric_limits<float>::quiet_NaN());
    const Lanes largest = all_lanes(kLargestResidual);
    // The outermost half pixel has no gradient to speak of.
    const Lanes first = all_lanes(0.5f);
    const Lanes last_x = all_lanes(static_cast<float>(width) - 1.5f);
    const Lanes last_y = all_lanes(static_cast<float>(height) - 1.5f);
    float numbers[kLanes];
    for (std::int64_t i = 0; i < kLanes; ++i) numbers[i] = static_cast<float>(i);
    const Lanes lane = load(numbers), row_place = all_lanes(static_cast<float>(y));
    for (std::int64_t x = 0; x < width; x += kLanes) {
        const float *u = field.u + x, *v = field.v + x;
        float u_low, u_high, v_low, v_high;
        bounds<kFactor>(u, u_low, u_high);
        bounds<kFactor>(v, v_low, v_high);
        const std::int64_t left = floor_of(u_low), top = floor_of(v_low);
        const Lanes us = load(u), vs = load(v);
        Lanes sampled;
        if (u_high < static_cast<float>(left + 2) && v_high < static_cast<float>(top + 2)) {
            // Where this clamps, all eight are outside the frame.
            const std::int64_t column = std::clamp<std::int64_t>(x + left, -12, width + 2);
            const std::int64_t row = std::clamp<std::int64_t>(y + top, -2, height);
            sampled = sample_window<kCubic>(frame.row(row) + column, frame.stride(),
                                            us - all_lanes(static_cast<float>(left)),
                                            vs - all_lanes(static_cast<float>(top)));
        } else {
            float one[kLanes];
            for (std::int64_t i = 0; i < kLanes; ++i) {
                const float px = static_cast<float>(x + i) + u[i], py = static_cast<float>(y) + v[i];
                const bool inside = px >= 0.5f && px <= last_x[0] && py >= 0.5f && py <= last_y[0];
                one[i] = inside ? sample_one<kCubic>(frame, px, py) : missing[0];
            }
            sampled = load(one);
        }
        const Lanes px = all_lanes(static_cast<float>(x)) + lane + us, py = row_place + vs;
        Lanes e = sampled - (alpha * load(value + x) + beta);
        e = where_not_above(first, px, e, missing);
        e = where_not_above(px, last_x, e, missing);
        e = where_not_above(first, py, e, missing);
        e = where_not_above(py, last_y, e, missing);
        const Lanes size = larger(e, zero - e);
        e = where_not_above(size, largest, e, missing);
        store(residual + x, e);
        const Lanes squared = e * e * load(inverse + x);
        store(energy + x, where_not_above(zero, squared, squared, zero));
    }
}

// Sums of `box` energies along a row whose columns were summed before.
template <int kBox>
GALVO_INLINE void box_row(const float *sums, std::int64_t width, float *out) noexcept {
    constexpr int kHalf = kBox / 2;
    for (std::int64_t x = 0; x < width; x += kLanes) {
        Lanes sum = load(sums + x - kHalf);
        for (int k = 1 - kHalf; k <= kHalf; ++k) sum += load(sums + x + k);
        store(out + x, sum);
    }
}

GALVO_INLINE void box_row(int box, const float *sums, std::int64_t width, float *out) noexcept {
    if (box == 7) return box_row<7>(sums, width, out);
    if (box == 3) return box_row<3>(sums, width, out);
    const int half = box / 2;
    for (std::int64_t x = 0; x < width; x += kLanes) {
        Lanes sum = load(sums + x - half);
        for (int k = 1 - half; k <= half; ++k) sum += load(sums + x + k);
        store(out + x, sum);
    }
}

// The pass over the frame: residuals and box sums of the energies of all pixels.
template <int kFactor, bool kCubic>
GALVO_INLINE void residual_pass(const BorderedPlane &frame, const ReferenceLevel &reference, const float *nodes,
                                const StepSettings &settings, Brightness brightness,
                                StepWorkspace &workspace) noexcept {
    const std::int64_t height = frame.height(), width = frame.width(), stride = workspace.stride;
    const std::int64_t row_size = stride + 2 * kRingPad;
    const int half = settings.box / 2;
    RowField field{};
    field.nodes = nodes;
    field.node_columns = node_count(settings.full_width);
    field.width = width;
    field.limit = static_cast<float>(4 * std::max(height, width) + 64);
    field.node_u = workspace.rows.data();
    field.node_v = field.node_u + row_size;
    field.u = field.node_v + row_size;
    field.v = field.u + row_size;
    float *columns = workspace.rows.data() + 6 * row_size + kRingPad;  // where no stripe is
    const auto ring_row = [&](std::int64_t y) noexcept {
        return workspace.ring.data() + (y % settings.box) * row_size + kRingPad;
    };
    for (std::int64_t y = 0; y < height + half; ++y) {
        if (y < height)
            residual_row<kFactor, kCubic>(frame, reference, field, y, brightness,
                                          workspace.residual.data() + y * stride, ring_row(y));
        if (y < half) continue;
        // The image goes on as its mirror image.
        const float *inputs[kLargestBox];
        for (int k = 0; k < settings.box; ++k) inputs[k] = ring_row(mirrored(y - 2 * half + k, height));
        for (std::int64_t x = 0; x < width; x += kLanes) {
            Lanes sum = load(inputs[0] + x);
            for (int k = 1; k < settings.box; ++k) sum += load(inputs[k] + x);
            store(columns + x, sum);
        }
        for (int k = 1; k <= half; ++k) {
            columns[-k] = columns[mirrored(-k, width)];
            columns[width - 1 + k] = columns[mirrored(width - 1 + k, width)];
        }
        box_row(settings.box, columns, width, workspace.energy.data() + (y - half) * stride);
    }
}

// Sums of neighbouring columns of a stripe, of which those behind `width` are zeros.
template <int kPerBlock>
GALVO_INLINE void fold(const float *row, std::int64_t blocks, float *out) noexcept {
    for (std::int64_t b = 0; b < blocks; ++b) {
        const float *first = row + b * kPerBlock;
        float sum = 0.0f;
        if (kPerBlock == 8)
            sum = sum_of(load(first));
        else if (kPerBlock == 4)
            sum = (first[0] + first[1]) + (first[2] + first[3]);
        else
            sum = first[0] + first[1];
        out[b] = sum;
    }
}

template <int kPower>
GALVO_INLINE void weight_pass(const ReferenceLevel &reference, const StepSettings &settings, float energy_at_quantile,
                              Brightness brightness, StepWorkspace &workspace, float *sums,
                              RegressionSums &regression) noexcept {
    const std::int64_t height = reference.height(), width = reference.width(), stride = workspace.stride;
    const std::int64_t row_size = stride + 2 * kRingPad, per_block = kBlock / settings.factor;
    const std::int64_t block_rows = block_count(settings.full_height), blocks = block_count(settings.full_width);
    const Lanes zero = all_lanes(0.0f), one = all_lanes(1.0f);
    const Lanes inverse_quantile = all_lanes(1.0f / energy_at_quantile);
    float *stripe[5];
    for (int k = 0; k < 5; ++k) stripe[k] = workspace.rows.data() + k * row_size;
    double totals[5] = {};
    for (std::int64_t block_row = 0; block_row < block_rows; ++block_row) {
        for (float *row : stripe) std::fill_n(row, stride, 0.0f);
        const std::int64_t end = std::min(height, (block_row + 1) * per_block);
        for (std::int64_t y = block_row * per_block; y < end; ++y) {
            const float *residual = workspace.residual.data() + y * stride;
            const float *energy = workspace.energy.data() + y * stride;
            const float *value = reference.value(y), *inverse = reference.inverse_variance(y);
            const float *gradient_x = reference.gradient_x(y), *gradient_y = reference.gradient_y(y);
            Lanes w0 = zero, w1 = zero, w2 = zero, w3 = zero, w4 = zero;
            for (std::int64_t x = 0; x < width; x += kLanes) {
                Lanes e = load(residual + x);
                const Lanes excess = larger(load(energy + x) * inverse_quantile, one);
                Lanes omega = load(inverse + x) / (kPower == 2 ? excess * excess : excess);
                omega = where_not_above(e, e, omega, zero);
                e = where_not_above(e, e, e, zero);
                const Lanes r = load(value + x), gx = load(gradient_x + x), gy = load(gradient_y + x);
                const Lanes wx = omega * gx, wy = omega * gy, we = omega * e, wr = omega * r;
                store(stripe[0] + x, load(stripe[0] + x) + wx * gx);
                store(stripe[1] + x, load(stripe[1] + x) + wx * gy);
                store(stripe[2] + x, load(stripe[2] + x) + wy * gy);
                store(stripe[3] + x, load(stripe[3] + x) - wx * e);
                store(stripe[4] + x, load(stripe[4] + x) - wy * e);
                w0 += omega;
                w1 += wr;
                w2 += wr * r;
                w3 += we;
                w4 += we * r;
            }
            totals[0] += sum_of(w0);
            totals[1] += sum_of(w1);
            totals[2] += sum_of(w2);
            totals[3] += sum_of(w3);
            totals[4] += sum_of(w4);
        }
        for (int k = 0; k < 5; ++k) {
            float *const out = sums + (k * block_rows + block_row) * blocks;
            if (per_block == 8)
                fold<8>(stripe[k], blocks, out);
            else if (per_block == 4)
                fold<4>(stripe[k], blocks, out);
            else
                fold<2>(stripe[k], blocks, out);
        }
    }
    const double alpha = brightness.alpha, beta = brightness.beta;
    regression = {totals[0], totals[1], totals[2], totals[3] + alpha * totals[1] + beta * totals[0],
                  totals[4] + alpha * totals[2] + beta * totals[1]};
}

template <int kFactor>
GALVO_INLINE void residual_pass(const BorderedPlane &frame, const ReferenceLevel &reference, const float *nodes,
                                const StepSettings &settings, Brightness brightness,
                                StepWorkspace &workspace) noexcept {
    if (settings.cubic)
        residual_pass<kFactor, true>(frame, reference, nodes, settings, brightness, workspace);
    else
        residual_pass<kFactor, false>(frame, reference, nodes, settings, brightness, workspace);
}

void find_energies(const BorderedPlane &frame, const ReferenceLevel &reference, const float *nodes,
                   const StepSettings &settings, Brightness brightness, StepWorkspace &workspace) noexcept {
    if (settings.factor == 1)
        residual_pass<1>(frame, reference, nodes, settings, brightness, workspace);
    else if (settings.factor == 2)
        residual_pass<2>(frame, reference, nodes, settings, brightness, workspace);
    else
        residual_pass<4>(frame, reference, nodes, settings, brightness, workspace);
}

void sum_blocks(const ReferenceLevel &reference, const StepSettings &settings, float energy_at_quantile,
                Brightness brightness, StepWorkspace &workspace, float *sums, RegressionSums &regression) noexcept {
    if (settings.power == 2)
        weight_pass<2>(reference, settings, energy_at_quantile, brightness, workspace, sums, regression);
    else
        weight_pass<1>(reference, settings, energy_at_quantile, brightness, workspace, sums, regression);
}
