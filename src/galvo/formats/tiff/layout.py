"""What the pixels of a TIFF page look like: size, type, strips or tiles, codec.

Source: TIFF 6.0 (tags 256 to 325, 338, 339), sections 3, 8, 9, 13, 14, 15; Adobe technical notes for predictor 3 and
deflate; registered codes 34925 (LZMA) and 50000 (zstd).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from galvo.core.codec import Codec
from galvo.core.index import Int64
from galvo.errors import Malformed
from galvo.formats.tiff.ifd import Ifd
from galvo.limits import Limits

__all__ = ["LAYOUT_TAGS", "PageLayout", "join_strips", "page_layout"]

# name of the native walk's column: tag, default
LAYOUT_TAGS: Mapping[str, tuple[int, int]] = {
    "width": (256, 0),
    "height": (257, 0),
    "bits": (258, 1),
    "compression": (259, 1),
    "photometric": (262, 1),
    "fill_order": (266, 1),
    "samples": (277, 1),
    "rows_per_strip": (278, 0xFFFFFFFF),
    "planar": (284, 1),
    "predictor": (317, 1),
    "tile_width": (322, 0),
    "tile_height": (323, 0),
    "sample_format": (339, 1),
}

_COMPRESSION = {
    1: (),
    5: ("lzw",),
    8: ("zlib",),
    32946: ("zlib",),
    32773: ("packbits",),
    34925: ("lzma",),
    50000: ("zstd",),
}
_PREDICTOR = {1: (), 2: ("difference",), 3: ("float-difference",)}
_KIND = {1: "u", 2: "i", 3: "f", 6: "c"}
_SIZES = {"u": (8, 16, 32, 64), "i": (8, 16, 32, 64), "f": (16, 32, 64), "c": (64, 128)}


@dataclass(frozen=True, slots=True)
class PageLayout:
    """Geometry and codec of a page.

    Attributes
    ----------
    height, width, samples : int
    dtype : numpy.dtype
        As stored, byte order included.
    rows, columns : int
        Extent of a strip or tile.
    tiled : bool
    planar : bool
        Each sample in strips or tiles of its own.
    codec : Codec
    """

    height: int
    width: int
    samples: int
    dtype: np.dtype[np.generic]
    rows: int
    columns: int
    tiled: bool
    planar: bool
    codec: Codec

    @property
    def segment_count(self) -> int:
        """Strips or tiles of a page."""
        planes = self.samples if self.planar else 1
        return planes * -(-self.height // self.rows) * -(-self.width // self.columns)

    @property
    def frame_nbytes(self) -> int:
        """Decoded bytes of a page."""
        return self.height * self.width * self.samples * self.dtype.itemsize

    def segment_nbytes(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Decoded bytes of each segment, (S,)."""
        per_row = self.columns * self.dtype.itemsize * (1 if self.planar else self.samples)
        grid = -(-self.height // self.rows)
        rows = np.full(grid, self.rows, np.int64)
        if not self.tiled:
            rows[-1] = self.height - (grid - 1) * self.rows
        return np.tile(np.repeat(rows * per_row, -(-self.width // self.columns)), self.samples if self.planar else 1)


def page_layout(ifd: Ifd, limits: Limits) -> PageLayout | None:
    """The layout of a page, or None when it needs tifffile.

    Raises
    ------
    Malformed
        No size, no samples, contradictory tiles.
    LimitExceeded
        A frame, strip or tile larger than allowed.
    """
    tags = {name: ifd.value(tag, default) for name, (tag, default) in LAYOUT_TAGS.items()}
    for name in ("bits", "sample_format"):
        values = ifd.values(LAYOUT_TAGS[name][0], tags["samples"])
        if len(set(values)) > 1:
            return None
    return _layout(tags, ifd, limits)


def join_strips(layout: PageLayout, segments: tuple[Int64, Int64]) -> tuple[PageLayout, Int64, Int64]:
    """Raw strips that lie behind each other as one strip per page; other segments as they are.

    Parameters
    ----------
    layout : PageLayout
    segments : (ndarray of int64, ndarray of int64)
        Offsets and sizes, of one page (S,) or of all (P, S).

    Returns
    -------
    layout : PageLayout
    offset, nbytes : ndarray of int64, (S,) or (P, S)
    """
    offset, nbytes = segments
    planes = layout.samples if layout.planar else 1
    if layout.tiled or not layout.codec.is_raw or layout.segment_count == planes:
        return layout, offset, nbytes
    shape = (*offset.shape[:-1], planes, -1)
    by_plane, sizes = offset.reshape(shape), nbytes.reshape(shape)
    expected = layout.segment_nbytes().reshape(planes, -1)
    follows = (by_plane[..., 1:] == by_plane[..., :-1] + sizes[..., :-1]).all() and (sizes >= expected).all()
    if not follows or not (sizes[..., :-1] == expected[..., :-1]).all():
        return layout, offset, nbytes
    return replace(layout, rows=layout.height), by_plane[..., 0].copy(), sizes.sum(axis=-1)


def _layout(tags: Mapping[str, int], ifd: Ifd, limits: Limits) -> PageLayout | None:
    path = ifd.source.paths[ifd.file]
    height, width, samples = tags["height"], tags["width"], tags["samples"]
    if min(height, width, samples) < 1:
        raise Malformed(
            "a page without size",
            path=path,
            offset=ifd.offset,
            found=f"{height} x {width} pixels of {samples} samples",
        )
    limits.check("frame_bytes", height * width * samples * max(1, tags["bits"] // 8), path=path, offset=ifd.offset)
    kind = _KIND.get(tags["sample_format"])
    exotic = (
        kind is None
        or tags["bits"] not in _SIZES[kind]
        or tags["compression"] not in _COMPRESSION
        or tags["predictor"] not in _PREDICTOR
        or (tags["photometric"] == 6 and ifd.values(530) != (1, 1))
        or tags["planar"] not in (1, 2)
    )
    if exotic or kind is None:
        return None
    steps = _COMPRESSION[tags["compression"]]
    if steps and tags["predictor"] != 1:
        steps = _PREDICTOR[tags["predictor"]] + steps
    if tags["fill_order"] == 2:
        steps = (*steps, "reversed-bits")
    tiled = tags["tile_width"] > 0 and tags["tile_height"] > 0
    rows = tags["tile_height"] if tiled else max(1, min(tags["rows_per_strip"], height))
    columns = tags["tile_width"] if tiled else width
    planar = tags["planar"] == 2 and samples > 1
    limits.check(
        "chunk_bytes",
        rows * columns * (1 if planar else samples) * tags["bits"] // 8,
        path=path,
        offset=ifd.offset,
    )
    dtype = np.dtype(f"{ifd.header.order}{kind}{tags['bits'] // 8}")
    return PageLayout(height, width, samples, dtype, rows, columns, tiled, planar, Codec(steps))
