"""Gauss-Newton steps on one grid, for many frames, with what has been learned so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.levels import Level
from galvo.motion.bayes.modes import ModeSpace
from galvo.motion.bayes.normal_equations import linearise
from galvo.motion.bayes.prior import Posterior, posterior

__all__ = ["Evidence", "Learned", "Solver", "next_brightness"]

_GAIN_DEVIATION = 0.05
_GAINS = (0.5, 2.0)

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """T frames at their last linearisation.

    Attributes
    ----------
    coefficients : ndarray, (T, 2, Ky, Kx)
    centre : ndarray, (T, 2, Ky, Kx)
        Where they were linearised.
    blocks : ndarray, (T, C, 5, By, Bx)
        Sums as `linearise` gives them: without phi and weights.
    brightness, next_brightness : ndarray, (T, C, 2)
        Gain and offset of the frames over the reference, as used in and as found by the linearisation.
    energy : ndarray, (T, C)
    """

    coefficients: Float64
    centre: Float64
    blocks: Float64
    brightness: Float64
    next_brightness: Float64
    energy: Float64


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Everything but pixels that a step depends on.

    Attributes
    ----------
    phi : ndarray, (L, C)
        Dispersion per level and channel.
    variance : ndarray, (2, Ky, Kx)
        Prior.
    active : ndarray of bool, (2, Ky, Kx)
        Coefficients that data say anything about.
    information : ndarray, (L, 3, By, Bx)
        J of a typical frame on each level, all channels together.
    """

    phi: Float64
    variance: Float64
    active: NDArray[np.bool_]
    information: Float64


class Solver:
    """Gauss-Newton steps with what has been learned so far."""

    def __init__(self, levels: tuple[Level, ...], weights: Float64, learned: Learned, threads: int) -> None:
        self.levels, self.weights, self.learned, self.threads = levels, weights, learned, threads
        self.space = ModeSpace(*levels[-1].block_waves, learned.active)
        self.variance = learned.variance[learned.active]
        self.matrix = self.space.matrix(learned.information[-1])
        """``Phi^T J Phi`` of a typical frame on the finest level, (N, N)."""
        self.posteriors = [
            *(posterior(self.space.matrix(part), self.variance) for part in learned.information[:-1]),
            posterior(self.matrix, self.variance),
        ]

    @property
    def nominal(self) -> Posterior:
        """What a typical frame leaves open."""
        return self.posteriors[-1]

    def combine(self, blocks: Float64, level: int) -> tuple[Float64, Float64]:
        """Information (T, 3, By, Bx) and score (T, 2, By, Bx) of all channels, of sums (T, C, 5, By, Bx)."""
        scale = self.weights / self.learned.phi[level]
        together = np.einsum("tcibx,c->tibx", blocks, scale)
        return together[:, :3], together[:, 3:]

    def steps(
        self,
        level: int,
        frames: NDArray[Any],
        coefficients: Float64,
        brightness: Float64,
        count: int,
        *,
        cubic: bool = True,
    ) -> Evidence:
        """`count` steps of frames (T, Y, X, C) from `coefficients`."""
        coefficients = np.where(self.learned.active, coefficients, 0.0)
        for _ in range(count):
            sums = linearise(self.levels[level], frames, coefficients, brightness, cubic=cubic, threads=self.threads)
            centre, used = coefficients, brightness
            information, score = self.combine(sums.blocks, level)
            right = self.space.gather(score) - centre[:, self.learned.active] / self.variance
            change = self.solve(information, 1 / self.variance, right, level)
            coefficients = centre + self.space.spread(change)
            brightness = next_brightness(sums.regression, self.learned.phi[level])
        return Evidence(coefficients, centre, sums.blocks, used, brightness, sums.energy)

    def resolve(self, evidence: Evidence, level: int = -1) -> Float64:
        """Coefficients (T, 2, Ky, Kx) by the prior of now, from sums that were taken under another."""
        right = self.evidence_vectors(evidence, level)
        information, _ = self.combine(evidence.blocks, level)
        return self.space.spread(self.solve(information, 1 / self.variance, right, level))

    def solve(self, information: Float64, precision: Float64, right: Float64, level: int = -1) -> Float64:
        """Of ``(Phi^T J Phi + P^-1) d = g``: (T, N), with the precision (N,) or (T, N)."""
        return self.space.solve(information, precision, right, self.posteriors[level].covariance, self.threads)

    def evidence_vectors(self, evidence: Evidence, level: int = -1) -> Float64:
        """``Phi^T (b + J w0)`` with the displacement w0 of the linearisation, (T, N)."""
        information, score = self.combine(evidence.blocks, level)
        return self.space.gather(score + self.space.weigh(information, evidence.centre))


def next_brightness(sums: Float64, phi: Float64) -> Float64:
    """Gain and offset (T, C, 2) from weighted sums, the gain held near 1."""
    w, wr, wrr, wf, wrf = np.moveaxis(sums, -1, 0)
    some = w > 0
    total = np.where(some, w, 1.0)
    r, f = wr / total, wf / total
    prior = 1 / _GAIN_DEVIATION**2
    gain = np.clip(((wrf - wr * f) / phi + prior) / ((wrr - wr * r) / phi + prior), *_GAINS)
    return np.stack([np.where(some, gain, 1.0), np.where(some, f - gain * r, 0.0)], -1)
