"""What a recording's frames teach: scale of the noise, prior of the motion, and how it goes on in time.

Order matters. With a noise scale taken at face value and a loose prior, a dark movie is over-fitted, and a prior that
is learned from that confirms it. So the scale is first measured with rigid motion only, a first prior comes from the
coarsest grid, and only then do elastic estimates and the prior refine each other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.bands import Bands
from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.dispersion import dispersion
from galvo.motion.bayes.levels import Level
from galvo.motion.bayes.modes import ModeSpace
from galvo.motion.bayes.normal_equations import own_information
from galvo.motion.bayes.prior import RIGID_VARIANCE, learn_prior
from galvo.motion.bayes.solver import Evidence, Learned, Solver
from galvo.motion.bayes.track import Schedule, Tracker

__all__ = ["calibrate"]

_FINE_STEPS = 2
_RIGID_STEPS = 2
_RIGID_FRAMES = 24
_ROUNDS = 2
_UPDATES = 2
_FIRST_PHI = (1.0, 50.0)
_LEAST_PHI = 0.3
_GENERIC = 16.0
_GENERIC_SLOPE = -3.0
_LOOSER, _LEAST_FIRST = 4.0, 1e-3
_FIRST_ORDER = 11.0
_LEAST_INFORMATION = 0.02

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


def calibrate(
    basis: CosineBasis, levels: tuple[Level, ...], frames: NDArray[Any], weights: Float64, threads: int
) -> Solver:
    """Learn from frames (T, Y, X, C): a solver that knows."""
    learned = _first_prior(basis, levels, frames, weights, threads)
    schedule = Schedule.of(len(levels), 1, cubic=True)
    for _ in range(_ROUNDS):
        solver = Solver(levels, weights, learned, threads)
        found = Tracker(solver, schedule).track(frames, threads)
        evidence = solver.steps(-1, frames, found.coefficients, found.brightness, _FINE_STEPS - 1)
        for update in range(_UPDATES):
            if update:
                coefficients = solver.resolve(evidence)
                evidence = solver.steps(-1, frames, coefficients, evidence.next_brightness, _FINE_STEPS)
            solver = Solver(levels, weights, _update(solver, evidence, selective=update == _UPDATES - 1), threads)
        learned = solver.learned
    return solver


def _first_prior(
    basis: CosineBasis, levels: tuple[Level, ...], frames: NDArray[Any], weights: Float64, threads: int
) -> Learned:
    """Noise scale of each level after rigid motion only, and a wide prior from what the coarsest one shows."""
    bands = Bands.of(basis)
    own = np.stack([np.einsum("cibx,c->ibx", own_information(level), weights) for level in levels])
    still = Learned(np.ones((len(levels), len(weights))), np.where(bands.rigid, RIGID_VARIANCE, 0.0), bands.rigid, own)
    solver = Solver(levels, weights, still, threads)
    some = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _RIGID_FRAMES)).round().astype(int))
    frames = np.ascontiguousarray(frames[some])
    first = Tracker(solver, Schedule.of(len(levels), 1, cubic=False)).track(frames, threads)
    coefficients, brightness = first.coefficients, first.brightness
    found = []
    for place in range(len(levels)):
        evidence = solver.steps(place, frames, coefficients, brightness, _RIGID_STEPS)
        coefficients, brightness = evidence.coefficients, evidence.next_brightness
        found.append(evidence)
    phi = np.clip([dispersion(evidence.blocks) for evidence in found], *_FIRST_PHI)
    information = np.stack([_typical(evidence, weights / scale) for evidence, scale in zip(found, phi, strict=True)])
    order = np.stack([np.maximum(basis.order, 0.5)] * 2)
    generic = np.where(bands.rigid, RIGID_VARIANCE, _GENERIC * order**_GENERIC_SLOPE)
    # finer shells are beyond the coarsest level, and many
    active = _informed(basis, levels[0], information[0], generic) & (order < _FIRST_ORDER)
    loose = Solver(levels, weights, Learned(phi, generic, active, information), threads)
    estimates = loose.resolve(found[0], 0)[:, active]
    variance = learn_prior(estimates, loose.space.matrix(information[0]), generic, bands, active)
    beyond = order >= _FIRST_ORDER
    edge = variance[active & ~bands.rigid].min(initial=np.inf)
    variance[beyond] = (edge * (order / _FIRST_ORDER) ** _GENERIC_SLOPE)[beyond]
    variance = np.minimum(generic, _LOOSER * variance + _LEAST_FIRST * order**_GENERIC_SLOPE)
    variance[bands.rigid] = RIGID_VARIANCE
    return Learned(phi, variance, _informed(basis, levels[-1], information[-1], variance), information)


def _update(solver: Solver, evidence: Evidence, *, selective: bool) -> Learned:
    """Noise scale of the finest level and prior, by the estimates of now."""
    levels, old = solver.levels, solver.learned
    basis = levels[-1].basis
    phi = old.phi.copy()
    phi[-1] = np.maximum(dispersion(evidence.blocks), _LEAST_PHI)
    information = old.information.copy()
    information[-1] = _typical(evidence, solver.weights / phi[-1])
    rescaled = Solver(levels, solver.weights, Learned(phi, old.variance, old.active, information), solver.threads)
    estimates = rescaled.resolve(evidence)[:, old.active]
    matrix = rescaled.space.matrix(information[-1])
    variance = learn_prior(estimates, matrix, old.variance, Bands.of(basis), old.active, selective=selective)
    return Learned(phi, variance, _informed(basis, levels[-1], information[-1], variance), information)


def _typical(evidence: Evidence, scale: Float64) -> Float64:
    """Mean J over frames, all channels together, (3, By, Bx)."""
    total: Float64 = np.einsum("tcibx,c->ibx", evidence.blocks[:, :, :3], scale)
    return total / len(evidence.blocks)


def _informed(basis: CosineBasis, level: Level, information: Float64, variance: Float64) -> NDArray[np.bool_]:
    """Coefficients that the data of a frame determine by more than 2 %, and the rigid shift."""
    kept = np.stack([basis.kept] * 2)
    power = ModeSpace(*level.block_waves, kept).diagonal(information)
    return kept & ((variance * power >= _LEAST_INFORMATION) | Bands.of(basis).rigid)
