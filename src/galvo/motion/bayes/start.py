"""Where a frame lies on the reference, to whole pixels: the peak of a cross-correlation of band-passed images."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.smoothing import bin_mean, gaussian

__all__ = ["RigidStart"]

_FINE, _COARSE = 1.5, 8.0
_CLIP = 4.0
_REACH = 4
_LEAST_BINNED = 64

Float64 = NDArray[np.float64]


class RigidStart:
    """Correlates frames with a reference (C, Y, X); `weights` (C,) say how much each channel counts."""

    def __init__(self, reference: Float64, weights: Float64) -> None:
        self._scale = 2 if min(reference.shape[1:]) >= _LEAST_BINNED else 1
        images = bin_mean(reference, self._scale)
        self._reach = tuple(size // _REACH for size in images.shape[1:])
        self._shape = images.shape[1:]
        y, x = (np.sqrt(np.hanning(size + 2)[1:-1]) for size in self._shape)
        self._window = y[:, None] * x
        filtered = self._filter(images)
        size = np.sqrt((filtered**2).sum(axis=(1, 2), keepdims=True))
        scaled = np.divide(filtered, size, out=np.zeros_like(filtered), where=size > 0)
        self._spectrum = np.conj(np.fft.rfft2(scaled * self._window)) * weights[:, None, None]

    @property
    def reach_px(self) -> tuple[int, int]:
        """Greatest displacement along x and y that is looked for, in pixels."""
        return self._reach[1] * self._scale, self._reach[0] * self._scale

    def shift(self, frame: NDArray[Any]) -> tuple[float, float]:
        """Displacement along x and y in pixels of a frame (C, Y, X), at most a quarter of the frame."""
        images = np.asarray(bin_mean(frame, self._scale), np.float64)
        finite = np.isfinite(images)
        if not finite.all():
            count = np.maximum(finite.sum(axis=(1, 2), keepdims=True), 1)
            middle = np.where(finite, images, 0).sum(axis=(1, 2), keepdims=True) / count
            images = np.where(finite, images, middle)
        filtered = self._filter(images)
        spread = filtered.std(axis=(1, 2), keepdims=True)
        filtered = np.clip(filtered, -_CLIP * spread, _CLIP * spread)
        filtered = np.divide(filtered, spread, out=np.zeros_like(filtered), where=spread > 0)
        product = (np.fft.rfft2(filtered * self._window) * self._spectrum).sum(axis=0)
        match = np.fft.irfft2(product, self._shape)
        reach_y, reach_x = self._reach
        near = np.roll(match, (reach_y, reach_x), (0, 1))[: 2 * reach_y + 1, : 2 * reach_x + 1]
        if not near.max() > near.min():
            return 0.0, 0.0
        y, x = np.unravel_index(int(near.argmax()), near.shape)
        return float((int(x) - reach_x) * self._scale), float((int(y) - reach_y) * self._scale)

    def _filter(self, images: Float64) -> Float64:
        return gaussian(images, _FINE / self._scale) - gaussian(images, _COARSE / self._scale)
