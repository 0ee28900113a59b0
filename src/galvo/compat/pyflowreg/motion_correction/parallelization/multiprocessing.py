"""pyflowreg.motion_correction.parallelization.multiprocessing: frames side by side in processes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.parallelization.base import Done, FrameExecutor, FrameTask
from galvo.compat.pyflowreg.motion_correction.parallelization.threading import ThreadingExecutor
from galvo.errors import warn

__all__ = ["MultiprocessingExecutor"]


class MultiprocessingExecutor(FrameExecutor):
    """Frames side by side in processes, which stay until `cleanup`: for solvers in Python.

    A solver that cannot be pickled runs in threads, and a warning says so. galvo's own solver needs no processes:
    `BatchMotionCorrector` runs it in threads.
    """

    def __init__(self, n_workers: int | None = None) -> None:
        super().__init__(n_workers)
        self._pool: ProcessPoolExecutor | None = None

    def cleanup(self) -> None:
        """End the processes."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def _done(self, task: FrameTask, frames: NDArray[Any], prepared: NDArray[np.float32]) -> Iterator[Done]:
        try:
            pickle.dumps(task.functions)
        except (pickle.PicklingError, AttributeError, TypeError):
            warn("this solver cannot be pickled for other processes: it runs in threads")
            yield from ThreadingExecutor(self.n_workers)._done(task, frames, prepared)
            return
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self.n_workers)
        # a share per worker: the references are sent once with each
        edges = np.linspace(0, len(frames), min(self.n_workers, len(frames)) + 1).astype(int).tolist()
        shares = list(pairwise(edges))
        jobs = [self._pool.submit(_share, task, frames[a:b], prepared[a:b]) for a, b in shares]
        for (first, stop), job in zip(shares, jobs, strict=True):
            yield slice(first, stop), *job.result()

    def get_info(self) -> dict[str, Any]:
        """As `BaseExecutor.get_info`, with a description."""
        return {
            **super().get_info(),
            "parallel": True,
            "description": f"Multiprocessing with {self.n_workers} workers",
            "features": ["true-parallelism"],
        }


def _share(
    task: FrameTask, frames: NDArray[Any], prepared: NDArray[np.float32]
) -> tuple[NDArray[Any], NDArray[np.float32]]:
    done = [task(frame, image) for frame, image in zip(frames, prepared, strict=True)]
    return np.stack([frame for frame, _ in done]), np.stack([field for _, field in done])
