"""One linearisation: what the pixels of a frame say about a change of its displacement, in sums over blocks.

The gradient is that of the reference (inverse compositional; Baker & Matthews 2004), weighted by the information of a
pixel and by how well its neighbourhood agrees with the reference: activity is coherent over a cell, shot noise is not,
so weights come from the energy of the residual in a box, and are normalised by the frame's own 70th percentile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.levels import Level

__all__ = ["Sums", "displacements", "linearise"]

_PERCENTILE = 0.7
_EVERY = 3

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Evidence of T frames.

    Attributes
    ----------
    blocks : ndarray, (T, C, 5, By, Bx)
        Sums of ``w gx gx``, ``w gx gy``, ``w gy gy``, ``-w gx e``, ``-w gy e`` over 8 x 8 pixels.
    energy : ndarray, (T, C)
        70th percentile of the local energy of the residual.
    regression : ndarray, (T, C, 5)
        Sums of ``w``, ``w r``, ``w r r``, ``w f``, ``w r f``: brightness of frame over reference.
    """

    blocks: Float64
    energy: Float64
    regression: Float64


def displacements(level: Level, coefficients: Float64) -> Float64:
    """Displacement in full-resolution pixels at a level's pixels: (T, 2, h, w) of (T, 2, Ky, Kx)."""
    rows, columns = level.waves
    field: Float64 = rows @ coefficients @ columns.T
    return field


def linearise(
    level: Level, frames: Float32, coefficients: Float64, brightness: Float64, *, cubic: bool, robust: int
) -> Sums:
    """Sums of frames (T, C, h, w) at displacements (T, 2, Ky, Kx) with brightness (T, C, 2)."""
    field = displacements(level, coefficients) / level.scale
    count, channels = frames.shape[:2]
    rows, columns = len(level.block_waves[0]), len(level.block_waves[1])
    blocks = np.empty((count, channels, 5, rows, columns))
    energy = np.empty((count, channels))
    regression = np.empty((count, channels, 5))
    for t in range(count):
        places = _Places(field[t], frames.shape[2:])
        for c in range(channels):
            r, gx, gy, information = level.planes[c]
            f = places.sample(frames[t, c], cubic)
            gain, offset = brightness[t, c].astype(np.float32)
            e = f - (gain * r + offset)
            used = places.inside & np.isfinite(e)
            e = np.where(used, e, np.float32(0))
            f = np.where(used, f, r)
            w = information * used
            q = _box(e * e * w, 7 if level.scale == 1 else 3)
            energy[t, c] = _percentile(q, used & (information > 0))
            w = w / np.maximum(1, q / np.float32(energy[t, c])) ** robust
            regression[t, c] = [float(part.sum(dtype=np.float64)) for part in (w, w * r, w * r * r, w * f, w * r * f)]
            wx, wy = w * gx, w * gy
            for i, part in enumerate((wx * gx, wx * gy, wy * gy, -wx * e, -wy * e)):
                blocks[t, c, i] = _block_sums(part, level.block, rows, columns)
    return Sums(blocks, energy, regression)


class _Places:
    """Where a displaced grid falls on a frame (h, w)."""

    def __init__(self, field: Float64, shape: tuple[int, ...]) -> None:
        height, width = shape
        x = np.arange(width) + field[0]
        y = np.arange(height)[:, None] + field[1]
        self.inside = (x >= 0.5) & (x <= width - 1.5) & (y >= 0.5) & (y <= height - 1.5)
        x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
        self._left, self._top = x.astype(np.intp), y.astype(np.intp)
        self._right = (x - self._left).astype(np.float32)
        self._down = (y - self._top).astype(np.float32)

    def sample(self, frame: Float32, cubic: bool) -> Float32:
        height, width = frame.shape
        flat = frame.ravel()
        reach = range(-1, 3) if cubic else range(2)
        across = [np.clip(self._left + i, 0, width - 1) for i in reach]
        weights = _keys(self._right) if cubic else (1 - self._right, self._right)
        down = _keys(self._down) if cubic else (1 - self._down, self._down)
        total = np.zeros(self._left.shape, np.float32)
        for i, weight in zip(reach, down, strict=True):
            row = np.clip(self._top + i, 0, height - 1) * width
            line = np.zeros_like(total)
            for column, part in zip(across, weights, strict=True):
                line += part * flat.take(row + column)
            total += weight * line
        return total


def _keys(t: Float32) -> tuple[Float32, ...]:
    """Weights of the cubic convolution with a = -1/2 (Keys 1981)."""
    t2, t3 = t * t, t * t * t
    return (
        np.float32(-0.5) * t3 + t2 - np.float32(0.5) * t,
        np.float32(1.5) * t3 - np.float32(2.5) * t2 + 1,
        np.float32(-1.5) * t3 + 2 * t2 + np.float32(0.5) * t,
        np.float32(0.5) * (t3 - t2),
    )


def _box(image: Float32, size: int) -> Float32:
    """Means over boxes of odd size, the border mirrored."""
    for axis in (0, 1):
        reach = size // 2
        pad = [(reach, reach) if axis == i else (0, 0) for i in (0, 1)]
        wide = np.pad(image, pad, mode="symmetric")
        length = image.shape[axis]
        parts = [np.take(wide, range(i, i + length), axis=axis) for i in range(size)]
        image = np.asarray(sum(parts[1:], parts[0]) / np.float32(size), np.float32)
    return image


def _percentile(q: Float32, used: NDArray[np.bool_]) -> float:
    some = q[::_EVERY, ::_EVERY][used[::_EVERY, ::_EVERY]]
    if not some.size:
        return 1.0
    place = int(_PERCENTILE * some.size)
    return max(float(np.partition(some, place)[place]), 1e-12)


def _block_sums(image: NDArray[Any], side: int, rows: int, columns: int) -> Float64:
    full = np.zeros((rows * side, columns * side))
    full[: image.shape[0], : image.shape[1]] = image
    sums: Float64 = full.reshape(rows, side, columns, side).sum(axis=(1, 3))
    return sums
