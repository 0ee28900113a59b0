"""Reading through libhdf5: layouts and filters that galvo's own path does not serve."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.index import Int64
from galvo.core.selection import Indices, Selection
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.discovery import Movie

__all__ = ["LibraryReader"]

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
    """

    def __init__(
        self, path: str, movie: Movie, shape: Shape, dtype: np.dtype[np.generic], chunks: Shape
    ) -> None:
        self._path = path
        self._movie = movie
        self.shape = shape
        self.dtype = dtype.newbyteorder("=")
        self.chunks = chunks

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` from hyperslabs around the selection."""
        spans = dict(zip(AXES, (_span(axis) for axis in selection.axes), strict=True))
        key = tuple(spans[letter] for letter in self._movie.axes)
        present = [letter for letter in AXES if letter in self._movie.axes]
        inner = {letter: np.asarray(axis, np.int64) for letter, axis in zip(AXES, selection.axes, strict=True)}
        several = len(self._movie.names) > 1
        with _lock, opened(self._path) as file:
            for position, channel in enumerate(selection.c if several else [0]):
                slab = file[self._movie.names[channel]][key]
                slab = slab.transpose([self._movie.axes.index(letter) for letter in present])
                slab = slab.reshape([slab.shape[present.index(a)] if a in present else 1 for a in AXES])
                picks = [
                    inner[letter] - spans[letter].start if letter in present else np.zeros(out.shape[axis], np.int64)
                    for axis, letter in enumerate(AXES)
                ]
                if several:
                    out[:, position : position + 1] = slab[np.ix_(picks[0], np.zeros(1, np.int64), *picks[2:])]
                else:
                    out[...] = slab[np.ix_(*picks)]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing: frames have no places of their own."""
        return {}

    def close(self) -> None:
        """Nothing is kept open."""


def _span(positions: Indices) -> slice:
    array = np.asarray(positions, np.int64)
    return slice(int(array.min()), int(array.max()) + 1)
