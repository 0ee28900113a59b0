"""Mean, maximum, standard deviation and local correlation of a sample of frames, in bounded memory and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.errors import OptionError

__all__ = ["Summary", "sampled_frames", "summarize"]

_MOST_FRAMES = 256
_LEAST_FRAMES = 32
_SAMPLE_BYTES = 128 << 20
_BAND_BYTES = 4 << 20
_MOST_TOGETHER = 16
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, slots=True)
class Summary:
    """Images of one channel and plane.

    Attributes
    ----------
    mean, max, std : ndarray of float32, (Y, X)
        Over the sampled frames; values that are not finite are left out, and a pixel that has no others is NaN. `std`
        is that of the population (division by the number of values).
    local_correlation : ndarray of float32, (Y, X)
        Mean of Pearson's correlations of each pixel with its 8 neighbours (5 at an edge, 3 in a corner) over the
        sampled frames in which both are finite. NaN where there is none: pixels that never change.
    frames : ndarray of int64, (F,)
        T positions that were sampled, in order.
    """

    mean: NDArray[np.float32]
    max: NDArray[np.float32]
    std: NDArray[np.float32]
    local_correlation: NDArray[np.float32]
    frames: NDArray[np.int64]


def summarize(
    recording: Recording,
    *,
    channel: int | str = 0,
    plane: int = 0,
    frame_count: int | None = None,
    frames: Sequence[int] | NDArray[Any] | None = None,
) -> Summary:
    """Summary images of one channel and plane, of frames spread over the whole recording.

    Parameters
    ----------
    recording : Recording
        Complex pixels count by their magnitude.
    channel : int or str
    plane : int
        Position on the Z axis.
    frame_count : int, optional
        How many frames to sample; by default 256, fewer where they are so large that 256 take more than 128 MiB, and
        32 at least.
    frames : sequence of int, optional
        T positions to sample instead, in order: those of another summary make the two comparable.

    Returns
    -------
    Summary

    Raises
    ------
    OptionError
        The recording or the selection is empty.
    SelectionError
        No such channel, plane or frame.
    FormatError, ReadError, DamagedData
        The files do not hold what they promised.

    Notes
    -----
    A correlation profits from frames that lie far apart, because activity in consecutive ones is nearly the same
    observation; so single frames are drawn, and runs only where frames are stored together (`sampled_frames`).

    At most 128 MiB of pixels are held: of very large frames a band of rows at a time is read.
    """
    length, _, _, height, width = recording.shape
    frame_bytes = max(1, height * width * recording.dtype.itemsize)
    if frames is None:
        fitting = max(_LEAST_FRAMES, min(_MOST_FRAMES, _SAMPLE_BYTES // frame_bytes))
        times = sampled_frames(length, frame_count or fitting, recording.chunks[0])
    else:
        times = np.asarray(frames, np.int64)
    if not times.size or not height or not width:
        raise OptionError("there is nothing to summarize", found=f"{times.size} frames of shape {recording.shape}")
    images = np.empty((4, height, width), np.float32)
    rows_at_once = max(1, _SAMPLE_BYTES // (times.size * width * recording.dtype.itemsize))
    for first in range(0, height, rows_at_once):
        last = min(height, first + rows_at_once)
        # a row more on each side has the neighbours of the outermost ones
        above, below = max(0, first - 1), min(height, last + 1)
        pixels = recording[times, channel, plane, above:below]
        _summarize_rows(pixels, first - above, last - above, images[:, first:last])
    mean, greatest, std, correlation = images
    return Summary(mean, greatest, std, correlation, times)


def sampled_frames(length: int, frame_count: int, together: int = 1) -> NDArray[np.int64]:
    """T positions spread evenly over a recording.

    Parameters
    ----------
    length : int
        Of the T axis.
    frame_count : int
        How many are wanted; all come back where there are no more.
    together : int
        How many frames are stored together, which cost hardly more to read than one of them: up to 16 of each such
        group are taken, more where there are few groups.

    Returns
    -------
    ndarray of int64, (F,)
        Increasing, at most `frame_count`, the first and the last group among them where more than one is taken.
    """
    if frame_count < 1:
        raise OptionError("at least one frame is needed", found=frame_count)
    if length <= frame_count:
        return np.arange(length, dtype=np.int64)
    groups = length // together
    run = min(together, frame_count, max(_MOST_TOGETHER, frame_count // max(groups, 1)))
    if groups < 2 or run < 2:
        return np.unique(np.linspace(0, length - 1, frame_count).round().astype(np.int64))
    starts = np.unique(np.linspace(0, groups - 1, min(groups, frame_count // run)).round().astype(np.int64)) * together
    return np.asarray((starts[:, None] + np.arange(run)).ravel())


def _summarize_rows(pixels: NDArray[Any], first: int, last: int, out: NDArray[np.float32]) -> None:
    """Fill `out` (4, Y, X) with the images of the rows from `first` to `last` of `pixels` (F, Y, X)."""
    count, height, width = pixels.shape
    at_once = max(1, _BAND_BYTES // (4 * count * width))
    for top in range(first, last, at_once):
        bottom = min(last, top + at_once)
        above, below = max(0, top - 1), min(height, bottom + 1)
        band = _as_float(pixels[:, above:below])
        images = np.stack([*_moments(band), _local_correlation(band)])
        with np.errstate(over="ignore"):
            out[:, top - first : bottom - first] = images[:, top - above : bottom - above]


def _as_float(pixels: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Pixels as floating-point numbers that hold them, NaN in place of infinity."""
    if pixels.dtype.kind == "c":
        pixels = np.abs(pixels)
    narrow = pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32
    values: NDArray[np.floating[Any]] = pixels.astype(np.float32 if narrow else np.float64)
    if pixels.dtype.kind == "f":
        values[np.isinf(values)] = np.nan
    return values


