"""The mean of several frames per slice."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.read import IndexedReader
from galvo.core.selection import Selection

__all__ = ["MeanOfRepeats"]


class MeanOfRepeats:
    """Averages the repeats that `reader` shows as T of their own, in the order (volume, repeat).

    Parameters
    ----------
    reader : IndexedReader
    repeats : int
    """

    def __init__(self, reader: IndexedReader, repeats: int) -> None:
        self._reader = reader
        self._repeats = repeats
        self.shape: Shape = (reader.shape[0] // repeats, *reader.shape[1:])
        self.dtype = np.dtype(np.float32)
        self.chunks: Shape = reader.chunks

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with means, float32; sums are float64."""
        for position, t in enumerate(selection.t):
            times = range(t * self._repeats, (t + 1) * self._repeats)
            part = Selection(times, *selection.axes[1:])
            frames = np.empty(part.shape, self._reader.dtype)
            self._reader.read(part, frames)
            out[position] = frames.mean(axis=0, dtype=np.float64)

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """File and page of the first repeat."""
        return self._reader.place(t * self._repeats, c, z)

    def prove(self) -> None:
        """Check every page of every file."""
        self._reader.prove()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
