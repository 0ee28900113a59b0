"""Chunk tables: where libhdf5 put each chunk, taken once, so that pixels are read by galvo's own path."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.codec import Codec
from galvo.core.index import FrameIndex, Int64, ListedPages, PageOrder
from galvo.errors import Malformed, Truncated
from galvo.formats.hdf5.access import counts_from_start, opened
from galvo.formats.hdf5.discovery import Movie
from galvo.formats.hdf5.filters import FILTER_STEPS
from galvo.limits import Limits

__all__ = ["SkippedFilters", "chunk_index", "is_plain", "stored_chunks", "written_chunks"]

_MOST_SPARSE = 4 << 20
# HDF5 file format specification: the smallest superblock, shuffle and fletcher32 as filters
_SUPERBLOCK_BYTES = 48
_SHUFFLE, _FLETCHER32, _CHECKSUM_BYTES = 2, 3, 4
_SAME_SIZE = frozenset((_SHUFFLE, _FLETCHER32))


class SkippedFilters(Exception):
    """Some chunks were stored without a filter of the dataset: only libhdf5 knows how to undo the rest."""


class ChunkPages:
    """The chunks of a movie's datasets as pages, read from the file when the first is asked for.

    Parameters
    ----------
    count : int
        Pages: chunks along T, C and Z.
    load : callable
        Returns the table.
    """

    def __init__(self, count: int, load: Callable[[], ListedPages]) -> None:
        self.count = count
        self.check = None
        self._load = load
        self._pages: ListedPages | None = None

    def _table(self) -> ListedPages:
        # no lock, which a fork could leave held for ever: two threads that load at once get the same
        if self._pages is None:
            self._pages = self._load()
        return self._pages

    def locate(self, page: Int64, segment: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes; an offset of -1 was never written."""
        return self._table().locate(page, segment)

    def locate_first(self, page: int) -> tuple[int, int]:
        """Offset and nbytes of the first chunk of one page."""
        return self._table().locate_first(page)

    def text(self, page: Int64) -> tuple[Int64, Int64]:
        """Chunks have no texts."""
        return np.zeros(page.shape, np.int64), np.zeros(page.shape, np.int64)


