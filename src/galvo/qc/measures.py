"""Numbers of a correction that no single frame tells: what is unusual, how far images moved, and what was gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.motion.correction import Correction
from galvo.motion.flags import Flag
from galvo.motion.kept import Motion, frames_together
from galvo.qc.subject import Subject

__all__ = ["SERIOUS", "Extent", "Gain", "Plane", "measured_plane", "median"]

SERIOUS = Flag.CLIPPED | Flag.OUT_OF_RANGE | Flag.NO_CONTRAST | Flag.NOT_FINITE
"""Flags that make a frame's correction doubtful; the others say how it was estimated."""

_MOST_EXTENTS = 800
_LEAST_EXTENTS = 80
_MOST_COMPARED = 64
_LEAST_COMPARED = 8
_EXTREME_FRAMES = 12
_WORST = 3
_LEAST_BASELINE = 50
_MOST_BASELINE = 40
_UNUSUAL_SIGMA = 5.0
_UNUSUAL_LEAST = 0.03
_QUARTILE_SIGMA = 0.6745
_MEAN_OF = 3
_LEAST_BENT_PX = 0.05

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Extent:
    """Least and greatest displacement within images.

    Attributes
    ----------
    frames : ndarray of int64, (F,)
        T positions, ascending.
    low, high : ndarray of float64, (F, 2)
        In pixels, x before y.
    """

    frames: NDArray[np.int64]
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Gain:
    """Correlation of frames with the reference before and after, noise of single pixels averaged out.

    Attributes
    ----------
    frames : ndarray of int64, (F,)
    before, after : ndarray of float64, (F,)
    """

    frames: NDArray[np.int64]
    before: Floats
    after: Floats

    @property
    def better(self) -> int:
        """Frames that resemble the reference more than before."""
        return int(np.count_nonzero(self.after > self.before))


@dataclass(frozen=True)
class Plane:
    """What is known of the frames of one plane.

    Attributes
    ----------
    z : int
    frames : structured ndarray of `galvo.motion.kept.frame_dtype`, (T,)
    unusual : ndarray of bool, (T,)
        Correlation far below that of the frames around.
    doubtful : ndarray of bool, (T,)
        Flagged as `SERIOUS`.
    worst : tuple of (int, str)
        T positions of frames to look at, and why.
    typical : int
        T position of a frame whose motion is as large as usual.
    extent : Extent
    scanned_fraction : float
        Part of the image that was scanned in all of the frames that moved farthest, but not in those to look at.
    sharper : float or None
        Root mean square gradient of the mean image after over before, averaged over channels.
    gain : Gain or None
        None without pixels from before and after.
    drift : float
        Median correlation of the last tenth of the recording over that of the first; 1 for short ones.
    """

    z: int
    frames: NDArray[Any]
    unusual: Bools
    doubtful: Bools
    worst: tuple[tuple[int, str], ...]
    typical: int
    extent: Extent
    scanned_fraction: float
    sharper: float | None
    gain: Gain | None
    drift: float

    @property
    def to_look_at(self) -> Bools:
        """Frames that somebody should look at, or leave out."""
        return self.unusual | self.doubtful


def measured_plane(subject: Subject, z: int) -> Plane:
    """Everything that is said of one plane."""
    correction = subject.correction
    frames = correction.motion.frames[:, z]
    unusual = _unusual(frames["correlation"].astype(np.float64))
    doubtful = (frames["flags"] & int(SERIOUS)) != 0
    return Plane(
        z=z,
        frames=frames,
        unusual=unusual,
        doubtful=doubtful,
        worst=_worst(frames, doubtful),
        typical=_nearest(frames["max_px"], median(frames["max_px"])),
        extent=_extent(correction.motion, z),
        scanned_fraction=_scanned_fraction(correction, z, np.flatnonzero(~(unusual | doubtful))),
        sharper=_sharper(correction.motion, z),
        gain=_gain(subject, z),
        drift=_drift(frames["correlation"].astype(np.float64)),
    )


