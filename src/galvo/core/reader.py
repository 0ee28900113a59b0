"""The contract behind every recording: what pixels are read from."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.selection import Indices, Selection

__all__ = ["CanvasReader", "Reader", "coverage_of"]


class Reader(Protocol):
    """What a recording reads from: an index over files, an array, a container with a library of its own."""

    @property
    def shape(self) -> Shape:
        """Lengths of T C Z Y X."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels, native byte order."""

    @property
    def chunks(self) -> Shape:
        """Extent of what is read at once."""

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`, C-contiguous, of the selection's shape and `dtype`."""

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns that say where frames lie: file, page; empty when there is nothing to say."""

    def prove(self) -> None:
        """Check what was predicted and has not been read yet."""

    def close(self) -> None:
        """Give back descriptors."""


@runtime_checkable
class CanvasReader(Protocol):
    """A reader that shows pixels which were never scanned."""

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned, (Z, Y, X)."""


def coverage_of(reader: Reader, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
    """Which pixels of a reader were scanned, (Z, Y, X): all, unless it says otherwise."""
    if isinstance(reader, CanvasReader):
        return reader.coverage(z, y, x)
    return np.ones((len(z), len(y), len(x)), np.bool_)
