"""The one door to tifffile: pages that galvo does not decode itself."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffFile, TiffFileError

from galvo.core.axes import Shape
from galvo.core.index import Int64, PageOrder
from galvo.core.selection import Selection
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, Unsupported
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
    """Pages (Y, X) or (Y, X, samples) that tifffile decodes, one at a time.

    Parameters
    ----------
    paths : sequence of str
    numbers : sequence of ndarray of int64, (P,)
        For each file the positions of its pages in the chain.
    lengths : (T, C, Z)
        As pages; C is multiplied by the samples of a page.
    order : PageOrder
        Of pages counted through all files.
    limits : Limits
    """

    def __init__(
        self,
        paths: Sequence[str],
        numbers: Sequence[Int64],
        lengths: tuple[int, int, int],
        order: PageOrder,
        limits: Limits,
    ) -> None:
        self._paths = tuple(paths)
        self._file = np.repeat(np.arange(len(paths)), [one.size for one in numbers])
        self._numbers = np.concatenate(numbers)
        self._order = order
        self._lock = threading.Lock()
        # the file that was read last stays open
        self._open: tuple[int, int, TiffFile] | None = None
        self._closed = False
        t, c, z = lengths
        if self._numbers.size <= order.bounds(lengths)[1]:
            raise Malformed(
                "the frames need more pages than the files hold", path=paths[0], found=f"{self._numbers.size} pages"
            )
        first = self._page(order.bounds(lengths)[0], limits)
        self._page_shape = first.shape
        self.samples = first.shape[0]
        self.dtype = first.dtype.newbyteorder("=")
        self.shape: Shape = (t, c * self.samples, z, first.shape[1], first.shape[2])
        self.chunks: Shape = (1, self.samples, 1, first.shape[1], first.shape[2])

    def _tiff(self, file: int) -> TiffFile:
        path = self._paths[file]
        if self._closed:
            raise ReadError("the recording is closed", path=path, hint="Open it again")
        # a file that was opened before a fork shares its position with the other process
        if self._open is None or self._open[:2] != (file, os.getpid()):
            if self._open is not None:
                self._open[2].close()
                self._open = None
            try:
                self._open = (file, os.getpid(), TiffFile(path))
            except OSError as error:
                raise ReadError(error.strerror or "cannot be opened", path=path) from error
        return self._open[2]

    def _page(self, position: int, limits: Limits | None = None) -> NDArray[Any]:
        """One page as (samples, Y, X)."""
        file, number = int(self._file[position]), int(self._numbers[position])
        path = self._paths[file]
        try:
            page: Any = self._tiff(file).pages[number]
            if page.dtype is None:
                raise Unsupported(f"page {number} has a pixel type that NumPy lacks", path=path)
            if limits is not None:
                limits.check("frame_bytes", page.size * page.dtype.itemsize, path=path, offset=page.offset)
            pixels: NDArray[Any] = page.asarray()
            axes: str = page.axes
        except _TROUBLE as error:
            if isinstance(error, GalvoError):
                raise
            raise DamagedData(f"page {number} does not decode: {error}", path=path) from error
        if axes == "YX":
            return pixels[None]
        if axes == "YXS":
            return np.moveaxis(pixels, -1, 0)
        if axes == "SYX":
            return pixels
        raise Unsupported(f"page {number} has the axes {axes}", path=path, expected="YX, YXS or SYX")

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Decode the selected pages one after the other."""
        c, y, x = (np.asarray(axis, np.int64) for axis in (selection.c, selection.y, selection.x))
        one = np.ones(1, np.int64)
        with self._lock:
            for (i, t), (k, z) in product(enumerate(selection.t), enumerate(selection.z)):
                for number in np.unique(c // self.samples).tolist():
                    position = int(self._order.page(one * t, one * number, one * z)[0])
                    if position < 0:
                        raise DamagedData(f"no file holds the plane t={t}, c={number}, z={z}", path=self._paths[0])
                    page = self._page(position)
                    if page.shape != self._page_shape:
                        raise Unsupported(
                            f"page {int(self._numbers[position])} has another shape",
                            path=self._paths[int(self._file[position])],
                            found=page.shape,
                            expected=self._page_shape,
                        )
                    mine = c // self.samples == number
                    out[i, mine, k] = page[np.ix_(c[mine] % self.samples, y, x)]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """The page of each frame."""
        page = self._order.page(t, c // self.samples, z)
        missing = page < 0
        return {"file": np.where(missing, -1, self._file[page]), "page": np.where(missing, -1, self._numbers[page])}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._closed = True
            if self._open is not None:
                self._open[2].close()
                self._open = None

    def __del__(self) -> None:
        if getattr(self, "_open", None) is not None:
            self.close()
