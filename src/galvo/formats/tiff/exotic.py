"""The one door to tifffile: pages that galvo does not decode itself."""

from __future__ import annotations

import os
import struct
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffFileError

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.selection import Selection
from galvo.errors import DamagedData, ReadError, Unsupported
from galvo.limits import Limits

__all__ = ["ExoticPages"]

# What tifffile and the decoders below it let through on files that they cannot read.
_TROUBLE = (
    TiffFileError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


class ExoticPages:
    """Pages (Y, X) or (Y, X, samples) that tifffile decodes, one at a time; T is the page, C the sample.

    Parameters
    ----------
    path : str
    numbers : ndarray of int64, (P,)
        Positions of the pages in the chain.
    limits : Limits
    """

    def __init__(self, path: str, numbers: Int64, limits: Limits) -> None:
        self._path = path
        self._numbers = numbers
        self._lock = threading.Lock()
        self._file: TiffFile | None = None
        self._owner = 0
        self._closed = False
        first = self._page(0, limits)
        self.dtype = first.dtype.newbyteorder("=")
        self.shape: Shape = (int(numbers.size), first.shape[0], 1, first.shape[1], first.shape[2])
        self.chunks: Shape = (1, *self.shape[1:])

    def _tiff(self) -> TiffFile:
        if self._closed:
            raise ReadError("the recording is closed", path=self._path, hint="Open it again")
        if self._file is None or self._owner != os.getpid():
            try:
                self._file = TiffFile(self._path)
            except OSError as error:
                raise ReadError(error.strerror or "cannot be opened", path=self._path) from error
            self._owner = os.getpid()
        return self._file

    def _page(self, position: int, limits: Limits | None = None) -> NDArray[Any]:
        """One page as (C, Y, X)."""
        number = int(self._numbers[position])
        try:
            page: Any = self._tiff().pages[number]
            if page.dtype is None:
                raise Unsupported(f"page {number} has a pixel type that NumPy lacks", path=self._path)
            if limits is not None:
                limits.check("frame_bytes", page.size * page.dtype.itemsize, path=self._path, offset=page.offset)
            pixels: NDArray[Any] = page.asarray()
            axes: str = page.axes
        except _TROUBLE as error:
            if isinstance(error, Unsupported):
                raise
            raise DamagedData(f"page {number} does not decode: {error}", path=self._path) from error
        if axes == "YX":
            return pixels[None]
        if axes == "YXS":
            return np.moveaxis(pixels, -1, 0)
        if axes == "SYX":
            return pixels
        raise Unsupported(f"page {number} has the axes {axes}", path=self._path, expected="YX, YXS or SYX")

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Decode the selected pages one after the other."""
        channels, y, x = (np.asarray(axis, np.int64) for axis in (selection.c, selection.y, selection.x))
        with self._lock:
            for position, t in enumerate(selection.t):
                page = self._page(int(t))
                if page.shape != (self.shape[1], *self.shape[3:]):
                    raise Unsupported(
                        f"page {int(self._numbers[t])} has another shape",
                        path=self._path,
                        found=page.shape,
                        expected=(self.shape[1], *self.shape[3:]),
                    )
                out[position] = page[np.ix_(channels, y, x)][:, None][:, [0] * len(selection.z)]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """The page of each frame."""
        return {"file": np.zeros_like(t), "page": self._numbers[t]}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
                self._file = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()
