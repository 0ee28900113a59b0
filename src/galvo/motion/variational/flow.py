"""The parts of the variational method, one call each: whole solves, motion tensors, single levels, resampling."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo import native
from galvo.errors import OptionError
from galvo.motion.expansion import GridExpansion
from galvo.motion.params import VariationalParams
from galvo.motion.variational.engine import Engine, Preparation, weight_maps

Array = NDArray[np.float32]


def displacement(
    fixed: ArrayLike,
    moving: ArrayLike,
    params: VariationalParams,
    *,
    weights: NDArray[np.floating] | Sequence[float] | None = None,
    start: ArrayLike | None = None,
    a_data: Sequence[float] | None = None,
) -> Array:
    """The displacement between two images as they are, neither normalised nor smoothed.

    Parameters
    ----------
    fixed, moving : array (Y, X) or (Y, X, C)
        Of one shape, finite in `fixed`; values of about 0 to 1, which the softness of the data terms is made for.
    params : VariationalParams
        The method; `presmoothing` is not applied, and `min_level` None is the full resolution.
    weights : array (C,), (Y, X) or (Y, X, C), optional
        Weights of the channels, made to sum to 1, or maps; None: all channels alike.
    start : array (Y, X, 2), optional
        The field to begin with.
    a_data : sequence of float, optional
        Exponent of each channel's data term, instead of that in `params`.

    Returns
    -------
    ndarray, float32 (Y, X, 2)
        `moving(x + w(x)) = fixed(x)`, in pixels, x before y.

    Raises
    ------
    OptionError
        Arrays that do not fit each other.
    """
    reference, frame = (_with_channels(np.asarray(image)) for image in (fixed, moving))
    if reference.shape != frame.shape:
        raise OptionError("fixed and moving differ in shape", found=frame.shape, expected=reference.shape)
    height, width, channels = frame.shape
    if a_data is not None and len(a_data) != channels:
        raise OptionError("every channel needs an exponent", found=len(a_data), expected=channels)
    as_they_are = Preparation((0.0,) * channels, (1.0,) * channels)
    engine = Engine(reference, params, weight_maps(weights, (channels, height, width)), as_they_are, a_data)
    field = None
    if start is not None:
        field = np.ascontiguousarray(start, np.float32)
        if field.shape != (height, width, 2):
            raise OptionError("start does not fit the images", found=field.shape, expected=(height, width, 2))
    solved = engine.solve(frame[np.newaxis], field, threads=1)
    dense: Array = GridExpansion(height, width, *solved.shape[1:3]).expand(solved, threads=1)[0]
    return dense


def _with_channels(image: NDArray[np.generic]) -> NDArray[np.generic]:
    if image.ndim not in (2, 3) or image.size == 0:
        raise OptionError("images must be (Y, X) or (Y, X, C), and not empty", found=image.shape)
    return image if image.ndim == 3 else image[..., np.newaxis]


def motion_tensor(
    fixed: ArrayLike, moving: ArrayLike, *, spacing: tuple[float, float] = (1.0, 1.0), data_term: str = "gradient"
) -> Array:
    """The motion tensor of two images (Y, X), float32 (6, Y + 2, X + 2): J11, J22, J33, J12, J13, J23.

    1 stands for x, 2 for y, 3 for time; `spacing` is the distance of pixels along y and x. The outermost ring is 0.
    """
    one, two = (np.ascontiguousarray(image, np.float32) for image in (fixed, moving))
    out = np.empty((6, one.shape[0] + 2, one.shape[1] + 2), np.float32)
    native.flow_tensor(one, two, spacing[0], spacing[1], data_term, out)
    return out


def solve_level(
    tensors: ArrayLike,
    weights: ArrayLike,
    field: ArrayLike,
    *,
    alpha: tuple[float, float],
    iterations: int,
    update_lag: int,
    a_data: Sequence[float],
    a_smooth: float = 1.0,
    spacing: tuple[float, float] = (1.0, 1.0),
    relaxation: float = 1.95,
    robustness: float = 1.0,
) -> Array:
    """The increment of a field on one level, float32 (Y, X, 2).

    Parameters
    ----------
    tensors : array (C, 6, Y + 2, X + 2)
        As `motion_tensor` makes them.
    weights : array (C, Y + 2, X + 2)
        Weight of each channel's data term.
    field : array (Y + 2, X + 2, 2)
        The field that is there already, with one pixel around it.
    alpha : (float, float)
        Weight of the smoothness term along x and y.
    iterations, update_lag : int
        Sweeps, and sweeps between two updates of the robust weights.
    a_data, a_smooth : float
        Exponents of the data term, per channel, and of the smoothness term.
    spacing : (float, float)
        Distance of pixels along y and x.
    relaxation : float
        1 is Gauss-Seidel, below 2.
    robustness : float
        Of graduated non-convexity: 0 quadratic, 1 as the exponents say.
    """
    parts = np.ascontiguousarray(tensors, np.float32)
    out = np.empty((2, parts.shape[2] - 2, parts.shape[3] - 2), np.float32)
    native.flow_solve_level(
        parts,
        np.ascontiguousarray(weights, np.float32),
        np.ascontiguousarray(np.moveaxis(np.asarray(field), 2, 0), np.float32),
        alpha[0],
        alpha[1],
        spacing[1],
        spacing[0],
        iterations,
        update_lag,
        relaxation,
        list(a_data),
        a_smooth,
        robustness,
        out,
    )
    return np.moveaxis(out, 0, 2)


def resample(image: ArrayLike, size: tuple[int, int], *, early_taps: bool = False) -> Array:
    """An image (Y, X) at another size, float32: a Gaussian against aliasing, and cubic convolution.

    `early_taps` leaves out the last tap of the kernel, as PyFlowReg does.
    """
    out = np.empty(size, np.float32)
    native.flow_resample(np.ascontiguousarray(image, np.float32), early_taps, out)
    return out
