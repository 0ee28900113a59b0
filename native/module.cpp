// Python face of the kernels. The GIL is released while they work; the interface is documented in native.pyi.
#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include "boxes.hpp"
#include "buffer.hpp"
#include "checked.hpp"
#include "crc32c.hpp"
#include "gif_lzw.hpp"
#include "isa.hpp"
#include "page_template.hpp"
#include "positioned_read.hpp"
#include "text_scan.hpp"
#include "tiff_lzw.hpp"
#include "tiff_walk.hpp"
#include "transpose.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {

void define_bayes(nb::module_ &m);    // module_bayes.cpp
void define_frames(nb::module_ &m);   // module_frames.cpp
void define_huffman(nb::module_ &m);  // module_huffman.cpp
void define_flow(nb::module_ &m);     // module_flow.cpp
void define_quality(nb::module_ &m);  // module_quality.cpp
void define_memory(nb::module_ &m);   // module_memory.cpp

namespace {

using Integers = nb::ndarray<const std::int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = nb::ndarray<std::uint8_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

// Above this a read is compared with the file's size before memory is taken.
constexpr std::int64_t kTrustedRead = 1 << 20;

[[noreturn]] void raise_os_error(int error) {
    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    throw nb::python_error();
}

std::int64_t length(const Integers &column) noexcept { return static_cast<std::int64_t>(column.shape(0)); }

void require_length(std::int64_t actual, std::int64_t expected, const char *name) {
    if (actual != expected)
        throw std::invalid_argument(std::string(name) + " has " + std::to_string(actual) + " values, fds has " +
                                    std::to_string(expected));
}

void require_range(std::int64_t offset, std::int64_t size) {
    std::int64_t end = 0;
    if (offset < 0 || size < 0) throw std::invalid_argument("offset and nbytes must not be negative");
    if (!add_fits(offset, size, end)) throw std::invalid_argument("offset + nbytes exceeds 2**63");
}

nb::tuple as_tuple(const Failure &failure) {
    return nb::make_tuple(failure.job, failure.outcome.kind, failure.outcome.value);
}

std::uint32_t py_crc32c(nb::handle data, std::uint32_t value) {
    const Buffer buffer(data);
    const nb::gil_scoped_release released;
    return crc32c(buffer.data(), static_cast<std::size_t>(buffer.size()), value);
}

nb::bytes py_read_at(int fd, std::int64_t offset, std::int64_t nbytes) {
    require_range(offset, nbytes);
    if (nbytes > kTrustedRead) {
        const nb::gil_scoped_release released;
        const std::int64_t file_size = regular_file_size(fd);
        if (file_size >= 0) nbytes = std::min(nbytes, std::max(file_size - offset, std::int64_t(0)));
    }
    PyObject *bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(nbytes));
    if (bytes == nullptr) throw nb::python_error();
    ReadResult got{};
    {
        auto *out = reinterpret_cast<std::uint8_t *>(PyBytes_AS_STRING(bytes));
        const nb::gil_scoped_release released;
        got = read_fully(fd, offset, out, nbytes);
    }
    if (got.error != 0) {
        Py_DECREF(bytes);
        raise_os_error(got.error);
    }
    if (got.size < nbytes && _PyBytes_Resize(&bytes, static_cast<Py_ssize_t>(got.size)) != 0) throw nb::python_error();
    return nb::steal<nb::bytes>(bytes);
}

std::int64_t py_read_into(int fd, std::int64_t offset, const Bytes &out) {
    const std::int64_t size = static_cast<std::int64_t>(out.size());
    require_range(offset, size);
    ReadResult got{};
    {
        const nb::gil_scoped_release released;
        got = read_fully(fd, offset, out.data(), size);
    }
    if (got.error != 0) raise_os_error(got.error);
    return got.size;
}

