"""A frame's motion by itself: rigid start, coarse to fine, and what a rigid shift alone would have explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.motion.bayes.normal_equations import linearise
from galvo.motion.bayes.objective import misfits
from galvo.motion.bayes.solver import Solver, next_brightness
from galvo.motion.bayes.start import RigidStart

__all__ = ["Schedule", "Track", "track"]

_RIGID_STEPS = 3

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps per level, coarse to fine, and whether the finest interpolates with cubics."""

    steps: tuple[int, ...]
    cubic: bool


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
    energy : ndarray, (T, C)
    start, shift : ndarray, (T, 2)
        Where correlation begins, and the best rigid motion, along x and y in pixels.
    objective : ndarray, (T, 2)
        Penalised misfit on the coarsest level of the rigid and of the elastic motion.
    """

    coefficients: Float64
    information: Float64
    right: Float64
    brightness: Float64
    energy: Float64
    start: Float64
    shift: Float64
    objective: Float64


def track(solver: Solver, start: RigidStart, frames: NDArray[Any], schedule: Schedule) -> Track:
    """Of frames (T, Y, X, C)."""
    count, channels = len(frames), frames.shape[3]
    first = np.zeros((count, 2, *solver.space.active.shape[1:]))
    first[:, :, 0, 0] = [start.shift(np.moveaxis(frame, -1, 0)) for frame in frames]
    unchanged = np.tile([1.0, 0.0], (count, channels, 1))
    coefficients, brightness = first, unchanged
    for place, steps in enumerate(schedule.steps):
        fine = place == len(schedule.steps) - 1
        evidence = solver.steps(place, frames, coefficients, brightness, steps, cubic=schedule.cubic and fine)
        coefficients, brightness = evidence.coefficients, evidence.next_brightness
    information, _ = solver.combine(evidence.blocks, -1)
    rigid = _rigid(solver, frames, first, unchanged)
    return Track(
        coefficients,
        information,
        solver.evidence_vectors(evidence),
        brightness,
        evidence.energy,
        first[:, :, 0, 0],
        rigid[:, :, 0, 0],
        _objectives(solver, frames, rigid, coefficients, brightness),
    )


def _rigid(solver: Solver, frames: NDArray[Any], coefficients: Float64, brightness: Float64) -> Float64:
    """The best rigid motion on the coarsest level."""
    rigid = coefficients
    for _ in range(_RIGID_STEPS):
        sums = linearise(solver.levels[0], frames, rigid, brightness, cubic=False, threads=solver.threads)
        information, score = solver.combine(sums.blocks, 0)
        j11, j12, j22 = information.sum(axis=(2, 3)).T
        bx, by = score.sum(axis=(2, 3)).T
        determinant = j11 * j22 - j12 * j12
        known = determinant > 1e-12 * (j11 + j22) ** 2
        scale = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=known)
        rigid = rigid.copy()
        rigid[:, 0, 0, 0] += scale * (j22 * bx - j12 * by)
        rigid[:, 1, 0, 0] += scale * (j11 * by - j12 * bx)
        brightness = next_brightness(sums.regression, solver.learned.phi[0])
    return rigid


def _objectives(
    solver: Solver, frames: NDArray[Any], rigid: Float64, elastic: Float64, brightness: Float64
) -> Float64:
    level = solver.levels[0]
    binned = native.bayes_bin(frames, level.scale, solver.threads)
    sums = linearise(level, frames, elastic, brightness, cubic=False, threads=solver.threads)
    rows, columns = level.pixel_waves
    fields = tuple(
        native.bayes_synthesize(part.astype(np.float32), rows, columns, solver.threads) for part in (rigid, elastic)
    )
    scale = solver.weights / solver.learned.phi[0]
    found = misfits(level, binned, (fields[0], fields[1]), brightness, sums.energy.astype(np.float64), scale)
    moved = elastic[:, solver.learned.active]
    found[:, 1] += 0.5 * (moved**2 / solver.variance).sum(axis=1)
    return found
