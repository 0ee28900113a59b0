// Bytes of Python objects.
#pragma once

#include <cstdint>

#include <nanobind/nanobind.h>

namespace galvo {

// Contiguous bytes of any object that exports them.
class Buffer {
  public:
    explicit Buffer(nanobind::handle source, int access = PyBUF_SIMPLE) {
        if (PyObject_GetBuffer(source.ptr(), &view_, access) != 0) throw nanobind::python_error();
    }
    ~Buffer() { PyBuffer_Release(&view_); }
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;

    std::uint8_t *data() const noexcept { return static_cast<std::uint8_t *>(view_.buf); }
    std::int64_t size() const noexcept { return static_cast<std::int64_t>(view_.len); }

  private:
    Py_buffer view_;
};

// Items of any object that exports them, wherever each of them lies.
class Strided {
  public:
    explicit Strided(nanobind::handle source, bool writable) {
        if (PyObject_GetBuffer(source.ptr(), &view_, writable ? PyBUF_STRIDED : PyBUF_STRIDED_RO) != 0)
            throw nanobind::python_error();
    }
    ~Strided() { PyBuffer_Release(&view_); }
    Strided(const Strided &) = delete;
    Strided &operator=(const Strided &) = delete;

    std::uint8_t *data() const noexcept { return static_cast<std::uint8_t *>(view_.buf); }
    std::int64_t width() const noexcept { return static_cast<std::int64_t>(view_.itemsize); }
    int axis_count() const noexcept { return view_.ndim; }
    std::int64_t length(int axis) const noexcept { return static_cast<std::int64_t>(view_.shape[axis]); }
    std::int64_t stride(int axis) const noexcept { return static_cast<std::int64_t>(view_.strides[axis]); }

  private:
    Py_buffer view_;
};

}  // namespace galvo
