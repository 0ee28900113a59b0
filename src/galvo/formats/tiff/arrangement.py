"""Where everything lies in a written TIFF.

::

    header
    values of the first IFD: resolution, software, bits and types of samples, description, what galvo keeps (room for
    its final form)
    uncompressed   the IFDs of all pages, then the pixels of all pages without a gap
    compressed     for each block: its IFDs, the tables of its strips if a page has several, its strips

Pixels without gaps are what ImageJ takes for granted, what lets other programs map the file into memory, and what makes
every position arithmetic. IFDs that lie together are walked in few reads, which is what opening costs other programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from galvo.formats.tiff.directories import Directory, Field, aligned, file_header

__all__ = ["KEPT_TAG", "Arrangement", "PageFacts", "arrange"]

# of the range that TIFF 6.0 leaves to private use (65000 to 65535)
KEPT_TAG = 65271
STRIP_OFFSETS, STRIP_BYTE_COUNTS = 273, 279
_ASCII, _SHORT, _LONG, _RATIONAL, _LONG8 = 2, 3, 4, 5, 16
_SOFTWARE = b"galvo\0"


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFacts:
    """What the tags of every page say.

    Attributes
    ----------
    height, width, rows : int
        Pixels; `rows` are those of a strip.
    samples : int
        Of a pixel, one behind another.
    bits, sample_format, compression, predictor : int
        Tags 258, 339, 259 and 317.
    x_resolution, y_resolution : (int, int)
    resolution_unit : int
    """

    height: int
    width: int
    rows: int
    samples: int
    bits: int
    sample_format: int
    compression: int
    predictor: int
    x_resolution: tuple[int, int]
    y_resolution: tuple[int, int]
    resolution_unit: int

    @property
    def strip_count(self) -> int:
        """Strips of a page."""
        return -(-self.height // self.rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Positions, in bytes, and IFDs.

    Attributes
    ----------
    big : bool
        BigTIFF.
    page_count : int
        IFDs; one for all images in ImageJ's form for more than 4 GB.
    first, other : Directory
        IFD of page 0, and of every other page.
    values : tuple of (int, bytes)
        What lies outside the IFDs, without description and what is kept, and where.
    description_at, kept_at, kept_nbytes : int
    ifds_at : int
        Where the first IFD is, or the first block.
    pixels_at : int
        Where the pixels begin, uncompressed.
    strip_count : int
        Of a page.
    """

    big: bool
    page_count: int
    first: Directory
    other: Directory
    values: tuple[tuple[int, bytes], ...]
    description_at: int
    kept_at: int
    kept_nbytes: int
    ifds_at: int
    pixels_at: int
    strip_count: int

    @property
    def header_link_at(self) -> int:
        """Where the first IFD's position lies in the header."""
        return 8 if self.big else 4

    def ifd_at(self, page: int) -> int:
        """Where the IFD of a page is, uncompressed."""
        return self.ifds_at if page == 0 else self.ifds_at + self.first.nbytes + (page - 1) * self.other.nbytes

    def link_at(self, page: int) -> int:
        """Where the position of the IFD of page `page` + 1 lies, uncompressed; of the first one for -1."""
        if page < 0:
            return self.header_link_at
        return self.ifd_at(page) + (self.other if page else self.first).link_at


def arrange(facts: PageFacts, page_count: int, big: bool, description_nbytes: int, kept_nbytes: int) -> Arrangement:
    """Arrange a file.

    Parameters
    ----------
    facts : PageFacts
    page_count : int
    big : bool
    description_nbytes : int
        Its NUL included; 0 for none.
    kept_nbytes : int
        Room for what galvo keeps, its NUL included.
    """
    at = len(file_header(big))
    values: list[tuple[int, bytes]] = []

    def place(value: bytes) -> int:
        nonlocal at
        position = aligned(at)
        values.append((position, value))
        at = position + len(value)
        return position

    def shorts(code: int, values: Sequence[int]) -> Field:
        packed = b"".join(value.to_bytes(2, "little") for value in values)
        return Field(code, _SHORT, len(values), packed if len(packed) <= (8 if big else 4) else place(packed))

    ratios: list[int | tuple[int, int]] = [facts.x_resolution, facts.y_resolution]
    software: int | bytes = _SOFTWARE
    if not big:
        ratios = [place(b"".join(number.to_bytes(4, "little") for number in ratio)) for ratio in
                  (facts.x_resolution, facts.y_resolution)]  # fmt: skip
        software = place(_SOFTWARE)
    bits = shorts(258, [facts.bits] * facts.samples)
    sample_formats = shorts(339, [facts.sample_format] * facts.samples)
    # channels are no colours: one is the grey of the image, the others are unspecified
    several = [Field(284, _SHORT, 1, 1)] if facts.samples > 1 else []
    extra = [shorts(338, [0] * (facts.samples - 1))] if facts.samples > 1 else []
    description_at = aligned(at)
    kept_at = aligned(description_at + description_nbytes)
    ifds_at = aligned(kept_at + kept_nbytes)
    wide = _LONG8 if big else _LONG
    strips = facts.strip_count
    common = [
        Field(254, _LONG, 1, 0),
        Field(256, _LONG, 1, facts.width),
        Field(257, _LONG, 1, facts.height),
        bits,
        Field(259, _SHORT, 1, facts.compression),
        Field(262, _SHORT, 1, 1),
        Field(STRIP_OFFSETS, wide, strips),
        Field(277, _SHORT, 1, facts.samples),
        Field(278, _LONG, 1, facts.rows),
        Field(STRIP_BYTE_COUNTS, wide, strips),
        Field(282, _RATIONAL, 1, ratios[0]),
        Field(283, _RATIONAL, 1, ratios[1]),
        *several,
        Field(296, _SHORT, 1, facts.resolution_unit),
        *([Field(317, _SHORT, 1, facts.predictor)] if facts.predictor != 1 else []),
        *extra,
        sample_formats,
    ]
    own = [Field(305, _ASCII, len(_SOFTWARE), software), Field(KEPT_TAG, _ASCII, kept_nbytes, kept_at)]
    if description_nbytes:
        own.append(Field(270, _ASCII, description_nbytes, description_at))
    first = Directory(big, tuple(sorted([*common, *own], key=lambda field: field.code)))
    other = Directory(big, tuple(common))
    return Arrangement(
        big=big,
        page_count=page_count,
        first=first,
        other=other,
        values=tuple(values),
        description_at=description_at,
        kept_at=kept_at,
        kept_nbytes=kept_nbytes,
        ifds_at=ifds_at,
        pixels_at=aligned(ifds_at + first.nbytes + (page_count - 1) * other.nbytes),
        strip_count=strips,
    )
