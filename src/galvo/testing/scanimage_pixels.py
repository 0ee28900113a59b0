"""Closed-form pixels of generated recordings: every page can be named from three of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["PIXEL_TYPES", "fill_pixels", "page_pixels"]

_SCRATCH_PIXELS: Final = 1 << 15

# Moduli for columns x = 0, 1, 2 (mod 3) and the value subtracted, per data type.
_PIXEL_CODE: Final[dict[str, tuple[tuple[int, int, int], int]]] = {
    "uint8": ((251, 241, 239), 0),
    "int8": ((251, 241, 239), 120),
    "uint16": ((65521, 65519, 65497), 0),
    "int16": ((65521, 65519, 65497), 32760),
    "uint32": ((2147483647, 2147483629, 2147483587), 0),
    "int32": ((2147483647, 2147483629, 2147483587), 1 << 30),
}
PIXEL_TYPES: Final = tuple(_PIXEL_CODE)
"""Pixel types that ScanImage can save."""
_PAGE_STEP: Final = 15485863
_ROW_STEP: Final = 31
_COLUMN_STEP: Final = 17


def page_pixels(
    pages: Sequence[int] | NDArray[np.integer[Any]], height: int, width: int, dtype: str = "int16"
) -> NDArray[Any]:
    """Return the closed-form pixels of stream pages, (P, Y, X) of `dtype`.

    Parameters
    ----------
    pages : sequence of int
        Positions in the recording's page stream, from 0: logged frame x channel count + channel.
    height, width : int
        Rows and columns of a page.
    dtype : str
        One of int8, uint8, int16, uint16, int32, uint32.

    Notes
    -----
    ``value = (page * 15485863 + 31 * y + 17 * x) mod P[x mod 3] - offset`` with three primes P for each width of
    pixel: 251, 241, 239 (8 bit), 65521, 65519, 65497 (16 bit), 2147483647, 2147483629, 2147483587 (32 bit); the offset
    is 0 for unsigned types and 120, 32760, 2**30 for signed ones.  By the Chinese remainder theorem the first three
    pixels of a row name the page among 14 million (8 bit) or more, so an index that wrapped at 256 or 65,536, a
    swapped channel and a page read twice all show; unequal steps in y and x show a transposed frame.
    """
    out = np.empty((len(pages), height, width), dtype)
    fill_pixels(np.asarray(pages, np.int64), out)
    return out


def fill_pixels(pages: NDArray[np.int64], out: NDArray[Any]) -> None:
    """Put the closed-form pixels of `pages` into `out`, (P, Y, X); see `page_pixels`."""
    primes, offset = _PIXEL_CODE[out.dtype.name]
    height, width = out.shape[1:]
    if not height * width:
        return
    ramp, modulus = _ramp(height, width, primes)
    starts = ((pages[:, None] * _PAGE_STEP) % np.array(primes)).astype(np.uint32)[:, np.arange(width) % 3]
    pages_at_once = min(len(pages), max(1, _SCRATCH_PIXELS // (height * width)))
    rows_at_once = min(height, max(1, _SCRATCH_PIXELS // width))
    scratch = np.empty((2, pages_at_once, rows_at_once, width), np.uint32)
    for first in range(0, len(pages), pages_at_once):
        start = starts[first : first + pages_at_once, None, :]
        for top in range(0, height, rows_at_once):
            rows = ramp[top : top + rows_at_once]
            value, less = scratch[:, : len(start), : len(rows)]
            np.add(rows, start, out=value)
            # Below the modulus the difference wraps to a huge number: the minimum is the remainder, without division.
            np.subtract(value, modulus, out=less)
            np.minimum(value, less, out=value)
            if offset:
                value -= np.uint32(offset)
            out[first : first + len(start), top : top + len(rows)] = value.view(np.int32) if offset else value


@lru_cache(maxsize=2)
def _ramp(height: int, width: int, primes: tuple[int, int, int]) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Page 0 before the offset, (Y, X), and the modulus of each column, (X,)."""
    modulus = np.array(primes)[np.arange(width) % 3]
    ramp = (np.arange(height)[:, None] * _ROW_STEP + np.arange(width) * _COLUMN_STEP) % modulus
    return ramp.astype(np.uint32), modulus.astype(np.uint32)
