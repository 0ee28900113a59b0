"""pyflowreg.motion_correction.parallelization.sequential: one frame after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.parallelization.base import Done, FrameExecutor, FrameTask

__all__ = ["SequentialExecutor"]


class SequentialExecutor(FrameExecutor):
    """One frame after another, in the thread that calls; `n_workers` is 1."""

    def __init__(self, n_workers: int | None = 1) -> None:
        super().__init__(1)

    def _done(self, task: FrameTask, frames: NDArray[Any], prepared: NDArray[np.float32]) -> Iterator[Done]:
        for at, (frame, image) in enumerate(zip(frames, prepared, strict=True)):
            yield slice(at, at + 1), *task(frame, image)

    def get_info(self) -> dict[str, Any]:
        """As `BaseExecutor.get_info`, with a description."""
        return {**super().get_info(), "description": "Sequential frame-by-frame processing"}
