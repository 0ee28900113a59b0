"""The gradient of a noisy reference, smoothed as much as makes it most efficient.

Noise in the gradient adds to ``|g|**2`` without adding to what the gradient tells of motion, so a motion estimate is
biased towards 0 and its information overestimated. A smoothed gradient g_s has the efficiency
``(sum g_s.g / v)**2 / (sum |g_s|**2 / v)`` with the true gradient g, and ``gamma = sum g_s.g / sum |g_s|**2`` (over v)
puts the scale right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.smoothing import gaussian

__all__ = ["Gradient", "choose_from_halves", "choose_from_image", "differences"]

_SIGMAS = (0.0, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.4, 1.7, 2.0, 2.5, 3.0)
_BORDER = 8
_GAMMA = (0.05, 2.0)
# energy of the kernel below over its energy, and its median's share for squared normal deviates
_FOURTH = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
_MEDIAN_OF_SQUARE = 0.4549

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Gradient:
    """How a reference's gradient is taken: smoothing in pixels, scale, noise of the reference over a frame's."""

    sigma: float
    gamma: float
    noise_fraction: float


def differences(image: NDArray[Any]) -> tuple[Float64, Float64]:
    """Central differences of fourth order along x and along y, of lower order at the border."""
    image = np.asarray(image, np.float64)
    along_y, along_x = np.gradient(image)
    if image.shape[1] > 4:
        along_x[:, 2:-2] = (8 * (image[:, 3:-1] - image[:, 1:-3]) - (image[:, 4:] - image[:, :-4])) / 12
    if image.shape[0] > 4:
        along_y[2:-2] = (8 * (image[3:-1] - image[1:-3]) - (image[4:] - image[:-4])) / 12
    return along_x, along_y


def choose_from_halves(halves: tuple[NDArray[Any], NDArray[Any]], information: Float64) -> Gradient:
    """From means of different frames, whose noise is independent: no noise in their products."""
    inner = _inside(information)
    weight = information[inner]
    first, second = (_vector(half)[:, *inner] for half in halves)
    best = Gradient(0.0, 1.0, 0.0)
    most = -1.0
    noise = float((weight * (first - second) ** 2).mean() / 4)
    for sigma in _SIGMAS:
        smooth = [_vector(gaussian(half, sigma))[:, *inner] for half in halves]
        cross = float((weight * (smooth[0] * second + smooth[1] * first)).sum() / 2)
        energy = float((weight * ((smooth[0] + smooth[1]) / 2) ** 2).sum())
        best, most = _better(best, most, sigma, cross, energy, noise)
    return best


def choose_from_image(image: Float64, information: Float64, noise_fraction: float) -> Gradient:
    """From the finished reference: the noise that smoothed and plain gradient share is subtracted as white.

    `noise_fraction` is the variance of the reference's noise over that of a frame.
    """
    inner = _inside(information)
    weight = information[inner]
    plain = _vector(image)[:, *inner]
    impulse = np.zeros((33, 33))
    impulse[16, 16] = 1.0
    kernel = _vector(impulse)
    best = Gradient(0.0, 1.0, noise_fraction)
    most = -1.0
    for sigma in _SIGMAS:
        smooth = _vector(gaussian(image, sigma))[:, *inner]
        overlap = float((kernel * _vector(gaussian(impulse, sigma))).sum())
        cross = float((weight * plain * smooth).sum()) - overlap * noise_fraction * np.count_nonzero(weight)
        energy = float((weight * smooth**2).sum())
        best, most = _better(best, most, sigma, cross, energy, noise_fraction)
    return best


def reference_noise_fraction(image: Float64, variance: Float64) -> float:
    """Variance of a reference's noise over a frame's, from its fourth differences where structure is least."""
    if min(image.shape) < 7:
        return 1.0
    rows = sum(weight * image[:, i : image.shape[1] - 4 + i] for i, weight in enumerate(_FOURTH))
    both = sum(weight * rows[i : image.shape[0] - 4 + i] for i, weight in enumerate(_FOURTH))
    energy = (np.asarray(both) / (_FOURTH**2).sum()) ** 2
    ratio = energy / variance[2:-2, 2:-2]
    return float(min(1.0, np.median(ratio[np.isfinite(ratio)]) / _MEDIAN_OF_SQUARE))


def _better(
    best: Gradient, most: float, sigma: float, cross: float, energy: float, noise: float
) -> tuple[Gradient, float]:
    if energy <= 0:
        return best, most
    efficiency = max(cross, 0.0) ** 2 / energy
    if efficiency <= most:
        return best, most
    return Gradient(sigma, float(np.clip(cross / energy, *_GAMMA)), noise), efficiency


def _vector(image: NDArray[Any]) -> Float64:
    return np.stack(differences(image))


def _inside(image: NDArray[Any]) -> tuple[slice, slice]:
    """Away from the border, where differences are one-sided, as far as the image allows."""
    first, second = (slice(border, size - border) for size in image.shape for border in [min(_BORDER, size // 4)])
    return first, second
