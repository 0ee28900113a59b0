"""Frames as every estimator takes them: (T, Y, X, C), read by ranges of T, whether they lie in memory or in a file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.motion.estimator import Frames
from galvo.motion.reference import Reference

MOST_BLOCK_BYTES = 48 << 20


@dataclass(frozen=True)
class Movie:
    """A sequence of frames.

    Attributes
    ----------
    shape
        (T, Y, X, C).
    dtype
        Of the pixels as stored.
    """

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    _pixels: NDArray[Any] | Recording

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, start: int, stop: int) -> Frames:
        """Frames `start` to `stop`, C-contiguous (T, Y, X, C)."""
        if isinstance(self._pixels, Recording):
            return np.ascontiguousarray(np.moveaxis(self._pixels[start:stop, :, 0], 1, -1))
        return np.ascontiguousarray(self._pixels[start:stop])

    def block_length(self) -> int:
        """Frames that are worked on together: a few tens of megabytes, and enough for every thread."""
        frame_bytes = max(1, int(np.prod(self.shape[1:])) * self.dtype.itemsize)
        return max(16, MOST_BLOCK_BYTES // frame_bytes)


def movie_of(frames: ArrayLike | Recording) -> Movie:
    """A movie over an array (T, Y, X) or (T, Y, X, C), or over a recording of one plane.

    Raises
    ------
    OptionError
        Another number of axes, no frame, no pixel, several planes, or pixels that are not numbers.
    """
    if isinstance(frames, Recording):
        frame_count, channel_count, planes, height, width = frames.shape
        if planes != 1:
            raise OptionError(
                "motion is estimated plane by plane",
                found=f"{planes} planes",
                expected="a recording of one plane",
                hint="choose a plane: recording.isel(z=0)",
            )
        shape, pixels = (frame_count, height, width, channel_count), frames
        return Movie(_checked(shape, frames.dtype), frames.dtype, pixels)
    array = np.asarray(frames)
    if array.ndim == 3:
        array = array[..., np.newaxis]
    if array.ndim != 4:
        raise OptionError(
            "frames have another number of axes",
            found=f"shape {np.shape(frames)}",
            expected="(T, Y, X) or (T, Y, X, C)",
            hint="one frame: frame[np.newaxis]",
        )
    t, y, x, c = array.shape
    return Movie(_checked((t, y, x, c), array.dtype), array.dtype, array)


def reference_of(reference: ArrayLike | Reference, movie: Movie) -> Reference:
    """The reference with its image as (Y, X, C), checked against the movie.

    Raises
    ------
    OptionError
        Another size or number of channels than the frames have, or pixels that are not numbers.
    """
    if not isinstance(reference, Reference):
        image = np.asarray(reference)
        reference = Reference(np.ascontiguousarray(image[..., np.newaxis] if image.ndim == 2 else image))
    if reference.image.shape != movie.shape[1:]:
        raise OptionError(
            "the reference does not fit the frames",
            found=f"reference {reference.image.shape}, frames {movie.shape}",
            expected=f"(Y, X, C) = {movie.shape[1:]}",
            hint="Take the same channels and the same part of the image for both",
        )
    return reference


def _checked(shape: tuple[int, int, int, int], dtype: np.dtype[Any]) -> tuple[int, int, int, int]:
    if 0 in shape:
        raise OptionError(
            "there is nothing to register", found=f"(T, Y, X, C) = {shape}", expected="at least one pixel"
        )
    if dtype.kind not in "iuf":
        raise OptionError(
            "pixels are not real numbers", found=str(dtype), expected="integers or floating point", hint="frames.astype"
        )
    return shape
