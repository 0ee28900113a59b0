// Python face of reading single frames: from a key of integers to an array without Python in between, since a frame
// comes out of the page cache in the time of a hundred lines of it. The interface is documented in native.pyi.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <nanobind/nanobind.h>
#include <nanobind/stl/array.h>

#include "boxes.hpp"
#include "buffer.hpp"
#include "checked.hpp"
#include "page_template.hpp"
#include "positioned_read.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

constexpr std::size_t kAxes = 3;

// Owns what is open.
class Descriptor {
  public:
    explicit Descriptor(int number) : number_(number) {
        if (number < 0) throw std::invalid_argument("not a file descriptor");
    }
    ~Descriptor() { close_descriptor(number_); }
    Descriptor(const Descriptor &) = delete;
    Descriptor &operator=(const Descriptor &) = delete;

    int number() const noexcept { return number_; }

  private:
    int number_;
};

// int64 values of an array of `axis_count` axes, wherever they lie.
class Integers {
  public:
    Integers(nb::handle array, int axis_count) {
        if (PyObject_GetBuffer(array.ptr(), &view_, PyBUF_RECORDS_RO) != 0) throw nb::python_error();
        const std::string_view format = view_.format == nullptr ? "B" : view_.format;
        if (view_.ndim == axis_count && view_.itemsize == 8 && (format == "l" || format == "q")) return;
        PyBuffer_Release(&view_);
        throw nb::type_error("positions must be int64 arrays");
    }
    ~Integers() { PyBuffer_Release(&view_); }
    Integers(const Integers &) = delete;
    Integers &operator=(const Integers &) = delete;

    std::int64_t length(int axis) const noexcept { return static_cast<std::int64_t>(view_.shape[axis]); }

    template <class... Places>
    std::int64_t operator()(Places... places) const noexcept {
        const auto *at = static_cast<const std::uint8_t *>(view_.buf);
        int axis = 0;
        ((at += places * view_.strides[axis++]), ...);
        std::int64_t value;
        std::memcpy(&value, at, sizeof value);
        return value;
    }

  private:
    Py_buffer view_;
};

// Where the pages of one file are.
class FramePages {
  public:
    FramePages(std::int64_t count, nb::handle offset, std::int64_t stride, nb::handle nbytes,
               nb::object page_template, std::int64_t header_offset, std::int64_t header_stride,
               std::int64_t last_page, nb::handle proven)
        : count_(count),
          offset_(offset, 1),
          nbytes_(nbytes, 1),
          stride_(stride),
          template_(std::move(page_template)),
          header_offset_(header_offset),
          header_stride_(header_stride),
          last_page_(last_page) {
        if (count < 0 || stride < 0 || header_offset < 0 || header_stride < 0)
            throw std::invalid_argument("count, stride, header_offset and header_stride must not be negative");
        for (const Integers *column : {&offset_, &nbytes_})
            if (column->length(0) != 1 && column->length(0) != count)
                throw std::invalid_argument("offset and nbytes have one value, or one per page");
        if (template_.is_none()) return;
        checked_ = nb::cast<const PageTemplate *>(template_);
        proven_.emplace(proven, PyBUF_WRITABLE);
        if (proven_->size() != count) throw std::invalid_argument("proven has one byte per page");
    }

    std::int64_t count() const noexcept { return count_; }

    // False where a page has no bytes in the file, or none that can be told.
    bool locate(std::int64_t page, std::int64_t &offset, std::int64_t &nbytes) const noexcept {
        std::int64_t moved = 0;
        offset = offset_(offset_.length(0) == 1 ? 0 : page);
        nbytes = nbytes_(nbytes_.length(0) == 1 ? 0 : page);
        return offset >= 0 && multiply_fits(page, stride_, moved) && add_fits(offset, moved, offset);
    }

    const PageTemplate *template_of(std::int64_t page) const noexcept {
        return checked_ == nullptr || proven_->data()[page] != 0 ? nullptr : checked_;
    }
    bool header_of(std::int64_t page, std::int64_t &offset, std::int64_t &delta) const noexcept {
        return multiply_fits(page, header_stride_, delta) && add_fits(header_offset_, delta, offset);
    }
    bool is_last(std::int64_t page) const noexcept { return page == last_page_; }
    void prove(std::int64_t page) const noexcept { proven_->data()[page] = 1; }

  private:
    std::int64_t count_;
    Integers offset_, nbytes_;
    std::int64_t stride_;
    nb::object template_;
    std::int64_t header_offset_, header_stride_, last_page_;
    const PageTemplate *checked_ = nullptr;
    std::optional<Buffer> proven_;
};

