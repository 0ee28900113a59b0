"""Colors of a frame as a GIF has them: 256 at most.

Frames with more are reduced by median cut (Heckbert, Color image quantization for frame buffer display, 1982) over 32
levels of each component, from its least to its greatest value: boxes of colors are halved, where they hold most pixels
times extent, until there are 256, and each becomes the mean of its pixels.
"""

from __future__ import annotations

import heapq
from itertools import count

import numpy as np
from numpy.typing import NDArray

__all__ = ["with_table"]

_TABLE_LENGTH = 256
_BITS = 5
_LEVELS = 1 << _BITS
_BINS = _LEVELS**3


def with_table(frame: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """A frame as indices into a table of colors.

    Parameters
    ----------
    frame : ndarray of uint8, (3, Y, X)

    Returns
    -------
    table : ndarray of uint8, (256, 3)
        Exact where the frame has no more colors, and black behind them.
    indices : ndarray of uint8, (Y, X)
    """
    table = np.zeros((_TABLE_LENGTH, 3), np.uint8)
    parts = frame.reshape(3, -1).T.astype(np.uint32)
    packed = parts[:, 0] << 16 | parts[:, 1] << 8 | parts[:, 2]
    colors, indices = np.unique(packed, return_inverse=True)
    if colors.size <= _TABLE_LENGTH:
        table[: colors.size] = np.stack([colors >> 16, colors >> 8 & 255, colors & 255], axis=1)
    else:
        indices = _reduced(parts, table)
    return table, indices.reshape(frame.shape[1:]).astype(np.uint8)


def _reduced(parts: NDArray[np.uint32], table: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Fill the table, and say which color each pixel gets."""
    low = parts.min(axis=0)
    span = np.maximum(parts.max(axis=0) - low + 1, _LEVELS)
    level = (parts - low) * _LEVELS // span
    key = level[:, 0] << 2 * _BITS | level[:, 1] << _BITS | level[:, 2]
    counts = np.bincount(key, minlength=_BINS)
    sums = np.stack([np.bincount(key, parts[:, axis], _BINS) for axis in range(3)], axis=1)
    used = np.flatnonzero(counts)
    levels = np.stack([used >> 2 * _BITS, used >> _BITS & (_LEVELS - 1), used & (_LEVELS - 1)], axis=1)
    places = levels * (span / _LEVELS)
    # weight, a number that settles ties, bins
    boxes: list[tuple[float, int, NDArray[np.intp]]] = []
    serial = count()

    def add(bins: NDArray[np.intp]) -> None:
        extent = float(np.ptp(places[bins], axis=0).max())
        heapq.heappush(boxes, (-float(counts[used[bins]].sum()) * extent, next(serial), bins))

    add(np.arange(used.size))
    while len(boxes) < _TABLE_LENGTH and boxes[0][0] < 0:
        bins = heapq.heappop(boxes)[2]
        axis = int(np.ptp(places[bins], axis=0).argmax())
        bins = bins[np.argsort(places[bins, axis], kind="stable")]
        below = np.cumsum(counts[used[bins]])
        # both sides hold something
        cut = min(max(1, int(np.searchsorted(below, below[-1] / 2)) + 1), bins.size - 1)
        add(bins[:cut])
        add(bins[cut:])
    chosen = np.zeros(_BINS, np.intp)
    for number, (_, _, bins) in enumerate(boxes):
        inside = used[bins]
        table[number] = np.rint(sums[inside].sum(axis=0) / counts[inside].sum())
        chosen[inside] = number
    found: NDArray[np.intp] = chosen[key]
    return found