void init_template(PageTemplate *self, nb::handle block, nb::handle mask, const Integers &relocations, int width,
                   bool little_endian, std::int64_t next_position) {
    const Buffer block_bytes(block), mask_bytes(mask);
    new (self) PageTemplate(block_bytes.data(), block_bytes.size(), mask_bytes.data(), mask_bytes.size(),
                            relocations.data(), length(relocations), width, little_endian, next_position);
}

bool check_template(const PageTemplate &self, nb::handle data, std::int64_t delta, bool last) {
    const Buffer bytes(data);
    return bytes.size() >= self.size() && self.first_difference(bytes.data(), delta, last) < 0;
}

nb::tuple py_read_boxes(const Integers &fds, const Integers &offset, const Integers &rows, const Integers &out_offset,
                        std::int64_t row_bytes, std::int64_t file_row_stride, const Bytes &out,
                        std::int64_t out_row_stride, int swap, int threads, const PageTemplate *page_template,
                        std::optional<Integers> header_offset, std::optional<Integers> delta, nb::handle last) {
    BoxPlan plan;
    plan.job_count = length(fds);
    require_length(length(offset), plan.job_count, "offset");
    require_length(length(rows), plan.job_count, "rows");
    require_length(length(out_offset), plan.job_count, "out_offset");
    plan.fds = fds.data();
    plan.offset = offset.data();
    plan.rows = rows.data();
    plan.out_offset = out_offset.data();
    plan.row_bytes = row_bytes;
    plan.file_row_stride = file_row_stride;
    plan.out = out.data();
    plan.out_size = static_cast<std::int64_t>(out.size());
    plan.out_row_stride = out_row_stride;
    plan.swap = swap;
    plan.threads = threads;
    std::unique_ptr<const Buffer> last_bytes;
    if (page_template != nullptr) {
        if (!header_offset || !delta || last.is_none())
            throw std::invalid_argument("a template needs header_offset, delta and last");
        last_bytes = std::make_unique<const Buffer>(last);
        require_length(length(*header_offset), plan.job_count, "header_offset");
        require_length(length(*delta), plan.job_count, "delta");
        require_length(last_bytes->size(), plan.job_count, "last");
        plan.page_template = page_template;
        plan.header_offset = header_offset->data();
        plan.delta = delta->data();
        plan.last = last_bytes->data();
    }
    Failure failure;
    {
        const nb::gil_scoped_release released;
        failure = read_boxes(plan);
    }
    return as_tuple(failure);
}

nb::tuple py_scan_text(const Integers &fds, const Integers &offset, const Integers &nbytes, const nb::list &keys,
                       int threads) {
    const std::int64_t job_count = length(fds);
    require_length(length(offset), job_count, "offset");
    require_length(length(nbytes), job_count, "nbytes");
    std::vector<std::string> names;
    for (const nb::handle key : keys) {
        if (!PyBytes_Check(key.ptr())) throw nb::type_error("keys must be bytes");
        names.emplace_back(PyBytes_AS_STRING(key.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(key.ptr())));
    }
    std::int64_t value_count = 0, byte_count = 0;
    if (!multiply_fits(job_count, static_cast<std::int64_t>(names.size()), value_count) ||
        !multiply_fits(value_count, 8, byte_count))
        throw std::bad_alloc();
    std::unique_ptr<double[]> values(new double[static_cast<std::size_t>(std::max<std::int64_t>(value_count, 1))]);
    Failure failure;
    {
        const nb::gil_scoped_release released;
        failure = scan_text(job_count, fds.data(), offset.data(), nbytes.data(), names, threads, values.get());
    }
    double *data = values.get();
    const nb::capsule owner(values.release(), [](void *p) noexcept { delete[] static_cast<double *>(p); });
    const nb::ndarray<nb::numpy, double, nb::ndim<2>> table(
        data, {static_cast<std::size_t>(job_count), names.size()}, owner);
    return nb::make_tuple(table, as_tuple(failure));
}

