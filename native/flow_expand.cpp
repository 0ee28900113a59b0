#include "flow_expand.hpp"

#include <memory>
#include <vector>

#include "each_isa.hpp"
#include "flow_band.hpp"
#include "frame_jobs.hpp"
#include "warp.hpp"

namespace galvo {
namespace {

GALVO_INLINE void interleave_pairs_all(const float *GALVO_RESTRICT u, const float *GALVO_RESTRICT v, int count,
                                 float *GALVO_RESTRICT out) noexcept {
    for (int x = 0; x < count; ++x) {
        out[2 * x] = u[x];
        out[2 * x + 1] = v[x];
    }
}
GALVO_EACH_ISA(interleave_pairs, (const float *u, const float *v, int count, float *out), (u, v, count, out))

}  // namespace

void interleave(const float *u, const float *v, int count, float *out) noexcept { interleave_pairs(u, v, count, out); }

void expand_fields(const float *fields, std::int64_t count, int from_rows, int from_columns, int rows, int columns, float *out,
                   int threads) {
    const Band along_y = Band::interpolated(from_rows, rows), along_x = Band::interpolated(from_columns, columns);
    run_frames(count, threads, [&] {
        struct Space {
            Field in, wide;
            std::vector<float> scratch, u, v;
        };
        auto space = std::make_unique<Space>();
        space->in.resize(from_rows, from_columns);
        space->wide.resize(from_rows, columns);
        space->scratch.assign(along_x.scratch_size(), 0.0f);
        space->u.assign(static_cast<std::size_t>(whole_vectors(columns)), 0.0f);
        space->v = space->u;
        return [&, space = std::move(space)](std::int64_t t) {
            const float *in = fields + t * 2 * from_rows * from_columns;
            for (int y = 0; y < from_rows; ++y)
                split_pairs(in + 2 * static_cast<std::ptrdiff_t>(y) * from_columns, from_columns, space->in.u.row(y),
                            space->in.v.row(y));
            along_x.along_x(space->in.u, space->wide.u, space->scratch.data());
            along_x.along_x(space->in.v, space->wide.v, space->scratch.data());
            float *to = out + t * 2 * rows * columns;
            for (int y = 0; y < rows; ++y, to += 2 * static_cast<std::ptrdiff_t>(columns)) {
                along_y.row_along_y(space->wide.u, y, columns, space->u.data());
                along_y.row_along_y(space->wide.v, y, columns, space->v.data());
                interleave(space->u.data(), space->v.data(), columns, to);
            }
        };
    });
}

}  // namespace galvo
