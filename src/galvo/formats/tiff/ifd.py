"""One TIFF header, one image file directory: struct tables and bounds, no meaning.

Source: TIFF 6.0 sections 2 and 15 (types), BigTIFF design note (types 16 to 18, 20-byte entries).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from galvo.core.source import FileSource
from galvo.errors import Malformed, Truncated
from galvo.limits import Limits

__all__ = ["Entry", "Ifd", "TiffHeader", "read_header", "read_ifd"]

_MAX_ENTRIES = 4096
_WINDOW_BYTES = 1024

# type code: struct letter, bytes
TYPES = {
    1: ("B", 1),
    2: ("s", 1),
    3: ("H", 2),
    4: ("I", 4),
    5: ("II", 8),
    6: ("b", 1),
    7: ("s", 1),
    8: ("h", 2),
    9: ("i", 4),
    10: ("ii", 8),
    11: ("f", 4),
    12: ("d", 8),
    13: ("I", 4),
    16: ("Q", 8),
    17: ("q", 8),
    18: ("Q", 8),
}
# BYTE, SHORT, LONG, IFD, LONG8, IFD8: what the native walk takes for a number as well.
_UNSIGNED = frozenset((1, 3, 4, 13, 16, 18))


@dataclass(frozen=True, slots=True)
class TiffHeader:
    """The first bytes of a TIFF file.

    Attributes
    ----------
    big : bool
        BigTIFF: 64-bit offsets.
    order : str
        "<" or ">".
    first_ifd : int
        Position of the first IFD.
    """

    big: bool
    order: str
    first_ifd: int

    @property
    def width(self) -> int:
        """Bytes of an offset."""
        return 8 if self.big else 4


def read_header(source: FileSource, file: int = 0) -> TiffHeader:
    """The header of a file.

    Raises
    ------
    Truncated
        Less than a header.
    Malformed
        Not a TIFF header.
    """
    path = source.paths[file]
    head = source.read_upto(file, 0, 16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        kind = Truncated if len(head) < 8 else Malformed
        raise kind("not a TIFF header", path=path, offset=0, found=head[:8].hex(" ") or "an empty file")
    version = struct.unpack_from(order + "H", head, 2)[0]
    if version == 42:
        return TiffHeader(False, order, struct.unpack_from(order + "I", head, 4)[0])
    if version == 43 and len(head) == 16 and struct.unpack_from(order + "HH", head, 4) == (8, 0):
        return TiffHeader(True, order, struct.unpack_from(order + "Q", head, 8)[0])
    raise Malformed("not a TIFF header", path=path, offset=0, found=head.hex(" "))


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of an IFD.

    Attributes
    ----------
    code, type, count : int
    position : int
        Where the value lies in the file.
    nbytes : int
        Size of the value.
    at : int
        Position of the entry itself.
    """

    code: int
    type: int
    count: int
    position: int
    nbytes: int
    at: int


@dataclass(frozen=True)
class Ifd:
    """One image file directory.

    Attributes
    ----------
    source, file : FileSource, int
    header : TiffHeader
    offset : int
        Where it begins in the file.
    nbytes : int
        Size of the table, its next-pointer included.
    next : int
        Position of the next IFD, 0 for the last.
    entries : dict of int to Entry
    limits : Limits
    window : bytes
        The file's bytes from `offset` on, the table at least.
    """

    source: FileSource
    file: int
    header: TiffHeader
    offset: int
    nbytes: int
    next: int
    entries: dict[int, Entry]
    limits: Limits
    window: bytes

    def values(self, code: int, most: int | None = None) -> tuple[Any, ...]:
        """Values of a tag, the first `most` of them; empty when it is absent."""
        entry = self.entries.get(code)
        if entry is None or entry.type not in TYPES:
            return ()
        letter, size = TYPES[entry.type]
        count = entry.count if most is None or letter == "s" else min(entry.count, most)
        self.limits.check("text_bytes", count * size, path=self.source.paths[self.file], offset=entry.position)
        at, stop = entry.position - self.offset, entry.position - self.offset + count * size
        if at >= 0 and stop <= len(self.window):
            data = self.window[at:stop]
        else:
            data = self.source.read(self.file, entry.position, count * size)
        if letter == "s":
            return (data,)
        return struct.unpack(f"{self.header.order}{count * len(letter)}{letter[0]}", data)

    def value(self, code: int, default: int) -> int:
        """First value of an unsigned integer tag, or `default`."""
        entry = self.entries.get(code)
        if entry is None or entry.type not in _UNSIGNED:
            return default
        values: tuple[int, ...] = self.values(code, 1)
        return values[0] if values else default

    def text(self, code: int) -> str:
        """A text tag without its padding; empty when absent. Bytes that are no UTF-8 are read as Latin-1."""
        values = self.values(code)
        if not values or not isinstance(values[0], bytes):
            return ""
        data = values[0].rstrip(b" \0")
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.decode("latin-1")

    @property
    def ascends(self) -> bool:
        """Whether the tags are in ascending order, as TIFF 6.0 asks."""
        return list(self.entries) == sorted(self.entries)

    @cached_property
    def description(self) -> str:
        """ImageDescription (270)."""
        return self.text(270)


def read_ifd(source: FileSource, file: int, header: TiffHeader, offset: int, limits: Limits) -> Ifd:
    """The IFD at `offset`.

    Raises
    ------
    Malformed
        Impossible counts or offsets.
    Truncated
        The file ends inside the IFD or inside a tag's value.
    """
    path, size = source.paths[file], source.size(file)
    if not 8 <= offset < size:
        raise Malformed(
            "an IFD lies outside the file", path=path, offset=offset, found=offset, expected=f"8 to {size - 1}"
        )
    big, order = header.big, header.order
    window = source.read_upto(file, offset, _WINDOW_BYTES)
    head, step = (8, 20) if big else (2, 12)
    if len(window) < head:
        raise Truncated("the file ends inside an IFD", path=path, offset=offset)
    count = struct.unpack_from(order + ("Q" if big else "H"), window)[0]
    if not 1 <= count <= _MAX_ENTRIES:
        raise Malformed("impossible number of tags", path=path, offset=offset, found=count, expected="1 to 4096")
    nbytes = head + count * step + header.width
    if nbytes > len(window):
        window = source.read(file, offset, nbytes)
    entries: dict[int, Entry] = {}
    before = -1
    for number in range(count):
        at = head + number * step
        code, kind, length = struct.unpack_from(order + ("HHQ" if big else "HHI"), window, at)
        room = at + (12 if big else 8)
        if kind not in TYPES and 0 < code <= before:
            raise Malformed(
                "a tag out of order and of no known type",
                path=path,
                offset=offset + at,
                found=f"tag {code} of type {kind} behind tag {before}",
            )
        before = code
        value_nbytes = length * TYPES.get(kind, ("", 1))[1]
        position = offset + room
        if value_nbytes > header.width:
            position = struct.unpack_from(order + ("Q" if big else "I"), window, room)[0]
            if kind in TYPES and position + value_nbytes > size:
                raise Truncated(
                    f"the value of tag {code} reaches beyond the end of the file",
                    path=path,
                    offset=offset + at,
                    found=f"{value_nbytes} bytes at {position}",
                    expected=f"within {size} bytes",
                )
        entries.setdefault(code, Entry(code, kind, length, position, value_nbytes, offset + at))
    following = struct.unpack_from(order + ("Q" if big else "I"), window, nbytes - header.width)[0]
    return Ifd(source, file, header, offset, nbytes, following, entries, limits, window)
