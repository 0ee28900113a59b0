"""Pixels in a form that the kernels read."""

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError
from galvo.motion.flags import Flag


def as_pixels(frames: NDArray[np.generic]) -> NDArray[np.generic]:
    """Integers, float32 or float64 in native byte order, aligned; what is so already is not copied.

    bool becomes uint8, float16 float32.

    Raises
    ------
    OptionError
        Complex numbers, texts and the like.
    """
    if frames.dtype.kind not in "biuf" or frames.dtype.itemsize > 8:
        raise OptionError("frames must be real numbers of at most 64 bits", found=frames.dtype)
    wanted: np.dtype[np.generic] = frames.dtype.newbyteorder("=")
    if frames.dtype == np.bool_:
        wanted = np.dtype(np.uint8)
    elif frames.dtype == np.float16:
        wanted = np.dtype(np.float32)
    pixels = frames.astype(wanted, copy=False)
    aligned = pixels.flags.aligned and not any(stride % pixels.itemsize for stride in pixels.strides)
    return pixels if aligned else np.ascontiguousarray(pixels)


def require_finite(reference: NDArray[np.generic]) -> None:
    """`OptionError` where a reference has pixels that are not finite."""
    if not np.isfinite(reference).all():
        raise OptionError("the reference has pixels that are not finite", hint="Fill them in first.")


def require_frames(frames: NDArray[np.generic], reference_shape: tuple[int, int, int]) -> None:
    """`OptionError` unless frames are (T, Y, X, C) like a reference (Y, X, C)."""
    if frames.ndim != 4 or frames.shape[1:] != reference_shape:
        raise OptionError("frames do not fit the reference", found=frames.shape, expected=f"(T, *{reference_shape})")


def frame_flags(frames: NDArray[np.generic]) -> NDArray[np.uint32]:
    """What pixels alone say of frames (T, Y, X, C): NO_CONTRAST and NOT_FINITE, uint32 (T,)."""
    flags = np.zeros(len(frames), np.uint32)
    for t, frame in enumerate(frames):
        pixels = frame
        if frames.dtype.kind == "f" and not np.isfinite(frame).all():
            flags[t] |= np.uint32(Flag.NOT_FINITE)
            pixels = frame[np.isfinite(frame).all(axis=2)].reshape(1, -1, frame.shape[2])
        if _is_flat(pixels):
            flags[t] |= np.uint32(Flag.NO_CONTRAST)
    return flags


def _is_flat(pixels: NDArray[np.generic]) -> bool:
    """Whether every channel of (Y, X, C) has one value only; most frames show otherwise in a few rows."""
    first = pixels[:1, :1]
    return not (pixels[::32] != first).any() and not (pixels != first).any()
