"""When an elastic estimate is not to be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.normal_equations import linearise
from galvo.motion.bayes.prior import Posterior
from galvo.motion.bayes.solver import Solver
from galvo.motion.bayes.track import Track

__all__ = ["clip_elastic", "elastic_limit_px", "gain_over_rigid", "is_worth_it"]

_DEVIATIONS, _ALLOWANCE_PX = 3.0, 2.0

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


def is_worth_it(variance: Float64, elastic: Mask, found: Posterior) -> bool:
    """Whether elastic estimates move more than they err: prior variances (N,) and what data leave of them.

    Both are mean squares of the displacement in px**2, since a mode has a mean square of 1.
    """
    left = np.diag(found.covariance)[elastic]
    return bool((variance[elastic] - left).sum() > left.sum())


def elastic_limit_px(variance: Float64, elastic: Mask) -> float:
    """Greatest elastic displacement along one axis that is believed, in pixels."""
    return float(_DEVIATIONS * np.sqrt(variance[elastic].sum()) + _ALLOWANCE_PX)


def clip_elastic(coefficients: Float64, rows: Float64, columns: Float64, limit_px: float) -> tuple[Float64, Mask]:
    """Coefficients (T, 2, Ky, Kx) whose elastic part is scaled to its limit (T,) where it exceeds it, and where."""
    elastic = coefficients.copy()
    elastic[:, :, 0, 0] = 0.0
    most = np.abs(rows @ elastic @ columns.T).max(axis=(1, 2, 3))
    clipped = most > limit_px
    factor = np.where(clipped, limit_px / np.maximum(most, 1e-12), 1.0)
    elastic *= factor[:, None, None, None]
    elastic[:, :, 0, 0] = coefficients[:, :, 0, 0]
    return elastic, clipped


def gain_over_rigid(solver: Solver, pixels: NDArray[Any], found: Track) -> Float64:
    """How much less misfit frames (T, Y, X, C) have with their elastic motion than with a rigid one, (T,).

    The integral of the score along the straight line between both, by its ends on the coarsest level. Misfits
    themselves cannot be compared: interpolation smooths noise, and how much depends on the fraction of the shift. The
    score is linear in the noise, whatever its smoothing.
    """
    rigid = np.zeros_like(found.coefficients)
    rigid[:, :, 0, 0] = found.shift
    way = solver.space.rows @ (found.coefficients - rigid) @ solver.space.columns.T
    gain = np.zeros(len(pixels))
    for coefficients in (rigid, found.coefficients):
        sums = linearise(solver.levels[0], pixels, coefficients, found.brightness, cubic=False, threads=solver.threads)
        _, score = solver.combine(sums.blocks, 0)
        gain += (score * way).sum(axis=(1, 2, 3)) / 2
    return gain
