"""pyflowreg.util.xcorr_prealignment: the shift between two images."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.motion.variational.prealignment import phase_shift

__all__ = ["estimate_rigid_xcorr_2d"]


def estimate_rigid_xcorr_2d(
    ref_img: ArrayLike,
    mov_img: ArrayLike,
    target_hw: int | tuple[int, int] = (256, 256),
    up: int = 1,
    normalization: str | None = "phase",
    disambiguate: bool = True,
    weight: ArrayLike | None = None,
) -> NDArray[np.float32]:
    """How far the content of `mov_img` lies from that of `ref_img`, float32 (dx, dy) in pixels.

    Parameters
    ----------
    ref_img, mov_img : array (H, W) or (H, W, C)
    target_hw : int or (int, int)
        Rows and columns beyond which the images are made smaller first.
    up : int
        Steps per pixel.
    normalization : "phase" or None
    disambiguate : bool
        Of shifts that differ by the size of the image, take the one at which the images agree best.
    weight : array (C,), (H, W) or (H, W, C), optional
        Of the channels.
    """
    rows, columns = np.broadcast_to(np.asarray(target_hw), 2).tolist()
    return phase_shift(
        ref_img,
        mov_img,
        most=(rows, columns),
        upsampling=up,
        weights=weight,
        whitened=normalization == "phase",
        disambiguated=disambiguate,
    )
