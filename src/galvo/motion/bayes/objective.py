"""How badly a displacement explains a frame: the robust misfit that the weights of a step belong to, and the prior.

With z the local energy of the residual over its 70th percentile qn, the misfit is ``qn rho(z)`` with ``rho(z) = z`` up
to 1 and ``1 + log z`` beyond, whose slope is the weight ``1 / max(1, z)`` of the coarse levels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.levels import Level

__all__ = ["misfits"]

_BOX = 3

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


def misfits(
    level: Level, frames: Float32, fields: tuple[Float32, Float32], brightness: Float64, energy: Float64, scale: Float64
) -> Float64:
    """Misfit (T, 2) of frames (T, C, h, w) at two displacements (T, h, w, 2) in full-resolution pixels.

    `energy` (T, C) is qn for both, `scale` (C,) what a channel's misfit is multiplied by.
    """
    result = np.zeros((len(frames), 2))
    for t, frame in enumerate(frames):
        for which, field in enumerate(fields):
            inside, sampled = _sample(frame, field[t] / level.scale)
            for c, (r, _, _, information) in enumerate(level.planes):
                gain, offset = brightness[t, c]
                e = sampled[c] - (gain * r + offset)
                used = inside & np.isfinite(e)
                local = _box_mean(np.where(used, e * e * information, 0.0))
                z = local / max(float(energy[t, c]), 1e-30)
                rho = np.where(z < 1, z, 1 + np.log(np.maximum(z, 1)))
                result[t, which] += 0.5 * scale[c] * energy[t, c] * float(rho.sum())
    return result


def _sample(frame: Float32, field: Float32) -> tuple[NDArray[np.bool_], Float64]:
    """Whether pixels stay inside the frame, and the frame there, bilinearly."""
    height, width = frame.shape[1:]
    x = np.arange(width) + field[..., 0].astype(np.float64)
    y = np.arange(height)[:, None] + field[..., 1].astype(np.float64)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    left = np.clip(x, 0, width - 2).astype(np.intp)
    top = np.clip(y, 0, height - 2).astype(np.intp)
    right, down = np.clip(x, 0, width - 1) - left, np.clip(y, 0, height - 1) - top
    upper = frame[:, top, left] * (1 - right) + frame[:, top, left + 1] * right
    lower = frame[:, top + 1, left] * (1 - right) + frame[:, top + 1, left + 1] * right
    return inside, upper * (1 - down) + lower * down


def _box_mean(image: Float64) -> Float64:
    wide = np.pad(image, _BOX // 2, mode="symmetric")
    rows = sum(wide[i : i + image.shape[0]] for i in range(_BOX))
    total = sum(np.asarray(rows)[:, i : i + image.shape[1]] for i in range(_BOX))
    return np.asarray(total) / _BOX**2
