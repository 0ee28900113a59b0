"""What frames are registered to: an image, and what is known of how it was made."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError

__all__ = ["Reference"]


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A reference image.

    A mean of noisy frames keeps part of their noise. Halves that share no frame tell signal from noise exactly; the
    number of frames tells how much noise to expect; with neither it is judged from the image itself.

    Attributes
    ----------
    image : ndarray, (Y, X, C)
        Real numbers in the units of the frames.
    halves : pair of ndarray, (Y, X, C), optional
        Means of two sets of frames that have no frame in common, registered like `image`.
    frame_count : int, optional
        Frames that were averaged to `image`.
    """

    image: NDArray[Any]
    halves: tuple[NDArray[Any], NDArray[Any]] | None = None
    frame_count: int | None = None

    def __post_init__(self) -> None:
        for image in (self.image, *(self.halves or ())):
            if not isinstance(image, np.ndarray) or image.dtype.kind not in "biuf":
                raise OptionError("a reference must be an array of real numbers", found=_kind(image))
            if image.ndim != 3 or 0 in image.shape:
                raise OptionError("a reference has axes Y X C", found=image.shape, hint="Add an axis for one channel.")
            if image.shape != self.image.shape:
                raise OptionError(
                    "the halves of a reference must have its shape", found=image.shape, expected=self.image.shape
                )
        if self.halves is not None and len(self.halves) != 2:
            raise OptionError("a reference has two halves", found=len(self.halves))
        if self.frame_count is not None and self.frame_count < 1:
            raise OptionError("a reference is a mean of at least one frame", found=self.frame_count)


def _kind(image: object) -> str:
    return str(image.dtype) if isinstance(image, np.ndarray) else type(image).__name__
