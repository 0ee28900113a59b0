"""Uncompressed pixels: from the file straight into the output, in parallel where it pays, byte order included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES
from galvo.core.index import FrameIndex, Int64
from galvo.core.pages import Pages
from galvo.core.selection import Selection
from galvo.errors import Malformed

__all__ = ["has_whole_rows", "read_rows", "swapped_bytes"]


def has_whole_rows(index: FrameIndex) -> bool:
    """Whether rows of one frame lie whole in the file: no decoding, no samples between the pixels."""
    axes = index.stored_axes
    return index.codec.is_raw and axes == "".join(letter for letter in AXES if letter in axes)


def swapped_bytes(stored: np.dtype[Any]) -> int:
    """Bytes whose order is to be reversed together; 1 for none."""
    if stored == stored.newbyteorder("="):
        return 1
    return stored.itemsize // 2 if stored.kind == "c" else stored.itemsize


@dataclass(frozen=True, slots=True)
class _Box:
    """What is wanted of a strip or tile: rows and columns from a corner (Y, X), there and in the output."""

    segment: int
    rows: int
    columns: int
    corner: tuple[int, int]
    out_corner: tuple[int, int]


def read_rows(pages: Pages, selection: Selection, out: NDArray[Any]) -> None:
    """Fill `out` with a selection that is dense in Y and X."""
    index, itemsize = pages.index, out.dtype.itemsize
    t, c, z = (np.asarray(axis, np.int64) for axis in selection.axes[:3])
    t, c, z = (grid.ravel() for grid in np.meshgrid(t, c, z, indexing="ij"))
    ct, cc, cz, cy, cx = index.chunk_shape
    page = index.order.page(t // ct, c // cc, z // cz)
    pages.refuse_missing(page, t, c, z)
    inside = ((t % ct) * cc + c % cc) * cz + z % cz
    out_stride = out.shape[4] * itemsize
    frame_start = np.arange(page.size, dtype=np.int64) * (out.shape[3] * out_stride)
    flat = out.reshape(-1).view(np.uint8)
    plane = c // cc * (index.grid[0] * index.grid[1]) if index.planar else np.zeros(page.shape, np.int64)
    for box in _boxes(index, selection):
        height = cy if index.padded else min(cy, index.shape[3] - (box.segment // index.grid[1]) * cy)
        skip = (inside * height + box.corner[0]) * cx * itemsize + box.corner[1] * itemsize
        out_offset = frame_start + box.out_corner[0] * out_stride + box.out_corner[1] * itemsize
        strides = (box.rows, box.columns * itemsize, cx * itemsize, out_stride)
        _gather(pages, page, plane + box.segment, skip, flat, out_offset, strides)


def _boxes(index: FrameIndex, selection: Selection) -> Iterator[_Box]:
    """The segments that the wanted rectangle meets."""
    (_, _, _, cy, cx), (_, grid_x) = index.chunk_shape, index.grid
    y0, y1, x0, x1 = selection.y[0], selection.y[-1] + 1, selection.x[0], selection.x[-1] + 1
    for gy, gx in product(range(y0 // cy, -(-y1 // cy)), range(x0 // cx, -(-x1 // cx))):
        top, left = max(y0, gy * cy), max(x0, gx * cx)
        bottom, right = min(y1, (gy + 1) * cy), min(x1, (gx + 1) * cx)
        corner, out_corner = (top - gy * cy, left - gx * cx), (top - y0, left - x0)
        yield _Box(gy * grid_x + gx, bottom - top, right - left, corner, out_corner)


def _gather(
    pages: Pages,
    page: Int64,
    segment: Int64,
    skip: Int64,
    flat: NDArray[np.uint8],
    out_offset: Int64,
    strides: tuple[int, int, int, int],
) -> None:
    """Read a box of one segment of each page, `skip` bytes behind its beginning."""
    rows, row_nbytes, file_stride, out_stride = strides
    swapped = swapped_bytes(pages.index.dtype)
    for file, where, local in pages.index.split_by_file(page):
        run = pages.index.runs[file]
        offset, nbytes = run.locate(local, segment[where])
        pages.refuse_absent(file, local, offset)
        first, last = skip[where], skip[where] + (rows - 1) * file_stride + row_nbytes
        short = last > nbytes
        if short.any():
            at = int(np.argmax(short))
            raise Malformed(
                f"page {int(local[at])} holds too few pixel bytes",
                path=pages.source.paths[file],
                offset=int(offset[at]),
                found=int(nbytes[at]),
                expected=f"at least {int(last[at])}",
            )
        targets = np.ascontiguousarray(out_offset[where])
        box = (rows, row_nbytes, file_stride, flat, targets, out_stride, swapped)
        if not pages.read_boxes(file, run, local, offset + first, *box):
            again = np.arange(page.size)[where]
            _gather(pages, page[again], segment[again], skip[again], flat, out_offset[again], strides)
