"""Level 4: two-dimensional arrays behind headers of 20 bytes.

Values keep the type that they are stored in; MATLAB itself makes doubles of all of them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import numpy as np

from galvo.core.source import FileSource
from galvo.errors import Malformed, Truncated
from galvo.formats.matlab.variable import Part, Span, Variable, check_array

__all__ = ["byte_order", "variables"]

_HEADER_BYTES = 20
# "MAT-File Format", level 4: the hundreds are zero, the tens the type, the ones full, text or sparse
_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
_NAMES = {"f8": "double", "f4": "single", "i4": "int32", "i2": "int16", "u2": "uint16", "u1": "uint8"}
_KINDS = ("", "char", "sparse")
_BIG_ENDIAN = 1000
_MOST_NAME_BYTES = 1024
_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*\0")


def byte_order(head: bytes) -> str:
    """The byte order, "<" or ">", where `head` begins a level 4 file, else ""."""
    if len(head) < _HEADER_BYTES:
        return ""
    for order, thousands in (("<", 0), (">", _BIG_ENDIAN)):
        kind, rows, columns, imaginary, name_bytes = struct.unpack(f"{order}5i", head[:_HEADER_BYTES])
        plain = kind - thousands
        fits = 0 <= plain < 100 and plain // 10 < len(_TYPES) and plain % 10 < len(_KINDS)
        if fits and rows >= 0 and columns >= 0 and imaginary in (0, 1) and 1 < name_bytes <= _MOST_NAME_BYTES:
            name = head[_HEADER_BYTES : _HEADER_BYTES + name_bytes]
            if _NAME.fullmatch(name):
                return order
    return ""


def variables(source: FileSource) -> Iterator[Variable]:
    """The arrays of a file in order.

    Raises
    ------
    Truncated
        The last one is cut off.
    Malformed
        A header is impossible.
    LimitExceeded
        More arrays than any recording has.
    """
    path, size = source.paths[0], source.size(0)
    offset, count = 0, 0
    while offset < size:
        head = source.read_upto(0, offset, _HEADER_BYTES + _MOST_NAME_BYTES)
        if len(head) < _HEADER_BYTES:
            raise Truncated("the file ends within the header of an array", path=path, offset=offset)
        order = byte_order(head)
        if not order:
            raise Malformed("no array begins here", path=path, offset=offset, found=head[:_HEADER_BYTES].hex(" "))
        kind, rows, columns, imaginary, name_bytes = struct.unpack(f"{order}5i", head[:_HEADER_BYTES])
        type_code, what = kind % _BIG_ENDIAN // 10, _KINDS[kind % 10]
        dtype = np.dtype(_TYPES[type_code])
        start = offset + _HEADER_BYTES + name_bytes
        nbytes = rows * columns * dtype.itemsize
        end = start + nbytes * (1 + imaginary)
        count += 1
        check_array(path, offset, end, size, count)
        name = head[_HEADER_BYTES : _HEADER_BYTES + name_bytes].rstrip(b"\0").decode("ascii", "replace")
        if what:
            yield Variable(name=name, kind=what, shape=(rows, columns) if what == "char" else ())
        else:
            yield _numeric(name, (rows, columns), dtype, order, imaginary, Span(source, start))
        offset = end


def _numeric(
    name: str, shape: tuple[int, int], dtype: np.dtype[np.generic], order: str, imaginary: int, content: Span
) -> Variable:
    kind = _NAMES[dtype.str[1:]]
    stored = dtype.newbyteorder("<" if order == "<" else ">")
    nbytes = shape[0] * shape[1] * dtype.itemsize
    if imaginary and dtype.kind != "f":
        return Variable(name=name, kind=f"complex {kind}", shape=shape)
    parts = tuple(Part(number * nbytes, stored, nbytes) for number in range(1 + imaginary))
    shown = np.dtype(f"c{2 * dtype.itemsize}") if imaginary else dtype
    return Variable(name=name, kind=kind, shape=shape, dtype=shown, parts=parts, content=content)