def _unusual(correlation: Floats) -> Bools:
    """Far below a line through medians of stretches, so that slow changes are none."""
    known = np.isfinite(correlation)
    count = correlation.size
    if known.sum() < 8:
        return ~known
    stretches = int(np.clip(count // _LEAST_BASELINE, 1, _MOST_BASELINE))
    bounds = np.linspace(0, count, stretches + 1).round().astype(int)
    parts = [(first, stop) for first, stop in pairwise(bounds) if known[first:stop].any()]
    medians = [median(correlation[first:stop]) for first, stop in parts]
    line = np.interp(np.arange(count), [(first + stop - 1) / 2 for first, stop in parts], medians)
    below = correlation - line
    # the lower half alone: activity makes frames resemble the reference more, or less, but not symmetrically
    sigma = -float(np.nanpercentile(below, 25)) / _QUARTILE_SIGMA
    return np.asarray(~known | (below < -max(_UNUSUAL_SIGMA * sigma, _UNUSUAL_LEAST)))


def _worst(frames: NDArray[Any], doubtful: Bools) -> tuple[tuple[int, str], ...]:
    """Frames that resemble the reference least, move most, or are doubtful; no two of one moment."""
    correlation = np.nan_to_num(frames["correlation"].astype(np.float64), nan=-2)
    length = np.nan_to_num(frames["max_px"].astype(np.float64), nan=0)
    elastic = length - np.hypot(*np.nan_to_num(frames["shift"].astype(np.float64)).T)
    ranked = [
        (np.argsort(correlation, kind="stable"), "resembles the reference least"),
        (np.argsort(-length, kind="stable"), "moved most"),
        # of rigid motion rounding is left
        (np.argsort(-elastic, kind="stable") if elastic.max() > _LEAST_BENT_PX else np.zeros(0, int), "most bent"),
        (np.flatnonzero(doubtful)[np.argsort(correlation[doubtful], kind="stable")], "flagged"),
    ]
    apart = max(1, len(frames) // 50)
    chosen: list[tuple[int, str]] = []
    for order, why in ranked:
        if len(chosen) == _WORST:
            break
        free = (int(t) for t in order[:1000] if all(abs(int(t) - other) >= apart for other, _ in chosen))
        found = next(free, None)
        if found is not None:
            chosen.append((found, why))
    return tuple(chosen)


def _extent(motion: Motion, z: int) -> Extent:
    """Of all frames, or of those of each stretch that is the first, and that moved farthest."""
    count, planes = motion.shape[:2]
    length = np.nan_to_num(motion.frames["max_px"][:, z].astype(np.float64), nan=0)
    most = max(_LEAST_EXTENTS, _MOST_EXTENTS // planes)
    if count <= most:
        chosen = np.arange(count)
    else:
        bounds = np.linspace(0, count, most // 2 + 1).round().astype(int)
        farthest = [first + int(length[first:stop].argmax()) for first, stop in pairwise(bounds)]
        chosen = np.unique(np.concatenate([bounds[:-1], farthest]))
    low, high = np.empty((2, chosen.size, 2))
    height, width = motion.shape[2:]
    # fields are smooth: every few pixels and the last ones tell their range
    rows = np.unique(np.append(np.arange(0, height, max(1, height // 64)), height - 1))
    columns = np.unique(np.append(np.arange(0, width, max(1, width // 64)), width - 1))
    together = frames_together(height, width)
    for first in range(0, chosen.size, together):
        fields = motion.displacements(chosen[first : first + together], z)[:, rows[:, None], columns]
        low[first : first + together] = fields.min(axis=(1, 2))
        high[first : first + together] = fields.max(axis=(1, 2))
    return Extent(chosen.astype(np.int64), low, high)


def _scanned_fraction(correction: Correction, z: int, frames: NDArray[np.int64]) -> float:
    """By those of some frames that have the most extreme shifts."""
    if not frames.size:
        return 1.0
    shifts = np.nan_to_num(correction.shifts[frames, z].astype(np.float64))
    length = np.nan_to_num(correction.motion.frames["max_px"][frames, z].astype(np.float64))
    orders = [np.argsort(values, kind="stable") for values in (shifts[:, 0], shifts[:, 1], length)]
    ends = [np.concatenate([order[:_EXTREME_FRAMES], order[-_EXTREME_FRAMES:]]) for order in orders]
    return float(correction.valid_mask(frames[np.unique(np.concatenate(ends))].tolist(), z).mean())


def _sharper(motion: Motion, z: int) -> float | None:
    """Of images averaged over a few pixels: interpolation takes noise away, which is no loss."""
    if motion.means is None or min(motion.shape[2:]) < 4 * _MEAN_OF:
        return None
    ratios = []
    for channel in range(motion.means.shape[4]):
        before, after = (_contrast(image[z, :, :, channel].astype(np.float64)) for image in motion.means)
        if before > 0 and np.isfinite(after / before):
            ratios.append(after / before)
    return float(np.mean(ratios)) if ratios else None


def _contrast(image: Floats) -> float:
    """Root mean square gradient where it is known."""
    averaged = _averaged(np.where(np.isfinite(image), image, np.nan))
    squares = sum(np.square(part) for part in np.gradient(averaged))
    return float(np.sqrt(np.nanmean(squares))) if np.isfinite(squares).any() else 0.0


def _gain(subject: Subject, z: int) -> Gain | None:
    motion = subject.motion
    if subject.before_is != "original" or subject.before is None or subject.after is None:
        return None
    channels = subject.estimated_channels(subject.before)
    if channels is None:
        return None
    count, planes = motion.shape[:2]
    most = max(_LEAST_COMPARED, _MOST_COMPARED // planes)
    times = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
    parts = motion.facts.parts_of(times)
    before, after = np.full((2, times.size), np.nan)
    for place, (t, part) in enumerate(zip(times.tolist(), parts.tolist(), strict=True)):
        inner = _inside(motion, t, z)
        reference = _inner_means(np.moveaxis(motion.facts.references[part, z], -1, 0), inner)
        for recording, found in ((subject.before, before), (subject.after, after)):
            found[place] = _correlation(_inner_means(_frame(recording, t, z, channels), inner), reference)
    return Gain(times, before, after)


def _frame(recording: Recording, t: int, z: int, channels: Sequence[int]) -> Floats:
    return np.stack([recording[t, channel, z] for channel in channels]).astype(np.float64)


def _inside(motion: Motion, t: int, z: int) -> tuple[slice, slice]:
    """Without a border as wide as the frame moved, but at least the inner half."""
    length = float(motion.frames["max_px"][t, z])
    border = int(np.ceil(length)) if np.isfinite(length) else 0
    height, width = motion.shape[2:]
    return tuple(slice(min(border, side // 4), side - min(border, side // 4)) for side in (height, width))  # type: ignore[return-value]


def _inner_means(images: Floats, inner: tuple[slice, slice]) -> list[Floats]:
    return [_averaged(image[inner]) for image in images]


def _averaged(image: Floats) -> Floats:
    """Means of squares of 3 x 3 pixels that touch each other."""
    height, width = (side // _MEAN_OF * _MEAN_OF for side in image.shape)
    if not height or not width:
        return image
    squares = image[:height, :width].reshape(height // _MEAN_OF, _MEAN_OF, width // _MEAN_OF, _MEAN_OF)
    return np.asarray(squares.mean(axis=(1, 3)))


def _correlation(images: Sequence[Floats], references: Sequence[Floats]) -> float:
    """Pearson's, mean over the channels; NaN where an image has no contrast."""
    found = []
    for image, reference in zip(images, references, strict=True):
        known = np.isfinite(image) & np.isfinite(reference)
        one, other = (values[known] - values[known].mean() for values in (image, reference)) if known.any() else (0, 0)
        norm = float(np.sqrt(np.sum(np.square(one)) * np.sum(np.square(other))))
        found.append(float(np.sum(np.multiply(one, other))) / norm if norm > 0 else np.nan)
    return float(np.mean(found))


def _drift(correlation: Floats) -> float:
    tenth = correlation.size // 10
    first, last = median(correlation[:tenth]), median(correlation[-tenth:])
    return last / first if tenth >= 20 and first > 0 and np.isfinite(last) else 1.0


def median(values: NDArray[Any]) -> float:
    """Of the finite values; NaN where there is none."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _nearest(values: NDArray[Any], wanted: float) -> int:
    distance = np.abs(values.astype(np.float64) - wanted)
    return 0 if np.isnan(distance).all() else int(np.nanargmin(distance))
