"""Frames that come before anyone knows how many there will be: kept on the disk, then written as a whole.

A format's sink wants to know a recording before its first byte, and an output may only appear when it is complete. So
frames wait uncompressed in an unnamed file in the folder of the output, which takes as much of the disk as their pixels
until the output is there, and is gone with its process.
"""

from __future__ import annotations

import secrets
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core import disk
from galvo.core.atomic import write_error
from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.selection import Selection, is_whole
from galvo.errors import Truncated

__all__ = ["Spool"]

_PIECE_BYTES = 16 << 20


class Spool:
    """Frames of one size in an unnamed file.

    Parameters
    ----------
    final : str
        The output that they are for.
    frame_shape : (Y, X, C)
    dtype : dtype

    Attributes
    ----------
    count : int
        Frames that are there.
    """

    def __init__(self, final: str, frame_shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self._final = final
        self._shape = frame_shape
        self._dtype = dtype.newbyteorder("=")
        self.count = 0
        self._name = f"{final}.{secrets.token_hex(4)}.frames"
        try:
            self._descriptor = disk.create(self._name)
        except OSError as error:
            raise write_error(error, final) from error
        if sys.platform != "win32":
            # Windows removes no open file: there its name stays until the end
            disk.unlink(self._name)

    def append(self, frames: NDArray[Any]) -> None:
        """Add frames (T, Y, X, C), all of them or none.

        Raises
        ------
        WriteError
            The disk did not take them.
        """
        y, x, c = self._shape
        frame_nbytes = y * x * c * self._dtype.itemsize
        step = max(1, _PIECE_BYTES // max(1, frame_nbytes))
        for at in range(0, len(frames), step):
            piece = np.ascontiguousarray(frames[at : at + step].transpose(0, 3, 1, 2), self._dtype)
            offset = (self.count + at) * frame_nbytes
            try:
                disk.write_at(self._descriptor, offset, piece.reshape(-1).view(np.uint8).data)
            except OSError as error:
                raise write_error(error, self._final) from error
        self.count += len(frames)

    def recording(self, metadata: Metadata) -> Recording:
        """All frames as a recording, which reads them from the file."""
        y, x, c = self._shape
        return Recording(_SpoolReader(self._descriptor, (self.count, c, 1, y, x), self._dtype), metadata)

    def close(self) -> None:
        """Let the frames go."""
        disk.close(self._descriptor)
        disk.unlink(self._name)


class _SpoolReader:
    """Reads frames, stored one channel after the other."""

    def __init__(self, descriptor: int, shape: Shape, dtype: np.dtype[Any]) -> None:
        self._descriptor = descriptor
        self.shape = shape
        self.dtype = dtype
        self.chunks: Shape = (1, 1, 1, *shape[3:])

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` frame by frame."""
        _, channels, _, y, x = self.shape
        frame = np.empty((y, x), self.dtype)
        stored = frame.reshape(-1).view(np.uint8)
        whole = is_whole(selection.y, y) and is_whole(selection.x, x)
        cut = np.ix_(np.asarray(selection.y, np.int64), np.asarray(selection.x, np.int64))
        for t, time in enumerate(selection.t):
            for c, channel in enumerate(selection.c):
                offset = (int(time) * channels + int(channel)) * stored.size
                done = native.read_into(self._descriptor, offset, stored)
                if done != stored.size:
                    raise Truncated("frames that were written are gone", found=f"{done} bytes", expected=stored.size)
                out[t, c, :] = frame if whole else frame[cut]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing that outlives the output."""
        return {}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """The spool closes its file."""
