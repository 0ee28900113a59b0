"""pyflowreg.util.io._arr: videos in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._base import VideoWriter
from galvo.compat.pyflowreg.util.io._recording import RecordingReader
from galvo.core.recording import Recording
from galvo.errors import OptionError

__all__ = ["ArrayReader", "ArrayWriter"]


class ArrayReader(RecordingReader):
    """A video that is an array.

    Parameters
    ----------
    array : ndarray
        (T, H, W, C), (T, H, W), (H, W); three axes are one frame (H, W, C) where the last has length 4 or less.
    buffer_size, bin_size : int
        As in `VideoReader`.
    inplace : bool
        Read from `array` itself, not from a copy.
    """

    def __init__(self, array: NDArray[Any], buffer_size: int = 100, bin_size: int = 1, inplace: bool = False) -> None:
        super().__init__(buffer_size, bin_size)
        if not isinstance(array, np.ndarray) or array.ndim not in (2, 3, 4):
            found = f"{array.ndim}D" if isinstance(array, np.ndarray) else type(array).__name__
            raise OptionError(f"Array must be 2D, 3D or 4D, got {found}")
        if array.ndim == 2:
            array = array[None, :, :, None]
        elif array.ndim == 3:
            array = array[None] if array.shape[2] <= 4 else array[..., None]
        self.array = array if inplace else array.copy()
        self._ensure_initialized()

    def _open(self) -> Recording:
        return Recording.from_array(self.array, "TYXC")


class ArrayWriter(VideoWriter):
    """Keeps what is written; three axes are always one frame (H, W, C)."""

    def __init__(self) -> None:
        super().__init__()
        self._batches: list[NDArray[Any]] = []

    def write_frames(self, frames: NDArray[Any]) -> None:
        """Keep a copy of frames, (T, H, W, C), (H, W, C) or (H, W)."""
        batch = self._batch(frames, channels_last=True)
        if not self.initialized:
            self.init(batch)
        self._batches.append(batch.copy())

    def get_array(self) -> NDArray[Any] | None:
        """All that was written, (T, H, W, C); None where that is nothing."""
        return np.concatenate(self._batches) if self._batches else None

    def close(self) -> None:
        """Nothing; the frames stay."""

    def __repr__(self) -> str:
        count = sum(map(len, self._batches))
        return f"ArrayWriter(frames={count}, shape=({self.height},{self.width},{self.n_channels}))"
