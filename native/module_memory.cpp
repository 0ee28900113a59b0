// Python face of recycled memory, and of what fills it. The interface is documented in native.pyi.
#include <cstdint>
#include <stdexcept>

#include <nanobind/nanobind.h>

#include "buffer.hpp"
#include "endian.hpp"
#include "fletcher32.hpp"
#include "recycled.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace galvo {
namespace {

constexpr std::int64_t kChecksumBytes = 4;

int export_bytes(PyObject *self, Py_buffer *view, int flags) {
    const Recycled *memory = nb::inst_ptr<Recycled>(self);
    return PyBuffer_FillInfo(view, self, memory->data(), static_cast<Py_ssize_t>(memory->size()), 0, flags);
}

PyType_Slot memory_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void *>(export_bytes)}, {0, nullptr}};

void init_memory(Recycled *self, std::int64_t nbytes) {
    if (nbytes < 0) throw std::invalid_argument("nbytes must not be negative");
    new (self) Recycled(static_cast<std::size_t>(nbytes));
}

std::uint32_t py_fletcher32(nb::handle data) {
    const Buffer buffer(data);
    const nb::gil_scoped_release released;
    return fletcher32(buffer.data(), static_cast<std::size_t>(buffer.size()), nullptr);
}

nb::object py_append_fletcher32(nb::handle data) {
    const Buffer buffer(data);
    nb::object memory = nb::type<Recycled>()(buffer.size() + kChecksumBytes);
    std::uint8_t *out = nb::inst_ptr<Recycled>(memory)->data();
    {
        const nb::gil_scoped_release released;
        const std::uint32_t sum = fletcher32(buffer.data(), static_cast<std::size_t>(buffer.size()), out);
        store_integer<std::uint32_t>(out + buffer.size(), sum, true);
    }
    return memory;
}

}  // namespace

void define_memory(nb::module_ &m) {
    // arrays that outlive the interpreter are no business of its last words
    nb::set_leak_warnings(false);
    nb::class_<Recycled>(m, "Memory", nb::type_slots(memory_slots), "Bytes that the next one of their size recycles.")
        .def("__init__", &init_memory, "nbytes"_a);
    m.def("recycled_bytes", &recycled_kept, "Bytes that are kept for the next `Memory`.");
    m.def("recycled_limit", &recycled_limit, "The most bytes that are kept.");
    m.def("raise_recycled_limit", &recycled_raise_limit, "difference"_a, "Keep so many bytes more, or fewer.");
    m.def("clear_recycled", &recycled_clear, "Give back what is kept.");
    m.def("fletcher32", &py_fletcher32, "data"_a, "Fletcher-32 of `data`, as HDF5 counts it.");
    m.def("append_fletcher32", &py_append_fletcher32, "data"_a, "`data` with its Fletcher-32 behind it.");
}

}  // namespace galvo
