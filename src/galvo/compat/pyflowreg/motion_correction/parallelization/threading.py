"""pyflowreg.motion_correction.parallelization.threading: frames side by side in threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.parallelization.base import Done, FrameExecutor, FrameTask

__all__ = ["ThreadingExecutor"]


class ThreadingExecutor(FrameExecutor):
    """Frames side by side; galvo's solver does not hold the interpreter."""

    def _done(self, task: FrameTask, frames: NDArray[Any], prepared: NDArray[np.float32]) -> Iterator[Done]:
        with ThreadPoolExecutor(self.n_workers) as pool:
            for at, done in enumerate(pool.map(task, frames, prepared)):
                yield slice(at, at + 1), *done

    def get_info(self) -> dict[str, Any]:
        """As `BaseExecutor.get_info`, with a description."""
        return {
            **super().get_info(),
            "parallel": True,
            "description": f"Threaded parallel processing with {self.n_workers} workers",
        }
