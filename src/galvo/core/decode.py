"""Compressed pixels, or samples between the pixels: chunks are read, decoded and cut in a pool of threads."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
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

_BUNCH_BYTES = 4 << 20
# what writers leave between segments that follow each other
_PADDING_BYTES = 64


@dataclass(frozen=True, slots=True)
class _Segment:
    """A strip or tile that a selection meets.

    Attributes
    ----------
    gy, gx : int
        Its place in the grid.
    inside, outside : (positions, positions)
        Rows and columns in the segment, and in the output.
    place : tuple
        `outside` as NumPy takes it behind three slices.
    """

    gy: int
    gx: int
    inside: tuple[Indices, Indices]
    outside: tuple[Indices, Indices]
    place: tuple[Any, Any]

    @classmethod
    def of(cls, y: Piece, x: Piece) -> _Segment:
        """From the pieces of two axes."""
        rows, columns = outer_index([y[2], x[2]])
        return cls(y[0], x[0], (y[1], x[1]), (y[2], x[2]), (rows, columns))


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
    target = out[outer_index([piece[2] for piece in where])]
    # a view of `out`, unless positions are in no order
    is_view = np.may_share_memory(target, out)
    inner = [piece[1] for piece in where]
    letters = [letter for letter in AXES if letter in index.stored_axes]
    order = [index.stored_axes.index(letter) for letter in letters]
    is_turned = index.stored_axes.index("X") < index.stored_axes.index("Y")
    # whole chunks that lie in `out` as in the file are decoded straight to there
    is_direct = is_view and order == list(range(len(order))) and all(_is_run(axis) for axis in inner)
    stored = _stored(pages.source, file, offset, nbytes)
    for segment, start, data in zip(segments, offset.tolist(), stored, strict=True):
        if is_direct and all(map(_is_run, segment.inside)):
            place = target[(slice(None),) * 3 + segment.place]
            if place.flags.c_contiguous and _decoded_into(index, data, place, segment.gy):
                continue
        chunk, lengths = _decoded(pages, data, segment.gy, file, page, start)
        if order != list(range(len(order))):
            chunk = chunk.transpose(order)
        chunk = chunk.reshape([lengths[letter] if letter in letters else 1 for letter in AXES])
        part = chunk[outer_index([*inner, *segment.inside])]
        if is_view:
            place = target[(slice(None),) * 3 + segment.place]
            if is_turned:
                transpose_into(place, part)
            else:
                place[...] = part
        else:
            out[outer_index([*(piece[2] for piece in where), *segment.outside])] = part


def _decoded_into(index: FrameIndex, data: memoryview | bytes, place: NDArray[Any], gy: int) -> bool:
    """Whether a chunk is now in its place."""
    shape = list(index.chunk_shape)
    if not index.padded:
        shape[3] = min(shape[3], index.shape[3] - gy * shape[3])
    if place.shape != tuple(shape):
        return False
    with suppress(DamagedData):
        # what does not decode is decoded again, for its message
        return index.codec.decode_into(data, place, index.dtype)
    return False


def _decoded(
    pages: Pages, data: memoryview | bytes, gy: int, file: int, page: int, start: int
) -> tuple[NDArray[Any], dict[str, int]]:
    """A chunk in its stored axes, and its lengths by letter."""
    index = pages.index
    lengths = dict(zip(AXES, index.chunk_shape, strict=True))
    whole = lengths["Y"]
    if not index.padded:
        lengths["Y"] = min(whole, index.shape[3] - gy * whole)
    x_axis = index.stored_axes.index("X")

    def decode() -> NDArray[Any]:
        return index.codec.decode(data, tuple(lengths[one] for one in index.stored_axes), index.dtype, x_axis)

    try:
        return decode(), lengths
    except DamagedData as error:
        if lengths["Y"] < whole:
            # some writers fill the last strip
            lengths["Y"] = whole
            with suppress(DamagedData):
                return decode(), lengths
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
