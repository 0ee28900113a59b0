"""pyflowreg.core.optical_flow: the displacement between two images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.compat.pyflowreg.core.level_solver import compute_flow, compute_flow_gnc
from galvo.compat.pyflowreg.core.warping import imregister_wrapper, warpingDepth
from galvo.compat.pyflowreg.util.resize_util import imresize_fused_gauss_cubic as resize
from galvo.errors import OptionError
from galvo.motion.params import VariationalParams
from galvo.motion.variational import displacement, motion_tensor
from galvo.motion.variational.filtering import median_filter
from galvo.motion.variational.stepwise import LevelProblem, displacement_by_levels

__all__ = [
    "add_boundary",
    "compute_flow",
    "compute_flow_gnc",
    "get_displacement",
    "get_motion_tensor_cs",
    "get_motion_tensor_gc",
    "get_motion_tensor_gray",
    "imregister_wrapper",
    "level_solver",
    "median_filter",
    "normalize_gnc_schedule",
    "normalize_warping_steps",
    "resize",
    "warpingDepth",
]

DATA_TERMS = {
    "gc": "gradient",
    "gradient": "gradient",
    "gray": "brightness",
    "brightness": "brightness",
    "cs": "census",
    "census": "census",
}
"""galvo's names of the constancy assumptions."""

_WARPING_STEPS = 10


class DifferentAxes(OptionError, AssertionError):
    """Two images of different shapes."""


def get_displacement(
    fixed: ArrayLike,
    moving: ArrayLike,
    alpha: float | tuple[float, float] = (2, 2),
    update_lag: int = 5,
    iterations: int = 50,
    min_level: int = 0,
    levels: int = 50,
    eta: float = 0.8,
    a_smooth: float = 1.0,
    a_data: float | ArrayLike = 0.45,
    const_assumption: str = "gc",
    uv: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    level_solver_backend: Callable[..., Any] | None = None,
    gnc_schedule: Sequence[float] | None = None,
    warping_steps: int | None = None,
) -> NDArray[np.float64]:
    """The displacement of `moving` against `fixed`: ``moving(x + u, y + v) = fixed(x, y)``.

    Parameters
    ----------
    fixed, moving : array (H, W) or (H, W, C)
        With values of about 0 to 1.
    alpha : (float, float)
        Smoothness along x and y.
    update_lag, iterations : int
    min_level, levels : int
        Finest level, and depth, of the pyramid.
    eta : float
        Its ratio, below 1.
    a_smooth, a_data : float
        Exponents; the latter may be one per channel.
    const_assumption : "gc", "gray" or "cs"
    uv : array (H, W, 2), optional
        Where to begin.
    weight : array (C,), (H, W) or (H, W, C), optional
    level_solver_backend : callable, optional
        Solves a level in place of galvo's: the arguments of `level_solver`.
    gnc_schedule, warping_steps : optional
        Graduated non-convexity.

    Returns
    -------
    ndarray, float64 (H, W, 2)
        Solved in float32.

    Raises
    ------
    AssertionError
        Images of different shapes.
    ValueError
        Parameters out of range, or a reference that is not finite.
    """
    reference, frame = np.asarray(fixed), np.asarray(moving)
    if reference.shape != frame.shape:
        raise DifferentAxes(
            f"Fixed and moving must have same dimensions: fixed.shape={reference.shape}, moving.shape={frame.shape}"
        )
    channels = frame.shape[2] if frame.ndim == 3 else 1
    exponents = np.broadcast_to(np.asarray(a_data, np.float64), channels).tolist()
    schedule = normalize_gnc_schedule(gnc_schedule)
    params = solver_params(
        alpha=alpha,
        update_lag=update_lag,
        iterations=iterations,
        min_level=min_level,
        levels=levels,
        eta=eta,
        a_smooth=a_smooth,
        const_assumption=const_assumption,
        gnc_schedule=schedule,
        warping_steps=warping_steps,
    )
    options: dict[str, Any] = {"weights": _weights(weight, channels), "start": uv, "a_data": exponents}
    if level_solver_backend is None:
        return displacement(reference, frame, params, **options).astype(np.float64)
    return displacement_by_levels(reference, frame, params, _adapted(level_solver_backend), **options)


def solver_params(
    *,
    alpha: float | Sequence[float],
    update_lag: int,
    iterations: int,
    min_level: int,
    levels: int,
    eta: float,
    a_smooth: float,
    const_assumption: str,
    a_data: float = 0.45,
    gnc_schedule: Sequence[float] | None = None,
    warping_steps: int | None = None,
) -> VariationalParams:
    """PyFlowReg's parameters as galvo's, with PyFlowReg's schedule of the solver."""
    name = getattr(const_assumption, "value", const_assumption)
    if name not in DATA_TERMS:
        raise OptionError("no such constancy assumption", found=repr(name), expected=", ".join(DATA_TERMS))
    along_x, along_y = np.broadcast_to(np.asarray(alpha, np.float64), 2).tolist()
    steps = normalize_warping_steps(warping_steps)
    return VariationalParams.model_validate(
        {
            "schedule": "compat",
            "data_term": DATA_TERMS[name],
            "alpha": (along_x, along_y),
            "update_lag": update_lag,
            "iterations": iterations,
            "min_level": max(0, min_level),
            "levels": levels,
            "eta": eta,
            "a_smooth": a_smooth,
            "a_data": a_data,
            "gnc_schedule": None if gnc_schedule is None else tuple(gnc_schedule),
            "warping_steps": _WARPING_STEPS if steps is None else steps,
        }
    )


