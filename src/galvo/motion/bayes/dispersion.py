"""How much more the scores of blocks scatter than the noise line says: the factor phi.

Detectors have excess and correlated noise, so the line is only a shape. The eight neighbours of a block predict its
displacement; what is left of its score has a known covariance if the noise is what the line says.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["dispersion"]

_RIDGE = 1e-3

Float64 = NDArray[np.float64]


def dispersion(blocks: Float64) -> Float64:
    """Phi of each channel, (C,), pooled over frames: ``blocks`` are sums (T, C, 5, By, Bx); 1 where nothing is known.

    ``sum_b |b - J d|^2 / sum_b tr(J + J (sum J)^-1 J)`` with d and the sums over the eight neighbours.
    """
    blocks = np.moveaxis(np.asarray(blocks, np.float64), 2, 0)
    around = _neighbours(blocks)
    j11, j12, j22, b1, b2 = blocks
    ridge = _RIDGE * (j11 + j22).mean(axis=(-2, -1), keepdims=True)
    s11, s12, s22 = around[0] + ridge, around[1], around[2] + ridge
    determinant = s11 * s22 - s12 * s12
    known = determinant > 0
    scale = np.divide(1.0, determinant, out=np.zeros_like(determinant), where=known)
    i11, i12, i22 = s22 * scale, -s12 * scale, s11 * scale
    dx, dy = i11 * around[3] + i12 * around[4], i12 * around[3] + i22 * around[4]
    rx, ry = b1 - (j11 * dx + j12 * dy), b2 - (j12 * dx + j22 * dy)
    expected = j11 + j22
    expected = expected + j11 * j11 * i11 + 2 * j11 * j12 * i12 + j12 * j12 * i22
    expected = expected + j12 * j12 * i11 + 2 * j12 * j22 * i12 + j22 * j22 * i22
    known[..., ~_inner(j11.shape[-2:])] = False
    excess = np.where(known, rx * rx + ry * ry, 0).sum(axis=(0, -2, -1))
    expected = np.where(known, expected, 0).sum(axis=(0, -2, -1))
    phi: Float64 = np.divide(excess, expected, out=np.ones_like(excess), where=expected > 0)
    return phi


def _inner(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Blocks away from the border, where they look beyond the frame, as far as there are enough."""
    rows, columns = (
        (np.arange(size) >= margin) & (np.arange(size) < size - margin)
        for size in shape
        for margin in [2 if size >= 8 else 1 if size >= 4 else 0]
    )
    inner: NDArray[np.bool_] = rows[:, None] & columns
    return inner


def _neighbours(values: Float64) -> Float64:
    wide = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)])
    rows = wide[..., 2:, :] + wide[..., 1:-1, :] + wide[..., :-2, :]
    total: Float64 = rows[..., 2:] + rows[..., 1:-1] + rows[..., :-2] - values
    return total
