"""Arbitrary TIFF files as bytes, malformed ones included.

A file is declared page by page; `TiffBuilder.build` lays it out as: header, then for each page its segments (strips or
tiles), the values that do not fit into their entries, and its IFD.  Any count, offset or link can be replaced by a
wrong one, or by a reference to another part of the file, so loops, overlaps and tables beyond the end are one line.

Layout: TIFF 6.0 section 2 and the BigTIFF addition (16-byte header, 64-bit counts and offsets).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, Literal, TypeAlias

__all__ = ["Ifd", "Offset", "Page", "Segment", "Tag", "TiffBuilder"]

_FORMATS: Final[dict[int, str]] = {
    1: "B", 2: "s", 3: "H", 4: "I", 5: "II", 6: "b", 7: "s", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d",
    13: "I", 16: "Q", 17: "q", 18: "Q",
}  # fmt: skip


@dataclass(frozen=True)
class Ifd:
    """The offset of the IFD of page `page`."""

    page: int


@dataclass(frozen=True)
class Segment:
    """The offset of segment `segment` of page `page`."""

    page: int
    segment: int = 0


Offset: TypeAlias = int | Ifd | Segment
Value: TypeAlias = int | float | Fraction | Ifd | Segment


@dataclass(frozen=True, kw_only=True)
class Tag:
    """One IFD entry."""

    code: int
    """Tag code."""
    type: int
    """Field type, 1 to 18; an unknown one needs `raw`."""
    values: Sequence[Value] | bytes = ()
    """Values, or the bytes of types 2 and 7."""
    count: int | None = None
    """Count to write where it is not the number of values."""
    offset: Offset | None = None
    """What to write in the value field instead of the values' own offset (they are not stored then)."""
    raw: bytes | None = None
    """The value field's own bytes (padded to 4 or 8), instead of all else."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One IFD with its segments."""

    tags: Sequence[Tag]
    """Entries in the order in which they are written."""
    segments: Sequence[bytes] = ()
    """Strips or tiles, already compressed, stored one after another."""
    next_ifd: Offset | None = None
    """Link to write instead of the next page's offset (0 after the last)."""
    entry_count: int | None = None
    """Number of entries to announce where it is not the true one."""
    at: int | None = None
    """Offset at which the page's bytes start; a gap is filled with zeros."""


