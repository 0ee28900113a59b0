"""Frames and references as the estimator takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError
from galvo.motion.bayes.smoothing import gaussian

__all__ = ["Units", "checked_frames", "reference_images"]

LEAST_SIZE = 8
_NATIVE = frozenset({"uint8", "int8", "uint16", "int16"})
_SPREAD = (1e-4, 1e6)
_FAR = 1000.0
_DOUBT = 1.5

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Units:
    """What pixels are divided by, and what is subtracted before: float32 holds neither 1e30 nor 1e9 + 1."""

    offset: float = 0.0
    scale: float = 1.0

    @classmethod
    def of(cls, images: NDArray[Any], dtype: np.dtype[Any]) -> Units:
        """For frames of `dtype` that look like `images`; 8 and 16 bits stay as they are."""
        if dtype.name in _NATIVE:
            return cls()
        finite = np.asarray(images, np.float64)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            return cls()
        low, middle, high = (float(part) for part in np.percentile(finite, (1, 50, 99.5)))
        spread = high - low
        if not 0 < spread < np.inf:
            return cls()
        scale = 1.0 if _SPREAD[0] < spread < _SPREAD[1] else 2.0 ** np.floor(np.log2(spread) - 10)
        return cls(middle if abs(middle) > _FAR * spread else 0.0, float(scale))

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Pixels as integers of 8 or 16 bits, or as float32 in these units."""
        if pixels.dtype.name in _NATIVE:
            return pixels
        if self == Units() and pixels.dtype == np.float32:
            return pixels
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray((np.asarray(pixels, np.float64) - self.offset) / self.scale, np.float32)


def checked_frames(frames: NDArray[Any], shape: tuple[int, int, int] | None = None) -> NDArray[Any]:
    """`frames` (T, Y, X, C), or an error; `shape` is (Y, X, C) of the reference."""
    if not isinstance(frames, np.ndarray) or frames.dtype.kind not in "biuf":
        found = frames.dtype if isinstance(frames, np.ndarray) else type(frames).__name__
        raise OptionError("frames must be an array of real numbers", found=str(found))
    if frames.ndim != 4:
        raise OptionError("frames have axes T Y X C", found=frames.shape, hint="Add an axis for one channel.")
    if shape is not None and frames.shape[1:] != shape:
        raise OptionError("frames and reference differ in size", found=frames.shape[1:], expected=shape)
    if min(frames.shape[1:3]) < LEAST_SIZE or not frames.shape[3]:
        raise OptionError("frames are too small to register", found=frames.shape[1:], expected="8 x 8 pixels")
    return frames.view(np.uint8) if frames.dtype.kind == "b" else frames


def reference_images(image: NDArray[Any], units: Units) -> tuple[Float64, NDArray[np.bool_]]:
    """A reference (Y, X, C) as (C, Y, X), and which of its pixels are far from those that are no numbers."""
    with np.errstate(over="ignore", invalid="ignore"):
        images = (np.moveaxis(np.asarray(image, np.float64), -1, 0) - units.offset) / units.scale
    finite = np.isfinite(images) & (np.abs(images) < 1e18)
    if finite.all():
        return images, finite
    count = np.maximum(finite.sum(axis=(1, 2), keepdims=True), 1)
    middle = np.where(finite, images, 0).sum(axis=(1, 2), keepdims=True) / count
    near = gaussian((~finite).astype(np.float64), _DOUBT) > 1e-3
    return np.where(finite, images, middle), ~near
