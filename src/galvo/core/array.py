"""Reading from a NumPy array in memory, behind the same contract as from files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.selection import Selection, as_slice

__all__ = ["ArrayReader"]


class ArrayReader:
    """Reads from an array (T, C, Z, Y, X).

    Parameters
    ----------
    array : ndarray, 5-D
    """

    def __init__(self, array: NDArray[Any]) -> None:
        self._array = array
        t, c, z, y, x = array.shape
        self.shape: Shape = (t, c, z, y, x)
        self.dtype = array.dtype.newbyteorder("=")
        self.chunks: Shape = (1, 1, 1, y, x)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Copy the selected pixels into `out`."""
        slices = [as_slice(axis) if isinstance(axis, range) else slice(None) for axis in selection.axes]
        part = self._array[tuple(slices)]
        for axis, positions in enumerate(selection.axes):
            if not isinstance(positions, range):
                # `take` would copy all of an array whose memory is not in order
                part = part[(slice(None),) * axis + (positions,)]
        np.copyto(out, part)

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing: memory has no files."""
        return {}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Nothing to give back."""