nb::object as_array(std::vector<std::int64_t> &&values) {
    auto kept = std::make_unique<std::vector<std::int64_t>>(std::move(values));
    if (kept->capacity() == 0) kept->reserve(1);  // an array of no values still needs an address
    std::vector<std::int64_t> *vector = kept.get();
    const nb::capsule owner(kept.release(),
                            [](void *p) noexcept { delete static_cast<std::vector<std::int64_t> *>(p); });
    return nb::cast(nb::ndarray<nb::numpy, std::int64_t, nb::ndim<1>>(vector->data(), {vector->size()}, owner));
}

nb::tuple py_tiff_walk(int fd, std::int64_t size, bool big, bool little, std::int64_t first, std::int64_t max_pages,
                       std::int64_t max_values) {
    if (size < 0 || first < 0 || max_pages < 0 || max_values < 0)
        throw std::invalid_argument("size, first, max_pages and max_values must not be negative");
    TiffPages pages;
    {
        const nb::gil_scoped_release released;
        pages = tiff_walk(fd, size, big, little, first, max_pages, max_values);
    }
    const std::size_t page_count = pages.columns[kIfd].size();
    nb::dict columns;
    for (std::size_t column = 0; column < pages.columns.size(); ++column)
        columns[column_names[column]] = as_array(std::move(pages.columns[column]));
    columns["segment_first"] = as_array(std::move(pages.segment_first));
    columns["segment_offset"] = as_array(std::move(pages.segment_offset));
    columns["segment_nbytes"] = as_array(std::move(pages.segment_size));
    return nb::make_tuple(columns, nb::make_tuple(static_cast<std::int64_t>(pages.end), pages.end_offset, page_count));
}


void py_transpose(nb::handle source, nb::handle out) {
    const Strided from(source, false), to(out, true);
    const int last = from.axis_count() - 1;
    const std::int64_t width = from.width();
    bool fits = last >= 1 && to.axis_count() == last + 1 && to.width() == width;
    fits = fits && (width == 1 || width == 2 || width == 4 || width == 8 || width == 16);
    std::int64_t outer = 1;
    bool empty = false;
    for (int axis = 0; fits && axis <= last; ++axis) {
        fits = from.length(axis) == to.length(axis);
        empty = empty || from.length(axis) == 0;
        if (axis < last - 1) outer *= from.length(axis);
    }
    if (!fits) throw std::invalid_argument("source and out differ in shape or width, or are no images");
    if (empty) return;
    const auto adjacent = [width](const Strided &side, int axis) {
        return side.length(axis) <= 1 || side.stride(axis) == width;
    };
    if (!adjacent(from, last - 1) || !adjacent(to, last))
        throw std::invalid_argument("items must lie side by side in source's columns and in out's rows");
    const nb::gil_scoped_release released;
    std::vector<std::int64_t> at(static_cast<std::size_t>(last), 0);
    const std::uint8_t *read = from.data();
    std::uint8_t *write = to.data();
    for (std::int64_t image = 0; image < outer; ++image) {
        transpose(read, from.stride(last), write, to.stride(last - 1), static_cast<std::size_t>(from.length(last)),
                  static_cast<std::size_t>(from.length(last - 1)), static_cast<std::size_t>(width));
        for (int axis = last - 2; axis >= 0; --axis) {
            read += from.stride(axis);
            write += to.stride(axis);
            if (++at[static_cast<std::size_t>(axis)] < from.length(axis)) break;
            at[static_cast<std::size_t>(axis)] = 0;
            read -= from.stride(axis) * from.length(axis);
            write -= to.stride(axis) * to.length(axis);
        }
    }
}

nb::bytes py_gif_encode(nb::handle indices) {
    const Buffer bytes(indices);
    std::vector<std::uint8_t> data;
    {
        const nb::gil_scoped_release released;
        data = gif_encode(bytes.data(), static_cast<std::size_t>(bytes.size()));
    }
    return nb::bytes(reinterpret_cast<const char *>(data.data()), data.size());
}

