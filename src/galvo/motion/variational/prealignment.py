"""A shift of each frame before its field, from the phase of the cross-power spectrum.

C. D. Kuglin, D. C. Hines, The phase correlation image alignment method, 1975; sub-pixel refinement by a matrix Fourier
transform: M. Guizar-Sicairos, S. T. Thurman, J. R. Fienup, Efficient subpixel image registration algorithms, 2008.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.errors import OptionError
from galvo.motion.variational.flow import resample
from galvo.motion.warping import warp

Reals = NDArray[np.floating]
Fields = NDArray[np.float32]

_REFINED_PIXELS = 1.5


@dataclass(frozen=True)
class Prealignment:
    """How frames are shifted before they are solved.

    Attributes
    ----------
    most_rows, most_columns : int
        Larger images are made smaller for it.
    upsampling : int
        Steps per pixel of the shift.
    """

    most_rows: int = 256
    most_columns: int = 256
    upsampling: int = 1

    def shifts(
        self,
        fixed: NDArray[np.float32],
        prepared: NDArray[np.float32],
        start: Fields,
        *,
        weights: ArrayLike | None = None,
        threads: int = 1,
    ) -> NDArray[np.float32]:
        """What is left of each frame's shift behind `start` (Y, X, 2), float32 (T, 2), x before y.

        `fixed` is (Y, X, C), `prepared` (T, Y, X, C); `weights` those of the channels, numbers or maps.
        """
        begun = warp(prepared, start, fill=fixed, interpolation="linear", reach=(0.0, 1.0), threads=threads)
        most = (self.most_rows, self.most_columns)

        def one(frame: NDArray[np.generic]) -> NDArray[np.float32]:
            return phase_shift(fixed, frame, most=most, upsampling=self.upsampling, weights=weights)

        with ThreadPoolExecutor(threads) as pool:
            return np.stack(list(pool.map(one, begun)))


def phase_shift(
    fixed: ArrayLike,
    moving: ArrayLike,
    *,
    most: tuple[int, int] = (256, 256),
    upsampling: int = 1,
    weights: ArrayLike | None = None,
    whitened: bool = True,
    disambiguated: bool = True,
) -> NDArray[np.float32]:
    """How far the content of one image lies from that of another.

    Parameters
    ----------
    fixed, moving : array (Y, X) or (Y, X, C)
        Of one shape.
    most : (int, int)
        Rows and columns beyond which the images are made smaller first.
    upsampling : int
        Steps per pixel.
    weights : array (C,), (Y, X) or (Y, X, C), optional
        Of the channels; of maps, each channel's mean counts. None: all alike.
    whitened : bool
        Whether only phases count, or amplitudes too.
    disambiguated : bool
        Whether of shifts that differ by the size of the image, the one is taken at which the images agree best.

    Returns
    -------
    ndarray, float32 (2,)
        x, y in pixels: `moving(position + shift) = fixed(position)`.

    Raises
    ------
    OptionError
        Shapes that differ, weights that do not fit, or no steps per pixel.
    """
    one, two = np.asarray(fixed, np.float64), np.asarray(moving, np.float64)
    if one.shape != two.shape or one.ndim not in (2, 3) or one.size == 0:
        raise OptionError("images must be of one shape, (Y, X) or (Y, X, C)", found=two.shape, expected=one.shape)
    if upsampling < 1:
        raise OptionError("upsampling must be at least 1", found=upsampling)
    images = [_gray(image, weights) for image in (one, two)]
    height, width = images[0].shape
    size = min(height, most[0]), min(width, most[1])
    if size != (height, width):
        images = [resample(image, size).astype(np.float64) for image in images]
    window = np.outer(np.hanning(size[0]), np.hanning(size[1]))
    reference, frame = (((image - image.mean()) * window).astype(np.float32) for image in images)
    spectrum = np.fft.fft2(reference) * np.fft.fft2(frame).conj()
    if whitened:
        spectrum /= np.maximum(np.abs(spectrum), 100 * np.finfo(np.float32).eps)
    correlation = np.abs(np.fft.ifft2(spectrum))
    peak = np.array(np.unravel_index(np.argmax(correlation), size), np.float64)
    wrapped = np.where(peak > np.array(size) // 2, peak - size, peak)
    shift = _refined(spectrum, wrapped, upsampling) if upsampling > 1 else wrapped
    if disambiguated:
        shift = _disambiguated(reference, frame, shift)
    shift = np.where(np.array(size) == 1, 0.0, shift)
    # the spectrum says how to move the frame; what is asked for is where its content lies
    y, x = -shift * (height / size[0], width / size[1])
    return np.array([x, y], np.float32)


def _gray(image: Reals, weights: ArrayLike | None) -> Reals:
    if image.ndim == 2:
        return image
    channels = image.shape[2]
    if weights is None:
        mean: Reals = image.mean(axis=2)
        return mean
    shares = np.asarray(weights, np.float64)
    if shares.ndim == 3:
        shares = shares.mean(axis=(0, 1))
    if shares.ndim == 2:
        shares = np.ones(channels)
    if shares.shape != (channels,) or not shares.sum() > 0:
        raise OptionError("weights do not fit the channels", found=shares.shape, expected=(channels,))
    gray: Reals = image @ (shares / shares.sum())
    return gray


def _refined(spectrum: NDArray[np.complexfloating], shift: Reals, upsampling: int) -> Reals:
    """The peak within a pixel and a half, by a Fourier sum at steps of 1 / upsampling."""
    start = np.round(shift * upsampling) / upsampling
    span = int(np.ceil(upsampling * _REFINED_PIXELS))
    steps = np.arange(span) - span // 2
    rows, columns = (
        np.exp(2j * np.pi * np.outer(centre + steps / upsampling, np.fft.fftfreq(length)))
        for centre, length in zip(start, spectrum.shape, strict=True)
    )
    found = np.abs(rows @ spectrum @ columns.T)
    at = np.unravel_index(np.argmax(found), found.shape)
    refined: Reals = start + steps[list(at)] / upsampling
    return refined


def _disambiguated(reference: Reals, frame: Reals, shift: Reals) -> Reals:
    """The shift, or one that differs by the image's size, at which what overlaps correlates best."""
    best, chosen = -np.inf, shift
    lengths = np.array(reference.shape)
    for wraps in product((0, 1), repeat=2):
        candidate = np.where(wraps, shift - np.where(shift >= 0, lengths, -lengths), shift)
        whole = np.round(candidate).astype(int)
        if (np.abs(whole) >= lengths).any():
            continue
        one, two = (_overlap(image, sign * whole) for image, sign in ((reference, 1), (frame, -1)))
        value = _correlation(one, two)
        if value > best:
            best, chosen = value, candidate
    return chosen


def _overlap(image: Reals, shift: Sequence[int] | NDArray[np.int_]) -> Reals:
    """The part of an image that one moved by `shift` shares with it."""
    parts = (slice(max(0, by), length + min(0, by)) for by, length in zip(shift, image.shape, strict=True))
    return image[tuple(parts)]


def _correlation(one: Reals, two: Reals) -> float:
    one, two = one - one.mean(), two - two.mean()
    scale = float(np.sqrt((one * one).sum() * (two * two).sum()))
    return float((one * two).sum()) / scale if scale > 0 else -1.0
