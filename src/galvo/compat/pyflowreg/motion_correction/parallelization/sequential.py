"""pyflowreg.motion_correction.parallelization.sequential: one frame after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.motion_correction.parallelization.base import BaseExecutor, FrameTask

__all__ = ["SequentialExecutor"]


class SequentialExecutor(BaseExecutor):
    """One frame after another, in the thread that calls; `n_workers` is 1."""

    def __init__(self, n_workers: int | None = 1) -> None:
        super().__init__(1)

    def process_batch(
        self,
        batch: NDArray[Any],
        batch_proc: NDArray[Any],
        reference_raw: NDArray[Any],
        reference_proc: NDArray[Any],
        w_init: NDArray[Any],
        get_displacement_func: Callable[..., Any],
        imregister_func: Callable[..., Any],
        interpolation_method: str = "cubic",
        progress_callback: Callable[[int], None] | None = None,
        **kwargs: Any,
    ) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """As `BaseExecutor.process_batch`."""
        frames, prepared, raw, fixed, start = self._normalize_inputs(
            batch, batch_proc, reference_raw, reference_proc, w_init
        )
        task = FrameTask(raw, fixed, start, get_displacement_func, imregister_func, interpolation_method, kwargs)
        registered, fields = np.empty_like(frames), np.empty((*frames.shape[:3], 2), np.float32)
        for at, (frame, image) in enumerate(zip(frames, prepared, strict=True)):
            registered[at], fields[at] = task(frame, image)
            if progress_callback is not None:
                progress_callback(1)
        return registered.reshape(batch.shape), fields

    def get_info(self) -> dict[str, Any]:
        """As `BaseExecutor.get_info`, with a description."""
        return {**super().get_info(), "description": "Sequential frame-by-frame processing"}