def _weights(weight: ArrayLike | None, channels: int) -> NDArray[np.float64] | None:
    if weight is None:
        return None
    weights = np.asarray(weight, np.float64)
    if weights.ndim != 1:
        return weights
    return np.append(weights[:channels], [1 / channels] * max(0, channels - len(weights)))


def get_motion_tensor_gc(f1: ArrayLike, f2: ArrayLike, hy: float, hx: float) -> tuple[NDArray[np.float32], ...]:
    """J11, J22, J33, J12, J13, J23, each (H + 2, W + 2), of constant gradients."""
    return tuple(motion_tensor(f1, f2, spacing=(hy, hx)))


def get_motion_tensor_gray(f1: ArrayLike, f2: ArrayLike, hy: float, hx: float) -> tuple[NDArray[np.float32], ...]:
    """J11, J22, J33, J12, J13, J23, each (H + 2, W + 2), of constant brightness."""
    return tuple(motion_tensor(f1, f2, spacing=(hy, hx), data_term="brightness"))


def get_motion_tensor_cs(f1: ArrayLike, f2: ArrayLike, hy: float, hx: float) -> tuple[NDArray[np.float32], ...]:
    """J11, J22, J33, J12, J13, J23, each (H + 2, W + 2), of constant signs of differences (census)."""
    return tuple(motion_tensor(f1, f2, spacing=(hy, hx), data_term="census"))


def add_boundary(f: NDArray[Any]) -> NDArray[Any]:
    """An image (H, W) with its outermost pixels repeated around it."""
    return np.pad(f, 1, mode="edge")


def level_solver(
    J11: ArrayLike,
    J22: ArrayLike,
    J33: ArrayLike,
    J12: ArrayLike,
    J13: ArrayLike,
    J23: ArrayLike,
    weight: ArrayLike,
    u: ArrayLike,
    v: ArrayLike,
    alpha: Sequence[float],
    iterations: int,
    update_lag: int,
    verbose: int,
    a_data: ArrayLike,
    a_smooth: float,
    hx: float,
    hy: float,
    gnc_beta: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The increments of u and of v, each (H + 2, W + 2); arguments are those of `compute_flow`."""
    increment = compute_flow_gnc(
        *(J11, J22, J33, J12, J13, J23, weight, u, v, alpha[0], alpha[1], iterations, update_lag, a_data, a_smooth),
        hx=hx,
        hy=hy,
        gnc_beta=1.0 if gnc_beta is None else gnc_beta,
    )
    return increment[..., 0], increment[..., 1]


def normalize_gnc_schedule(gnc_schedule: Sequence[float] | None) -> tuple[float, ...] | None:
    """The stages of graduated non-convexity as a tuple, or ValueError."""
    if gnc_schedule is None:
        return None
    try:
        stages = np.asarray(gnc_schedule, np.float64)
    except (TypeError, ValueError):
        stages = np.empty(0)
    if stages.ndim != 1 or len(stages) < 2:
        raise OptionError("gnc_schedule must be one row of two numbers or more", found=repr(gnc_schedule))
    if not ((stages >= 0) & (stages <= 1)).all() or (np.diff(stages) < 0).any():
        raise OptionError("gnc_schedule must rise within 0 to 1", found=repr(gnc_schedule))
    if stages[0] != 0 or stages[-1] != 1:
        raise OptionError("gnc_schedule must begin with 0 and end with 1", found=repr(gnc_schedule))
    return tuple(stages.tolist())


def normalize_warping_steps(warping_steps: int | None) -> int | None:
    """Warps per level, or ValueError."""
    if warping_steps is None:
        return None
    if isinstance(warping_steps, bool) or not isinstance(warping_steps, int | np.integer) or warping_steps < 1:
        raise OptionError("warping_steps must be a positive integer", found=repr(warping_steps))
    return int(warping_steps)


def _adapted(solver: Callable[..., Any]) -> Callable[[LevelProblem], NDArray[np.floating]]:
    """A level solver of PyFlowReg's signature, behind galvo's."""

    def solve(problem: LevelProblem) -> NDArray[np.floating]:
        channels_last = np.moveaxis(problem.tensors, 0, 3).astype(np.float64)
        spacing_y, spacing_x = problem.spacing
        du, dv = solver(
            *channels_last,
            np.moveaxis(problem.weights, 0, 2).astype(np.float64),
            problem.field[..., 0].astype(np.float64),
            problem.field[..., 1].astype(np.float64),
            list(problem.alpha),
            problem.iterations,
            problem.update_lag,
            0,
            np.array(problem.a_data),
            problem.a_smooth,
            spacing_x,
            spacing_y,
            *(() if problem.robustness is None else (problem.robustness,)),
        )
        return np.stack([du, dv], axis=-1)

    return solve
