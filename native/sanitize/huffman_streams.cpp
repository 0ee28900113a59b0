// Damaged and hostile Huffman streams through the decoder, to be built with -fsanitize=address,undefined. Each is decoded
// by one, two and four threads, with lanes so short that every stream has many, and compared with the reference: the same
// bytes or the same error. The streams are the same in every run.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "../huffman_decode.hpp"
#include "../huffman_encode.hpp"
#include "../isa.hpp"
#include "../sqrt_quantize.hpp"
#include "reference.hpp"

namespace galvo {
namespace {

using Bytes = std::vector<std::uint8_t>;

struct Sample {
    Bytes stream;
    std::size_t count;
};

struct Random {
    std::mt19937_64 engine{20260101};

    // Below `limit`, from the engine alone: standard distributions differ between libraries.
    std::size_t below(std::size_t limit) { return limit == 0 ? 0 : static_cast<std::size_t>(engine() % limit); }
    bool one_in(std::size_t n) { return below(n) == 0; }
    std::uint8_t byte() { return static_cast<std::uint8_t>(engine()); }
};

[[noreturn]] void fail(const std::string &what) {
    std::fprintf(stderr, "%s\n", what.c_str());
    std::exit(1);
}

Bytes encode(const Bytes &data, int threads) {
    const HuffmanEncoder encoder(data.data(), data.size(), threads);
    Bytes stream(encoder.stream_size());
    encoder.write(stream.data());
    return stream;
}

// Decodes from and into memory of exactly the declared sizes, so that the sanitizer sees a step beyond either.
Decoded decode(const Bytes &stream, std::size_t count, int threads, const SharedWork &work) {
    const std::unique_ptr<std::uint8_t[]> from(new std::uint8_t[stream.size()]), to(new std::uint8_t[count]);
    if (!stream.empty()) std::memcpy(from.get(), stream.data(), stream.size());
    Decoded decoded;
    try {
        decoded.used = huffman_decode(
            from.get(), stream.size(), count, threads,
            [&](std::size_t index, const std::uint8_t *bytes, std::size_t size) {
                if (size > 0) std::memcpy(to.get() + index, bytes, size);
            },
            work);
        decoded.bytes.assign(to.get(), to.get() + count);
    } catch (const std::invalid_argument &error) {
        decoded.error = error.what();
    }
    return decoded;
}

// Symbols of very different frequencies: `alphabet` of them, each `steepness` / 16 times rarer than the one before.
Bytes skewed(Random &random, std::size_t size, std::size_t alphabet, std::size_t steepness) {
    Bytes data(size);
    const std::uint8_t first = random.byte();
    for (std::uint8_t &value : data) {
        std::size_t rank = 0;
        while (rank + 1 < alphabet && random.below(16) >= steepness) ++rank;
        value = static_cast<std::uint8_t>(first + rank * 7);
    }
    return data;
}

// Counts that grow as Fibonacci numbers give the longest codes.
Bytes fibonacci(Random &random, int alphabet) {
    Bytes data;
    std::size_t count = 1, next = 1;
    for (int symbol = 0; symbol < alphabet; ++symbol) {
        data.insert(data.end(), count, static_cast<std::uint8_t>(symbol * 3));
        const std::size_t sum = count + next;
        count = next;
        next = sum;
    }
    for (std::size_t i = data.size(); i > 1; --i) std::swap(data[i - 1], data[random.below(i)]);
    return data;
}

void append_bits(Bytes &stream, std::size_t &bit_count, unsigned bits, int length) {
    for (int i = length - 1; i >= 0; --i, ++bit_count) {
        if (bit_count % 8 == 0) stream.push_back(0);
        stream.back() = static_cast<std::uint8_t>(stream.back() | ((bits >> i) & 1u) << (7 - bit_count % 8));
    }
}

// Any tree, from bushy to a single deep branch, with random bits behind it.
Sample any_tree(Random &random) {
    Bytes symbols(256);
    for (std::size_t i = 0; i < symbols.size(); ++i) symbols[i] = static_cast<std::uint8_t>(i);
    for (std::size_t i = symbols.size(); i > 1; --i) std::swap(symbols[i - 1], symbols[random.below(i)]);
    std::size_t leaves = 2 + random.below(255), open = 1, used = 0, bit_count = 0;
    const std::size_t depth = random.below(17);
    Bytes stream;
    while (open > 0) {
        // `leaves` are still to be placed, at least one in each open slot.
        const bool inner = leaves > open && (open == 1 || random.below(16) < depth);
        if (inner) {
            append_bits(stream, bit_count, 0, 1);
            ++open;
        } else {
            append_bits(stream, bit_count, 0x100u | symbols[used++], 9);
            --open;
            --leaves;
        }
    }
    const std::size_t tail = random.below(12000);
    const bool zeros = random.one_in(4), ones = !zeros && random.one_in(4);
    for (std::size_t i = 0; i < tail; ++i) stream.push_back(zeros ? 0 : ones ? 0xFF : random.byte());
    return {stream, symbols_in(stream, stream.size() * 8)};
}

std::vector<Sample> genuine_samples(Random &random) {
    std::vector<Bytes> data;
    for (const std::size_t size : {0, 1, 2, 8, 65, 1000, 5000, 12000, 30000})
        for (const std::size_t alphabet : {1, 2, 3, 17, 256})
            for (const std::size_t steepness : {1, 4, 12}) data.push_back(skewed(random, size, alphabet, steepness));
    for (const std::size_t alphabet : {5, 14, 18, 19}) data.push_back(fibonacci(random, alphabet));
    Bytes noise(6000);
    for (std::uint8_t &value : noise) value = random.byte();
    data.push_back(noise);
    std::vector<Sample> samples;
    for (const Bytes &bytes : data) samples.push_back({encode(bytes, 1), bytes.size()});
    return samples;
}

void damage(Random &random, Sample &sample, const std::vector<Sample> &others) {
    Bytes &stream = sample.stream;
    switch (random.below(8)) {
        case 0:  // bits flip, anywhere
            for (std::size_t i = random.below(8); !stream.empty() && i < 8; ++i)
                stream[random.below(stream.size())] ^= static_cast<std::uint8_t>(1u << random.below(8));
            break;
        case 1:  // bits flip in the tree
            for (std::size_t i = random.below(4); !stream.empty() && i < 4; ++i)
                stream[random.below(std::min<std::size_t>(stream.size(), 40))] ^=
                    static_cast<std::uint8_t>(1u << random.below(8));
            break;
        case 2: stream.resize(random.below(stream.size() + 1)); break;
        case 3: {  // two streams, spliced
            const Bytes &other = others[random.below(others.size())].stream;
            stream.resize(random.below(stream.size() + 1));
            stream.insert(stream.end(), other.begin() + static_cast<std::ptrdiff_t>(random.below(other.size() + 1)),
                          other.end());
            break;
        }
        case 4:  // junk behind the end, sometimes much more of it than stream
            for (std::size_t i = random.below(random.one_in(16) ? 65536 : 300); i > 0; --i)
                stream.push_back(random.byte());
            break;
        case 5:  // a run of one byte
            if (!stream.empty()) {
                const std::size_t begin = random.below(stream.size());
                const std::size_t size = std::min(stream.size() - begin, random.below(200));
                std::fill_n(stream.begin() + static_cast<std::ptrdiff_t>(begin), size,
                            random.one_in(2) ? std::uint8_t(0) : std::uint8_t(0xFF));
            }
            break;
        case 6:  // bytes lost or doubled
            if (!stream.empty()) {
                const auto at = stream.begin() + static_cast<std::ptrdiff_t>(random.below(stream.size()));
                if (random.one_in(2)) stream.erase(at);
                else stream.insert(at, *at);
            }
            break;
        default: break;
    }
    switch (random.below(6)) {
        case 0: sample.count = random.below(sample.count + 1); break;
        case 1: sample.count += 1 + random.below(20); break;
        case 2: sample.count = random.below(stream.size() * 9 + 2); break;
        case 3: sample.count = symbols_in(stream, stream.size() * 8); break;
        default: break;
    }
}

// Bytes of pairs that are short, or that are as long as they are plain.
Bytes long_data(Random &random, bool noise) {
    Bytes data(3 << 20);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::uint8_t>(random.below(noise ? 256 : i % 2 == 0 ? 1 + i / 20000 : 3));
    return data;
}

void check_threads_agree(const Bytes &data) {
    const Bytes stream = encode(data, 1);
    for (int threads = 2; threads <= 5; ++threads)
        if (encode(data, threads) != stream) fail("the stream depends on the number of threads");
    for (int threads = 1; threads <= 5; ++threads) {
        const Decoded decoded = decode(stream, data.size(), threads, {});
        if (decoded.bytes != data || decoded.used != stream.size()) fail("a long stream is decoded wrongly");
    }
}

// Whoever owns the data may write to them between the two steps of encoding. That is noticed only where it changes the
// length of the stream, but there must be no step beyond its end.
std::size_t noticed_changes(Random &random, const Bytes &original, std::size_t size) {
    std::size_t noticed = 0;
    for (int round = 0; round < 12; ++round) {
        Bytes data(original.begin(), original.begin() + static_cast<std::ptrdiff_t>(size));
        const HuffmanEncoder encoder(data.data(), data.size(), 1 + round % 3);
        const std::size_t begin = random.below(size);
        for (std::size_t i = begin; i < size; ++i) data[i] = round % 2 == 0 ? random.byte() : data[size - 1];
        const std::unique_ptr<std::uint8_t[]> to(new std::uint8_t[encoder.stream_size()]);
        try {
            encoder.write(to.get());
        } catch (const std::runtime_error &) {
            ++noticed;
        }
    }
    return noticed;
}

void check_quantizer() {
    for (const std::size_t size : {0, 1, 7, 8, 15, 16, 31, 32, 33, 1000}) {
        std::vector<std::uint16_t> pixels(size), back(size);
        for (std::size_t i = 0; i < size; ++i) pixels[i] = static_cast<std::uint16_t>(i * 66);
        Bytes codes(size), bytes(size);
        std::vector<float> floats(size);
        for (const double offset : {-3e38, -70000.0, 0.0, 99.5, 3e38})
            for (const double scale : {1e-38, 0.2, 1.0, 400.0, 3e38}) {
                const SqrtQuantizer quantizer(offset, scale);
                quantizer.quantize(pixels.data(), size, codes.data());
                quantizer.dequantize(codes.data(), size, back.data());
                quantizer.dequantize(codes.data(), size, bytes.data());
                quantizer.dequantize(codes.data(), size, floats.data());
            }
    }
}

int run(std::size_t mutant_count) {
    Random random;
    for (const bool noise : {false, true}) {
        const Bytes data = long_data(random, noise);
        check_threads_agree(data);
        for (const std::size_t size : {std::size_t(5000), std::size_t(70000), data.size()})
            if (noticed_changes(random, data, size) == 0 && !noise) fail("changed data are not noticed");
    }
    check_quantizer();
    const std::vector<Sample> samples = genuine_samples(random);
    SharedWork shared;
    shared.threaded_count = 0;
    std::size_t decoded_count = 0, byte_count = 0, symbol_count = 0;
    for (std::size_t i = 0; i < mutant_count; ++i) {
        Sample mutant = random.one_in(4) ? any_tree(random) : samples[random.below(samples.size())];
        damage(random, mutant, samples);
        const Decoded expected = reference_decode(mutant.stream, mutant.count);
        shared.lane_bits = 1680 + random.below(3000);
        shared.thread_lane_bits = 1680 + random.below(2000);
        for (const int threads : {1, 2, 4}) {
            const Decoded decoded = decode(mutant.stream, mutant.count, threads, shared);
            if (!(decoded == expected))
                fail("mutant " + std::to_string(i) + ", " + std::to_string(threads) + " threads: '" + decoded.error +
                     "' instead of '" + expected.error + "', or other bytes");
        }
        if (!(decode(mutant.stream, mutant.count, 1, {}) == expected)) fail("mutant " + std::to_string(i) + ", default lanes");
        if (expected.error.empty()) ++decoded_count;
        byte_count += mutant.stream.size();
        symbol_count += expected.bytes.size();
    }
    std::printf("%s: %zu streams of %zu bytes, %zu symbols; %zu decoded, %zu refused, equal with 1, 2 and 4 threads\n",
                isa_name(active_isa()), mutant_count, byte_count, symbol_count, decoded_count,
                mutant_count - decoded_count);
    return 0;
}

}  // namespace
}  // namespace galvo

int main(int argument_count, char **arguments) {
    return galvo::run(argument_count > 1 ? std::strtoul(arguments[1], nullptr, 10) : 100000);
}
