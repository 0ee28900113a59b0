"""Motion as something that is read: the record of a frame is made when it is asked for."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.recording import Recording
from galvo.core.selection import Selection
from galvo.motion.estimator import Plan
from galvo.motion.executors import Solve
from galvo.motion.kept import HeldRests, Motion, MotionFacts, kept_dtype, rounded
from galvo.motion.movie import movie_of
from galvo.motion.quality import frame_quality
from galvo.motion.warping import warp

__all__ = ["MotionReader"]


class MotionReader:
    """Reads frames of a recording and gives what is kept of their motion, (T, 1, Z, 1, 1) of `kept_dtype`.

    Parameters
    ----------
    recording : Recording
        With the channels that motion is estimated on.
    plans : sequence of Plan
        One per plane.
    solve : callable
        What solves frames by them (`executors.solving`).
    facts : MotionFacts
    workers : int
        Threads that measure quality.
    """

    def __init__(
        self,
        recording: Recording,
        plans: Sequence[Plan],
        solve: Solve,
        facts: MotionFacts,
        workers: int,
    ) -> None:
        self._recording = recording
        self._plans = plans
        self._solve = solve
        self._facts = facts
        self._workers = workers
        self.shape: Shape = (recording.shape[0], 1, recording.shape[2], 1, 1)
        self.chunks: Shape = (1, 1, 1, 1, 1)
        self.dtype = kept_dtype(facts.expansion.solver_shape)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the records of frames that follow each other."""
        times = np.asarray(selection.t, np.int64)
        breaks = np.flatnonzero(np.diff(times) != 1) + 1
        for run in np.split(np.arange(times.size), breaks):
            if run.size:
                for place, plane in enumerate(np.asarray(selection.z).tolist()):
                    out[run, 0, place, 0, 0] = self._records(int(times[run[0]]), run.size, plane)

    def _records(self, start: int, count: int, plane: int) -> NDArray[Any]:
        plan = self._plans[plane]
        movie = movie_of(self._recording.isel(z=plane))
        first = max(0, start - plan.halo)
        block = movie.read(first, min(start + count + plan.halo, len(movie)))
        fields, flags = self._solve(plane, block, start - first, count)
        records = np.zeros(count, self.dtype)
        frames = records["frame"]
        frames["shift"], records["rest"] = rounded(fields, self._facts.expansion.constant)
        frames["flags"] = flags
        applied = Motion(frames[:, np.newaxis], HeldRests(records["rest"][:, np.newaxis]), self._facts)
        displacements = applied.displacements(range(count), 0, threads=self._workers)
        own = block[start - first : start - first + count]
        corrected = np.asarray(warp(own, displacements, threads=self._workers), np.float32)
        measured = frame_quality(corrected, displacements, self._facts.reference[plane], threads=self._workers)
        for name, values in measured.items():
            frames[name] = values
        return records

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Nothing: records lie nowhere yet."""
        return {}

    def prove(self) -> None:
        """Check the structure of the recording that was taken for granted."""
        self._recording.prove()

    def close(self) -> None:
        """The recording stays open: others use it."""
