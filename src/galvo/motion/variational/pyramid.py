"""Which sizes the pyramid has, and how stiff the field is on each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = 10
"""The pyramid ends at the first level that is smaller, in pixels."""

LEAN_STEP = 3
"""The lean schedule solves every third level."""

FINEST = {"fast": 6, "balanced": 4, "quality": 0}
"""Finest level that each preset solves, 0 being the full resolution."""


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes
    ----------
    rows, columns : int
        Its size.
    alpha_x, alpha_y : float
        Weight of the smoothness term.
    """

    rows: int
    columns: int
    alpha_x: float
    alpha_y: float


def depth(size: int, eta: float, levels: int) -> int:
    """The first level that is smaller than `SMALLEST`, at least 1 and at most `levels`."""
    level = 1
    while level < levels and round(size * eta**level) >= SMALLEST:
        level += 1
    return level


def pyramid(
    height: int, width: int, *, eta: float, levels: int, min_level: int, alpha: tuple[float, float], step: int = 1
) -> list[Level]:
    """Levels from the coarsest to the finest.

    Parameters
    ----------
    height, width : int
        Size of the frames.
    eta : float
        Ratio of the sizes of neighbouring levels.
    levels : int
        Largest depth.
    min_level : int
        Finest level; where the pyramid is not that deep, the last but one.
    alpha : (float, float)
        Weight of the smoothness term along x and y on the finest level; above it, it grows with the square root of the
        pixel size.
    step : int
        Every how many levels are used, counted from the finest.
    """
    depth_y, depth_x = depth(height, eta, levels), depth(width, eta, levels)
    shallow = 4 * min(depth_y, depth_x)
    depth_y, depth_x = min(depth_y, shallow), min(depth_x, shallow)
    top = max(depth_y, depth_x)
    finest = min(min_level, top - 1)
    made = []
    for level in range(finest, top + 1, step):
        stiffer = 1.0 if level == finest else eta ** (-level / 2)
        made.append(
            Level(
                max(1, round(height * eta ** min(level, depth_y))),
                max(1, round(width * eta ** min(level, depth_x))),
                alpha[0] * stiffer,
                alpha[1] * stiffer,
            )
        )
    return made[::-1]


def as_table(levels: list[Level]) -> NDArray[np.float64]:
    """Levels as rows of four numbers, for the kernels."""
    return np.array([[level.rows, level.columns, level.alpha_x, level.alpha_y] for level in levels], np.float64)
