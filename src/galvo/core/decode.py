"""Compressed pixels, or samples between the pixels: chunks are read, decoded and cut in a pool of threads."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES
from galvo.core.index import FrameIndex, Int64
from galvo.core.pages import Pages
from galvo.core.selection import Indices, Piece, Selection, outer_index, split_by_chunk
from galvo.core.source import FileSource
from galvo.core.threads import worker_count
from galvo.core.transpose import transpose_into
from galvo.errors import DamagedData

__all__ = ["read_decoded"]

_BUNCH_BYTES = 1 << 20
# what writers leave between segments that follow each other
_PADDING_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Segment:
    """A strip or tile that a selection meets.

    Attributes
    ----------
    gy, gx : int
        Its place in the grid.
    inside, outside : (slice, slice)
        Rows and columns in the segment, and in the output.
    """

    gy: int
    gx: int
    inside: tuple[slice, slice]
    outside: tuple[slice, slice]

    @classmethod
    def of(cls, y: Piece, x: Piece) -> _Segment:
        """From the pieces of two axes whose positions are dense."""
        return cls(y[0], x[0], outer_index([y[1], x[1]]), outer_index([y[2], x[2]]))


def read_decoded(pages: Pages, selection: Selection, out: NDArray[Any]) -> None:
    """Page by page, in threads where it pays; pages too few for all threads are split into parts."""
    index = pages.index
    pieces = [split_by_chunk(axis, chunk) for axis, chunk in zip(selection.axes, index.chunk_shape, strict=True)]
    places = list(product(*pieces[:3]))
    segments = [_Segment.of(y, x) for y, x in product(*pieces[3:])]
    workers = worker_count(out.nbytes)
    parts = 1 if len(places) >= 2 * workers else min(workers, len(segments))
    size = -(-len(segments) // parts)
    jobs = [(place, segments[lo : lo + size]) for place in places for lo in range(0, len(segments), size)]
    if workers == 1 or len(jobs) == 1:
        for place, part in jobs:
            _decode_page(pages, place, part, out)
        return
    # one thread takes several jobs at once: handing over a job costs as much as decoding a small one
    bunch = max(1, min(len(jobs) // (4 * workers), _BUNCH_BYTES * len(jobs) // out.nbytes))

    def work(first: int) -> None:
        for place, part in jobs[first : first + bunch]:
            _decode_page(pages, place, part, out)

    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(work, range(0, len(jobs), bunch)):
            pass


def _decode_page(pages: Pages, where: tuple[Piece, ...], segments: list[_Segment], out: NDArray[Any]) -> None:
    """Decode segments of one page into their places."""
    index = pages.index
    (gt, *_), (gc, *_), (gz, *_) = where
    number = index.order.page_at(gt, gc, gz)
    if number < 0:
        t, c, z = (np.array([piece[0] * chunk]) for piece, chunk in zip(where, index.chunk_shape[:3], strict=True))
        pages.refuse_missing(np.array([number]), t, c, z)
    file = bisect_right(index.first_page, number) - 1
    page = number - int(index.first_page[file])
    if index.runs[file].check is not None:
        pages.prove(file, np.array([page], np.int64))
    plane = gc * index.grid[0] * index.grid[1] if index.planar else 0
    wanted = np.array([plane + segment.gy * index.grid[1] + segment.gx for segment in segments], np.int64)
    page_of_each = np.full(wanted.shape, page, np.int64)
    offset, nbytes = pages.index.runs[file].locate(page_of_each, wanted)
    pages.refuse_absent(file, page_of_each, offset)
    outside = outer_index([piece[2] for piece in where])
    target = out[outside]
    # a view of `out`, unless positions are in no order
    is_view = np.may_share_memory(target, out)
    inside = outer_index([piece[1] for piece in where])
    # whole chunks that lie in `out` as in the file are decoded straight to there
    is_direct = is_view and _chunk_order(index.stored_axes) is None and all(_is_run(piece[1]) for piece in where)
    is_turned = index.stored_axes.index("X") < index.stored_axes.index("Y")
    stored = _stored(pages.source, file, offset, nbytes)
    for segment, start, data in zip(segments, offset.tolist(), stored, strict=True):
        place = target[..., *segment.outside]
        if is_direct and place.flags.c_contiguous and _decoded_into(index, data, place, segment.gy):
            continue
        part = _decoded(pages, data, segment.gy, file, page, start)[*inside, *segment.inside]
        if not is_view:
            out[*outside, *segment.outside] = part
        elif is_turned:
            transpose_into(place, part)
        else:
            place[...] = part


@cache
def _chunk_order(stored_axes: str) -> tuple[int, ...] | None:
    """How the axes of a stored chunk become T C Z Y X, as far as it has them; None where they are in order."""
    order = tuple(stored_axes.index(letter) for letter in AXES if letter in stored_axes)
    return None if order == tuple(sorted(order)) else order


def _row_count(index: FrameIndex, gy: int) -> int:
    """Rows of the chunks in one row of them."""
    rows = index.chunk_shape[3]
    return rows if index.padded else min(rows, index.shape[3] - gy * rows)


def _decoded_into(index: FrameIndex, data: memoryview | bytes, place: NDArray[Any], gy: int) -> bool:
    """Whether a chunk is now in its place."""
    chunk = index.chunk_shape
    if place.shape != (*chunk[:3], _row_count(index, gy), chunk[4]):
        return False
    with suppress(DamagedData):
        # what does not decode is decoded again, for its message
        return index.codec.decode_into(data, place, index.dtype)
    return False


def _decoded(pages: Pages, data: memoryview | bytes, gy: int, file: int, page: int, start: int) -> NDArray[Any]:
    """A chunk (T, C, Z, Y, X)."""
    index = pages.index
    axes, whole, order = index.stored_axes, index.chunk_shape[3], _chunk_order(index.stored_axes)

    def decode(rows: int) -> NDArray[Any]:
        lengths = dict(zip(AXES, (*index.chunk_shape[:3], rows, index.chunk_shape[4]), strict=True))
        chunk = index.codec.decode(data, tuple(lengths[axis] for axis in axes), index.dtype, axes.index("X"))
        if order is not None:
            chunk = chunk.transpose(order)
        return chunk.reshape([length if axis in axes else 1 for axis, length in lengths.items()])

    rows = _row_count(index, gy)
    try:
        return decode(rows)
    except DamagedData as error:
        if rows < whole:
            # some writers fill the last strip
            with suppress(DamagedData):
                return decode(whole)
        raise DamagedData(
            f"page {page}: {error.message}",
            path=pages.source.paths[file],
            offset=start,
            found=error.found,
            expected=error.expected,
        ) from error


def _stored(source: FileSource, file: int, offset: Int64, nbytes: Int64) -> Iterator[memoryview | bytes]:
    """The stored bytes of segments of one page: by one read where they lie behind each other."""
    if offset.size == 1:
        yield source.read(file, int(offset[0]), int(nbytes[0]))
        return
    start, stop = int(offset.min()), int((offset + nbytes).max())
    if 0 <= stop - start <= int(nbytes.sum()) + _PADDING_BYTES * offset.size:
        block = memoryview(source.read(file, start, stop - start))
        for at, size in zip((offset - start).tolist(), nbytes.tolist(), strict=True):
            yield block[at : at + size]
        return
    for at, size in zip(offset.tolist(), nbytes.tolist(), strict=True):
        yield source.read(file, at, size)


def _is_run(positions: Indices) -> bool:
    return isinstance(positions, range) and positions.step == 1
