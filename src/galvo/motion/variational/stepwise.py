"""The pyramid of the variational method, level by level, around a solver of the caller's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.errors import OptionError
from galvo.motion.expansion import GridExpansion
from galvo.motion.params import VariationalParams
from galvo.motion.variational.engine import weight_maps
from galvo.motion.variational.filtering import median_filter
from galvo.motion.variational.flow import motion_tensor, resample
from galvo.motion.variational.pyramid import pyramid
from galvo.motion.warping import warp

Fields = NDArray[np.float32]

_MEDIAN = 5
_RING = ((1, 1), (1, 1), (0, 0))


@dataclass(frozen=True)
class LevelProblem:
    """One linearisation on one level; arrays have one pixel around the image.

    Attributes
    ----------
    tensors : ndarray, float32 (C, 6, Y + 2, X + 2)
        As `motion_tensor` makes them.
    weights : ndarray, float32 (C, Y + 2, X + 2)
    field : ndarray, float32 (Y + 2, X + 2, 2)
        The field that is there already.
    alpha : (float, float)
        Smoothness along x and y.
    spacing : (float, float)
        Distance of pixels along y and x.
    iterations, update_lag : int
    a_data : tuple of float
    a_smooth : float
    robustness : float or None
        Stage of graduated non-convexity; None: there are none.
    """

    tensors: NDArray[np.float32]
    weights: NDArray[np.float32]
    field: Fields
    alpha: tuple[float, float]
    spacing: tuple[float, float]
    iterations: int
    update_lag: int
    a_data: tuple[float, ...]
    a_smooth: float
    robustness: float | None


LevelSolver = Callable[[LevelProblem], NDArray[np.floating]]
"""Gives the increment of the field, (Y + 2, X + 2, 2)."""


def displacement_by_levels(
    fixed: ArrayLike,
    moving: ArrayLike,
    params: VariationalParams,
    solver: LevelSolver,
    *,
    weights: NDArray[np.floating] | None = None,
    start: ArrayLike | None = None,
    a_data: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """As `displacement`, in the schedule `compat`, with a solver of each level that the caller gives.

    Returns
    -------
    ndarray, float64 (Y, X, 2)

    Raises
    ------
    OptionError
        Images that do not fit each other, or a solver that gives something else than an increment.
    """
    reference, frame = (_planes(image) for image in (fixed, moving))
    if reference.shape != frame.shape:
        raise OptionError("fixed and moving differ in shape", found=frame.shape, expected=reference.shape)
    channels, height, width = frame.shape
    maps = weight_maps(weights, frame.shape)
    exponents = tuple([params.a_data] * channels if a_data is None else a_data)
    field = np.zeros((height, width, 2), np.float32) if start is None else np.asarray(start, np.float32)
    levels = pyramid(
        height, width, eta=params.eta, levels=params.levels, min_level=params.min_level or 0, alpha=params.alpha
    )
    stages: tuple[float | None, ...] = params.gnc_schedule or (None,)
    for stage in stages:
        for number, level in enumerate(levels):
            size = level.rows, level.columns
            spacing = height / level.rows, width / level.columns
            one, two = _resized(reference, size), _resized(frame, size)
            shares = np.pad(_resized(maps, size), ((0, 0), (1, 1), (1, 1)))
            field = np.moveaxis(_resized(np.moveaxis(field, 2, 0), size), 0, 2)
            for _ in range(1 if stage is None else params.warping_steps):
                moved = two if number == 0 and stage is None else _warped(two, one, field, spacing)
                problem = LevelProblem(
                    tensors=np.stack(
                        [
                            motion_tensor(a, b, spacing=spacing, data_term=params.data_term)
                            for a, b in zip(one, moved, strict=True)
                        ]
                    ),
                    weights=shares,
                    field=np.pad(field, _RING, mode="edge"),
                    alpha=(level.alpha_x, level.alpha_y),
                    spacing=spacing,
                    iterations=params.iterations or 50,
                    update_lag=params.update_lag,
                    a_data=exponents,
                    a_smooth=params.a_smooth,
                    robustness=stage,
                )
                increment = np.asarray(solver(problem), np.float32)
                if increment.shape != problem.field.shape:
                    raise OptionError(
                        "a level solver gives increments of the field",
                        found=increment.shape,
                        expected=problem.field.shape,
                    )
                inner = increment[1:-1, 1:-1]
                if min(size) <= _MEDIAN:
                    field = field + inner
                elif stage is None:
                    field = field + _smoothed(inner)
                else:
                    field = _smoothed(field + inner)
    dense: NDArray[np.float32] = GridExpansion(height, width, *field.shape[:2]).expand(field[np.newaxis], threads=1)[0]
    return dense.astype(np.float64)


def _planes(image: ArrayLike) -> NDArray[np.float32]:
    array = np.asarray(image, np.float32)
    if array.ndim not in (2, 3) or array.size == 0:
        raise OptionError("images must be (Y, X) or (Y, X, C), and not empty", found=array.shape)
    return np.moveaxis(array, 2, 0) if array.ndim == 3 else array[np.newaxis]


def _resized(planes: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    return np.stack([resample(plane, size, early_taps=True) for plane in planes])


def _warped(
    moving: NDArray[np.float32], fixed: NDArray[np.float32], field: Fields, spacing: tuple[float, float]
) -> NDArray[np.float32]:
    # this schedule's positions, as those of the kernels, are multiples of 1/32 pixel
    own = np.rint(field / np.array(spacing[::-1], np.float32) * 32) / np.float32(32)
    frame, fill = np.moveaxis(moving, 0, 2), np.moveaxis(fixed, 0, 2)
    moved = warp(frame[np.newaxis], own, fill=fill, cubic_a=-0.75, reach=(0.0, 1.0), threads=1)[0]
    return np.moveaxis(moved.astype(np.float32, copy=False), 2, 0)


def _smoothed(field: Fields) -> Fields:
    return np.stack([median_filter(field[..., axis], _MEDIAN, mode="mirror") for axis in (0, 1)], axis=2)
