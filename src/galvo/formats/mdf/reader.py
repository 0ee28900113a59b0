"""MDF files as recordings: frames are asked of the server when they are read."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from galvo.core.axes import Shape
from galvo.core.cast import Cast
from galvo.core.index import Int64
from galvo.core.recording import Recording
from galvo.core.selection import Selection, outer_index
from galvo.core.source import file_size
from galvo.errors import Malformed, OptionError, ReadError
from galvo.formats.mdf.parameters import PARAMETERS, channels_of, dtype_of, length_of, metadata_of
from galvo.formats.mdf.server import SERVER
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_mdf"]


def open_mdf(
    paths: Sequence[str],
    *,
    dtype: DTypeLike | None = None,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A Sutter MDF file.

    Parameters
    ----------
    paths : sequence of str
        One file.
    dtype : dtype, optional
        Of the pixels: integers or floats that hold all of them. By default uint8 or uint16, as the file's bit depth
        says; but a file may hold values below 0.
    damaged : "raise" or "report"
        Frames that the server does not give raise an error when they are read, with either.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    Unsupported
        Not on Windows.
    MissingExtra
        pywin32 is not installed.
    Malformed
        The server does not open the file, or its parameters do not say what it holds.
    ReadError
        The server cannot be reached.
    """
    path = os.path.abspath(paths[0])
    file_size(path)
    SERVER.enter(path)
    try:
        found = SERVER.parameters(path, PARAMETERS)
        t, y, x = (length_of(found, f"Frame {name}", path) for name in ("Count", "Height", "Width"))
        channels = channels_of(found, path)
        pixel_type = dtype_of(found, path) if dtype is None else _asked(dtype)
        limits.check("frame_bytes", y * x * pixel_type.itemsize, path=path)
        limits.check("page_count", t * len(channels), path=path)
        reader = _MdfReader(path, (t, len(channels), 1, y, x), pixel_type, channels)
    except BaseException:
        SERVER.leave()
        raise
    return Recording(reader, metadata_of(found, channels), files=[paths[0]])


def _asked(dtype: DTypeLike) -> np.dtype[Any]:
    wanted = np.dtype(dtype)
    if wanted.kind not in "iuf":
        raise OptionError("no such pixels", found=str(wanted), expected="integers or floats")
    return wanted.newbyteorder("=")


class _MdfReader:
    """Reads by the server, frame by frame. Leaves it when it is closed or collected."""

    def __init__(self, path: str, shape: Shape, dtype: np.dtype[Any], channels: tuple[int, ...]) -> None:
        self.shape = shape
        self.dtype = dtype
        self.chunks: Shape = (1, 1, 1, *shape[3:])
        self._path = path
        self._channels = channels
        self._cast = Cast(dtype.str)
        self._leave = weakref.finalize(self, SERVER.leave)
        # the thread is gone by then
        self._leave.atexit = False

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the selected pixels."""
        inside = outer_index([selection.y, selection.x])
        for i, t in enumerate(selection.t):
            for j, c in enumerate(selection.c):
                # one plane, however often it is selected
                out[i, j] = self._frame(int(t), self._channels[int(c)])[inside]

    def _frame(self, t: int, channel: int) -> NDArray[Any]:
        """One frame (Y, X)."""
        if not self._leave.alive:
            raise ReadError("the recording is closed", path=self._path, hint="Open it again")
        values = SERVER.frame(self._path, channel, t + 1)
        where = f"frame {t + 1} of channel {channel}"
        if values is None:
            raise ReadError(f"{where} is not there", path=self._path)
        try:
            columns = np.asarray(values)
        except ValueError:
            # rows of different lengths
            columns = np.empty(0, object)
        height, width = self.shape[3:]
        if columns.shape != (width, height) or columns.dtype.kind not in "iuf":
            raise Malformed(
                f"{where} is no image of the file's size",
                path=self._path,
                found=f"{columns.dtype} of shape {columns.shape}",
                expected=f"{width} columns of {height} numbers",
            )
        try:
            return self._cast.apply(columns).T
        except OptionError as error:
            raise Malformed(
                f"values of {where} do not fit {self.dtype}",
                path=self._path,
                found=f"{columns.min()} to {columns.max()}",
                hint='Open the file with a type that holds them, such as dtype="int32" (--open-option dtype=int32)',
            ) from error

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing: where pixels lie is the server's own matter."""
        return {}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Leave the server."""
        self._leave()
