"""What the values alone say: their step, where they pile up, and the peak of the dark pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import Unsupported
from galvo.noise.sample import Sample

__all__ = ["Values", "dark_peak", "look_at"]

_DIMMEST = 0.03
_MAX_SPAN = 1 << 21


@dataclass(frozen=True, slots=True)
class Values:
    """Facts of the histogram.

    Attributes
    ----------
    whole : bool
        Integers.
    step : float
        What all differences of values are multiples of; 1 for floating point.
    lowest : float
    dark_end : float
        Value that 1 % of the pixels are below.
    clip_low, clip_high : float or None
        Lowest and highest value, where it is a point mass.
    clip_low_fraction, clip_high_fraction : float
        Part of the pixels there.
    quantised : bool
        Much of the range between the values of 1 % and 99 % of the pixels never occurs.
    """

    whole: bool
    step: float
    lowest: float
    dark_end: float
    clip_low: float | None
    clip_high: float | None
    clip_low_fraction: float
    clip_high_fraction: float
    quantised: bool


def look_at(pixels: NDArray[Any], whole: bool) -> Values:
    """Facts of these pixels; NaN and infinities are left out."""
    flat = pixels.ravel()
    if not whole:
        flat = flat[np.isfinite(flat)]
    occupied, counts = _histogram(flat, whole)
    step = float(np.gcd.reduce(np.diff(occupied).astype(np.int64))) if whole and occupied.size > 1 else 1.0
    below = np.cumsum(counts)
    first, last = np.searchsorted(below, [0.01 * below[-1], 0.99 * below[-1]])
    span = (occupied[last] - occupied[first]) / step + 1
    low, high = _is_mass(counts), _is_mass(counts[::-1])
    return Values(
        whole=whole,
        step=step,
        lowest=float(occupied[0]),
        dark_end=float(occupied[first]),
        clip_low=float(occupied[0]) if low else None,
        clip_high=float(occupied[-1]) if high else None,
        clip_low_fraction=float(counts[0] / below[-1]) if low else 0.0,
        clip_high_fraction=float(counts[-1] / below[-1]) if high else 0.0,
        quantised=whole and bool(last - first + 1 < 0.6 * span and below[-1] > 200 * span),
    )


def _is_mass(counts: NDArray[np.int64]) -> bool:
    """Whether the first value is a point mass beside its neighbours: the 10 next ones that occur."""
    return counts.size > 1 and bool(counts[0] >= 20 and counts[0] > 3 * np.median(counts[:11]))


def _histogram(values: NDArray[Any], whole: bool) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Values that occur, in order, and how often."""
    lowest = values.min()
    if not whole or values.max() - lowest > _MAX_SPAN:
        return np.unique(values[:: max(1, values.size >> 20)], return_counts=True)
    counts = np.bincount((values - lowest).astype(np.intp))
    occupied = np.flatnonzero(counts)
    return occupied + int(lowest), counts[occupied]


def dark_peak(sample: Sample, values: Values) -> tuple[float, float]:
    """Peak of the values of the dimmest pixels, and the standard deviation of its lower flank.

    The lower flank holds no photons: half its width at half its height is 1.1774 standard deviations.
    """
    limit = np.nanquantile(sample.around[:, :, ::2, ::2], _DIMMEST)
    dim = sample.around <= limit
    some = np.concatenate([frame[place] for pair, place in zip(sample.pairs, dim, strict=True) for frame in pair])
    if not values.whole:
        some = some[np.isfinite(some)]
    if not some.size:
        raise Unsupported("noise cannot be measured: the dim pixels are not finite")
    low, middle = np.quantile(some, [0.05, 0.5])
    grid = values.step if values.whole else max(float(middle - low) / 20, float(np.spacing(np.abs(middle)) * 16))
    reach = low - 4 * max(middle - low, grid)
    top = middle + 4 * max(middle - low, grid)
    some = some[(some >= reach) & (some <= top)]
    start = float(some.min())
    counts = np.bincount(np.round((some - start) / grid).astype(np.intp)).astype(np.float64)
    # as wide as noise in the counts demands, a quarter of a standard deviation
    width = max(1, round(0.15 * float(middle - low) / grid))
    counts = np.convolve(np.pad(counts, width), np.ones(width) / width, mode="same")
    peak, height = _top(counts)
    under = np.flatnonzero(counts[: round(peak) + 1] < height / 2)
    left = int(under[-1]) if under.size else -1
    before = counts[left] if left >= 0 else 0.0
    crossing = left + (height / 2 - before) / (counts[left + 1] - before)
    # an even window sits half a place to the left
    shift = 0.5 if width % 2 == 0 else 0.0
    return float(start + (peak - width - shift) * grid), float((peak - crossing) * grid / 1.1774)


def _top(counts: NDArray[np.float64]) -> tuple[float, float]:
    """Place and height of the highest peak, by a Gaussian through its upper fifth where that has enough places."""
    highest = int(counts.argmax())
    low = np.flatnonzero(counts < 0.8 * counts[highest])
    split = int(np.searchsorted(low, highest))
    first = int(low[split - 1]) + 1 if split else 0
    last = int(low[split]) if split < low.size else counts.size
    if last - first >= 5:
        places = np.arange(first, last) - highest
        top = counts[first:last]
        bend, slope, level = np.polyfit(places, np.log(top), 2, w=np.sqrt(top))
        if bend < 0 and first - highest <= -slope / (2 * bend) < last - highest:
            return float(highest - slope / (2 * bend)), float(np.exp(level - slope**2 / (4 * bend)))
    return float(highest), float(counts[highest])
