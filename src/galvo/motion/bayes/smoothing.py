"""Gaussian smoothing and box means."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_mean", "gaussian"]

_REACH = 4.0

Float64 = NDArray[np.float64]


def gaussian(image: NDArray[Any], sigma: float) -> Float64:
    """`image` (..., Y, X) smoothed, mirrored at its border; `sigma` in pixels, 0 for none."""
    smooth = np.asarray(image, np.float64)
    if sigma <= 0:
        return smooth
    reach = int(_REACH * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    for axis in (-2, -1):
        # sums of views: matrices would be no faster, and would start the threads of a BLAS
        length = smooth.shape[axis]
        pad = [(0, 0)] * smooth.ndim
        pad[axis] = (reach, reach)
        wide = np.moveaxis(np.pad(smooth, pad, mode="symmetric"), axis, 0)
        total = weights[0] * wide[reach : reach + length]
        for step in range(1, reach + 1):
            total += weights[step] * (wide[reach - step :][:length] + wide[reach + step :][:length])
        smooth = np.ascontiguousarray(np.moveaxis(total, 0, axis))
    return smooth


def bin_mean(images: NDArray[Any], scale: int) -> NDArray[Any]:
    """Means over squares of `scale` pixels of images (..., Y, X); what does not fill a square is left out."""
    if scale == 1:
        return images
    height, width = (size // scale for size in images.shape[-2:])
    parts = images[..., : height * scale, : width * scale]
    means: NDArray[Any] = parts.reshape(*images.shape[:-2], height, scale, width, scale).mean(axis=(-3, -1))
    return means
