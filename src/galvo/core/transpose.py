"""Copying images whose columns, not rows, lie side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native

__all__ = ["transpose_into"]

_WIDTHS = (1, 2, 4, 8, 16)
_TILE = 32
_SMALL_BYTES = 64 << 10


def transpose_into(target: NDArray[Any], source: NDArray[Any]) -> None:
    """Copy `source` to `target`, whose last two axes may lie the other way round in memory.

    Two to four times as fast as NumPy where the items are of one type and only their order differs.

    Parameters
    ----------
    target : ndarray, (..., A, B)
    source : ndarray
        Broadcast to the shape of `target`, and converted to its type.
    """
    if target.ndim < 2:
        target[...] = source
        return
    source = np.broadcast_to(source, target.shape)
    for into, out_of in ((target, source), (target.swapaxes(-1, -2), source.swapaxes(-1, -2))):
        if _is_kernels(into, out_of):
            native.transpose(out_of, into)
            return
    if math.prod(target.shape[-2:]) * target.itemsize <= _SMALL_BYTES:
        target[...] = source
        return
    # in stripes, which is twice as fast as NumPy's own order where the whole is larger than the cache
    for frame in np.ndindex(target.shape[:-2]):
        here, there = target[frame], source[frame]
        for first in range(0, here.shape[0], _TILE):
            here[first : first + _TILE] = there[first : first + _TILE]


def _is_kernels(target: NDArray[Any], source: NDArray[Any]) -> bool:
    """Whether rows of `target` and columns of `source` are in one piece."""
    width = target.itemsize
    return (
        target.dtype == source.dtype
        and width in _WIDTHS
        and target.dtype.kind in "biufc"
        and target.strides[-1] == source.strides[-2] == width
    )