def _moments(band: NDArray[np.floating[Any]]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Mean, maximum and standard deviation (Y, X) of the finite values; leaves deviations from the mean in `band`."""
    greatest, least = np.fmax.reduce(band, axis=0), np.fmin.reduce(band, axis=0)
    constant = ~(greatest > least)
    complete = bool(np.isfinite(band).all())
    count = np.full(greatest.shape, band.shape[0]) if complete else np.isfinite(band).sum(axis=0)
    count = np.where(count, count, np.nan)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = (np.sum if complete else np.nansum)(band, axis=0, dtype=np.float64) / count
        band -= mean.astype(band.dtype)
        if constant.any():
            # rounding must not make a constant pixel change
            band[:, constant] *= 0
        held = band if complete else np.where(np.isfinite(band), band, 0)
        std = np.sqrt(np.einsum("tyx,tyx->yx", held, held) / count)
    return mean, greatest, std


def _local_correlation(deviations: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Mean correlation (Y, X) with the neighbours, of deviations from the mean (F, Y, X)."""
    _, height, width = deviations.shape
    total = np.zeros((height, width))
    count = np.zeros((height, width))
    complete = bool(np.isfinite(deviations).all())
    if complete:
        deviations = _unit(deviations)
    for down, right in _NEIGHBOURS:
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width - max(0, -right)))
        one, other = deviations[:, *here], deviations[:, *there]
        if not complete:
            one, other = _centred_where_both(one, other)
        found = np.einsum("tyx,tyx->yx", one, other)
        known = np.isfinite(found)
        for place in (here, there):
            total[place] += np.where(known, found, 0)
            count[place] += known
    with np.errstate(invalid="ignore"):
        return total / np.where(count, count, np.nan)


def _centred_where_both(one: NDArray[Any], other: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Both relative to their means over the frames in which both are known, of unit length, 0 in the other frames."""
    both = np.isfinite(one) & np.isfinite(other)
    count = both.sum(axis=0)
    made = []
    for values in (one, other):
        held = np.where(both, values, 0)
        changes = np.where(both, values, -np.inf).max(axis=0) > np.where(both, values, np.inf).min(axis=0)
        mean = held.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
        made.append(_unit(np.where(both & changes, held - mean, 0)))
    return made[0], made[1]


def _unit(deviations: NDArray[Any]) -> NDArray[Any]:
    """Traces of unit length; NaN for those of none."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        unit: NDArray[Any] = deviations / np.sqrt(np.einsum("tyx,tyx->yx", deviations, deviations))
    return unit
