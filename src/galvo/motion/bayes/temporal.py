"""What the frames before and after say about a frame's elastic motion.

Each band's coefficients, in units of their prior deviation, are regressed on those of their neighbours in time. The
per-frame estimates that it is learned from have independent noise, so the regression is the Wiener predictor. Its
error, measured with the frame left out, becomes the prior variance around the prediction. The rigid shift stays per
frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HALO", "LEAST_FRAMES", "TemporalPrior", "learn_temporal"]

HALO = 2
LEAST_FRAMES = 8
_OFF_ABOVE = 0.9
_NOISE_PART = 0.7
_LEAST_PART, _LEAST = 0.15, 0.01
_SKIP_ABOVE = 0.8
_RIDGE = 1.0
# neighbours of each way of predicting, and pairs of them whose weights are equal; backwards ways are mirrored
_WAYS: tuple[tuple[tuple[int, ...], ...], ...] = (((-1, 1), (-2, 2)), ((-1,), (1,), (2,)), ((1,), (2,)))
_TERMS = max(len(way) for way in _WAYS)

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class TemporalPrior:
    """Predictors of B bands in each way: from both sides, from one before and two behind, from two behind.

    Attributes
    ----------
    bands : ndarray of intp, (B,)
    weights : ndarray, (B, 3, 3)
        Of the neighbours' terms.
    fraction : ndarray, (B, 3)
        Error of prediction over energy, with the predicted frame left out.
    noise : ndarray, (B, 3)
        Share of estimation noise in the energy.
    energy : ndarray, (B, 3)
        Mean weighted energy of a frame in units of its prior.
    """

    bands: NDArray[np.intp]
    weights: Float64
    fraction: Float64
    noise: Float64
    energy: Float64

    @property
    def variance_part(self) -> Float64:
        """Prior variance around the prediction over that without one, (B, 3)."""
        return np.clip(self.fraction - _NOISE_PART * self.noise, _LEAST_PART * self.fraction + _LEAST, 1.0)

    @property
    def used(self) -> Mask:
        """Whether a band is predicted in a way at all, (B, 3)."""
        used: Mask = (self.fraction <= _OFF_ABOVE) & (self.variance_part <= _SKIP_ABOVE)
        return used

    def predict(
        self,
        estimates: Float64,
        variance: Float64,
        index: NDArray[np.intp],
        determined: Float64,
        trusted: Mask,
    ) -> tuple[Float64, Float64]:
        """Prior mean and variance of consecutive frames, both (T, N).

        Parameters
        ----------
        estimates, variance : ndarray, (T, N)
            Per-frame estimates and their prior variances.
        index : ndarray of intp, (N,)
            Band of each coefficient.
        determined : ndarray, (N,)
            Part of each coefficient that data determine.
        trusted : ndarray of bool, (T,)
            Frames that may predict others.
        """
        mean, narrowed = np.zeros_like(estimates), variance.copy()
        deviation = np.sqrt(variance)
        scaled = estimates / deviation
        places = [np.flatnonzero(index == band) for band in self.bands]
        for way, reverse, times in _assignments(trusted):
            terms = _terms(scaled, times, way, reverse)
            for row in np.flatnonzero(self.used[:, way]).tolist():
                spot = np.ix_(times, places[row])
                weight = determined[places[row]]
                guess = sum(term[:, places[row]] * self.weights[row, way, i] for i, term in enumerate(terms))
                miss = np.ascontiguousarray(weight * (scaled[spot] - guess) ** 2).sum(axis=1)
                wider = self._widened(row, way, miss, max(float(weight.sum()), 0.5))
                believed = (wider <= _SKIP_ABOVE)[:, None]
                mean[spot] = np.where(believed, guess * deviation[spot], 0.0)
                narrowed[spot] = variance[spot] * np.where(believed, wider[:, None], 1.0)
        return mean, narrowed

    def _widened(self, row: int, way: int, miss: Float64, freedom: float) -> Float64:
        """Part of the prior variance that is left around predictions with these errors, (T,)."""
        ratio = miss / max(float(self.fraction[row, way] * self.energy[row, way]), 1e-12)
        surprising = ratio > 1 + 2 * np.sqrt(2 / freedom)
        part: Float64 = np.where(surprising, ratio, 1.0) * self.variance_part[row, way]
        return part


def learn_temporal(
    estimates: Float64,
    variance: Float64,
    index: NDArray[np.intp],
    elastic: Mask,
    determined: Float64,
    run_length: int,
) -> TemporalPrior:
    """From per-frame estimates (T, N) with prior variances (T, N), in runs of `run_length` consecutive frames."""
    scaled = estimates / np.sqrt(variance)
    bands = np.unique(index[elastic])
    shape = (len(bands), len(_WAYS))
    weights, fraction = np.zeros((*shape, _TERMS)), np.ones(shape)
    noise, energy = np.ones(shape), np.ones(shape)
    inner = np.array(
        [t for t in range(len(scaled)) if HALO <= t % run_length < _run(t, run_length, len(scaled)) - HALO]
    )
    if len(inner) >= LEAST_FRAMES - 2 * HALO:
        for row, band in enumerate(bands):
            places = np.flatnonzero(index == band)
            for way in range(len(_WAYS)):
                found = _regress(scaled, places, inner, way, determined[places])
                weights[row, way, : len(found[0])], fraction[row, way], noise[row, way], energy[row, way] = found
    return TemporalPrior(bands, weights, fraction, noise, energy)


def _run(t: int, run_length: int, count: int) -> int:
    """Length of the run that frame t is in."""
    return min(run_length, count - t // run_length * run_length)


def _regress(
    scaled: Float64, places: NDArray[np.intp], inner: NDArray[np.intp], way: int, weight: Float64
) -> tuple[Float64, float, float, float]:
    directions = (False,) if way == 0 else (False, True)
    terms = np.concatenate([np.stack(_terms(scaled[:, places], inner, way, reverse), 2) for reverse in directions])
    target = np.concatenate([scaled[np.ix_(inner, places)]] * len(directions))
    frame = np.tile(np.arange(len(inner)), len(directions))
    squares = np.einsum("tnp,tnq,n->tpq", terms, terms, weight)
    products = np.einsum("tnp,tn,n->tp", terms, target, weight)
    ridge = np.eye(terms.shape[2]) * (_RIDGE * float(weight.mean()) + 1e-6)
    whole_squares, whole_products = squares.sum(axis=0) + ridge, products.sum(axis=0)
    error = 0.0
    for t in range(len(inner)):
        out = frame == t
        left = np.linalg.solve(whole_squares - squares[out].sum(axis=0), whole_products - products[out].sum(axis=0))
        error += float((weight * (target[out] - terms[out] @ left) ** 2).sum())
    energy = (weight * target**2).sum(axis=1)
    total = max(float(energy.sum()), 1e-12)
    noise = float((weight * (1 - weight) * weight).sum()) * len(target) / total
    return np.linalg.solve(whole_squares, whole_products), error / total, noise, float(energy.mean())


def _terms(scaled: Float64, times: NDArray[np.intp], way: int, reverse: bool) -> list[Float64]:
    sign = -1 if reverse else 1
    return [np.asarray(sum(scaled[times + sign * step] for step in steps)) for steps in _WAYS[way]]


def _assignments(trusted: Mask) -> list[tuple[int, bool, NDArray[np.intp]]]:
    """Way and direction of each of consecutive frames; those without enough trusted neighbours are in none."""
    count = len(trusted)
    found: list[tuple[int, bool, NDArray[np.intp]]] = []
    taken = ~trusted
    for way, steps in enumerate(_WAYS):
        reach = np.array([step for term in steps for step in term])
        for reverse in (False, True):
            places = np.arange(count)[:, None] + (-reach if reverse else reach)
            there = ((places >= 0) & (places < count)).all(axis=1)
            free = there & trusted[np.clip(places, 0, count - 1)].all(axis=1) & ~taken
            taken |= free
            if free.any():
                found.append((way, reverse, np.flatnonzero(free)))
    return found
