"""Arrays that take over the memory of those before them.

The system clears new memory page by page, which takes as long as filling it from the page cache. The C library spares
that for arrays of up to 32 MiB; blocks of a conversion are larger. So while blocks are moved, `recycling` keeps what
they give back for the next ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native

__all__ = ["empty", "recycling"]


@contextmanager
def recycling(nbytes: int) -> Iterator[None]:
    """Keep up to `nbytes` more of memory that arrays of `empty` give back; behind the `with` nothing of it stays."""
    native.raise_recycled_limit(nbytes)
    try:
        yield
    finally:
        native.raise_recycled_limit(-nbytes)


def empty(shape: Sequence[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    """`numpy.empty`, in memory that is recycled where it may be kept; the array is writeable, but has a base.

    Parameters
    ----------
    shape : sequence of int
    dtype : numpy.dtype
        Without objects.
    """
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > native.recycled_limit():
        return np.empty(shape, dtype)
    return np.ndarray(shape, dtype, memoryview(native.Memory(nbytes)))