def chunk_index(file: Any, path: str, movie: Movie, shape: Shape, limits: Limits) -> FrameIndex | None:
    """The index of a movie, or None where only libhdf5 can read it.

    Parameters
    ----------
    file : h5py.File
    path : str
    movie : Movie
    shape : (T, C, Z, Y, X)
    limits : Limits
    """
    datasets = [file[name] for name in movie.names]
    first = datasets[0]
    if not all(map(is_plain, datasets)):
        return None
    if file.id.get_create_plist().get_userblock() and not counts_from_start():
        return None
    layouts = {dataset.id.get_create_plist().get_layout() for dataset in datasets}
    if layouts == {h5py.h5d.CONTIGUOUS}:
        return _contiguous(datasets, path, movie, shape)
    if layouts != {h5py.h5d.CHUNKED} or len({dataset.chunks for dataset in datasets}) > 1:
        return None
    codecs = {_codec(dataset) for dataset in datasets}
    codec = codecs.pop()
    if codecs or codec is None:
        return None
    extent = dict(zip(movie.axes, first.chunks, strict=True))
    chunk_shape = _five(extent)
    grid = tuple(-(-length // chunk) for length, chunk in zip(shape, chunk_shape, strict=True))
    count = grid[0] * grid[1] * grid[2]
    _check_count(count * grid[3] * grid[4], file.id.get_filesize(), path, limits)

    def load() -> ListedPages:
        return _table(path, movie, chunk_shape, grid)

    return FrameIndex(
        shape=shape,
        dtype=first.dtype,
        chunk_shape=chunk_shape,
        stored_axes=movie.axes,
        order=PageOrder(0, grid[1] * grid[2], grid[2], 1),
        runs=(ChunkPages(count, load),),
        codec=codec,
        padded=True,
    )


def _five(lengths: dict[str, int]) -> Shape:
    t, c, z, y, x = (lengths.get(letter, 1) for letter in AXES)
    return t, c, z, y, x


def is_plain(dataset: Any) -> bool:
    """Whether the stored bytes are those of the NumPy type: no odd bit offsets, no floats that NumPy lacks."""
    return bool(h5py.h5t.py_create(dataset.dtype, logical=True).equal(dataset.id.get_type()))


def _check_count(count: int, file_size: int, path: str, limits: Limits) -> None:
    limits.check("page_count", count, path=path)
    if count > max(file_size, _MOST_SPARSE):
        raise Malformed("more chunks are announced than the file has bytes", path=path, found=f"{count} chunks")


def written_chunks(dataset: Any, path: str, limits: Limits) -> NDArray[np.bool_] | None:
    """Which chunks of a chunked dataset are in the file, on their grid; None when all are."""
    grid = tuple(-(-length // chunk) for length, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    count = int(np.prod(grid, dtype=object))
    infos = stored_chunks(dataset, path)
    if len(infos) == count:
        return None
    _check_count(count, dataset.file.id.get_filesize(), path, limits)
    written = np.zeros(grid, np.bool_)
    for info in infos:
        written[tuple(at // chunk for at, chunk in zip(info.chunk_offset, dataset.chunks, strict=True))] = True
    return written


def stored_chunks(dataset: Any, path: str) -> list[Any]:
    """Every chunk in the file as libhdf5 lists it, checked: libhdf5 believes any place and size, and crashes on some.

    Raises
    ------
    Malformed
        Chunks overlap, or have sizes that theirs cannot be.
    Truncated
        A chunk reaches beyond the end of the file.
    """
    infos: list[Any] = []
    dataset.id.chunk_iter(infos.append)
    plist, size = dataset.id.get_create_plist(), dataset.file.id.get_filesize()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    whole = math.prod(dataset.chunks) * dataset.id.get_type().get_size()
    start, nbytes, mask = (
        np.array([(info.byte_offset, info.size, info.filter_mask) for info in infos], np.int64).reshape(-1, 3).T
    )
    low, high = np.full(start.shape, 1, np.int64), np.full(start.shape, size, np.int64)
    for skipped in np.unique(mask).tolist():
        active = [code for number, code in enumerate(filters) if not skipped >> number & 1]
        checksums = _CHECKSUM_BYTES * active.count(_FLETCHER32)
        low[mask == skipped] = 1 + checksums
        if set(active) <= _SAME_SIZE:
            # chunks at the edge may be left unfiltered, without saying so
            low[mask == skipped], high[mask == skipped] = whole, whole + checksums
    wrong = (start < _SUPERBLOCK_BYTES) | (start > size) | (nbytes < low) | (nbytes > high)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise Malformed(
            f"a chunk of {dataset.name} has an impossible place or size",
            path=path,
            found=f"{nbytes[at]} bytes at {start[at]}",
            expected=f"{low[at]} to {high[at]} bytes in a file of {size}",
        )
    order = np.argsort(start, kind="stable")
    start, stop = start[order], (start + nbytes)[order]
    if (stop[:-1] > start[1:]).any():
        at = int(np.argmax(stop[:-1] > start[1:]))
        raise Malformed(f"chunks of {dataset.name} overlap", path=path, offset=int(start[at + 1]))
    if stop.size and stop[-1] > size:
        raise Truncated(
            f"a chunk of {dataset.name} reaches beyond the end of the file",
            path=path,
            offset=int(start[-1]),
            found=f"{size} bytes",
            expected=f"{stop[-1]}",
        )
    return infos


def _codec(dataset: Any) -> Codec | None:
    plist = dataset.id.get_create_plist()
    steps = [FILTER_STEPS.get(plist.get_filter(number)[0]) for number in range(plist.get_nfilters())]
    if any(step is None for step in steps):
        return None
    return Codec(tuple(step for step in steps if step is not None))


def _table(path: str, movie: Movie, chunk_shape: Shape, grid: tuple[int, ...]) -> ListedPages:
    """Offsets and sizes of all chunks, (T * C * Z, Y * X) in chunks."""
    offset = np.full(grid, -1, np.int64)
    nbytes = np.zeros(grid, np.int64)
    places = [AXES.index(letter) for letter in movie.axes]
    chunks = [chunk_shape[place] for place in places]
    with opened(path) as file:
        size = file.id.get_filesize()
        for channel, name in enumerate(movie.names):
            infos = stored_chunks(file[name], path)
            if not infos:
                continue
            corner = np.array([info.chunk_offset for info in infos], np.int64) // chunks
            ends = [grid[place] for place in places]
            if (corner < 0).any() or (corner >= ends).any() or len(np.unique(corner, axis=0)) < len(corner):
                raise Malformed(f"the chunks of {name} do not lie side by side", path=path)
            where = [np.zeros(len(infos), np.int64) for _ in AXES]
            for place, column in zip(places, corner.T, strict=True):
                where[place] = column
            if len(movie.names) > 1:
                where[1] = np.full(len(infos), channel, np.int64)
            at = tuple(where)
            if any(info.filter_mask for info in infos):
                raise SkippedFilters
            offset[at] = [info.byte_offset for info in infos]
            nbytes[at] = [info.size for info in infos]
    rows = grid[0] * grid[1] * grid[2]
    return ListedPages(offset.reshape(rows, -1), nbytes.reshape(rows, -1), path, size)


def _contiguous(datasets: list[Any], path: str, movie: Movie, shape: Shape) -> FrameIndex | None:
    """Datasets in one piece whose axes lie in the order T (C) Z Y X, or T (C) Z X Y."""
    letters = "".join(letter for letter in AXES if letter in movie.axes)
    if movie.axes not in (letters, letters[:-2] + "XY") or (len(movie.names) > 1 and "C" in movie.axes):
        return None
    starts = [dataset.id.get_offset() for dataset in datasets]
    if any(start is None for start in starts):
        return None
    t, c, z, y, x = shape
    frame = y * x * datasets[0].dtype.itemsize
    size = datasets[0].file.id.get_filesize()
    end = max(starts) + datasets[0].size * datasets[0].dtype.itemsize
    if end > size:
        raise Truncated(
            "the pixels reach beyond the end of the file", path=path, found=f"{size} bytes", expected=f"{end}"
        )
    inner = (t, c if "C" in movie.axes else 1, z)
    within = np.arange(inner[0] * inner[1] * inner[2], dtype=np.int64) * frame
    if len(movie.names) > 1:
        offset = (np.array(starts, np.int64)[:, None] + within).ravel()
        order = PageOrder(0, z, t * z, 1)
    else:
        offset = starts[0] + within
        order = PageOrder(0, inner[1] * z, z if inner[1] > 1 else 0, 1)
    return FrameIndex(
        shape=shape,
        dtype=datasets[0].dtype,
        chunk_shape=(1, 1, 1, y, x),
        stored_axes=movie.axes[-2:],
        order=order,
        runs=(ListedPages(offset[:, None], np.full((offset.size, 1), frame, np.int64), path, size),),
    )
