"""The default estimator, before it has seen a recording."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.bayes.bands import Bands
from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.calibration import calibrate
from galvo.motion.bayes.frames import Units, checked_frames, reference_images
from galvo.motion.bayes.knowledge import Knowledge
from galvo.motion.bayes.levels import build_levels, choose_gradient
from galvo.motion.bayes.noise_line import NoiseLine, measure_noise
from galvo.motion.bayes.plan import BayesPlan
from galvo.motion.bayes.report import report_of
from galvo.motion.bayes.safeguard import is_worth_it
from galvo.motion.bayes.solver import Solver
from galvo.motion.bayes.temporal import LEAST_FRAMES, TemporalPrior
from galvo.motion.bayes.track import Schedule
from galvo.motion.params import MotionParams, Preset
from galvo.motion.reference import Reference

__all__ = ["BayesEstimator"]

_MOST_FRAMES = 64
_RUN = 8
_USUAL_REFERENCE_NOISE = 0.02
_MUCH_SCATTER = 3.0
# steps on the finest level, cubics, and when they end
_FINE: dict[Preset, tuple[int, bool, float]] = {
    "fast": (1, False, 0.0),
    "balanced": (1, True, 1.0),
    "quality": (2, True, 0.2),
}

Float64 = NDArray[np.float64]


class BayesEstimator:
    """Gauss-Newton steps on a cosine basis, with noise, prior and continuity in time learned from the recording.

    Parameters
    ----------
    params : MotionParams
        `preset` and `channel_weights` matter; nothing else is to be set.
    """

    def __init__(self, params: MotionParams | None = None) -> None:
        self._params = MotionParams() if params is None else params

    def calibrate(
        self,
        frames: NDArray[Any],
        reference: Reference,
        *,
        run_length: int | None = None,
        threads: int | None = None,
    ) -> BayesPlan:
        """Learn from frames of a recording.

        Parameters
        ----------
        frames : ndarray, (T, Y, X, C)
            Real numbers, at least one frame. Of more than 64, runs spread over them are used.
        reference : Reference
            What frames are registered to, (Y, X, C).
        run_length : int, optional
            `frames` are runs of so many consecutive frames; None: all of them are consecutive.
        threads : int, optional
            By default one per usable core; the result does not depend on it.

        Raises
        ------
        OptionError
            No real numbers, shapes that do not fit, frames below 8 x 8 pixels, or none at all.
        """
        threads = thread_count(threads)
        frames = checked_frames(frames, reference.image.shape)
        if not len(frames):
            raise OptionError("nothing to learn from", found="0 frames")
        if run_length is not None and run_length < 1:
            raise OptionError("a run has at least one frame", found=run_length)
        frames, run = _sampled(frames, len(frames) if run_length is None else run_length)
        units = Units.of(reference.image, frames.dtype)
        pixels = np.ascontiguousarray(units.apply(frames))
        images, valid = reference_images(reference.image, units)
        weights = self._weights(len(images))
        fraction = 1 / reference.frame_count if reference.frame_count else _USUAL_REFERENCE_NOISE
        noise = tuple(measure_noise(pixels[..., c], images[c], fraction) for c in range(len(images)))
        halves = None if reference.halves is None else tuple(reference_images(h, units)[0] for h in reference.halves)
        gradients = tuple(
            choose_gradient(
                images[c], None if halves is None else (halves[0][c], halves[1][c]), reference.frame_count, noise[c]
            )
            for c in range(len(images))
        )
        basis = CosineBasis(*images.shape[1:])
        levels = build_levels(basis, images, valid, noise, gradients)
        solver = calibrate(basis, levels, pixels, weights, threads)
        remarks = _channel_remarks(levels[-1].planes, weights, noise, solver.learned.phi[-1])
        solver, elastic = _unless_worthless(solver, threads, remarks)
        schedule = Schedule.of(len(levels), *_FINE[self._params.preset])
        knowledge = Knowledge(
            levels,
            weights,
            units,
            solver.learned,
            None,
            schedule,
            report_of(solver, None, len(pixels), units, noise, gradients, ()),
        )
        temporal = None
        if elastic:
            temporal = _continuity(BayesPlan(knowledge), pixels, run, threads, remarks)
        report = report_of(solver, temporal, len(pixels), units, noise, gradients, tuple(remarks))
        return BayesPlan(replace(knowledge, temporal=temporal, report=report))

    def _weights(self, channels: int) -> Float64:
        weights = self._params.weights_of(channels)
        return np.ones(channels) if weights is None else np.array(weights, np.float64) / max(weights)


def _sampled(frames: NDArray[Any], run_length: int) -> tuple[NDArray[Any], int]:
    """At most 64 frames, in runs, and the length of these."""
    if len(frames) <= _MOST_FRAMES:
        return frames, run_length
    length = min(run_length, _RUN)
    runs = [t for first in range(0, len(frames), run_length) for t in _starts(first, run_length, len(frames), length)]
    chosen = np.unique(np.linspace(0, len(runs) - 1, _MOST_FRAMES // length).round().astype(int))
    return np.concatenate([frames[runs[i] : runs[i] + length] for i in chosen]), length


def _starts(first: int, run_length: int, count: int, length: int) -> range:
    return range(first, min(first + run_length, count) - length + 1, length)


def _channel_remarks(
    planes: NDArray[np.float32], weights: Float64, noise: tuple[NoiseLine, ...], phi: Float64
) -> list[str]:
    remarks = []
    for c, (plane, weight, line, scatter) in enumerate(zip(planes, weights, noise, phi, strict=True)):
        if weight == 0:
            remarks.append(f"channel {c} is not used: its weight is 0")
        elif (plane[3] * (plane[1] ** 2 + plane[2] ** 2)).sum(dtype=np.float64) < 1e-3:
            remarks.append(f"channel {c} is not used: its reference has no contrast")
        elif line.source == "none":
            remarks.append(f"channel {c}: no noise was found, the model's error stands for it")
        elif scatter > _MUCH_SCATTER:
            remarks.append(
                f"channel {c}: its frames vary {scatter:.1f} times as much as photon noise explains, and count less"
            )
    return remarks


def _unless_worthless(solver: Solver, threads: int, remarks: list[str]) -> tuple[Solver, bool]:
    """The solver, made rigid where elastic motion cannot be measured; and whether it is elastic."""
    rigid = Bands.of(solver.levels[-1].basis).rigid
    elastic = ~rigid[solver.learned.active]
    if not elastic.any():
        remarks.append("elastic motion is off: the frames show none, or cannot tell it from noise")
    elif not is_worth_it(solver.variance, elastic, solver.nominal):
        remarks.append("elastic motion is off: noise hides most of it")
    else:
        return solver, True
    learned = replace(solver.learned, active=rigid)
    return Solver(solver.levels, solver.weights, learned, threads), False


def _continuity(
    plan: BayesPlan, pixels: NDArray[Any], run_length: int, threads: int, remarks: list[str]
) -> TemporalPrior | None:
    """What neighbouring frames say, learned from the estimates that it will be used on."""
    if min(run_length, len(pixels)) < 5 or len(pixels) < LEAST_FRAMES:
        remarks.append(f"neighbouring frames are not used: that is learned from {LEAST_FRAMES} frames or more")
        return None
    found = plan.per_frame(pixels, threads)
    temporal = plan.continuity(found, run_length)
    if not temporal.used.any():
        remarks.append("neighbouring frames are not used: they do not predict each other")
        return None
    return temporal
