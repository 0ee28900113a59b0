"""A frame's motion by itself: rigid start, coarse to fine, and what a rigid shift alone would have explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.motion.bayes.solver import Solver

__all__ = ["Schedule", "Track", "Tracker"]

_COARSE_STEPS = (3, 2)
_RIGID_STEPS = 3
_REACH = 4

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps per level, coarse to fine, and how the finest level goes on.

    Its steps interpolate with cubics where `cubic`, and there are up to `most` of them while the last one was longer
    than `settled` times the error that noise leaves.
    """

    steps: tuple[int, ...]
    cubic: bool
    settled: float = 0.0
    most: int = 3

    @classmethod
    def of(cls, level_count: int, fine_steps: int, cubic: bool, settled: float = 0.0) -> Schedule:
        """The usual steps on the coarse ones of so many levels."""
        return cls((*_COARSE_STEPS[len(_COARSE_STEPS) + 1 - level_count :], fine_steps), cubic, settled)


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """T frames by themselves.

    Attributes
    ----------
    coefficients : ndarray, (T, 2, Ky, Kx)
    information : ndarray, (T, 3, By, Bx)
        J of all channels at the last linearisation.
    right : ndarray, (T, N)
        ``Phi^T (b + J w0)`` of it.
    brightness : ndarray, (T, C, 2)
    start, shift : ndarray, (T, 2)
        Where correlation begins, and the best rigid motion, along x and y in pixels.
    """

    coefficients: Float64
    information: Float64
    right: Float64
    brightness: Float64
    start: Float64
    shift: Float64


class Tracker:
    """Finds the motion of frames by what a solver knows."""

    def __init__(self, solver: Solver, schedule: Schedule) -> None:
        levels, learned = solver.levels, solver.learned
        rows, columns = levels[-1].node_waves
        self._engine = native.BayesEngine(
            np.ascontiguousarray(levels[-1].planes[:, 0]),
            solver.weights.astype(np.float32),
            [level.planes for level in levels],
            (solver.weights / learned.phi).astype(np.float32),
            learned.phi.astype(np.float32),
            np.stack([found.covariance for found in solver.posteriors]).astype(np.float32),
            solver.space.rows.astype(np.float32),
            solver.space.columns.astype(np.float32),
            rows,
            columns,
            np.flatnonzero(learned.active),
            (1 / solver.variance).astype(np.float32),
            list(schedule.steps),
            rigid_steps=_RIGID_STEPS,
            cubic=schedule.cubic,
            settled=schedule.settled * float(np.sqrt(np.diag(solver.nominal.covariance).sum())),
            most_fine_steps=max(schedule.most, schedule.steps[-1]),
            pixel_rows=levels[-1].pixel_waves[0],
            pixel_columns=levels[-1].pixel_waves[1],
        )
        size = np.array([levels[-1].basis.width, levels[-1].basis.height])
        # the correlation's own grid is that coarse
        self._reach_px = size // _REACH - (4 if size.min() >= 384 else 2 if size.min() >= 64 else 1)

    def track(self, frames: NDArray[Any], threads: int) -> Track:
        """Of frames (T, Y, X, C)."""
        found = self._engine.run(frames, threads)
        names = ("coefficients", "information", "right", "brightness", "start", "rigid")
        return Track(*(found[name].astype(np.float64) for name in names))

    def is_far(self, shift: Float64) -> NDArray[np.bool_]:
        """Whether shifts (T, 2) are at the end of the range that is searched, a quarter of the frame, or beyond it."""
        return np.asarray((np.abs(shift) >= self._reach_px).any(axis=1), np.bool_)
