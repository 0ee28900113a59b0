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

from galvo.motion.bayes.bands import RIGID, Bands, non_increasing

__all__ = ["RIGID_VARIANCE", "Posterior", "inflate", "learn_prior", "outliers", "posterior"]

RIGID_VARIANCE = 1e6
_LEAST, _MOST = 1e-7, 1e4
_ROUNDS = 30
_STEP = 8.0
_SETTLED = 0.05
_ISOTROPIC_COUNT = 2.0
_ROW_COUNT = 12.0
_INFLATION = 4.5
_INFLATION_ROUNDS = 8
_MOST_INFLATED = 1e3
_LEAST_PART = 0.02

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
    """No variance for bands that the data do not speak for, or that do not matter.

    What a band's variance adds to the log evidence, less half the logarithm of the number of its data (Schwarz 1978),
    is summed from coarse shells to fine ones; shells end where the sum is largest, and where all finer ones together
    tell less than 2 % of what stays unknown. Rows of finer shells need evidence of their own.
    """
    count = len(evidence)
    found = posterior(information, current)
    energy = ((evidence @ found.covariance) ** 2).sum(axis=0)
    open_ = 1 - found.determined
    gain = (energy / (current * open_) + count * np.log(open_)) / 2
    net = {family: float(gain[places].sum() - np.log(count * len(places)) / 2) for family, places in families.items()}
    told_px2 = {family: float((current * found.determined)[places].sum()) for family, places in families.items()}
    matters_px2 = _LEAST_PART * float(sum((current * open_)[places].sum() for places in families.values()))
    shells = [band for kind, band in families if kind == 0]
    total = np.cumsum([0.0] + [net[0, band] for band in shells])
    last = int(total.argmax())
    while last and sum(told_px2[0, band] for band in shells[last - 1 :]) < matters_px2:
        last -= 1
    kept = set(shells[:last])
    for kind, band in families:
        rows_alone = kind > 0 and net[kind, band] > 0 and told_px2[kind, band] > matters_px2
        if band not in kept and not rows_alone:
            learned[kind, band] = 0.0


def _everywhere(learned: dict[tuple[int, int], float], bands: Bands, variance: Float64) -> Float64:
    """Variances of all coefficients; a band that nothing was learned of has none."""
    result = np.zeros_like(variance)
    for (kind, band), value in learned.items():
        result[(bands.group == kind) & (bands.shell == band)] = value
    result[bands.rigid] = RIGID_VARIANCE
    return result


def outliers(
    estimates: Float64, variance: Float64, determined: Float64, index: Places, elastic: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of T frames, by their estimates (T, N), moved more in some band than the prior variances (N,) make likely.

    A band's energy over what data determine of it has a standard deviation of sqrt(2 / n) for n coefficients; 4.5 of
    them are allowed.
    """
    surprising = np.zeros(len(estimates), bool)
    power = estimates**2 / variance
    for places in _places(index, elastic):
        surprising |= _is_surprising(power[:, places].sum(axis=1), determined, places)
    return surprising


def inflate(
    estimate: Float64,
    information: Float64,
    variance: Float64,
    index: Places,
    elastic: NDArray[np.bool_],
) -> Float64:
    """Prior variances (N,) that are wide enough for the estimate (N,) of a frame, band by band."""
    evidence = information @ estimate + estimate / variance
    current = variance.copy()
    for _ in range(_INFLATION_ROUNDS):
        found = posterior(information, current)
        power = (found.covariance @ evidence) ** 2 / current
        again = False
        for places in _places(index, elastic):
            energy = power[places].sum()
            if _is_surprising(energy, found.determined, places):
                ratio = float(energy) / float(found.determined[places].sum())
                current[places] = np.minimum(current[places] * min(ratio, _STEP), _MOST_INFLATED)
                again = True
        if not again:
            break
    return current


def _places(index: Places, elastic: NDArray[np.bool_]) -> list[Places]:
    return [np.flatnonzero((index == band) & elastic) for band in np.unique(index[elastic])]


def _is_surprising(energy: Float64, determined: Float64, places: Places) -> NDArray[np.bool_]:
    expected = max(float(determined[places].sum()), 1e-9)
    return np.asarray(energy > (1 + _INFLATION * np.sqrt(2 / len(places))) * expected)
