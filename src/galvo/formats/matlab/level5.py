"""Level 5: the arrays of a file, found by their headers alone."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from galvo.core.source import FileSource
from galvo.errors import GalvoError, Malformed, Truncated
from galvo.formats.matlab.inflate import Inflated
from galvo.formats.matlab.variable import CLASSES, Content, Part, Span, Variable, check_array

__all__ = ["byte_order", "variables"]

_HEADER_BYTES = 128
# "MAT-File Format", tables 1-1 and 1-3
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT_TYPES = {16: "u1", 17: "u2", 18: "u4"}
_UINT32, _INT32, _MATRIX, _COMPRESSED = 6, 5, 14, 15
_KINDS = {
    1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 6: "double", 7: "single", 8: "int8", 9: "uint8",
    10: "int16", 11: "uint16", 12: "int32", 13: "uint32", 14: "int64", 15: "uint64", 16: "function_handle",
    17: "opaque",
}  # fmt: skip
_LOGICAL, _COMPLEX = 0x200, 0x800
_MOST_DIMENSIONS, _MOST_NAME_BYTES, _MOST_FIELDS_BYTES = 64, 4096, 1 << 20


def byte_order(head: bytes) -> str:
    """The byte order, "<" or ">", where `head` begins a level 5 file, else ""."""
    return {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}.get(bytes(head[124:128]), "")


def variables(source: FileSource, cut: bool = False) -> Iterator[Variable]:
    """The arrays of a file in order.

    Parameters
    ----------
    source : FileSource
        Of one file.
    cut : bool
        Whether the last array may reach beyond the end of the file.

    Raises
    ------
    Truncated
        The last element is cut off.
    Malformed
        Elements are not what the format allows.
    LimitExceeded
        More elements than any recording has.
    """
    path, size = source.paths[0], source.size(0)
    order = byte_order(source.read_upto(0, 0, _HEADER_BYTES))
    offset, count = _HEADER_BYTES, 0
    while offset < size:
        tag = source.read_upto(0, offset, 8)
        if len(tag) < 8:
            if not cut:
                raise Truncated("the file ends within an element", path=path, offset=offset)
            return
        kind, nbytes = struct.unpack(f"{order}II", tag)
        start, end = offset + 8, offset + 8 + nbytes
        if kind not in (_MATRIX, _COMPRESSED):
            raise Malformed("no array begins here", path=path, offset=offset, found=f"type {kind}")
        count += 1
        check_array(path, offset, min(end, size) if cut else end, size, count)
        if kind == _COMPRESSED:
            found = _deflated(source, start, min(nbytes, size - start), order, cut)
        else:
            found = _Matrix(Span(source, start), 0, nbytes, order, path, start).variable()
        # what belongs to the subsystem of objects has no name
        if found is not None and found.name:
            yield found
        offset = end


def _deflated(source: FileSource, start: int, nbytes: int, order: str, cut: bool) -> Variable | None:
    content, path = Inflated(source, start, nbytes), source.paths[0]
    try:
        kind, inner = struct.unpack(f"{order}II", content.read(0, 8))
        if kind != _MATRIX:
            raise Malformed("what is deflated here is no array", path=path, offset=start, found=f"type {kind}")
        content.expect(8 + inner, cut)
        return _Matrix(content, 8, 8 + inner, order, path, start).variable()
    except Truncated:
        if cut:
            return None
        raise


@dataclass(slots=True)
class _Matrix:
    """An array element, whose own elements are read one after the other."""

    content: Content
    at: int
    end: int
    order: str
    path: str
    place: int

    def variable(self) -> Variable | None:
        """The array; None for an empty element, which stands for an empty array without a name."""
        if self.at == self.end:
            return None
        kind, where, nbytes = self._next()
        if kind != _UINT32 or nbytes != 8:
            raise self._wrong("an array has no flags", f"type {kind}, {nbytes} bytes")
        (flags,) = struct.unpack(f"{self.order}I", self.content.read(where, 4))
        name = _KINDS.get(flags & 0xFF)
        if name is None:
            raise self._wrong("an array of unknown class", str(flags & 0xFF))
        if name == "opaque":
            return Variable(name=self._name(), kind=name)
        shape = self._dimensions()
        title = self._name()
        if flags & _LOGICAL and name in CLASSES:
            name = "logical"
        if name == "struct" and math.prod(shape) == 1:
            return Variable(name=title, kind=name, shape=shape, fields=replace(self)._fields)
        if name not in CLASSES and name != "char":
            return Variable(name=title, kind=name, shape=shape)
        parts = tuple(self._part(shape, name) for _ in range(2 if flags & _COMPLEX and name != "char" else 1))
        if name == "char":
            return Variable(name=title, kind=name, shape=shape, parts=parts, content=self.content)
        dtype = CLASSES[name]
        if len(parts) == 2:
            if dtype.kind != "f":
                return Variable(name=title, kind=f"complex {name}", shape=shape)
            dtype = np.dtype(f"c{2 * dtype.itemsize}")
        return Variable(name=title, kind=name, shape=shape, dtype=dtype, parts=parts, content=self.content)

    def _next(self) -> tuple[int, int, int]:
        """Type, offset and nbytes of the next element."""
        if self.end - self.at < 8:
            raise self._wrong("an array ends too early", f"{self.end - self.at} bytes for an element")
        first, second = struct.unpack(f"{self.order}II", self.content.read(self.at, 8))
        if first >> 16:
            kind, nbytes, where, end = first & 0xFFFF, first >> 16, self.at + 4, self.at + 8
            if nbytes > 4:
                raise self._wrong("a small element of more than 4 bytes", f"{nbytes} bytes")
        else:
            kind, nbytes, where = first, second, self.at + 8
            # the last element of an array need not be padded
            end = min(where + -(-nbytes // 8) * 8, max(self.end, where + nbytes))
        if end > self.end:
            raise self._wrong("an element reaches beyond its array", f"{nbytes} bytes")
        self.at = end
        return kind, where, nbytes

    def _dimensions(self) -> tuple[int, ...]:
        kind, where, nbytes = self._next()
        if kind != _INT32 or nbytes % 4 or not 8 <= nbytes <= 4 * _MOST_DIMENSIONS:
            raise self._wrong("an array has no dimensions", f"type {kind}, {nbytes} bytes")
        shape = struct.unpack(f"{self.order}{nbytes // 4}i", self.content.read(where, nbytes))
        if min(shape) < 0:
            raise self._wrong("impossible dimensions", str(shape))
        return shape

    def _name(self) -> str:
        kind, where, nbytes = self._next()
        if kind not in (1, 2, 16) or nbytes > _MOST_NAME_BYTES:
            raise self._wrong("an array has no name", f"type {kind}, {nbytes} bytes")
        return self.content.read(where, nbytes).rstrip(b"\0").decode("utf-8", "replace")

    def _fields(self) -> dict[str, Variable]:
        """The fields of a struct, found by their headers alone."""
        rest = replace(self)
        kind, where, nbytes = rest._next()
        if kind != _INT32 or nbytes != 4:
            raise self._wrong("a struct does not tell how long its names are", f"type {kind}, {nbytes} bytes")
        (width,) = struct.unpack(f"{self.order}i", self.content.read(where, 4))
        kind, where, nbytes = rest._next()
        if kind != 1 or not 0 < width <= _MOST_NAME_BYTES or nbytes % width or nbytes > _MOST_FIELDS_BYTES:
            raise self._wrong("a struct has no names of fields", f"type {kind}, {nbytes} bytes, {width} for each")
        data = self.content.read(where, nbytes)
        found = {}
        for first in range(0, nbytes, width):
            name = data[first : first + width].partition(b"\0")[0].decode("utf-8", "replace")
            kind, where, size = rest._next()
            if kind != _MATRIX:
                raise self._wrong(f"the field {name} of a struct is no array", f"type {kind}")
            inside = _Matrix(self.content, where, where + size, self.order, self.path, self.place).variable()
            if inside is not None:
                found[name] = replace(inside, name=name)
        return found

    def _part(self, shape: tuple[int, ...], name: str) -> Part:
        kind, where, nbytes = self._next()
        types = {**_TYPES, **_TEXT_TYPES} if name == "char" else _TYPES
        if kind not in types:
            raise self._wrong("an array holds no numbers", f"type {kind}")
        dtype: np.dtype[Any] = np.dtype(types[kind]).newbyteorder("<" if self.order == "<" else ">")
        expected = dtype.itemsize
        for length in shape:
            expected *= length
        # a character of Unicode may take several units
        if kind not in _TEXT_TYPES and nbytes != expected:
            raise self._wrong("an array has another size than its dimensions", f"{nbytes} bytes", f"{expected}")
        return Part(where, dtype, nbytes)

    def _wrong(self, message: str, found: str, expected: str | None = None) -> GalvoError:
        return Malformed(message, path=self.path, offset=self.place, found=found, expected=expected)
