"""HDF5 movies as recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.index import FrameIndex, Int64
from galvo.core.metadata import Metadata
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.selection import Selection
from galvo.core.source import FileSource
from galvo.errors import Malformed
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.chunks import SkippedFilters, chunk_index
from galvo.formats.hdf5.discovery import Movie, find_movie
from galvo.formats.hdf5.filters import who_reads
from galvo.formats.hdf5.frames import stored_facts
from galvo.formats.hdf5.guard import contained
from galvo.formats.hdf5.library import LibraryReader
from galvo.formats.hdf5.schema import (
    GROUP,
    StoredFrameChecksums,
    read_datasets,
    read_fields,
    read_metadata,
    read_shape,
)
from galvo.formats.kept import kept_left_out
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["movie_reader", "open_hdf5"]


def open_hdf5(
    paths: Sequence[str],
    *,
    dataset: str | Sequence[str] | None = None,
    axes: str | None = None,
    allow_external: bool = False,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """An HDF5 movie.

    Parameters
    ----------
    paths : sequence of str
        One file.
    dataset : str or list of str, optional
        The dataset, or those of the channels, instead of discovering them.
    axes : str, optional
        Letters of T C Z Y X in stored order.
    allow_external : bool
        Follow links to other files, external storage and virtual datasets.
    damaged : "raise" or "report"
        HDF5 structure that does not parse cannot be opened in part; both raise.
    limits : Limits

    Returns
    -------
    Recording
    """
    (path,) = paths
    with opened(path) as file:
        own = dataset is None and _is_own(file)
        movie = _own_movie(file, path, limits) if own else find_movie(file, path, dataset, axes, allow_external)
        reader, steps = movie_reader(file, path, movie, allow_external, limits)
        metadata = read_metadata(file, path, limits) if own else Metadata(format="hdf5")
        fields = read_fields(file, path, limits) if own else ()
    stored = who_reads(steps)
    if stored:
        metadata = replace(metadata, attributes={**metadata.attributes, "stored": "; ".join(stored)})
    if not own:
        return Recording(reader, metadata, files=[path])
    return Recording(
        reader,
        metadata,
        files=[path],
        facts=stored_facts(path, reader.shape[:3], limits),
        fields=fields,
        left_out=kept_left_out(metadata),
        checksums=StoredFrameChecksums(path, reader.shape, limits),
    )


def movie_reader(
    file: Any, path: str, movie: Movie, allow_external: bool, limits: Limits
) -> tuple[Reader, tuple[str, ...]]:
    """What reads the datasets of a movie, and the codec steps of their chunks where that is known.

    Parameters
    ----------
    file : h5py.File
    path : str
    movie : Movie
    allow_external : bool
        Read through libhdf5 alone, which follows links.
    limits : Limits

    Raises
    ------
    LimitExceeded
        Frames, chunks or their number are larger than `limits` allows.
    """
    first = file[movie.names[0]]
    shape = _shape(movie, tuple(first.shape))
    chunks = _natural_chunks(first, movie, shape)
    limits.check("frame_bytes", shape[3] * shape[4] * first.dtype.itemsize, path=path)
    limits.check("page_count", shape[0] * shape[1] * shape[2], path=path)
    limits.check("chunk_bytes", math.prod(chunks) * first.dtype.itemsize, path=path)
    library = LibraryReader(path, movie, shape, first.dtype, chunks, limits)
    index = None if allow_external else chunk_index(file, path, movie, shape, limits)
    if index is None:
        return library, ()
    return _ChunkedReader(path, index, library), index.codec.steps


def _is_own(file: h5py.Group) -> bool:
    """Whether galvo wrote the file."""
    group = contained(file, GROUP)
    return isinstance(group, h5py.Group) and group.get("schema_version", getlink=True) is not None


def _own_movie(file: h5py.Group, path: str, limits: Limits) -> Movie:
    """The datasets that galvo wrote: hard links in this file."""
    names, axes = read_datasets(file, path, limits)
    items = [contained(file, name) for name in names]
    movies = [item for item in items if isinstance(item, h5py.Dataset) and item.dtype.kind in "biufc"]
    shapes = {item.shape for item in movies}
    types = {item.dtype for item in movies}
    if len(movies) < len(names) or len(shapes) > 1 or len(types) > 1:
        raise Malformed("the channels of a galvo file are missing or differ", path=path, found=f"{len(names)} channels")
    lengths = dict(zip(AXES, read_shape(file, path, limits), strict=True))
    channels = 1 if "C" in axes else lengths["C"]
    expected = tuple(lengths[letter] for letter in axes)
    unnamed = [letter for letter in AXES if letter not in axes and letter != "C" and lengths[letter] > 1]
    if channels != len(names) or shapes != {expected} or unnamed:
        raise Malformed(
            "the datasets do not have the shape that the file states",
            path=path,
            found=f"{len(names)} x {shapes.pop()}",
            expected=f"{channels} x {expected}",
        )
    return Movie(tuple(f"/{name}" for name in names), axes)


def _shape(movie: Movie, stored: tuple[int, ...]) -> Shape:
    lengths = dict(zip(movie.axes, stored, strict=True))
    if len(movie.names) > 1:
        lengths["C"] = len(movie.names)
    t, c, z, y, x = (lengths.get(letter, 1) for letter in AXES)
    return t, c, z, y, x


def _natural_chunks(dataset: Any, movie: Movie, shape: Shape) -> Shape:
    if dataset.chunks is None:
        return (1, 1, 1, shape[3], shape[4])
    lengths = dict(zip(movie.axes, dataset.chunks, strict=True))
    t, c, z, y, x = (lengths.get(letter, 1) for letter in AXES)
    return t, c, z, y, x


class _ChunkedReader:
    """Reads by chunk table; by libhdf5 once the table shows chunks that only it can decode."""

    def __init__(self, path: str, index: FrameIndex, library: LibraryReader) -> None:
        self._indexed = IndexedReader(FileSource([path]), index)
        self._library = library
        self._current: Reader = self._indexed
        self.shape, self.dtype, self.chunks = index.shape, self._indexed.dtype, library.chunks

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the selected pixels."""
        try:
            self._current.read(selection, out)
        except SkippedFilters:
            self._current = self._library
            self._current.read(selection, out)

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """All frames lie in the one file."""
        return {"file": np.zeros_like(t)}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Close the file."""
        self._indexed.close()
        self._library.close()