// What every position of one axis adds to the page.
class Axis {
  public:
    explicit Axis(nb::handle source) {
        if (PyTuple_Check(source.ptr())) {
            const auto [first, step, length] = nb::cast<std::array<std::int64_t, 3>>(source);
            first_ = first, step_ = step, length_ = length;
        } else {
            listed_.emplace(source, 1);
            length_ = listed_->length(0);
        }
    }

    std::int64_t length() const noexcept { return length_; }
    std::int64_t operator[](std::int64_t place) const noexcept {
        return listed_ ? (*listed_)(place) : first_ + place * step_;
    }

  private:
    std::int64_t first_ = 0, step_ = 0, length_ = 0;
    std::optional<Integers> listed_;
};

// Which page holds the frame at a position: a sum over the axes, or looked up.
class Order {
  public:
    Order(std::int64_t start, nb::handle places) : start_(start) {
        if (!PyTuple_Check(places.ptr())) {
            table_.emplace(places, static_cast<int>(kAxes));
            return;
        }
        const auto axes = nb::cast<nb::tuple>(places);
        if (axes.size() != kAxes) throw std::invalid_argument("one entry for each of T, C and Z");
        for (std::size_t axis = 0; axis < kAxes; ++axis) axes_[axis].emplace(axes[axis]);
    }

    std::int64_t length(std::size_t axis) const noexcept {
        return table_ ? table_->length(static_cast<int>(axis)) : axes_[axis]->length();
    }
    std::int64_t page(const std::array<std::int64_t, kAxes> &at) const noexcept {
        if (table_) return (*table_)(at[0], at[1], at[2]);
        return start_ + (*axes_[0])[at[0]] + (*axes_[1])[at[1]] + (*axes_[2])[at[2]];
    }

  private:
    std::int64_t start_;
    std::array<std::optional<Axis>, kAxes> axes_;
    std::optional<Integers> table_;
};

class FrameReader {
  public:
    FrameReader(nb::object take, nb::list pages, nb::handle first_page, std::int64_t start, nb::handle places,
                std::int64_t row_nbytes, std::int64_t skip, std::int64_t rows, std::int64_t columns, nb::object dtype,
                int swap)
        : take_(std::move(take)),
          pages_(std::move(pages)),
          first_page_(first_page, 1),
          order_(start, places),
          dtype_(std::move(dtype)),
          empty_(nb::module_::import_("numpy").attr("empty")),
          integer_(nb::module_::import_("numpy").attr("integer")),
          file_stride_(row_nbytes),
          skip_(skip),
          rows_(rows),
          row_nbytes_(0),
          extent_(0),
          swap_(swap) {
        const auto itemsize = nb::cast<std::int64_t>(dtype_.attr("itemsize"));
        if (rows < 1 || columns < 1 || skip < 0 || !multiply_fits(columns, itemsize, row_nbytes_) ||
            row_nbytes_ > file_stride_ || !multiply_fits(rows - 1, file_stride_, extent_) ||
            !add_fits(extent_, row_nbytes_, extent_) || !add_fits(extent_, skip, extent_))
            throw std::invalid_argument("rows and columns lie outside the frame");
        for (std::size_t kept = 0; kept <= kAxes; ++kept) {
            nb::list shape;
            for (std::size_t axis = 0; axis < kept; ++axis) shape.append(1);
            shape.append(rows);
            shape.append(columns);
            shapes_[kept] = nb::tuple(shape);
        }
    }

    nb::object read(nb::handle key) const {
        std::array<std::int64_t, kAxes> at{};
        std::size_t named = 0;
        if (!positions(key, at, named)) return nb::none();
        const std::int64_t page = order_.page(at);
        const std::int64_t file = file_of(page);
        if (file < 0) return nb::none();
        const nb::object held = pages_[static_cast<std::size_t>(file)];
        const auto &pages = nb::cast<const FramePages &>(held);
        const std::int64_t local = page - first_page_(file);
        std::int64_t offset = 0, nbytes = 0, header_offset = -1, delta = 0;
        if (local >= pages.count() || !pages.locate(local, offset, nbytes) || nbytes < extent_ ||
            !add_fits(offset, skip_, offset) || !pages.header_of(local, header_offset, delta))
            return nb::none();

        const nb::object opened = take_(file);
        PyObject *const arguments[] = {shapes_[kAxes - named].ptr(), dtype_.ptr()};
        const nb::object out = nb::steal(PyObject_Vectorcall(empty_.ptr(), arguments, 2, nullptr));
        if (!out.is_valid()) throw nb::python_error();
        const Buffer bytes(out, PyBUF_WRITABLE);
        const std::int64_t descriptor = nb::cast<const Descriptor &>(opened).number(), out_offset = 0;
        const std::uint8_t last = pages.is_last(local) ? 1 : 0;
        BoxPlan plan;
        plan.job_count = 1;
        plan.fds = &descriptor;
        plan.offset = &offset;
        plan.rows = &rows_;
        plan.out_offset = &out_offset;
        plan.row_bytes = plan.out_row_stride = row_nbytes_;
        plan.file_row_stride = file_stride_;
        plan.out = bytes.data();
        plan.out_size = bytes.size();
        plan.swap = swap_;
        plan.page_template = pages.template_of(local);
        plan.header_offset = &header_offset;
        plan.delta = &delta;
        plan.last = &last;
        Failure failure;
        {
            const nb::gil_scoped_release released;
            failure = read_boxes(plan);
        }
        if (failure.outcome.kind != kNone) return nb::none();
        if (plan.page_template != nullptr) pages.prove(local);
        return out;
    }

