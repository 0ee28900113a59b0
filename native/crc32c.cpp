#include "crc32c.hpp"

#include <cstring>

#include "isa.hpp"

#if defined(GALVO_X86_64)
#include <nmmintrin.h>
#elif defined(GALVO_ARM_CRC)
#include <arm_acle.h>
#endif

namespace galvo {
namespace {

constexpr std::uint32_t kPolynomial = 0x82F63B78u;  // 0x1EDC6F41 with its bits reversed

// Lengths of the three interleaved streams: the crc instruction has a latency of three and a throughput of one.
constexpr std::size_t kLongStream = 4096;
constexpr std::size_t kShortStream = 256;

struct Tables {
    std::uint32_t byte[8][256];  // byte[k][b]: crc of b followed by k zero bytes

    Tables() noexcept {
        for (std::uint32_t b = 0; b < 256; ++b) {
            std::uint32_t crc = b;
            for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) ? kPolynomial : 0u);
            byte[0][b] = crc;
        }
        for (int k = 1; k < 8; ++k)
            for (std::uint32_t b = 0; b < 256; ++b)
                byte[k][b] = (byte[k - 1][b] >> 8) ^ byte[0][byte[k - 1][b] & 0xFFu];
    }
};

const Tables tables;

std::uint32_t crc_bytes(std::uint32_t crc, const std::uint8_t *p, std::size_t size) noexcept {
    for (std::size_t i = 0; i < size; ++i) crc = (crc >> 8) ^ tables.byte[0][(crc ^ p[i]) & 0xFFu];
    return crc;
}

std::uint32_t crc_baseline(std::uint32_t crc, const std::uint8_t *p, std::size_t size) noexcept {
    const auto &t = tables.byte;
    for (; size >= 8; p += 8, size -= 8) {
        const std::uint32_t low = crc ^ (std::uint32_t(p[0]) | std::uint32_t(p[1]) << 8 | std::uint32_t(p[2]) << 16 |
                                         std::uint32_t(p[3]) << 24);
        crc = t[7][low & 0xFFu] ^ t[6][(low >> 8) & 0xFFu] ^ t[5][(low >> 16) & 0xFFu] ^ t[4][low >> 24] ^
              t[3][p[4]] ^ t[2][p[5]] ^ t[1][p[6]] ^ t[0][p[7]];
    }
    return crc_bytes(crc, p, size);
}

#if defined(GALVO_X86_64) || defined(GALVO_ARM_CRC)

// Product of two polynomials modulo the generator, bit 31 being x^0 (the reflected representation).
std::uint32_t multiply(std::uint32_t a, std::uint32_t b) noexcept {
    std::uint32_t product = 0;
    for (std::uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
        if (a & bit) product ^= b;
        b = (b >> 1) ^ ((b & 1u) ? kPolynomial : 0u);
    }
    return product;
}

// Appends a fixed number of zero bytes to a crc: the crc times x^(8 size), by one table look-up per byte.
struct Shift {
    std::uint32_t part[4][256];

    explicit Shift(std::size_t size) noexcept {
        std::uint32_t factor = 0x80000000u;  // 1
        std::uint32_t square = 0x00800000u;  // x^8
        for (; size != 0; size >>= 1) {
            if (size & 1u) factor = multiply(factor, square);
            square = multiply(square, square);
        }
        for (int k = 0; k < 4; ++k)
            for (std::uint32_t b = 0; b < 256; ++b) part[k][b] = multiply(b << (8 * k), factor);
    }

    std::uint32_t operator()(std::uint32_t crc) const noexcept {
        return part[0][crc & 0xFFu] ^ part[1][(crc >> 8) & 0xFFu] ^ part[2][(crc >> 16) & 0xFFu] ^ part[3][crc >> 24];
    }
};

const Shift shift_long(kLongStream);
const Shift shift_short(kShortStream);

#if defined(GALVO_X86_64)
#define GALVO_CRC_TARGET GALVO_TARGET("sse4.2")
GALVO_CRC_TARGET inline std::uint64_t step(std::uint64_t crc, const std::uint8_t *p) noexcept {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    return _mm_crc32_u64(crc, word);
}
GALVO_CRC_TARGET inline std::uint32_t step_byte(std::uint32_t crc, std::uint8_t b) noexcept {
    return _mm_crc32_u8(crc, b);
}
#else
#define GALVO_CRC_TARGET
inline std::uint64_t step(std::uint64_t crc, const std::uint8_t *p) noexcept {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    return __crc32cd(static_cast<std::uint32_t>(crc), word);
}
inline std::uint32_t step_byte(std::uint32_t crc, std::uint8_t b) noexcept { return __crc32cb(crc, b); }
#endif

template <std::size_t kStream>
GALVO_CRC_TARGET inline void crc_streams(std::uint64_t &crc, const std::uint8_t *&p, std::size_t &size,
                                         const Shift &shift) noexcept {
    while (size >= 3 * kStream) {
        std::uint64_t first = crc, second = 0, third = 0;
        for (std::size_t i = 0; i < kStream; i += 8) {
            first = step(first, p + i);
            second = step(second, p + kStream + i);
            third = step(third, p + 2 * kStream + i);
        }
        const std::uint32_t two = shift(static_cast<std::uint32_t>(first)) ^ static_cast<std::uint32_t>(second);
        crc = shift(two) ^ static_cast<std::uint32_t>(third);
        p += 3 * kStream;
        size -= 3 * kStream;
    }
}

GALVO_CRC_TARGET std::uint32_t crc_instruction(std::uint32_t value, const std::uint8_t *p, std::size_t size) noexcept {
    std::uint32_t head = value;
    for (; size != 0 && (reinterpret_cast<std::uintptr_t>(p) & 7u) != 0; ++p, --size) head = step_byte(head, *p);
    std::uint64_t crc = head;
    crc_streams<kLongStream>(crc, p, size, shift_long);
    crc_streams<kShortStream>(crc, p, size, shift_short);
    for (; size >= 8; p += 8, size -= 8) crc = step(crc, p);
    std::uint32_t tail = static_cast<std::uint32_t>(crc);
    for (; size != 0; ++p, --size) tail = step_byte(tail, *p);
    return tail;
}

#endif

}  // namespace

std::uint32_t crc32c(const std::uint8_t *data, std::size_t size, std::uint32_t value) noexcept {
#if defined(GALVO_X86_64) || defined(GALVO_ARM_CRC)
    if (active_isa() != Isa::baseline) return ~crc_instruction(~value, data, size);
#endif
    return ~crc_baseline(~value, data, size);
}

}  // namespace galvo