@dataclass
class TiffBuilder:
    """Declares a TIFF and gives its bytes.

    Examples
    --------
    >>> builder = TiffBuilder(big=True)
    >>> _ = builder.image(4, 2, [bytes(8)])
    >>> len(builder.build())
    260
    """

    big: bool = False
    """Whether to write BigTIFF."""
    byteorder: Literal["<", ">"] = "<"
    """Little or big endian."""
    pages: list[Page] = field(default_factory=list)
    """Pages in the order of their chain."""
    first_ifd: Offset | None = None
    """Link to write in the header instead of the first page's offset."""
    trailing: bytes = b""
    """Bytes after the last page."""

    def add(self, page: Page) -> TiffBuilder:
        """Add a page and return the builder."""
        self.pages.append(page)
        return self

    def image(
        self,
        width: int,
        height: int,
        segments: Sequence[bytes],
        *,
        bits: int = 8,
        sample_format: int = 1,
        samples: int = 1,
        planar: int = 1,
        compression: int = 1,
        predictor: int = 1,
        rows_per_strip: int | None = None,
        tile: tuple[int, int] | None = None,
        replace: Sequence[Tag] = (),
        omit: Sequence[int] = (),
        next_ifd: Offset | None = None,
        entry_count: int | None = None,
        at: int | None = None,
    ) -> TiffBuilder:
        """Add a page with the baseline tags of an image and return the builder.

        Parameters
        ----------
        width, height : int
            Size in pixels as the tags give it.
        segments : sequence of bytes
            Strips or tiles, compressed by the caller.
        bits, sample_format, samples, planar, compression, predictor : int
            Tags 258, 339, 277, 284, 259 and 317 (the last is written unless it is 1).
        rows_per_strip : int, optional
            All rows by default.
        tile : (int, int), optional
            Tile length (rows) and width (columns); makes the segments tiles.
        replace : sequence of Tag
            Tags added, or put in the place of one of the same code.
        omit : sequence of int
            Codes left out.
        next_ifd, entry_count, at
            As in `Page`.
        """
        number = len(self.pages)
        wide = 16 if self.big else 4
        places = [Segment(number, k) for k in range(len(segments))]
        sizes = [len(segment) for segment in segments]
        tags = [
            Tag(code=256, type=4, values=[width]),
            Tag(code=257, type=4, values=[height]),
            Tag(code=258, type=3, values=[bits] * samples),
            Tag(code=259, type=3, values=[compression]),
            Tag(code=262, type=3, values=[1]),
            Tag(code=277, type=3, values=[samples]),
            Tag(code=284, type=3, values=[planar]),
            Tag(code=339, type=3, values=[sample_format] * samples),
        ]
        if predictor != 1:
            tags.append(Tag(code=317, type=3, values=[predictor]))
        if tile is None:
            tags += [
                Tag(code=273, type=wide, values=places),
                Tag(code=278, type=4, values=[height if rows_per_strip is None else rows_per_strip]),
                Tag(code=279, type=wide, values=sizes),
            ]
        else:
            tags += [
                Tag(code=322, type=4, values=[tile[1]]),
                Tag(code=323, type=4, values=[tile[0]]),
                Tag(code=324, type=wide, values=places),
                Tag(code=325, type=wide, values=sizes),
            ]
        table = {tag.code: tag for tag in [*tags, *replace] if tag.code not in omit}
        ordered = [table[code] for code in sorted(table)]
        return self.add(Page(tags=ordered, segments=tuple(segments), next_ifd=next_ifd, entry_count=entry_count, at=at))

    def build(self) -> bytes:
        """Return the file.

        Raises
        ------
        ValueError
            A reference to a page or segment that was not declared, an `at` inside the bytes before it, or a value
            that its field cannot hold.
        """
        layout = _Layout.of(self)
        out = bytearray(
            self._header(layout.resolve(Ifd(0) if self.first_ifd is None and self.pages else self.first_ifd))
        )
        for number, page in enumerate(self.pages):
            out += bytes(layout.starts[number] - len(out))
            for segment in page.segments:
                out += segment
            out += bytes(layout.values[number] - len(out))
            out += self._values_and_ifd(number, page, layout)
        return bytes(out + self.trailing)

    def _header(self, first: int) -> bytes:
        mark = b"II" if self.byteorder == "<" else b"MM"
        if self.big:
            return mark + self._pack("HHHQ", 43, 8, 0, first)
        return mark + self._pack("HI", 42, first)

    def _values_and_ifd(self, number: int, page: Page, layout: _Layout) -> bytes:
        room = self._offset_bytes
        values = b""
        entries = b""
        for tag in page.tags:
            body = self._body(tag, layout.resolve)
            count = tag.count if tag.count is not None else self._count(tag)
            if tag.raw is not None:
                slot = tag.raw.ljust(room, b"\0")[:room]
            elif tag.offset is not None:
                slot = self._pack(self._offset_format, layout.resolve(tag.offset))
            elif len(body) <= room:
                slot = body.ljust(room, b"\0")
            else:
                slot = self._pack(self._offset_format, layout.values[number] + len(values))
                values += body + bytes(len(body) % 2)
            entries += self._pack("HH" + self._offset_format, tag.code, tag.type, count) + slot
        link = page.next_ifd
        if link is None:
            link = Ifd(number + 1) if number + 1 < len(self.pages) else 0
        announced = len(page.tags) if page.entry_count is None else page.entry_count
        head = self._pack("Q" if self.big else "H", announced)
        return values + head + entries + self._pack(self._offset_format, layout.resolve(link))

    def _body(self, tag: Tag, resolve: Callable[[Offset], int]) -> bytes:
        if tag.raw is not None or tag.offset is not None:
            return b""
        if isinstance(tag.values, bytes):
            return tag.values
        numbers: list[int | float] = []
        for value in tag.values:
            if isinstance(value, (Ifd, Segment)):
                numbers.append(resolve(value))
            elif tag.type in (5, 10):
                numbers += Fraction(value).as_integer_ratio()
            else:
                numbers.append(float(value) if tag.type in (11, 12) else int(value))
        return self._pack(_FORMATS[tag.type] * len(tag.values), *numbers)

    @staticmethod
    def _count(tag: Tag) -> int:
        return len(tag.values)

    @property
    def _offset_format(self) -> str:
        return "Q" if self.big else "I"

    @property
    def _offset_bytes(self) -> int:
        return 8 if self.big else 4

    def _pack(self, form: str, *values: int | float) -> bytes:
        try:
            return struct.pack(self.byteorder + form, *values)
        except struct.error as error:
            raise ValueError(f"{values} do not fit their fields: {error}") from error


@dataclass(frozen=True)
class _Layout:
    """Where each page's bytes, values and IFD start."""

    starts: list[int]
    values: list[int]
    ifds: list[int]
    segments: list[list[int]]

    @classmethod
    def of(cls, builder: TiffBuilder) -> _Layout:
        layout = cls([], [], [], [])
        position = 16 if builder.big else 8
        for number, page in enumerate(builder.pages):
            if page.at is not None and page.at < position:
                raise ValueError(f"page {number} cannot start at {page.at}: bytes up to {position} are taken")
            position = position if page.at is None else page.at
            layout.starts.append(position)
            places = []
            for segment in page.segments:
                places.append(position)
                position += len(segment)
            layout.segments.append(places)
            # IFDs start on a word boundary (TIFF 6.0 section 2); in BigTIFF on one of 8 bytes.
            position += -position % (8 if builder.big else 2)
            layout.values.append(position)
            room = builder._offset_bytes
            bodies = [len(builder._body(tag, lambda _: 0)) for tag in page.tags]
            position += sum(size + size % 2 for size in bodies if size > room)
            layout.ifds.append(position)
            position += (8 + 20 * len(bodies) + 8) if builder.big else (2 + 12 * len(bodies) + 4)
        return layout

    def resolve(self, offset: Offset | None) -> int:
        try:
            match offset:
                case None:
                    return 0
                case Ifd(page):
                    return self.ifds[page]
                case Segment(page, segment):
                    return self.segments[page][segment]
                case int():
                    return offset
        except IndexError as error:
            raise ValueError(f"{offset} was not declared") from error
