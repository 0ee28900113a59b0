"""pyflowreg.util.image_processing: ranges of values, and Gaussians."""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.motion.variational.filtering import causal_mean, gaussian, per_channel

__all__ = ["apply_gaussian_filter", "gaussian_filter_1d_half_kernel", "normalize"]


def normalize(
    arr: NDArray[Any],
    ref: NDArray[Any] | None = None,
    channel_normalization: Literal["together", "separate"] = "together",
    eps: float = 1e-8,
) -> NDArray[np.float64]:
    """``(arr - min) / (max - min + eps)``, float64; nothing is clipped.

    Parameters
    ----------
    arr : array
    ref : array, optional
        Whose range it is; that of `arr` itself by default.
    channel_normalization : "together" or "separate"
        "separate": each channel has its own, where there is an axis for them behind (H, W).
    eps : float
    """
    source = np.asarray(arr if ref is None else ref)
    if channel_normalization == "separate" and source.ndim >= 3:
        axes = tuple(range(source.ndim - 1))
        low, high = source.min(axis=axes).astype(np.float64), source.max(axis=axes).astype(np.float64)
    else:
        low, high = np.float64(source.min()), np.float64(source.max())
    return np.asarray((arr - low) / (high - low + eps), np.float64)


def apply_gaussian_filter(
    arr: NDArray[Any], sigma: ArrayLike, mode: str = "reflect", truncate: float = 4.0
) -> NDArray[np.float64]:
    """A Gaussian over y and x of (H, W, C), or over y, x and t of (T, H, W, C); float64.

    Parameters
    ----------
    arr : array
        What has other axes comes back as it is.
    sigma : array (3,) or (n, 3)
        Standard deviations along y, x and t, for all channels or a row per channel; the last row stands for all that
        have none.
    mode : "reflect", "mirror", "nearest" or "wrap"
        What is beyond the edges, in SciPy's words.
    truncate : float
        Where it is cut, in standard deviations.
    """
    if arr.ndim not in (3, 4):
        return arr
    rows = per_channel(np.atleast_2d(np.asarray(sigma, np.float64)).tolist(), arr.shape[-1])
    out = np.empty(arr.shape)
    for channel, (sigma_y, sigma_x, sigma_t) in enumerate(rows):
        sigmas = (sigma_y, sigma_x) if arr.ndim == 3 else (sigma_t, sigma_y, sigma_x)
        out[..., channel] = gaussian(arr[..., channel], sigmas, mode=mode, truncate=truncate)
    return out


def gaussian_filter_1d_half_kernel(
    buffer: deque[NDArray[Any]], sigma_t: float, mode: str = "reflect", truncate: float = 4.0
) -> NDArray[Any] | None:
    """The mean of the last frames, weighted by one side of a Gaussian; None of no frames.

    Parameters
    ----------
    buffer : deque of array
        The newest last.
    sigma_t : float
        In frames.
    mode : str
        Changes nothing: frames that there are not have no weight.
    truncate : float
    """
    return causal_mean(list(buffer), sigma_t, truncate=truncate) if buffer else None
