"""pyflowreg.motion_correction.parallelization: who works on the frames of a batch."""

from __future__ import annotations

from galvo.compat.pyflowreg.motion_correction.parallelization.base import BaseExecutor
from galvo.compat.pyflowreg.motion_correction.parallelization.multiprocessing import MultiprocessingExecutor
from galvo.compat.pyflowreg.motion_correction.parallelization.sequential import SequentialExecutor
from galvo.compat.pyflowreg.motion_correction.parallelization.threading import ThreadingExecutor

__all__ = ["BaseExecutor", "MultiprocessingExecutor", "SequentialExecutor", "ThreadingExecutor"]
