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

}  // namespace galvo
