"""The calibrated estimator: fields of any frames of a recording."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.bayes.bands import Bands
from galvo.motion.bayes.expansion import CosineExpansion
from galvo.motion.bayes.frames import checked_frames
from galvo.motion.bayes.knowledge import Knowledge
from galvo.motion.bayes.prior import inflate, outliers
from galvo.motion.bayes.report import BayesReport
from galvo.motion.bayes.safeguard import clip_elastic, elastic_limit_px, gain_over_rigid
from galvo.motion.bayes.solver import Solver
from galvo.motion.bayes.stored import from_bytes, to_bytes
from galvo.motion.bayes.temporal import HALO, TemporalPrior, learn_temporal
from galvo.motion.bayes.track import Track, Tracker
from galvo.motion.flags import Flag

__all__ = ["BayesPlan", "PerFrame"]

_EXTRA_STEPS = 2
_DOUBT = 2.0
# in 1 / px**2: the shift is known to 30 px
_LEAST_INFORMATION = 1e-3

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class PerFrame:
    """T frames before their neighbours in time are looked at: with the prior (T, N) and the flags (T,) of each."""

    track: Track
    variance: Float64
    flags: NDArray[np.uint32]


class BayesPlan:
    """What was learned from a reference and some frames; never changes, and is safe to share between threads.

    Attributes
    ----------
    knowledge : Knowledge
    expansion : CosineExpansion
        How its solver fields, coefficients (T, Ky, Kx, 2), become displacements.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        basis = knowledge.levels[-1].basis
        self.expansion = CosineExpansion(basis.height, basis.width, *basis.grid, basis.padding)
        bands = Bands.of(basis)
        active = knowledge.learned.active
        self._index, self._elastic = bands.index[active], ~bands.rigid[active]
        self._solver = Solver(knowledge.levels, knowledge.weights, knowledge.learned, 1)
        self._tracker = Tracker(self._solver, knowledge.schedule)
        traces = knowledge.learned.information[:, (0, 2)].sum(axis=(1, 2, 3))
        # what the prior is weighed against on the coarsest level
        self._coarse_part = min(1.0, float(traces[0]) / float(traces[-1])) if traces[-1] > 0 else 1.0
        self._limit_px = elastic_limit_px(self._solver.variance, self._elastic)

    @property
    def report(self) -> BayesReport:
        """What was learned, and what was switched off and why."""
        return self.knowledge.report

    @property
    def halo(self) -> int:
        """Neighbouring frames on each side that the field of a frame may depend on."""
        return HALO if self.knowledge.temporal is not None else 0

    def learned(self) -> dict[str, Any]:
        """The report, as JSON has it."""
        return asdict(self.report)

    def to_bytes(self) -> bytes:
        """A calibration that `from_bytes` makes an equal plan of."""
        return to_bytes(self.knowledge)

    @classmethod
    def from_bytes(cls, data: bytes, path: str | None = None) -> BayesPlan:
        """The plan that `to_bytes` was called of; `path` is where its bytes are from, for errors.

        Raises
        ------
        Malformed
            Not such bytes, or of a later version.
        """
        return cls(from_bytes(data, path))

    def __reduce__(self) -> tuple[Callable[[bytes], BayesPlan], tuple[bytes]]:
        return BayesPlan.from_bytes, (self.to_bytes(),)

    def solve(
        self, frames: NDArray[Any], *, first: int = 0, count: int | None = None, threads: int | None = None
    ) -> tuple[Float32, NDArray[np.uint32]]:
        """Fields and flags of `frames[first : first + count]`; the other frames are context.

        Parameters
        ----------
        frames : ndarray, (T, Y, X, C)
            In the recording's dtype. The first and the last one are taken for the ends of the recording.
        first, count : int
            By default all frames.
        threads : int, optional
            By default one per usable core; the result does not depend on it.

        Returns
        -------
        fields : ndarray of float32, (T, Ky, Kx, 2)
            Coefficients in pixels, x before y.
        flags : ndarray of uint32, (T,)
            Sums of `galvo.motion.flags.Flag`.

        Raises
        ------
        OptionError
            Frames of another shape than the reference, or frames that are not there.
        """
        basis, channels = self.knowledge.levels[-1].basis, len(self.knowledge.weights)
        frames = checked_frames(frames, (basis.height, basis.width, channels))
        count = len(frames) - first if count is None else count
        if not 0 <= first <= first + count <= len(frames):
            raise OptionError("no such frames", found=f"{count} from {first} on", expected=f"within {len(frames)}")
        begin, end = max(0, first - self.halo), min(len(frames), first + count + self.halo)
        if not count:
            return np.zeros((0, *self.expansion.solver_shape, 2), np.float32), np.zeros(0, np.uint32)
        pixels = np.ascontiguousarray(self.knowledge.units.apply(frames[begin:end]))
        found = self.per_frame(pixels, thread_count(threads))
        coefficients, flags = self._together(found, thread_count(threads))
        wanted = slice(first - begin, first - begin + count)
        fields = np.moveaxis(coefficients[wanted], 1, -1).astype(np.float32)
        return np.ascontiguousarray(fields), flags[wanted]

    def per_frame(self, pixels: NDArray[Any], threads: int) -> PerFrame:
        """Frames (T, Y, X, C) in the plan's units, each by itself."""
        solver = copy(self._solver)
        solver.threads = threads
        found = self._tracker.track(pixels, threads)
        flags = np.zeros(len(pixels), np.uint32)
        if pixels.dtype.kind == "f":
            flags[~np.isfinite(pixels).all(axis=(1, 2, 3))] |= np.uint32(Flag.NOT_FINITE)
        blind = found.information[:, (0, 2)].sum(axis=(1, 2, 3)) < _LEAST_INFORMATION
        blind |= self._is_lost(found.coefficients[:, :, 0, 0]) | self._is_lost(found.shift)
        flags[blind] |= np.uint32(Flag.NO_CONTRAST)
        for part in (found.coefficients, found.right, found.shift):
            part[blind] = 0.0
        flags[self._tracker.is_far(found.start)] |= np.uint32(Flag.OUT_OF_RANGE)
        estimates = found.coefficients[:, self.knowledge.learned.active]
        if self._elastic.any():
            penalty = (estimates**2 / solver.variance)[:, self._elastic].sum(axis=1) / 2 * self._coarse_part
            gain, deviation = gain_over_rigid(solver, pixels, found)
            flags[gain + _DOUBT * deviation < penalty] |= np.uint32(Flag.RIGID_FALLBACK)
        variance = np.tile(solver.variance, (len(pixels), 1))
        wide = outliers(estimates, solver.variance, solver.nominal.determined, self._index, self._elastic)
        for t in np.flatnonzero(wide & ((flags & np.uint32(Flag.RIGID_FALLBACK)) == 0)):
            variance[t] = inflate(estimates[t], solver.matrix, solver.variance, self._index, self._elastic)
            flags[t] |= np.uint32(Flag.INFLATED)
            self._again(solver, pixels[t : t + 1], slice(t, t + 1), found, variance[t])
        return PerFrame(found, variance, flags)

    def continuity(self, found: PerFrame, run_length: int) -> TemporalPrior:
        """What neighbouring frames say, learned from runs of `run_length` consecutive frames."""
        estimates = found.track.coefficients[:, self.knowledge.learned.active]
        determined = self._solver.nominal.determined
        return learn_temporal(estimates, found.variance, self._index, self._elastic, determined, run_length)

    def _again(self, solver: Solver, pixels: NDArray[Any], here: slice, found: Track, variance: Float64) -> None:
        """Another estimate of one frame, by prior variances (N,) of its own, in place of what was `found`."""
        grid = self.knowledge.learned.variance.copy()
        grid[self.knowledge.learned.active] = variance
        own = Solver(solver.levels, solver.weights, replace(self.knowledge.learned, variance=grid), solver.threads)
        coefficients = own.space.spread(own.solve(found.information[here], 1 / variance, found.right[here]))
        evidence = own.steps(-1, pixels, coefficients, found.brightness[here], _EXTRA_STEPS)
        found.coefficients[here] = evidence.coefficients
        found.information[here], _ = own.combine(evidence.blocks, -1)
        found.right[here] = own.evidence_vectors(evidence)
        found.brightness[here] = evidence.next_brightness

    def _together(self, found: PerFrame, threads: int) -> tuple[Float64, NDArray[np.uint32]]:
        """Coefficients (T, 2, Ky, Kx) by what neighbouring frames say, within what is believed; and flags."""
        flags = found.flags.copy()
        rigid = (flags & np.uint32(Flag.RIGID_FALLBACK)) != 0
        doubtful = rigid | ((flags & np.uint32(Flag.NO_CONTRAST)) != 0)
        coefficients = found.track.coefficients
        temporal = self.knowledge.temporal
        solver = copy(self._solver)
        solver.threads = threads
        if temporal is not None:
            mean, variance = temporal.predict(
                coefficients[:, self.knowledge.learned.active],
                found.variance,
                self._index,
                solver.nominal.determined,
                ~doubtful,
            )
            right = found.track.right + mean / variance
            coefficients = solver.space.spread(solver.solve(found.track.information, 1 / variance, right))
        coefficients, clipped = clip_elastic(coefficients, solver.space.rows, solver.space.columns, self._limit_px)
        flags[clipped & ~rigid] |= np.uint32(Flag.CLIPPED)
        coefficients[rigid] = 0.0
        coefficients[rigid, :, 0, 0] = found.track.shift[rigid]
        flags[self._tracker.is_far(coefficients[:, :, 0, 0])] |= np.uint32(Flag.OUT_OF_RANGE)
        lost = self._is_lost(coefficients[:, :, 0, 0])
        coefficients[lost] = 0.0
        flags[lost] |= np.uint32(Flag.NO_CONTRAST)
        return coefficients, flags

    def _is_lost(self, shift: Float64) -> NDArray[np.bool_]:
        """Where shifts (T, 2) lead out of half of the frame: twice what is searched, so nothing holds them."""
        basis = self.knowledge.levels[-1].basis
        # what is no number is lost too
        return np.asarray(~(np.abs(shift) <= np.array([basis.width, basis.height]) / 2).all(axis=1), np.bool_)
