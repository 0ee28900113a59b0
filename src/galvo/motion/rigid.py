"""Rigid motion: one shift per frame, from the correlation with the reference.

The correlation is that of band-passed images: white noise is best judged by the plain correlation, slow changes of
brightness are no evidence of motion, and what is finer than the optics resolve is noise. Each channel counts by the
inverse of its noise. The peak is found among whole pixels, the frame is moved by them so that both images show the
same part of the sample under the window, and the rest is found by Newton steps on the correlation's own Fourier sum,
which is exact at any position.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import thread_count
from galvo.motion.estimator import FramewisePlan
from galvo.motion.expansion import GridExpansion
from galvo.motion.params import MotionParams
from galvo.motion.pixels import as_pixels, frame_flags, require_finite, require_frames
from galvo.motion.reference import Reference

Frames = NDArray[np.generic]
Fields = NDArray[np.float32]
Reals = NDArray[np.float32]
Spectrum = NDArray[np.complex64]

LOW_PASS_SIGMA = 0.8
"""Standard deviation of the Gaussian that ends the band, in pixels."""

HIGH_PASS_SIGMA = 10.0
"""Standard deviation of the Gaussian that begins the band, in pixels."""

NEWTON_STEPS = 6

SETTLED_PX = 1e-3
"""The error that a Newton step leaves is about the square of the step."""


class RigidPlan(FramewisePlan):
    """A reference's spectrum; every frame is solved by itself.

    Attributes
    ----------
    height, width : int
        Size of the frames.
    expansion : GridExpansion
        How shifts become dense fields.
    """

    def __init__(self, reference: Reals, weights: NDArray[np.float64]) -> None:
        self.channels, self.height, self.width = reference.shape
        self.expansion = GridExpansion(self.height, self.width, 1, 1)
        self._reference = reference
        self._level = reference.mean(axis=(1, 2), keepdims=True)
        self._window = np.outer(_taper(self.height), _taper(self.width)).astype(np.float32)
        fy = np.fft.fftfreq(self.height)[:, np.newaxis]
        fx = np.fft.rfftfreq(self.width)[np.newaxis]
        square = 2 * np.pi**2 * (fy**2 + fx**2)
        band = np.exp(-square * LOW_PASS_SIGMA**2) * (1 - np.exp(-square * HIGH_PASS_SIGMA**2))
        both_halves = np.full(fx.shape, 2.0)  # what rfft leaves out
        both_halves[:, 0] = 1
        if self.width % 2 == 0:
            both_halves[:, -1] = 1
        deviation = reference - self._level
        # squares of counts may be more than float32 holds
        self._scale = 1 / np.maximum(np.abs(deviation).max(axis=(1, 2), keepdims=True), np.float32(1e-30))
        spectra = np.conj(np.fft.rfft2(deviation * self._scale * self._window)) * band**2
        relative = weights[:, np.newaxis, np.newaxis] / np.square(self._scale, dtype=np.float64)
        self._matched = (spectra * (relative / relative.max())).astype(np.complex64)
        self._both_halves = both_halves.astype(np.float32)
        self._fy = (2 * np.pi * fy[:, 0]).astype(np.float32)
        self._fx = (2 * np.pi * fx[0]).astype(np.float32)

    def solve(
        self, frames: Frames, *, first: int = 0, count: int | None = None, threads: int | None = None
    ) -> tuple[Fields, NDArray[np.uint32]]:
        """Shifts of `frames[first : first + count]`, float32 (T, 1, 1, 2) in pixels, x before y; flags, uint32 (T,).

        A pixel that is not finite is taken to be what the reference shows there.

        Raises
        ------
        OptionError
            The frames do not fit the reference.
        """
        require_frames(frames, (self.height, self.width, self.channels))
        wanted = as_pixels(frames)[first:] if count is None else as_pixels(frames)[first : first + count]
        shifts = list(_in_threads(self._shift, wanted, thread_count(threads)))
        return np.array(shifts, np.float32).reshape(len(wanted), 1, 1, 2), frame_flags(wanted)

    def _shift(self, frame: Frames) -> tuple[float, float]:
        planes = np.moveaxis(frame, 2, 0).astype(np.float32)
        planes = (np.where(np.isfinite(planes), planes, self._reference) - self._level) * self._scale
        product = self._product(planes)
        correlation = np.fft.irfft2(product, s=(self.height, self.width))
        y, x = np.unravel_index(int(correlation.argmax()), correlation.shape)
        whole_y, whole_x = _signed(int(y), self.height), _signed(int(x), self.width)
        if whole_y or whole_x:
            product = self._product(_moved(planes, whole_y, whole_x))
        rest_y, rest_x = self._peak(product)
        return whole_x + rest_x, whole_y + rest_y

    def _product(self, planes: Reals) -> Spectrum:
        """The spectrum of the correlation with the reference."""
        spectra = np.fft.rfft2(planes * self._window) * self._matched
        product: Spectrum = spectra.sum(axis=0)
        return product

    def _peak(self, product: Spectrum) -> tuple[float, float]:
        """Where the correlation is largest, within a pixel of no shift."""
        y = x = 0.0
        weighted = product * self._both_halves
        for _ in range(NEWTON_STEPS):
            along_x = np.exp(1j * (self._fx * np.float32(x)))
            along_y = np.exp(1j * (self._fy * np.float32(y)))
            # sums over x of the product times 1, i f and (i f)^2
            powers = np.stack([along_x, 1j * self._fx * along_x, -(self._fx**2) * along_x]).astype(np.complex64)
            rows = np.einsum("yx,kx->ky", weighted, powers) * along_y
            d_x, d_xx = rows[1].sum().real, rows[2].sum().real
            d_y, d_yy = (1j * self._fy * rows[0]).sum().real, (-(self._fy**2) * rows[0]).sum().real
            d_xy = (1j * self._fy * rows[1]).sum().real
            step_y, step_x = _uphill(float(d_y), float(d_x), float(d_yy), float(d_xx), float(d_xy))
            y, x = min(max(y + step_y, -1.0), 1.0), min(max(x + step_x, -1.0), 1.0)
            if max(abs(step_y), abs(step_x)) < SETTLED_PX:
                break
        return y, x


class RigidEstimator:
    """One shift per frame, to a small part of a pixel, for any size and any number of channels.

    Parameters
    ----------
    params : MotionParams
        `channel_weights` are used; without them, channels count by the inverse of their noise.
    """

    def __init__(self, params: MotionParams) -> None:
        self._params = params

    def calibrate(
        self, frames: Frames, reference: Reference, *, run_length: int | None = None, threads: int | None = None
    ) -> RigidPlan:
        """A plan for frames like the reference; of `frames`, only the noise of each channel is taken.

        Raises
        ------
        OptionError
            The reference has pixels that are not finite, or another number of channels than there are weights.
        """
        planes = np.ascontiguousarray(np.moveaxis(as_pixels(reference.image), 2, 0), np.float32)
        require_finite(planes)
        noise = np.array([_noise_variance(frames[:32, ..., channel]) for channel in range(len(planes))])
        weights = 1 / np.maximum(noise, 1e-12 * (noise.max() or 1.0))
        chosen = self._params.weights_of(len(planes))
        if chosen is not None:
            weights = weights * np.asarray(chosen)
        return RigidPlan(planes, weights / weights.max())


def _taper(count: int) -> NDArray[np.float64]:
    """1 but for a cosine over an eighth at each end."""
    length = max(1, count // 8)
    edge = 0.5 - 0.5 * np.cos(np.pi * (np.arange(length) + 0.5) / length)
    taper = np.ones(count)
    taper[:length] = edge
    taper[count - length :] = np.minimum(taper[count - length :], edge[::-1])
    return taper


def _signed(index: int, count: int) -> int:
    """A position on a circle as the nearer of the two ways there."""
    return index - count if index > count // 2 else index


def _moved(planes: Reals, y: int, x: int) -> Reals:
    """Planes (C, Y, X) read at (y, x) further; 0, which is the mean, where there is nothing."""
    height, width = planes.shape[1:]
    out = np.zeros_like(planes)
    out[:, max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)] = planes[
        :, max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)
    ]
    return out


def _uphill(d_y: float, d_x: float, d_yy: float, d_xx: float, d_xy: float) -> tuple[float, float]:
    """A Newton step towards a maximum, at most half a pixel; no step along a direction that is not curved down."""
    determinant = d_yy * d_xx - d_xy * d_xy
    if d_yy < 0 and d_xx < 0 and determinant > 1e-6 * d_yy * d_xx:
        y, x = (d_xy * d_x - d_xx * d_y) / determinant, (d_xy * d_y - d_yy * d_x) / determinant
    else:
        y, x = (-d_y / d_yy if d_yy < 0 else 0.0), (-d_x / d_xx if d_xx < 0 else 0.0)
    longest = max(abs(y), abs(x), 0.5)
    return 0.5 * y / longest, 0.5 * x / longest


def _noise_variance(plane: Frames) -> float:
    """Variance of white noise in frames (T, Y, X), from second differences, which structure has little part in."""
    values = plane.astype(np.float64)
    axis = 2 if values.shape[2] >= 3 else 1
    if values.shape[axis] < 3 or values.size == 0:
        return 1.0
    squares = np.diff(values, n=2, axis=axis) ** 2
    finite = squares[np.isfinite(squares)]
    return float(np.median(finite)) / (6 * 0.4549) if finite.size else 1.0


def _in_threads(
    work: Callable[[Frames], tuple[float, float]], frames: Frames, threads: int
) -> Sequence[tuple[float, float]]:
    if threads == 1 or len(frames) < 2:
        return [work(frame) for frame in frames]
    with ThreadPoolExecutor(min(threads, len(frames))) as pool:
        return list(pool.map(work, frames))
