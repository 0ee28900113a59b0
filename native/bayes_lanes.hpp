// Eight floats side by side: one AVX register in code that is compiled for it, two SSE or NEON registers elsewhere.
// For headers of kernels, which are included in a namespace of each instruction set (isa.hpp): what is compiled without
// AVX is in halves before it is inlined anywhere. They include <cstring>, bayes_layout.hpp and inline.hpp before.

#if defined(__GNUC__) || defined(__clang__)

typedef float Lanes __attribute__((vector_size(32)));

GALVO_INLINE Lanes all_lanes(float value) noexcept { return value - Lanes{}; }
GALVO_INLINE Lanes smaller(Lanes a, Lanes b) noexcept { return a < b ? a : b; }
GALVO_INLINE Lanes larger(Lanes a, Lanes b) noexcept { return a > b ? a : b; }
// `value` where `bound` <= of, else `other`; a NaN gives `other`.
GALVO_INLINE Lanes where_not_above(Lanes bound, Lanes of, Lanes value, Lanes other) noexcept {
    return bound <= of ? value : other;
}

#else

struct Lanes {
    float lane[kLanes];
    float operator[](std::int64_t i) const noexcept { return lane[i]; }
};

#define GALVO_LANES_OPERATOR(op)                                      \
    GALVO_INLINE Lanes operator op(Lanes a, Lanes b) noexcept {       \
        for (int i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] op b.lane[i]; \
        return a;                                                     \
    }
GALVO_LANES_OPERATOR(+)
GALVO_LANES_OPERATOR(-)
GALVO_LANES_OPERATOR(*)
GALVO_LANES_OPERATOR(/)
#undef GALVO_LANES_OPERATOR
GALVO_INLINE Lanes &operator+=(Lanes &a, Lanes b) noexcept { return a = a + b; }
GALVO_INLINE Lanes all_lanes(float value) noexcept {
    Lanes lanes;
    for (float &lane : lanes.lane) lane = value;
    return lanes;
}
GALVO_INLINE Lanes smaller(Lanes a, Lanes b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}
GALVO_INLINE Lanes larger(Lanes a, Lanes b) noexcept {
    for (int i = 0; i < kLanes; ++i) a.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
    return a;
}
GALVO_INLINE Lanes where_not_above(Lanes bound, Lanes of, Lanes value, Lanes other) noexcept {
    for (int i = 0; i < kLanes; ++i) value.lane[i] = bound.lane[i] <= of.lane[i] ? value.lane[i] : other.lane[i];
    return value;
}

#endif

GALVO_INLINE Lanes load(const float *from) noexcept {
    Lanes lanes;
    std::memcpy(&lanes, from, sizeof lanes);
    return lanes;
}

GALVO_INLINE void store(float *to, Lanes lanes) noexcept { std::memcpy(to, &lanes, sizeof lanes); }

// The sum in one order on every machine.
GALVO_INLINE float sum_of(Lanes v) noexcept {
    return ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]));
}