std::size_t py_gif_decode(nb::handle data, const Bytes &out) {
    const Buffer bytes(data);
    const nb::gil_scoped_release released;
    return gif_decode(bytes.data(), static_cast<std::size_t>(bytes.size()), out.data(), out.size());
}

std::size_t py_tiff_lzw_decode(nb::handle data, const Bytes &out) {
    const Buffer bytes(data);
    const nb::gil_scoped_release released;
    return tiff_lzw_decode(bytes.data(), static_cast<std::size_t>(bytes.size()), out.data(), out.size());
}

}  // namespace
}  // namespace galvo

NB_MODULE(native, m) {
    using namespace galvo;
    m.doc() = "Native kernels of galvo: positioned reads, checksums, TIFF chains, number scans, Huffman streams, transposition and motion.";

    m.def("isa", [] { return std::string(isa_name(active_isa())); }, "Name of the instruction set in use.");
    m.def("crc32c", &py_crc32c, "data"_a, "value"_a = 0, "CRC-32C of `data`, going on from `value`.");
    m.def("read_at", &py_read_at, "fd"_a, "offset"_a, "nbytes"_a,
          "Up to `nbytes` bytes at `offset`; fewer at the end of the file only.");
    m.def("read_into", &py_read_into, "fd"_a, "offset"_a, "out"_a.noconvert(),
          "Number of bytes read at `offset` into `out`.");

    nb::class_<PageTemplate>(m, "PageTemplate",
                             "What the header block of every page of an evenly spaced TIFF must hold.")
        .def("__init__", &init_template, "block"_a, "mask"_a, "relocations"_a.noconvert(), "width"_a,
             "little_endian"_a, "next_position"_a)
        .def("check", &check_template, "data"_a, "delta"_a, "last"_a,
             "Whether `data` is the header block of the page `delta` bytes behind page 0.");

    m.def("read_boxes", &py_read_boxes, "fds"_a.noconvert(), "offset"_a.noconvert(), "rows"_a.noconvert(),
          "out_offset"_a.noconvert(), "row_bytes"_a, "file_row_stride"_a, "out"_a.noconvert(), "out_row_stride"_a,
          "swap"_a, "threads"_a, "template"_a.none() = nb::none(), "header_offset"_a.noconvert() = nb::none(),
          "delta"_a.noconvert() = nb::none(), "last"_a.none() = nb::none(),
          "Boxes of rows read into `out`; (-1, 0, 0), or (job, kind, value) of the first job that failed.");
    m.def("scan_text", &py_scan_text, "fds"_a.noconvert(), "offset"_a.noconvert(), "nbytes"_a.noconvert(), "keys"_a,
          "threads"_a, "Numbers of `key = value` lines, float64 (jobs, keys), and the first failure.");
    m.def("tiff_walk", &py_tiff_walk, "fd"_a, "size"_a, "big"_a, "little"_a, "first"_a, "max_pages"_a,
          "max_values"_a, "Columns of all pages of an IFD chain, and why the walk ended.");
    m.def("transpose", &py_transpose, "source"_a, "out"_a, "Copy images whose columns lie side by side to rows.");
    m.def("gif_encode", &py_gif_encode, "indices"_a, "The image data of a GIF for 256 colors.");
    m.def("gif_decode", &py_gif_decode, "data"_a, "out"_a.noconvert(),
          "Fill `out` from the image data of a GIF; the number of indices that there were.");
    m.def("tiff_lzw_decode", &py_tiff_lzw_decode, "data"_a, "out"_a.noconvert(),
          "Fill `out` from a strip or tile of a TIFF; the number of bytes that there were.");
    define_bayes(m);
    define_frames(m);
    define_huffman(m);
    define_flow(m);
    define_quality(m);
    define_memory(m);
}
