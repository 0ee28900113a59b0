"""From images to pictures: gray levels by percentiles, one colour map, sizes, PNG and data URIs."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galvo.errors import OptionError

__all__ = ["VIRIDIS", "colored", "data_uri", "display_limits", "fitted", "png_bytes", "to_uint8"]

_PERCENTILES = (0.5, 99.8)
_MOST_VALUES = 1 << 20

# viridis at nine even steps (S. van der Walt, N. Smith, 2015, CC0): lightness grows evenly, also for the colour-blind
_STEPS = (0x440154, 0x472D7B, 0x3B528B, 0x2C728E, 0x21918C, 0x28AE80, 0x5EC962, 0xADDC30, 0xFDE725)


def _color_table(steps: tuple[int, ...]) -> NDArray[np.uint8]:
    """256 colours between even steps, (256, 3)."""
    known = np.array([[step >> 16, step >> 8 & 255, step & 255] for step in steps], np.float64)
    at = np.linspace(0, len(steps) - 1, 256)
    parts = [np.interp(at, np.arange(len(steps)), known[:, color]) for color in range(3)]
    return np.stack(parts, axis=1).round().astype(np.uint8)


VIRIDIS = _color_table(_STEPS)
"""Red, green and blue of each of 256 levels, uint8 (256, 3): dark is low, light is high."""


def display_limits(image: NDArray[Any], percentiles: tuple[float, float] = _PERCENTILES) -> tuple[float, float]:
    """The values that are to be black and white.

    Parameters
    ----------
    image : ndarray
        Of any shape: several images get common limits.
    percentiles : (low, high)
        Of the finite pixels; of more than a million, every k-th is looked at.

    Returns
    -------
    (low, high), low < high
        The extremes where the percentiles are equal, as in an image of few bright pixels; of an image of one value or
        without finite ones, limits that make it black.
    """
    values = image.ravel()
    values = values[:: -(-values.size // _MOST_VALUES) or 1].astype(np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(values, percentiles))
    if not low < high:
        low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low, max(low + 1, float(np.nextafter(low, np.inf))))


def to_uint8(image: NDArray[Any], limits: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Gray levels of an image of any real type and shape, NaN being black.

    Parameters
    ----------
    image : ndarray
    limits : (low, high), optional
        What becomes 0 and 255, values outside being clipped; `display_limits` by default.
    """
    low, high = display_limits(image) if limits is None else limits
    if not low < high:
        raise OptionError("the limits of a picture do not follow each other", found=f"{low} to {high}")
    narrow = image.dtype.itemsize <= 2
    values: NDArray[np.floating[Any]] = image.astype(np.float32 if narrow else np.float64)
    # halved: the difference of two large floats may be infinite
    values *= 0.5
    values -= low / 2
    values *= 255 / (high / 2 - low / 2)
    if image.dtype.kind == "f":
        values[np.isnan(values)] = 0
    np.clip(values, 0, 255, out=values)
    levels: NDArray[np.uint8] = np.rint(values, out=values).astype(np.uint8)
    return levels


def colored(levels: NDArray[np.uint8], table: NDArray[np.uint8] = VIRIDIS) -> NDArray[np.uint8]:
    """Gray levels (..., Y, X) in the colours of a table (256, 3), (..., Y, X, 3)."""
    found: NDArray[np.uint8] = table[levels]
    return found


def fitted(pixels: NDArray[np.uint8], most: int, *, enlarge: bool = True) -> NDArray[np.uint8]:
    """A picture whose longer side is at most `most`.

    Parameters
    ----------
    pixels : ndarray of uint8, (Y, X) or (Y, X, 3)
    most : int
        Pixels.
    enlarge : bool
        Repeat the pixels of smaller ones a whole number of times, as often as fits.

    Returns
    -------
    ndarray of uint8
        Larger pictures are averaged down, sides keeping their ratio as far as whole pixels let them.
    """
    height, width = pixels.shape[:2]
    longest = max(height, width)
    if longest <= most:
        times = most // longest if enlarge else 1
        return pixels.repeat(times, axis=0).repeat(times, axis=1)
    size = (max(1, round(width * most / longest)), max(1, round(height * most / longest)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BOX))


def png_bytes(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of a picture.

    Parameters
    ----------
    pixels : ndarray of uint8, (Y, X) or (Y, X, 3)
        Gray, or red, green and blue.

    Raises
    ------
    OptionError
        Another type or shape.
    """
    if pixels.dtype != np.uint8 or (pixels.ndim, pixels.shape[2:]) not in ((2, ()), (3, (3,))) or not pixels.size:
        raise OptionError("no picture", found=f"{pixels.dtype} {pixels.shape}", expected="uint8 (Y, X) or (Y, X, 3)")
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def data_uri(content: bytes, media_type: str = "image/png") -> str:
    """A file as a URI that holds it, for pages that are to be complete by themselves."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
