"""Reading through libhdf5: layouts and filters that galvo's own path does not serve."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.index import Int64
from galvo.core.selection import Indices, Selection
from galvo.errors import DamagedData, ReadError, Unsupported
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.chunks import written_chunks
from galvo.formats.hdf5.discovery import Movie
from galvo.formats.hdf5.guard import absent_outside
from galvo.limits import Limits

__all__ = ["LibraryReader"]

_SCRATCH_BYTES = 32 << 20
_avail = h5py.h5z.filter_avail

# One at a time: libhdf5 has one lock for the process anyway.
_lock = threading.Lock()


def _forget_lock() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_lock)


class LibraryReader:
    """Reads datasets by h5py, opening the file for each read so that no library state crosses a fork.

    Parameters
    ----------
    path : str
    movie : Movie
    shape : (T, C, Z, Y, X)
    dtype : numpy.dtype
    chunks : (T, C, Z, Y, X)
    limits : Limits
    """

    def __init__(
        self, path: str, movie: Movie, shape: Shape, dtype: np.dtype[np.generic], chunks: Shape, limits: Limits
    ) -> None:
        self._path = path
        self._movie = movie
        self._limits = limits
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.chunks = chunks
        self._written: dict[str, NDArray[np.bool_] | None] = {}
        self._closed = False

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` from hyperslabs around the selection.

        Raises
        ------
        DamagedData
            Chunks were never written, do not decode, or lie in files that are missing.
        Unsupported
            A filter that this libhdf5 does not have.
        """
        if self._closed:
            raise ReadError("the recording is closed", path=self._path, hint="Open it again")
        several = len(self._movie.names) > 1
        with _lock, opened(self._path) as file:
            for position, channel in enumerate(np.asarray(selection.c) if several else [0]):
                dataset = file[self._movie.names[channel]]
                self._check_filters(dataset)
                into = out[:, position : position + 1] if several else out
                for rows, times in self._groups(selection):
                    part = Selection(times, range(1) if several else selection.c, *selection.axes[2:])
                    into[rows] = self._slab(dataset, part)

    def _groups(self, selection: Selection) -> Iterator[tuple[Int64, Int64]]:
        """T positions that are read together: near each other and bounded, with where they belong."""
        times = np.asarray(selection.t, np.int64)
        order = np.argsort(times, kind="stable").astype(np.int64)
        chunk_of = times[order] // self.chunks[0]
        frame_nbytes = self.shape[1] * self.shape[2] * self.shape[3] * self.shape[4] * self.dtype.itemsize
        together = max(1, _SCRATCH_BYTES // max(1, self.chunks[0] * frame_nbytes))
        gaps = np.diff(chunk_of) > 1
        full = np.diff(chunk_of // together) > 0
        breaks = np.flatnonzero(gaps | full) + 1
        for lo, hi in pairwise([0, *breaks.tolist(), order.size]):
            yield order[lo:hi], times[order[lo:hi]]

    def _slab(self, dataset: Any, selection: Selection) -> NDArray[Any]:
        """The selected pixels of one dataset, (T, C, Z, Y, X)."""
        spans = dict(zip(AXES, (_span(axis) for axis in selection.axes), strict=True))
        key = tuple(spans[letter] for letter in self._movie.axes)
        self._refuse_unwritten(dataset, key)
        present = [letter for letter in AXES if letter in self._movie.axes]
        try:
            slab = dataset[key]
        except OSError as error:
            raise DamagedData(f"{dataset.name} does not decode: {error}", path=self._path) from error
        slab = slab.transpose([self._movie.axes.index(letter) for letter in present])
        slab = slab.reshape([slab.shape[present.index(a)] if a in present else 1 for a in AXES])
        picks = [
            np.asarray(axis, np.int64) - spans[letter].start if letter in present else np.zeros(len(axis), np.int64)
            for letter, axis in zip(AXES, selection.axes, strict=True)
        ]
        picked: NDArray[Any] = slab[np.ix_(*picks)]
        return picked

    def _check_filters(self, dataset: Any) -> None:
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(number) for number in range(plist.get_nfilters())]
        absent = [f"{code} {name.decode(errors='replace')}".strip() for code, _, _, name in filters if not _avail(code)]
        if absent:
            raise Unsupported(
                f"{dataset.name} is stored by a filter that this HDF5 does not have",
                path=self._path,
                found=", ".join(absent),
                hint="`import hdf5plugin` (pip install hdf5plugin) before opening brings many",
            )

    def _refuse_unwritten(self, dataset: Any, key: tuple[slice, ...]) -> None:
        """libhdf5 gives fill values for what is not in the file."""
        name = dataset.name
        if dataset.chunks is None:
            absent_outside(dataset, self._path)
            plist, placed = dataset.id.get_create_plist(), dataset.id.get_offset() is not None
            unwritten = plist.get_layout() == h5py.h5d.CONTIGUOUS and not placed and not plist.get_external_count()
        else:
            if name not in self._written:
                self._written[name] = written_chunks(dataset, self._path, self._limits)
            written = self._written[name]
            cells = tuple(slice(s.start // n, (s.stop - 1) // n + 1) for s, n in zip(key, dataset.chunks, strict=True))
            unwritten = written is not None and not written[cells].all()
        if unwritten:
            raise DamagedData(f"pixels of {name} were never written", path=self._path)

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing: frames have no places of their own."""
        return {}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Reading ends here; nothing is kept open."""
        self._closed = True


def _span(positions: Indices) -> slice:
    array = np.asarray(positions, np.int64)
    return slice(int(array.min()), int(array.max()) + 1)
