"""Pixels of another type: never more or less than what was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from galvo.core.over import ReaderOver
from galvo.core.reader import Reader, coverage_of
from galvo.core.selection import Indices, Selection
from galvo.errors import OptionError

if TYPE_CHECKING:
    from galvo.core.lazy import LazyArray

__all__ = ["Cast", "CastReader", "Scale", "settled_scale"]

_SAMPLED_FRAMES = 64
_PERCENTILES = (0.1, 99.9)

Scale = Literal["clip", "wrap", "minmax", "percentile"] | tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Cast:
    """How pixels become another type.

    Attributes
    ----------
    dtype : str
    scale : None, "clip", "wrap" or (low, high)
        None: values must fit, and be whole numbers where integers are asked for; floats are rounded to the precision
        of `dtype`. "clip": rounded, and what does not fit becomes the least or greatest value. "wrap": modulo the range
        of integers. (low, high): these become the least and greatest value of an integer `dtype`, or 0 and 1 of a
        float one, what is outside is clipped.
    """

    dtype: str
    scale: Literal["clip", "wrap"] | tuple[float, float] | None = None

    def apply(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """The pixels in `dtype`.

        Raises
        ------
        OptionError
            Values that do not fit, and nothing says what to make of them.
        """
        wanted = np.dtype(self.dtype)
        if self.scale is None:
            return _exact(pixels, wanted)
        if self.scale == "wrap":
            return _wrapped(pixels, wanted)
        if isinstance(self.scale, tuple):
            low, high = self.scale
            least, most = (0.0, 1.0) if wanted.kind == "f" else map(float, _limits(wanted))
            scaled = (pixels.astype(np.float64) - low) * (most - least) / (high - low) + least
            return _clipped(np.clip(scaled, least, most), wanted)
        return _clipped(pixels, wanted)

    def __str__(self) -> str:
        if isinstance(self.scale, tuple):
            return f"{self.dtype}, scaled from {self.scale[0]:g} to {self.scale[1]:g}"
        return self.dtype if self.scale is None else f"{self.dtype}, by {self.scale}"


def _limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    if dtype.kind == "b":
        return 0, 1
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _exact(pixels: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    if np.can_cast(pixels.dtype, wanted, "safe"):
        return pixels.astype(wanted, copy=False)
    if wanted.kind in "fc" and not (pixels.dtype.kind == "c" and wanted.kind == "f"):
        with np.errstate(over="ignore"):
            made = pixels.astype(wanted)
        fits = bool((np.isfinite(made) == np.isfinite(pixels)).all())
    elif pixels.dtype.kind == "c":
        fits = False
    else:
        least, most = _limits(wanted)
        # comparing first: a float that no integer holds has no defined integer value
        fits = bool(((pixels >= least) & (pixels <= most)).all())
        made = pixels.astype(wanted) if fits else pixels
        fits = fits and bool((made == pixels).all())
    if not fits:
        values = "complex numbers" if pixels.dtype.kind == "c" else f"{pixels.min()} to {pixels.max()}"
        raise OptionError(
            f"pixels do not fit {wanted}",
            found=f"{pixels.dtype}, {values}",
            hint='Say what to make of them: scale="clip", "minmax", "percentile" or (low, high) (--scale)',
        )
    return made


def _wrapped(pixels: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    if pixels.dtype.kind not in "biu" or wanted.kind not in "iu":
        raise OptionError("only integers wrap", found=f"{pixels.dtype} to {wanted}", hint="Use another scale")
    return pixels.astype(wanted)


def _clipped(pixels: NDArray[Any], wanted: np.dtype[Any]) -> NDArray[Any]:
    if pixels.dtype.kind == "c" or wanted.kind == "c":
        raise OptionError("complex pixels are not scaled", found=f"{pixels.dtype} to {wanted}")
    if wanted.kind == "f":
        limits = np.finfo(wanted)
        rounded: NDArray[Any] = np.clip(pixels, limits.min, limits.max).astype(wanted)
        return rounded
    least, most = _limits(wanted)
    if pixels.dtype.kind == "f":
        if bool(np.isnan(pixels).any()):
            raise OptionError("NaN is no integer", found=str(wanted), hint="Write a float type")
        whole = np.rint(pixels)
        # 2**64 - 1 has no float64, so what reaches the limits is set rather than converted
        above, below = whole >= float(most), whole <= float(least)
        whole[above | below] = 0
        made: NDArray[Any] = whole.astype(wanted)
        made[above], made[below] = most, least
        return made
    have = np.iinfo(pixels.dtype) if pixels.dtype.kind != "b" else None
    low, high = (max(least, int(have.min)), min(most, int(have.max))) if have is not None else (0, 1)
    clipped: NDArray[Any] = np.clip(pixels, low, high).astype(wanted)
    return clipped


def settled_scale(
    recording: LazyArray, wanted: np.dtype[Any], scale: Scale
) -> Literal["clip", "wrap"] | tuple[float, float] | None:
    """A scale in numbers.

    Raises
    ------
    OptionError
        It does not fit the recording or the type.
    """
    if wanted.kind not in "biufc" or (wanted.kind == "b" and scale is not None):
        raise OptionError("no such pixels", found=str(wanted), expected="integers or floats")
    if scale is None or scale in ("clip", "wrap"):
        return scale
    if recording.dtype.kind == "c" or wanted.kind == "c":
        raise OptionError("complex pixels are not scaled", found=f"{recording.dtype} to {wanted}")
    if scale == "minmax":
        bounds = [(float(block.min()), float(block.max())) for _, block in recording.blocks()]
        low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    elif scale == "percentile":
        t = np.unique(np.linspace(0, recording.shape[0] - 1, _SAMPLED_FRAMES).astype(np.int64))
        sample = np.concatenate([recording[int(one)].ravel() for one in t])
        low, high = map(float, np.percentile(sample, _PERCENTILES))
    else:
        try:
            low, high = (float(value) for value in scale)
        except (TypeError, ValueError):
            raise OptionError(
                "no such scale",
                found=repr(scale),
                expected="clip, wrap, minmax, percentile or two numbers",
            ) from None
    if not math.isfinite(low) or not math.isfinite(high) or high < low:
        raise OptionError("a scale goes from a low to a high number", found=f"{low} to {high}")
    # a recording of one value still has to become something
    return low, high if high > low else low + 1.0


class CastReader(ReaderOver):
    """A reader whose pixels are given another type.

    Parameters
    ----------
    reader : Reader
    cast : Cast
    """

    def __init__(self, reader: Reader, cast: Cast) -> None:
        super().__init__(reader)
        self._cast = cast
        self.dtype = np.dtype(cast.dtype)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the selected pixels."""
        pixels = np.empty(selection.shape, self._reader.dtype)
        self._reader.read(selection, pixels)
        out[...] = self._cast.apply(pixels)

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned."""
        return coverage_of(self._reader, z, y, x)