  private:
    // Whether `key` selects one frame by integers alone; `named` is how many axes they are for.
    bool positions(nb::handle key, std::array<std::int64_t, kAxes> &at, std::size_t &named) const {
        const bool several = PyTuple_CheckExact(key.ptr());
        named = several ? static_cast<std::size_t>(PyTuple_GET_SIZE(key.ptr())) : 1;
        if (named > kAxes) return false;
        for (std::size_t axis = 0; axis < kAxes; ++axis) {
            const std::int64_t length = order_.length(axis);
            if (axis >= named) {
                if (length != 1) return false;
                continue;
            }
            PyObject *const part = several ? PyTuple_GET_ITEM(key.ptr(), static_cast<Py_ssize_t>(axis)) : key.ptr();
            long long place = 0;
            int overflows = 0;
            if (PyLong_CheckExact(part)) {
                place = PyLong_AsLongLongAndOverflow(part, &overflows);
            } else if (PyObject_TypeCheck(part, reinterpret_cast<PyTypeObject *>(integer_.ptr()))) {
                const nb::object whole = nb::steal(PyNumber_Index(part));
                if (!whole.is_valid()) {
                    PyErr_Clear();
                    return false;
                }
                place = PyLong_AsLongLongAndOverflow(whole.ptr(), &overflows);
            } else {
                return false;
            }
            if (overflows != 0 || place >= length || place < -length) return false;
            at[axis] = place < 0 ? place + length : place;
        }
        return true;
    }

    // -1 where no file holds the page.
    std::int64_t file_of(std::int64_t page) const noexcept {
        std::int64_t low = -1, high = std::min(first_page_.length(0), static_cast<std::int64_t>(pages_.size()));
        while (high - low > 1) {
            const std::int64_t middle = low + (high - low) / 2;
            (first_page_(middle) <= page ? low : high) = middle;
        }
        return page < 0 ? -1 : low;
    }

    nb::object take_;
    nb::list pages_;
    Integers first_page_;
    Order order_;
    nb::object dtype_, empty_, integer_;
    std::int64_t file_stride_, skip_, rows_, row_nbytes_, extent_;
    int swap_;
    std::array<nb::tuple, kAxes + 1> shapes_;
};

}  // namespace

void define_frames(nb::module_ &m) {
    nb::class_<Descriptor>(m, "Descriptor", "An open file, closed with the last who holds it.")
        .def(nb::init<int>(), "number"_a)
        .def_prop_ro("number", &Descriptor::number);
    nb::class_<FramePages>(m, "FramePages", "Where the pages of one file are.")
        .def(nb::init<std::int64_t, nb::handle, std::int64_t, nb::handle, nb::object, std::int64_t, std::int64_t,
                      std::int64_t, nb::handle>(),
             "count"_a, "offset"_a, "stride"_a, "nbytes"_a, "template"_a.none() = nb::none(), "header_offset"_a = 0,
             "header_stride"_a = 0, "last_page"_a = -1, "proven"_a.none() = nb::none());
    nb::class_<FrameReader>(m, "FrameReader", "Reads single frames by keys of integers.")
        .def(nb::init<nb::object, nb::list, nb::handle, std::int64_t, nb::handle, std::int64_t, std::int64_t,
                      std::int64_t, std::int64_t, nb::object, int>(),
             "take"_a, "pages"_a, "first_page"_a, "start"_a, "places"_a, "row_nbytes"_a, "skip"_a, "rows"_a,
             "columns"_a, "dtype"_a, "swap"_a)
        .def("read", &FrameReader::read, "key"_a.none(), "The pixels of one frame, or None.");
}

}  // namespace galvo
