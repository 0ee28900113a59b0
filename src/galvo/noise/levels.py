"""Offset and scale of PZF's square-root quantiser, chosen so that the error is bounded in units of the noise.

The quantiser stores ``round(sqrt(x - offset) / scale)`` in one byte and gives back ``(code * scale)**2 + offset``,
truncated to uint16, both in float32. Where the variance is ``gain * (x - zero)``, an offset at `zero` makes every step
the same in units of sigma, ``2 * scale / sqrt(gain)``. Pixels below the offset would all become code 0, so it is never
above the lowest value. The truncation takes up to one count more, which matters where sigma is a few counts. The error
is therefore not derived but counted, over all values of the range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError

if TYPE_CHECKING:
    from galvo.noise.model import NoiseModel

__all__ = ["ANSCOMBE", "SqrtLevels", "sqrt_levels"]

ANSCOMBE = 0.375
_SCALES = 96


@dataclass(frozen=True, slots=True, kw_only=True)
class SqrtLevels:
    """Parameters of a square-root quantiser, and the error that they cause.

    Attributes
    ----------
    offset, scale : float
        Exactly representable in float32, as PZF stores them.
    max_error_sigma : float
        Greatest error over all values of the range, in units of the noise of the value.
    wanted_error_sigma : float
        What was asked for.
    highest_code : int
        At most 255.
    limited_by_range : bool
        A finer scale would have met the wanted error, but the highest value would not fit into a byte. Where this is
        False and the wanted error is not met, sigma is too few counts for the format's truncation.
    """

    offset: float
    scale: float
    max_error_sigma: float
    wanted_error_sigma: float
    highest_code: int
    limited_by_range: bool

    @property
    def meets_wanted_error(self) -> bool:
        """Whether the bound holds as asked."""
        return self.max_error_sigma <= self.wanted_error_sigma


def _codes(values: NDArray[np.float32], offset: float, scale: float) -> NDArray[np.float32]:
    # rounding half away from zero, in float32, as the format's own arithmetic has it
    scaled = np.float32(1.0 / scale) * np.sqrt(np.maximum(values - np.float32(offset), np.float32(0)))
    whole: NDArray[np.float32] = np.floor(scaled)
    whole += scaled - whole >= np.float32(0.5)
    return whole


def _worst(values: NDArray[np.float32], sigma: NDArray[np.float64], offset: float, scale: float) -> float:
    roots = _codes(values, offset, scale) * np.float32(scale)
    back = np.trunc(roots * roots + np.float32(offset))
    # some readers let what exceeds uint16 start again at 0
    return float((np.abs(values - back) / sigma).max()) if back[-1] <= 65535 else math.inf


def sqrt_levels(model: NoiseModel, max_error_sigma: float, value_range: tuple[int, int]) -> SqrtLevels:
    """The coarsest levels within `max_error_sigma`, or, where a byte cannot hold them, the finest that fit."""
    low, high = value_range
    if not 0 <= low <= high <= 65535:
        raise OptionError(
            "square-root levels are for uint16", found=f"values from {low} to {high}", expected="0 to 65535"
        )
    if not (math.isfinite(max_error_sigma) and max_error_sigma > 0):
        raise OptionError("the greatest error must be positive and finite", found=max_error_sigma)
    values = np.arange(low, high + 1, dtype=np.float32)
    sigma = model.sigma(values)
    # never negative, so that no reader meets a negative pixel
    offset = float(math.floor(max(0.0, min(_zero_of_variance(model, low), low))))
    least = _least_scale(values[-1:], offset)
    # half of a step is about scale * sqrt(x - offset)
    coarsest = 1.5 * max_error_sigma * float((sigma / np.sqrt(np.maximum(values - offset, 0.25))).min())
    limited = False
    best, error = least, math.inf
    for scale in np.geomspace(coarsest, coarsest / 16, _SCALES, dtype=np.float32).tolist():
        found = _worst(values, sigma, offset, scale)
        if found <= max_error_sigma and scale < least:
            limited = True
            break
        if scale >= least and found < error:
            best, error = scale, found
            if error <= max_error_sigma:
                break
    if error > max_error_sigma:
        for scale in np.geomspace(least, 1.1 * least, 16, dtype=np.float32).tolist():
            found = _worst(values, sigma, offset, scale)
            if found < error:
                best, error = scale, found
    return SqrtLevels(
        offset=offset,
        scale=best,
        max_error_sigma=error,
        wanted_error_sigma=max_error_sigma,
        highest_code=int(_codes(values[-1:], offset, best)[0]),
        limited_by_range=limited,
    )


def _zero_of_variance(model: NoiseModel, low: int) -> float:
    """Value at which the line of variance over stored values crosses 0."""
    if model.gain <= 0:
        return float(low)
    return -(model.variance_at_zero / model.gain + ANSCOMBE * model.gain)


def _least_scale(highest: NDArray[np.float32], offset: float) -> float:
    """Smallest float32 with which `highest` keeps a code of its byte."""
    scale = np.float32(math.sqrt(max(1.0, float(highest[0]) - offset)) / 255.49)
    while _codes(highest, offset, float(scale))[0] > 255:
        scale = np.nextafter(scale, np.float32(np.inf))
    return float(scale)
