"""IFDs in bytes, many at a time: pages of one output differ only in where their strips are and what follows them.

Little endian. Source: TIFF 6.0 section 2, BigTIFF design note.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64

__all__ = ["Directory", "Field", "aligned", "file_header"]

_ALIGNMENT = 8
_FORMATS = {2: "s", 3: "H", 4: "I", 5: "II", 16: "Q"}


def aligned(position: int) -> int:
    """The next multiple of 8 at or behind `position`."""
    return position + -position % _ALIGNMENT


def file_header(big: bool) -> bytes:
    """The header of a file without pages yet; the first IFD's position is its last 4 or 8 bytes."""
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)


@dataclass(frozen=True, slots=True)
class Field:
    """One tag.

    Attributes
    ----------
    code, type, count : int
    value : int, bytes or pair of int
        The value itself where it fits, else its position.
    """

    code: int
    type: int
    count: int
    value: int | bytes | tuple[int, int] = 0


@dataclass(frozen=True)
class Directory:
    """The IFD of a page, `nbytes` long.

    Attributes
    ----------
    big : bool
    fields : tuple of Field
        In ascending order.
    """

    big: bool
    fields: tuple[Field, ...]

    @property
    def _head(self) -> int:
        return 8 if self.big else 2

    @property
    def _step(self) -> int:
        return 20 if self.big else 12

    @property
    def width(self) -> int:
        """Bytes of an offset."""
        return 8 if self.big else 4

    @property
    def link_at(self) -> int:
        """Where the next IFD's position lies in the IFD."""
        return self._head + self._step * len(self.fields)

    @property
    def nbytes(self) -> int:
        """Size, up to where the next one may begin."""
        return aligned(self.link_at + self.width)

    def pack(self) -> bytes:
        """The IFD as the last of its chain."""
        entries = b"".join(self._entry(field) for field in self.fields)
        whole = struct.pack("<Q" if self.big else "<H", len(self.fields)) + entries
        return whole.ljust(self.nbytes, b"\0")

    def _entry(self, field: Field) -> bytes:
        head = struct.pack("<HHQ" if self.big else "<HHI", field.code, field.type, field.count)
        letters = _FORMATS[field.type]
        if struct.calcsize(f"<{field.count}{letters}" if letters == "s" else f"<{letters * field.count}") > self.width:
            return head + struct.pack("<Q" if self.big else "<I", field.value)
        if isinstance(field.value, bytes):
            return head + field.value.ljust(self.width, b"\0")
        values = field.value if isinstance(field.value, tuple) else (field.value,)
        return head + struct.pack(f"<{letters}", *values).ljust(self.width, b"\0")

    def stamp(self, count: int, columns: Mapping[int, Int64], links: Int64) -> bytes:
        """`count` of these IFDs behind each other.

        Parameters
        ----------
        count : int
        columns : mapping of int to ndarray of int64, (count,)
            Values of the tags of these codes.
        links : ndarray of int64, (count,)
            Position of the next IFD of each.
        """
        table = np.tile(np.frombuffer(self.pack(), np.uint8), (count, 1))
        places = {field.code: self._head + number * self._step for number, field in enumerate(self.fields)}
        for code, column in columns.items():
            self._put(table, places[code] + (12 if self.big else 8), column)
        self._put(table, self.link_at, links)
        return table.tobytes()

    def _put(self, table: NDArray[np.uint8], at: int, column: Int64) -> None:
        values = np.ascontiguousarray(column, f"<u{self.width}")
        table[:, at : at + self.width] = values.view(np.uint8).reshape(-1, self.width)
