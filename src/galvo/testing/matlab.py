"""MATLAB files of levels 4 and 5, byte by byte, without any of galvo's own reading or writing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MatBuilder"]

# MathWorks, "MAT-File Format": types of elements and classes of arrays
_STORED = {
    "i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 9, "i8": 12, "u8": 13,
}  # fmt: skip
_CLASSES = {
    "cell": 1, "struct": 2, "object": 3, "char": 4, "sparse": 5, "double": 6, "single": 7, "int8": 8, "uint8": 9,
    "int16": 10, "uint16": 11, "int32": 12, "uint32": 13, "int64": 14, "uint64": 15, "function": 16, "opaque": 17,
}  # fmt: skip
_NAMES = {"f8": "double", "f4": "single"}
_LEVEL4 = {"f8": 0, "f4": 1, "i4": 2, "i2": 3, "u2": 4, "u1": 5}
_LOGICAL, _COMPLEX = 0x200, 0x800


class MatBuilder:
    """Makes a .mat file.

    Parameters
    ----------
    level : 4 or 5
    byteorder : "<" or ">"
    """

    def __init__(self, level: int = 5, byteorder: str = "<") -> None:
        self._level = level
        self._order = byteorder
        self._pieces: list[bytes] = []
        if level == 5:
            text = b"MATLAB 5.0 MAT-file, made for a test".ljust(116)
            self._pieces.append(text + bytes(8) + struct.pack(f"{byteorder}HH", 0x0100, 0x4D49))

    def array(
        self, name: str, values: NDArray[Any], stored: str | None = None, deflated: bool = False, small: bool = True
    ) -> None:
        """Add an array of numbers.

        Parameters
        ----------
        name : str
        values : ndarray
            In MATLAB's dimensions; its type gives the class.
        stored : str, optional
            Type in which the numbers are stored, such as "u1" for small doubles.
        deflated : bool
            As version 7 does.
        small : bool
            Put up to 4 bytes into the tags of elements.
        """
        wanted, data = self._numbers(values, stored)
        if self._level == 4:
            self._add_level4(name, values.shape, _LEVEL4[wanted.str[1:]], 0, data)
            return
        self._add(self._numeric(name, values, stored, small), deflated)

    def _numbers(self, values: NDArray[Any], stored: str | None) -> tuple[np.dtype[Any], list[bytes]]:
        """Type in which numbers are stored, and the real and the imaginary ones."""
        parts = [values.real, values.imag] if values.dtype.kind == "c" else [values]
        own = {"b": "u1", "c": f"f{values.dtype.itemsize // 2}"}.get(values.dtype.kind, values.dtype.str[1:])
        wanted = np.dtype(stored or own).newbyteorder("<" if self._order == "<" else ">")
        return wanted, [part.astype(wanted).tobytes(order="F") for part in parts]

    def _numeric(self, name: str, values: NDArray[Any], stored: str | None = None, small: bool = True) -> bytes:
        wanted, data = self._numbers(values, stored)
        kind, itemsize = values.dtype.kind, values.dtype.itemsize
        own = f"f{itemsize // 2}" if kind == "c" else "u1" if kind == "b" else values.dtype.str[1:]
        title = _NAMES.get(own, np.dtype(own).name)
        flags = _CLASSES[title] | (_LOGICAL if kind == "b" else 0) | (_COMPLEX if kind == "c" else 0)
        numbers = [self._element(_STORED[wanted.str[1:]], one, small) for one in data]
        return self._matrix(flags, values.shape, name, numbers, small)

    def _struct(self, name: str, fields: Mapping[str, Any]) -> bytes:
        width = max(map(len, fields), default=0) + 1
        names = b"".join(one.encode().ljust(width, b"\0") for one in fields)
        parts = [self._element(5, struct.pack(f"{self._order}i", width)), self._element(1, names, small=False)]
        for value in fields.values():
            if isinstance(value, str):
                inside = self._characters("", value)
            elif isinstance(value, Mapping):
                inside = self._struct("", value)
            else:
                inside = self._numeric("", np.asarray(value))
            parts.append(self._words(14, len(inside)) + inside)
        return self._matrix(_CLASSES["struct"], (1, 1), name, parts)

    def _characters(self, name: str, text: str) -> bytes:
        data = text.encode("utf-16-le" if self._order == "<" else "utf-16-be")
        return self._matrix(_CLASSES["char"], (1, len(text)), name, [self._element(4, data)])

    def text(self, name: str, text: str, deflated: bool = False) -> None:
        """Add a row of characters."""
        if self._level == 4:
            self._add_level4(name, (1, len(text)), 0, 1, [np.frombuffer(text.encode(), "u1").astype("<f8").tobytes()])
            return
        self._add(self._characters(name, text), deflated)

    def struct(self, name: str, fields: Mapping[str, Any], deflated: bool = False) -> None:
        """Add a struct of one element.

        Parameters
        ----------
        name : str
        fields : mapping of str
            Arrays in MATLAB's dimensions, texts, and mappings, which become structs themselves.
        deflated : bool
        """
        self._add(self._struct(name, fields), deflated)

    def other(self, name: str, kind: str, deflated: bool = False) -> None:
        """Add what holds no frames: a "cell" with nothing in it, or an "opaque" object."""
        if kind == "opaque":
            parts = [self._element(6, self._words(_CLASSES[kind], 0)), self._element(1, name.encode())]
            self._add(b"".join([*parts, self._element(1, b"MCOS"), self._element(1, b"string")]), deflated)
            return
        self._add(self._matrix(_CLASSES[kind], (1, 1), name, [self._element(14, b"")]), deflated)

    def sparse(self, name: str) -> None:
        """Add a sparse array of 3 x 5 with one value."""
        if self._level == 4:
            self._add_level4(name, (2, 3), 0, 2, [np.array([1, 3, 1, 5, 7.0, 0], f"{self._order}f8").tobytes()])
            return
        columns = struct.pack(f"{self._order}6i", 0, 1, 1, 1, 1, 1)
        parts = [self._element(5, self._words(0)), self._element(5, columns), self._element(9, bytes(8))]
        self._add(self._matrix(_CLASSES["sparse"], (3, 5), name, parts))

    def build(self) -> bytes:
        """The bytes of the file."""
        return b"".join(self._pieces)

    def _words(self, *numbers: int) -> bytes:
        return struct.pack(f"{self._order}{len(numbers)}I", *numbers)

    def _element(self, kind: int, data: bytes, small: bool = True) -> bytes:
        if small and 0 < len(data) <= 4:
            return self._words(len(data) << 16 | kind) + data.ljust(4, b"\0")
        return self._words(kind, len(data)) + data + bytes(-len(data) % 8)

    def _matrix(self, flags: int, shape: tuple[int, ...], name: str, parts: list[bytes], small: bool = True) -> bytes:
        lengths = struct.pack(f"{self._order}{len(shape)}i", *shape)
        head = self._element(6, self._words(flags, 0)) + self._element(5, lengths, small=False)
        return b"".join((head, self._element(1, name.encode(), small), *parts))

    def _add(self, inside: bytes, deflated: bool = False) -> None:
        whole = self._words(14, len(inside)) + inside
        if deflated:
            packed = zlib.compress(whole)
            whole = self._words(15, len(packed)) + packed
        self._pieces.append(whole)

    def _add_level4(self, name: str, shape: tuple[int, ...], kind: int, what: int, data: list[bytes]) -> None:
        code = (1000 if self._order == ">" else 0) + 10 * kind + what
        head = struct.pack(f"{self._order}5i", code, *shape, len(data) - 1, len(name) + 1)
        self._pieces.append(b"".join((head, name.encode() + b"\0", *data)))
