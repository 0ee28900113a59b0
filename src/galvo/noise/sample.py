"""Pairs of consecutive frames spread over a recording, with the mean of their neighbours in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording

__all__ = ["Sample", "draw_sample"]

_PAIRS = 64
_BEFORE, _BEHIND = 8, 10
_WINDOW = _BEFORE + _BEHIND
_BAND = 4
_MAX_VALUES = 1 << 23
_READ_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Pixels of some rows of frame pairs.

    Attributes
    ----------
    pairs : ndarray, (P, 2, B, R, X)
        P pairs of two frames in B bands of R neighbouring rows.
    around : ndarray, (P, B, R, X)
        Mean over the other frames from 8 before to 9 after a pair's first: tells how bright a pixel is without
        having seen the pair's noise.
    planes : ndarray of intp, (P,)
        Which plane a pair is of, counted among those used.
    rows : ndarray of intp, (B,)
        First row of each band.
    frame_count : int
        Frames read.
    """

    pairs: NDArray[Any]
    around: NDArray[Any]
    planes: NDArray[np.intp]
    rows: NDArray[np.intp]
    frame_count: int


def draw_sample(recording: Recording, channel: int, planes: list[int], max_frames: int) -> Sample:
    """Pairs of one channel; at most `max_frames` frames are read, and 18 sampled ones are held at a time."""
    planes = _spread(planes, min(_PAIRS, max(1, max_frames // _WINDOW)))
    pair_count = max(1, _PAIRS // len(planes))
    pairs_of = [
        (place, z, first, lo, hi)
        for place, z in enumerate(planes)
        for first, lo, hi in _places(recording.shape[0], pair_count, max_frames // len(planes))
    ]
    height, width = recording.shape[3:]
    band = min(_BAND, height)
    every = -(-len(pairs_of) * 2 * height * width // _MAX_VALUES)
    rows = np.arange(0, height - band + 1, band * every, dtype=np.intp)
    wide = recording.dtype.kind in "iu" and recording.dtype.itemsize <= 2
    # sums over 18 frames of 16 bits are exact in float32
    kind = np.dtype(np.float32 if wide else np.float64)
    pairs = np.empty((len(pairs_of), 2, rows.size, band, width), kind)
    around = np.empty((len(pairs_of), rows.size, band, width), kind)
    held: dict[tuple[int, int], NDArray[Any]] = {}
    frame_count = 0
    at_once = max(1, _READ_BYTES // max(1, height * width * recording.dtype.itemsize))
    lines = (rows[:, None] + np.arange(band)).ravel()
    for row, (_, z, first, lo, hi) in enumerate(pairs_of):
        held = {key: frame for key, frame in held.items() if key[0] == z and key[1] >= lo}
        missing = [t for t in range(lo, hi) if (z, t) not in held]
        for start in range(0, len(missing), at_once):
            times = missing[start : start + at_once]
            frames = recording[times[0] : times[-1] + 1, channel, z]
            for t, frame in zip(times, frames, strict=True):
                held[z, t] = _usable(frame[lines].reshape(rows.size, band, width).astype(kind))
            frame_count += len(times)
        pairs[row] = held[z, first], held[z, first + 1]
        total = np.zeros_like(around[row])
        for t in range(lo, hi):
            if t not in (first, first + 1):
                total += held[z, t]
        np.divide(total, hi - lo - 2, out=around[row])
    return Sample(pairs, around, np.array([place for place, *_ in pairs_of], np.intp), rows, frame_count)


def _usable(pixels: NDArray[Any]) -> NDArray[Any]:
    """Floating-point pixels with NaN in place of what cannot be squared."""
    return np.where(np.abs(pixels) < 1e75, pixels, np.nan) if pixels.dtype == np.float64 else pixels


def _spread(items: list[int], count: int) -> list[int]:
    if len(items) <= count:
        return items
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def _places(length: int, count: int, max_frames: int) -> list[tuple[int, int, int]]:
    """First frame of each pair and the frames around it, at most `max_frames` of them altogether, in order."""
    if length <= max(max_frames, 3):
        runs, span = [0], length
    else:
        span = min(_WINDOW, max(max_frames, 3))
        runs = [int(run) for run in np.linspace(0, length - span, max(1, max_frames // span)).round()]
    each = min(span - 1, -(-count // len(runs)))
    firsts = np.unique(np.linspace(0, span - 2, each).round().astype(int)) if each > 1 else [(span - 2) // 2]
    return [
        (run + int(first), run + max(0, int(first) - _BEFORE), run + min(span, int(first) + _BEHIND))
        for run in runs
        for first in firsts
    ]
