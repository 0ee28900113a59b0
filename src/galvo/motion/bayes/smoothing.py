"""Gaussian smoothing as two matrix products, and box means."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bin_mean", "gaussian", "smoothing_matrix"]

_REACH = 4.0

Float64 = NDArray[np.float64]


@lru_cache(maxsize=32)
def smoothing_matrix(size: int, sigma: float) -> Float64:
    """Rows of a normalised Gaussian on `size` samples that are mirrored at their ends, (size, size)."""
    reach = max(1, int(_REACH * sigma + 0.5))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    source = (np.arange(size)[:, None] + np.arange(-reach, reach + 1)) % (2 * size)
    source = np.where(source < size, source, 2 * size - 1 - source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), weights)
    matrix.setflags(write=False)
    return matrix


def gaussian(image: NDArray[Any], sigma: float) -> Float64:
    """`image` (..., Y, X) smoothed; `sigma` in pixels, 0 for none."""
    image = np.asarray(image, np.float64)
    if sigma <= 0:
        return image
    smooth: Float64 = smoothing_matrix(image.shape[-2], sigma) @ image @ smoothing_matrix(image.shape[-1], sigma).T
    return smooth


def bin_mean(images: NDArray[Any], scale: int) -> NDArray[Any]:
    """Means over squares of `scale` pixels of images (..., Y, X); what does not fill a square is left out."""
    if scale == 1:
        return images
    height, width = (size // scale for size in images.shape[-2:])
    parts = images[..., : height * scale, : width * scale]
    means: NDArray[Any] = parts.reshape(*images.shape[:-2], height, scale, width, scale).mean(axis=(-3, -1))
    return means
