"""A reader over another one: frames lie where those of the other do, and it is proven and closed with it."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.reader import Reader

__all__ = ["ReaderOver"]


class ReaderOver:
    """What readers share that make something else of the pixels of another; they set what is otherwise with them.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.shape: Shape = reader.shape
        self.chunks: Shape = reader.chunks
        self.dtype = reader.dtype

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Where the frames lie."""
        return self._reader.place(t, c, z)

    def prove(self) -> None:
        """Check the structure that was taken for granted."""
        self._reader.prove()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
