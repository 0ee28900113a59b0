"""The kernels' pyramid of a reference, made from plain values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.params import VariationalParams
from galvo.motion.pixels import as_pixels, require_finite, require_frames
from galvo.motion.variational.pyramid import LEAN_STEP, as_table, pyramid

Array = NDArray[np.float32]


@dataclass(frozen=True)
class Preparation:
    """What makes raw pixels comparable: `(pixel - offset) * scale`, then a Gaussian.

    Attributes
    ----------
    offset, scale : tuple of float
        One per channel.
    sigma_y, sigma_x : float
        Standard deviations in pixels; 0 leaves a direction as it is.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    sigma_y: float = 0.0
    sigma_x: float = 0.0

    def __call__(self, frames: NDArray[np.generic], threads: int | None = None) -> Array:
        """Prepared planes, float32 (T, C, Y, X), of frames (T, Y, X, C)."""
        out = np.empty((frames.shape[0], frames.shape[3], *frames.shape[1:3]), np.float32)
        native.flow_prepare(
            frames, list(self.offset), list(self.scale), self.sigma_y, self.sigma_x, out, thread_count(threads)
        )
        return out


def weight_maps(weights: NDArray[np.floating] | Sequence[float] | None, shape: tuple[int, int, int]) -> Array:
    """Weights of each channel's data term, float32 (C, Y, X).

    Parameters
    ----------
    weights : array (C,), (Y, X) or (Y, X, C), optional
        One number per channel, made to sum to 1; or maps, used as they are. None: all channels alike.
    shape : (C, Y, X)

    Raises
    ------
    OptionError
        Another shape, or negative or infinite weights.
    """
    channels, height, width = shape
    values = np.full(channels, 1.0) if weights is None else np.asarray(weights, np.float64)
    if not (np.isfinite(values).all() and (values >= 0).all() and values.any()):
        raise OptionError("weights must be finite, none negative and some above 0")
    if values.shape == (channels,):
        maps = np.broadcast_to((values / values.sum())[:, np.newaxis, np.newaxis], shape)
    elif values.shape == (height, width):
        maps = np.broadcast_to(values, shape)
    elif values.shape == (height, width, channels):
        maps = np.moveaxis(values, 2, 0)
    else:
        expected = f"({channels},), ({height}, {width}) or ({height}, {width}, {channels})"
        raise OptionError("weights do not fit the frames", found=values.shape, expected=expected)
    return np.ascontiguousarray(maps, np.float32)


class Engine:
    """Fields of frames against one reference; frozen and safe to share.

    Parameters
    ----------
    reference : array (Y, X, C)
        As the frames are, finite.
    params : VariationalParams
        The method; `min_level` None is the full resolution.
    weights : array, float32 (C, Y, X)
        As `weight_maps` makes them.
    preparation : Preparation
        How reference and frames become comparable.
    a_data : sequence of float, optional
        Exponent of each channel's data term; None: that of `params` for all.
    """

    def __init__(
        self,
        reference: NDArray[np.generic],
        params: VariationalParams,
        weights: Array,
        preparation: Preparation,
        a_data: Sequence[float] | None = None,
    ) -> None:
        image = as_pixels(reference)[np.newaxis]
        require_finite(image)
        lean = params.schedule == "lean"
        self.height, self.width, self.channels = reference.shape
        self.levels = pyramid(
            self.height,
            self.width,
            eta=params.eta,
            levels=params.levels,
            min_level=params.min_level or 0,
            alpha=params.alpha,
            step=LEAN_STEP if lean else 1,
        )
        self._native = native.FlowEngine(
            preparation(image, 1)[0],
            replace(preparation, sigma_y=0.0, sigma_x=0.0)(image, 1)[0],
            weights,
            list(preparation.offset),
            list(preparation.scale),
            preparation.sigma_y,
            preparation.sigma_x,
            as_table(self.levels),
            params.data_term,
            params.iterations or (20 if lean else 50),
            params.update_lag,
            1.8 if lean else 1.95,
            list(a_data) if a_data is not None else [params.a_data] * self.channels,
            params.a_smooth,
            early_taps=not lean,
            thirty_seconds=not lean,
            cascade=lean,
            warp_coarsest=lean,
            stages=list(params.gnc_schedule or ()),
            warping_steps=params.warping_steps,
        )

    @property
    def solver_shape(self) -> tuple[int, int]:
        """Size of the finest level, (h, w)."""
        return self.levels[-1].rows, self.levels[-1].columns

    def solve(self, frames: NDArray[np.generic], start: Array | None = None, threads: int | None = None) -> Array:
        """Fields of frames (T, Y, X, C), float32 (T, h, w, 2); `start` (Y, X, 2) is where each begins."""
        require_frames(frames, (self.height, self.width, self.channels))
        out = np.empty((len(frames), *self.solver_shape, 2), np.float32)
        self._native.solve(as_pixels(frames), start, out, thread_count(threads))
        return out
