"""Variance of a frame's pixels over their intensity, as far as registration needs it.

`galvo.noise` measures it from consecutive frames of still tissue. Tissue that moves by pixels between frames, or fewer
than three frames, leave the reference: what frames have more than it in the finest details is noise. Only the shape of
the line matters here, its scale is measured again from the motion estimates themselves (`dispersion`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import GalvoError
from galvo.motion.bayes.smoothing import gaussian
from galvo.noise import estimate_noise

__all__ = ["NoiseLine", "measure_noise"]

_CLASSES = 16
_MAX_FRAMES = 8
_SMOOTHING = 1.5
_LEAST_COUNT = 50
_ROUNDS = 3

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NoiseLine:
    """``variance = gain * intensity + variance_at_zero``, in counts as stored.

    `source` is "frames" (galvo.noise), "reference" (frames against the reference) or "none" (nothing varies).
    """

    gain: float
    variance_at_zero: float
    source: str

    def variance(self, intensity: NDArray[Any]) -> Float64:
        """Variance at expected intensities, with 5 % of its median as the least."""
        line = self.gain * np.asarray(intensity, np.float64) + self.variance_at_zero
        return np.maximum(line, 0.05 * max(float(np.median(line)), 0.0))


def measure_noise(frames: NDArray[Any], reference: Float64, reference_noise: float) -> NoiseLine:
    """The noise of one channel: frames (T, Y, X), `reference` (Y, X) with `reference_noise` of a frame's variance."""
    if len(frames) >= 3 and frames.dtype.kind in "iuf":
        try:
            model = estimate_noise(frames)
        except GalvoError:
            pass
        else:
            if model.fits and "motion" not in model.flags and "no_light" not in model.flags:
                return NoiseLine(model.gain, model.variance_at_zero, "frames")
    return _against_reference(frames, reference, reference_noise)


def _against_reference(frames: NDArray[Any], reference: Float64, reference_noise: float) -> NoiseLine:
    """Energy of ``[1 -2 1] x [1 -2 1] / 6`` of frames less that of the reference, by classes of intensity."""
    if min(reference.shape) < 3:
        return NoiseLine(0.0, 0.0, "none")
    smooth = gaussian(reference, _SMOOTHING)[1:-1, 1:-1].ravel()
    edges = np.unique(np.quantile(smooth, np.linspace(0, 1, _CLASSES + 1)[1:-1]))
    steady = _table(reference, smooth, edges)
    sums = np.zeros_like(steady)
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(len(frames), _MAX_FRAMES)).astype(int))
    for frame in frames[chosen]:
        pixels = np.asarray(frame, np.float64)
        finite = np.isfinite(pixels)
        if not finite.all():
            pixels = np.where(finite, pixels, reference)
        sums += _table(pixels, gaussian(pixels, _SMOOTHING)[1:-1, 1:-1].ravel(), edges)
    used = (sums[0] > _LEAST_COUNT) & (steady[0] > 0)
    if not used.any():
        return NoiseLine(0.0, 0.0, "none")
    count, mean = sums[0, used], sums[1, used] / sums[0, used]
    variance = sums[2, used] / count - steady[2, used] / steady[0, used]
    variance /= max(1 - reference_noise, 0.1)
    level = float(np.median(variance))
    if level <= 0:
        return NoiseLine(0.0, 0.0, "none")
    gain, at_zero = 0.0, level
    for _ in range(_ROUNDS):
        weight = np.sqrt(count) / np.maximum(np.abs(gain * mean + at_zero), 1e-6 * level)
        design = np.stack([mean, np.ones_like(mean)], 1) * weight[:, None]
        gain, at_zero = np.linalg.lstsq(design, variance * weight, rcond=None)[0]
    if gain < 0:
        gain, at_zero = 0.0, level
    return NoiseLine(float(gain), float(at_zero), "reference")


def _table(image: Float64, smooth: Float64, edges: Float64) -> Float64:
    """Count, sum of intensity and sum of fine detail's energy per class, (3, classes)."""
    rows = image[:, 2:] - 2 * image[:, 1:-1] + image[:, :-2]
    detail = ((rows[2:] - 2 * rows[1:-1] + rows[:-2]) / 6).ravel() ** 2
    place = np.searchsorted(edges, smooth, side="right")
    classes = len(edges) + 1
    return np.stack([np.bincount(place, part, classes) for part in (np.ones_like(smooth), smooth, detail)])
