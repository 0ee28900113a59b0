"""pyflowreg.util.resize_util: images of another size."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.cast import Cast
from galvo.errors import OptionError
from galvo.motion.variational import resample

__all__ = ["imresize_fused_gauss_cubic"]

_SIGMA_COEFF = 0.6


def imresize_fused_gauss_cubic(
    img: NDArray[Any], size: tuple[int, int], sigma_coeff: float = _SIGMA_COEFF, per_axis: bool = False
) -> NDArray[Any]:
    """An image (H, W) or (H, W, C) at another size, in its dtype: a Gaussian against aliasing, and cubic convolution.

    Parameters
    ----------
    img : array
    size : (int, int)
        Rows and columns.
    sigma_coeff : float
        0.6, the standard deviation in pixels of the result.
    per_axis : bool
        Only False: the stronger reduction is that of both axes.

    Raises
    ------
    ValueError
        Another `sigma_coeff` or `per_axis`.
    """
    if sigma_coeff != _SIGMA_COEFF or per_axis:
        raise OptionError("only sigma_coeff=0.6 and per_axis=False are there", found=(sigma_coeff, per_axis))
    planes = img[..., np.newaxis] if img.ndim == 2 else img
    rows, columns = map(int, size)
    resized = np.stack(
        [resample(planes[..., channel], (rows, columns), early_taps=True) for channel in range(planes.shape[2])], axis=2
    )
    result = Cast(img.dtype.str, "clip").apply(resized)
    return result[..., 0] if img.ndim == 2 else result
