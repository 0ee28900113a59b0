"""The reference on grids of 4, 2 and 1 pixels: values, gradient and information per pixel.

Coarser grids are box means, so noise stays white. Gradients are per full-resolution pixel on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.gradient import (
    Gradient,
    choose_from_halves,
    choose_from_image,
    differences,
    reference_noise_fraction,
)
from galvo.motion.bayes.noise_line import NoiseLine
from galvo.motion.bayes.smoothing import bin_mean, gaussian

__all__ = ["BLOCK", "SCALES", "Level", "build_levels", "choose_gradient"]

SCALES = (4, 2, 1)
BLOCK = 8
_LEAST_SIZE = 8
_MODEL_ERROR = 0.01
_INTENSITY_SMOOTHING = 0.7

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=False, eq=False)
class Level:
    """One grid.

    Attributes
    ----------
    scale : int
        Full-resolution pixels per pixel.
    planes : ndarray of float32, (C, 4, h, w)
        Reference, its gradient along x and y per full-resolution pixel times gamma, 1 / variance.
    basis : CosineBasis
    """

    scale: int
    planes: Float32
    basis: CosineBasis

    @property
    def block(self) -> int:
        """Pixels of this grid along the side of a block."""
        return BLOCK // self.scale

    @cached_property
    def pixel_waves(self) -> tuple[Float32, Float32]:
        """Cosines at this grid's pixels: (h, Ky), (w, Kx)."""
        rows, columns = ((np.arange(size) + 0.5) * self.scale - 0.5 for size in self.planes.shape[2:])
        return self.basis.along_y(rows).astype(np.float32), self.basis.along_x(columns).astype(np.float32)

    @cached_property
    def node_waves(self) -> tuple[Float32, Float32]:
        """Cosines at the pixels 0, 8, 16, ... up to the first beyond the image: (Ny, Ky), (Nx, Kx)."""
        rows, columns = (np.arange((size - 1) // BLOCK + 2) * BLOCK for size in (self.basis.height, self.basis.width))
        return self.basis.along_y(rows).astype(np.float32), self.basis.along_x(columns).astype(np.float32)

    @cached_property
    def block_waves(self) -> tuple[Float64, Float64]:
        """Cosines at the centres of blocks: (By, Ky), (Bx, Kx)."""
        rows, columns = (
            (np.arange(-(-size // BLOCK)) + 0.5) * BLOCK - 0.5 for size in (self.basis.height, self.basis.width)
        )
        return self.basis.along_y(rows), self.basis.along_x(columns)


def choose_gradient(
    image: Float64, halves: tuple[NDArray[Any], NDArray[Any]] | None, frame_count: int | None, noise: NoiseLine
) -> Gradient:
    """Smoothing of the gradient of one channel of a reference, (Y, X)."""
    information = _inverse(noise.variance(gaussian(image, _INTENSITY_SMOOTHING)) + _model_error(image))
    if not information.any():
        return Gradient(0.0, 1.0, 0.0)
    if halves is not None:
        return choose_from_halves(halves, information)
    if frame_count is not None:
        fraction = 1 / frame_count
    else:
        line = noise.gain * gaussian(image, 2.0) + noise.variance_at_zero
        fraction = reference_noise_fraction(image, np.maximum(line, 1e-9)) if noise.source != "none" else 0.0
    return choose_from_image(image, information, fraction)


def build_levels(
    basis: CosineBasis,
    images: Float64,
    valid: NDArray[np.bool_],
    noise: tuple[NoiseLine, ...],
    gradients: tuple[Gradient, ...],
) -> tuple[Level, ...]:
    """Grids from coarse to fine of reference `images` (C, Y, X), whose pixels count where `valid` (C, Y, X)."""
    scales = [scale for scale in SCALES if scale == 1 or min(basis.height, basis.width) // scale >= _LEAST_SIZE]
    return tuple(
        Level(
            scale,
            np.stack([_planes(*parts, scale) for parts in zip(images, valid, noise, gradients, strict=True)]),
            basis,
        )
        for scale in scales
    )


def _planes(image: Float64, valid: NDArray[np.bool_], noise: NoiseLine, gradient: Gradient, scale: int) -> Float32:
    error = _model_error(image)
    variance = noise.variance(gaussian(image, _INTENSITY_SMOOTHING))
    # the model's error does not average out
    variance = bin_mean(variance, scale) / scale**2 + error
    values = bin_mean(image, scale)
    along_x, along_y = differences(gaussian(values, gradient.sigma / scale))
    information = _inverse(variance)
    information[bin_mean(valid.astype(np.float64), scale) < 1] = 0.0
    steepness = gradient.gamma / scale
    return np.stack([values, steepness * along_x, steepness * along_y, information]).astype(np.float32)


def _model_error(image: Float64) -> float:
    """Variance that even noise-free frames have against the reference."""
    low, high = np.percentile(image, (1, 99.5))
    return float(_MODEL_ERROR * (high - low)) ** 2


def _inverse(variance: Float64) -> Float64:
    return np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
