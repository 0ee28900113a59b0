"""How well each frame came out: numbers that say which frames to distrust."""

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.threads import thread_count

__all__ = ["QUALITY", "frame_quality"]

QUALITY = {
    "correlation": "of the corrected frame with the reference, Pearson, -1 to 1",
    "residual": "standard deviation of what the reference does not explain of the corrected frame, in counts",
    "crispness": "root mean square of the corrected frame's gradient, in counts per pixel",
    "mean_px": "mean length of the displacements, in pixels",
    "max_px": "greatest length of a displacement, in pixels",
    "divergence": "mean of du/dx + dv/dy: below 0 the image shrinks",
}


def frame_quality(
    corrected: NDArray[np.float32],
    displacements: NDArray[np.float32],
    reference: NDArray[np.float32],
    *,
    threads: int | None = None,
) -> dict[str, NDArray[np.float32]]:
    """The numbers of `QUALITY` for every frame, each float32 (T,).

    Parameters
    ----------
    corrected : ndarray, float32 (T, Y, X, C)
    displacements : ndarray, float32 (T, Y, X, 2)
        With which the frames were corrected.
    reference : ndarray, float32 (Y, X, C)
    threads : int, optional
        None: one per usable core. The numbers do not depend on it.

    Notes
    -----
    Image measures are means over the channels, without a border as wide as the frame's greatest displacement, where
    pixels were not scanned, but with at least the inner half. Pixels that are not finite are left out. A frame without
    contrast has correlation 0.
    """
    numbers = native.frame_quality(
        np.ascontiguousarray(corrected),
        np.ascontiguousarray(displacements),
        np.ascontiguousarray(reference),
        thread_count(threads),
    )
    return dict(zip(QUALITY, np.ascontiguousarray(numbers.T), strict=True))
