// Python face of the Huffman and quantisation kernels.
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include "buffer.hpp"
#include "huffman_decode.hpp"
#include "huffman_encode.hpp"
#include "sqrt_quantize.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

using Pixels = nb::ndarray<const std::uint16_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Codes = nb::ndarray<const std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <class Pixel>
using Out = nb::ndarray<Pixel, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void require_equal_length(std::size_t out, std::size_t expected, const char *name) {
    if (out != expected)
        throw std::invalid_argument("out has " + std::to_string(out) + " values, " + name + " has " +
                                    std::to_string(expected));
}

// `make_encoder` counts the symbols; both steps run without the GIL.
template <class MakeEncoder>
nb::bytes encoded(const MakeEncoder &make_encoder) {
    std::optional<HuffmanEncoder> encoder;
    {
        const nb::gil_scoped_release released;
        encoder.emplace(make_encoder());
    }
    PyObject *bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(encoder->stream_size()));
    if (bytes == nullptr) throw nb::python_error();
    nb::bytes owner = nb::steal<nb::bytes>(bytes);
    auto *out = reinterpret_cast<std::uint8_t *>(PyBytes_AS_STRING(bytes));
    const nb::gil_scoped_release released;
    encoder->write(out);
    return owner;
}

nb::bytes py_huffman_encode(nb::handle data, int threads) {
    const Buffer bytes(data);
    return encoded([&] { return HuffmanEncoder(bytes.data(), static_cast<std::size_t>(bytes.size()), threads); });
}

std::size_t py_huffman_decode(nb::handle stream, const Bytes &out, int threads) {
    const Buffer bytes(stream);
    const nb::gil_scoped_release released;
    return huffman_decode(bytes.data(), static_cast<std::size_t>(bytes.size()), out.size(), threads,
                          [&](std::size_t index, const std::uint8_t *symbols, std::size_t count) {
                              std::memcpy(out.data() + index, symbols, count);
                          });
}

void py_sqrt_quantize(const Pixels &pixels, double offset, double scale, const Bytes &out) {
    const SqrtQuantizer quantizer(offset, scale);
    require_equal_length(out.size(), pixels.size(), "pixels");
    const nb::gil_scoped_release released;
    quantizer.quantize(pixels.data(), pixels.size(), out.data());
}

template <class Pixel>
void py_sqrt_dequantize(const Codes &codes, double offset, double scale, const Out<Pixel> &out) {
    const SqrtQuantizer quantizer(offset, scale);
    require_equal_length(out.size(), codes.size(), "codes");
    const nb::gil_scoped_release released;
    quantizer.dequantize(codes.data(), codes.size(), out.data());
}

nb::bytes py_sqrt_encode(const Pixels &pixels, double offset, double scale, int threads) {
    const SqrtQuantizer quantizer(offset, scale);
    const std::unique_ptr<std::uint8_t[]> codes(new std::uint8_t[pixels.size()]);
    return encoded([&] {
        const auto fill = [&](std::size_t begin, std::size_t end, PairCounts *counts) {
            if (counts != nullptr)
                quantizer.quantize(pixels.data() + begin, end - begin, codes.get() + begin, *counts);
            else
                quantizer.quantize(pixels.data() + begin, end - begin, codes.get() + begin);
        };
        return HuffmanEncoder(codes.get(), pixels.size(), threads, fill);
    });
}

template <class Pixel>
std::size_t py_sqrt_decode(nb::handle stream, double offset, double scale, const Out<Pixel> &out, int threads) {
    const SqrtQuantizer quantizer(offset, scale);
    const Buffer bytes(stream);
    const nb::gil_scoped_release released;
    return huffman_decode(bytes.data(), static_cast<std::size_t>(bytes.size()), out.size(), threads,
                          [&](std::size_t index, const std::uint8_t *codes, std::size_t count) {
                              quantizer.dequantize(codes, count, out.data() + index);
                          });
}

template <class Pixel>
void define_sqrt_readers(nb::module_ &m) {
    m.def("sqrt_dequantize", &py_sqrt_dequantize<Pixel>, "codes"_a.noconvert(), "offset"_a, "scale"_a,
          "out"_a.noconvert(), "Pixels of the codes.");
    m.def("sqrt_decode", &py_sqrt_decode<Pixel>, "stream"_a, "offset"_a, "scale"_a, "out"_a.noconvert(),
          "threads"_a = 1, "Pixels of a stream of codes; the number of its bytes that were used.");
}

}  // namespace

void define_huffman(nb::module_ &m) {
    m.def("huffman_encode", &py_huffman_encode, "data"_a, "threads"_a = 1, "The Huffman stream of `data`.");
    m.def("huffman_decode", &py_huffman_decode, "stream"_a, "out"_a.noconvert(), "threads"_a = 1,
          "Fill `out` from a Huffman stream; the number of its bytes that were used.");
    m.def("sqrt_quantize", &py_sqrt_quantize, "pixels"_a.noconvert(), "offset"_a, "scale"_a, "out"_a.noconvert(),
          "Codes of the pixels.");
    m.def("sqrt_encode", &py_sqrt_encode, "pixels"_a.noconvert(), "offset"_a, "scale"_a, "threads"_a = 1,
          "The Huffman stream of the pixels' codes.");
    define_sqrt_readers<std::uint8_t>(m);
    define_sqrt_readers<std::uint16_t>(m);
    define_sqrt_readers<float>(m);
}

}  // namespace galvo
