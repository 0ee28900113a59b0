"""The prior variance of each band, learned from the motion itself.

Empirical Bayes by MacKay's fixed point (1992): a band's variance is the energy of its estimated coefficients over the
number of them that the data determine. The energy comes from ``c = (H + P^-1)^-1 h`` with one information matrix H for
all frames, and ``h = (H + P^-1) c`` of their estimates: with a frame's own matrix the large rigid shift would leak into
fine modes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.bands import CLASSES, RIGID, Bands, non_increasing

__all__ = ["RIGID_VARIANCE", "Posterior", "inflate", "learn_prior", "posterior"]

RIGID_VARIANCE = 1e6
_LEAST, _MOST = 1e-7, 1e4
_ROUNDS = 30
_STEP = 8.0
_SETTLED = 0.05
_ISOTROPIC_COUNT = 2.0
_ROW_COUNT = 12.0
_INFLATION = 4.5
_INFLATION_ROUNDS = 8

Float64 = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """What an information matrix and prior variances (N,) leave open.

    Attributes
    ----------
    covariance : ndarray, (N, N)
    determined : ndarray, (N,)
        Part of each coefficient that data determine, 0 to 1: ``1 - S_kk / lambda_k``.
    """

    covariance: Float64
    determined: Float64


def posterior(information: Float64, variance: Float64) -> Posterior:
    """Of an information matrix (N, N) and prior variances (N,)."""
    # scaled, so that wide and narrow priors meet in a matrix that is well conditioned
    scale = np.sqrt(variance)
    inner = np.linalg.inv(information * scale[:, None] * scale + np.eye(len(scale)))
    inner = (inner + inner.T) / 2
    return Posterior(inner * scale[:, None] * scale, np.clip(1 - np.diag(inner), 1e-9, 1.0))


def learn_prior(
    estimates: Float64,
    information: Float64,
    variance: Float64,
    bands: Bands,
    active: NDArray[np.bool_],
    *,
    selective: bool = False,
) -> Float64:
    """Prior variances after the fixed point.

    Parameters
    ----------
    estimates : ndarray, (T, N)
        Coefficients with their own prior `variance`.
    information : ndarray, (N, N)
        Mean over frames.
    variance : ndarray, (2, Ky, Kx)
        Prior that the estimates were made with.
    bands : Bands
    active : ndarray of bool, (2, Ky, Kx)
        The N coefficients.
    selective : bool
        Switch off bands without evidence. Not before estimates have settled: what is off stays off.

    Returns
    -------
    ndarray, (2, Ky, Kx)
        For every coefficient, active or not.
    """
    count = len(estimates)
    current = variance[active]
    evidence = estimates @ information + estimates / current
    families = _families(bands, active)
    learned = {family: float(current[places].mean()) for family, places in families.items()}
    for _ in range(_ROUNDS):
        found = posterior(information, current)
        energy = ((evidence @ found.covariance) ** 2).sum(axis=0)
        before = dict(learned)
        data = {family: count * float(found.determined[places].sum()) for family, places in families.items()}
        total = {family: float(energy[places].sum()) for family, places in families.items()}
        shells = sorted(band for kind, band in families if kind == 0)
        values, weights = [], []
        for band in shells:
            family = (0, band)
            value = (total[family] + before[family]) / (data[family] + _ISOTROPIC_COUNT)
            values.append(_limited(value, before[family]))
            weights.append(data[family] + 1)
        smooth = np.exp(non_increasing(np.log(np.array(values)), np.array(weights)))
        learned.update(((0, band), float(value)) for band, value in zip(shells, smooth, strict=True))
        for family in families:
            if family[0]:
                # a shell that has nothing but rows has none to lean on
                usual = learned.get((0, family[1]), before[family])
                value = (total[family] + _ROW_COUNT * usual) / (data[family] + _ROW_COUNT)
                learned[family] = _limited(value, before[family])
        for family, places in families.items():
            learned[family] = float(np.clip(learned[family], _LEAST, _MOST))
            current[places] = learned[family]
        if max((abs(np.log(learned[f] / before[f])) for f in families), default=0.0) < _SETTLED:
            break
    if selective:
        _switch_off(learned, families, information, current, evidence)
    return _everywhere(learned, bands, variance)


def _limited(value: float, before: float) -> float:
    return float(np.clip(value, before / _STEP, before * _STEP))


def _families(bands: Bands, active: NDArray[np.bool_]) -> dict[tuple[int, int], Places]:
    """Places among the active coefficients of each class and shell but the rigid one."""
    shell, group = bands.shell[active], bands.group[active]
    pairs = sorted({(int(kind), int(band)) for kind, band in zip(group, shell, strict=True) if band != RIGID})
    return {(kind, band): np.flatnonzero((group == kind) & (shell == band)) for kind, band in pairs}


def _switch_off(
    learned: dict[tuple[int, int], float],
    families: dict[tuple[int, int], Places],
    information: Float64,
    current: Float64,
    evidence: Float64,
) -> None:
    """Give the least variance to bands that the data do not speak for.

    A band's log evidence, over that of no motion in it, has to exceed half the logarithm of the number of data
    (Schwarz 1978). A shell is on if it or a finer one does; rows of a shell that is off need evidence of their own.
    """
    count = len(evidence)
    found = posterior(information, current)
    energy = ((evidence @ found.covariance) ** 2).sum(axis=0)
    open_ = 1 - found.determined
    gain = (energy / (current * open_) + count * np.log(open_)) / 2
    proven = {
        family: bool(gain[places].sum() > np.log(count * len(places)) / 2) for family, places in families.items()
    }
    finest = max((band for (kind, band), yes in proven.items() if yes and kind == 0), default=RIGID)
    for family, yes in proven.items():
        if family[1] > finest and not yes:
            learned[family] = _LEAST


def _everywhere(learned: dict[tuple[int, int], float], bands: Bands, variance: Float64) -> Float64:
    """Variances of all coefficients; a band without an active one keeps no more than the least that was learned."""
    result = np.minimum(variance, min(learned.values(), default=np.inf))
    for (kind, band), value in learned.items():
        result[(bands.group == kind) & (bands.shell == band)] = value
    result[bands.rigid] = RIGID_VARIANCE
    return result


def inflate(
    estimate: Float64,
    information: Float64,
    variance: Float64,
    index: Places,
    rigid: NDArray[np.bool_],
    nominal: Posterior,
) -> Float64 | None:
    """Wider prior variances (N,) for a frame that moved more than the others, or None.

    A band whose energy exceeds what its prior makes likely by 4.5 standard deviations of a chi-square is widened.
    """
    evidence = information @ estimate + estimate / variance
    current = variance.copy()
    of_band = [np.flatnonzero((index == band) & ~rigid) for band in np.unique(index[~rigid])]
    changed = False
    for turn in range(_INFLATION_ROUNDS):
        found = posterior(information, current) if turn else nominal
        coefficients = found.covariance @ evidence
        again = False
        for places in of_band:
            data = max(float(found.determined[places].sum()), 1e-9)
            ratio = float((coefficients[places] ** 2 / current[places]).sum()) / data
            if ratio > 1 + _INFLATION * np.sqrt(2 / len(places)):
                current[places] = np.minimum(current[places] * min(ratio, _STEP), 1e3)
                again = changed = True
        if not again:
            break
    return current if changed else None
