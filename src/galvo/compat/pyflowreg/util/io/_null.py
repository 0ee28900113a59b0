"""pyflowreg.util.io._null: frames that nobody wants to keep."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._base import VideoWriter

__all__ = ["NullVideoWriter"]


class NullVideoWriter(VideoWriter):
    """Counts frames and forgets them; three axes are always one frame (H, W, C).

    Attributes
    ----------
    frames_written, batches_written : int
    """

    def __init__(self) -> None:
        super().__init__()
        self.frames_written = 0
        self.batches_written = 0

    def write_frames(self, frames: NDArray[Any]) -> None:
        """Count frames."""
        batch = self._batch(frames, channels_last=True)
        if not self.initialized:
            self.init(batch)
        self.frames_written += len(batch)
        self.batches_written += 1

    def close(self) -> None:
        """Nothing."""

    def __repr__(self) -> str:
        return f"NullVideoWriter(frames_written={self.frames_written}, batches={self.batches_written})"
