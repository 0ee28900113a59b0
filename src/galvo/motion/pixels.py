"""Pixels in a form that the kernels read."""

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError


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
