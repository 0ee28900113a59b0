"""pyflowreg.core.level_solver: one level of the pyramid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.motion.variational import solve_level

__all__ = ["compute_flow", "compute_flow_gnc", "nonlinearity_smoothness_2d", "set_boundary_2d"]

_EPSILON = 1e-5


def compute_flow(
    J11: ArrayLike,
    J22: ArrayLike,
    J33: ArrayLike,
    J12: ArrayLike,
    J13: ArrayLike,
    J23: ArrayLike,
    weight: ArrayLike,
    u: ArrayLike,
    v: ArrayLike,
    alpha_x: float,
    alpha_y: float,
    iterations: int,
    update_lag: int,
    a_data: ArrayLike,
    a_smooth: float,
    hx: float,
    hy: float,
) -> NDArray[np.float64]:
    """The increment of a field, (H + 2, W + 2, 2); arithmetic is float32.

    Parameters
    ----------
    J11, J22, J33, J12, J13, J23, weight : array (H + 2, W + 2, C)
        Motion tensors and weights with one pixel around the image.
    u, v : array (H + 2, W + 2)
        The field that is there.
    alpha_x, alpha_y : float
    iterations, update_lag : int
    a_data : array (C,)
    a_smooth : float
    hx, hy : float
        Distance of columns and of rows.
    """
    field = (u, v, alpha_x, alpha_y, iterations, update_lag, a_data, a_smooth, hx, hy)
    return compute_flow_gnc(J11, J22, J33, J12, J13, J23, weight, *field, gnc_beta=1.0)


def compute_flow_gnc(
    J11: ArrayLike,
    J22: ArrayLike,
    J33: ArrayLike,
    J12: ArrayLike,
    J13: ArrayLike,
    J23: ArrayLike,
    weight: ArrayLike,
    u: ArrayLike,
    v: ArrayLike,
    alpha_x: float,
    alpha_y: float,
    iterations: int,
    update_lag: int,
    a_data: ArrayLike,
    a_smooth: float,
    hx: float,
    hy: float,
    gnc_beta: float,
) -> NDArray[np.float64]:
    """As `compute_flow`, between quadratic (`gnc_beta` 0) and as robust as the exponents say (1)."""
    parts = np.stack([np.atleast_3d(np.asarray(part, np.float32)) for part in (J11, J22, J33, J12, J13, J23)])
    increment = solve_level(
        np.moveaxis(parts, 3, 0),
        np.moveaxis(np.atleast_3d(np.asarray(weight, np.float32)), 2, 0),
        np.stack([np.asarray(u), np.asarray(v)], axis=2),
        alpha=(alpha_x, alpha_y),
        iterations=iterations,
        update_lag=update_lag,
        a_data=np.broadcast_to(np.asarray(a_data, np.float64), parts.shape[3]).tolist(),
        a_smooth=a_smooth,
        spacing=(hy, hx),
        robustness=gnc_beta,
    )
    return np.pad(increment.astype(np.float64), ((1, 1), (1, 1), (0, 0)), mode="edge")


def set_boundary_2d(f: NDArray[Any]) -> None:
    """Let the outermost ring of `f` (H, W) repeat what is inside, in place."""
    f[0], f[-1] = f[1], f[-2]
    f[:, 0], f[:, -1] = f[:, 1], f[:, -2]


def nonlinearity_smoothness_2d(
    psi_smooth: NDArray[Any],
    u: ArrayLike,
    du: ArrayLike,
    v: ArrayLike,
    dv: ArrayLike,
    m: int,
    n: int,
    a: float,
    hx: float,
    hy: float,
) -> None:
    """Fill `psi_smooth` (H, W) with the weight of the smoothness of ``u + du`` and ``v + dv``: a (s + 1e-5)^(a - 1)."""
    square = np.zeros((m, n))
    for field in (np.add(u, du), np.add(v, dv)):
        square += np.gradient(field, hy, axis=0) ** 2 + np.gradient(field, hx, axis=1) ** 2
    psi_smooth[...] = a * (square + _EPSILON) ** (a - 1)
