"""Dense displacements of cosine coefficients, without anything else of the estimator."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.bayes.basis import cosines

__all__ = ["CosineExpansion"]

Float32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CosineExpansion:
    """How coefficients (Ky, Kx) of a height x width image become displacements; plain numbers, JSON in and out.

    `margin` is the number of pixels between the image and the ends of the cosines.
    """

    height: int
    width: int
    modes_y: int
    modes_x: int
    margin: int

    @property
    def solver_shape(self) -> tuple[int, int]:
        """Modes along y and x."""
        return self.modes_y, self.modes_x

    @property
    def constant(self) -> Float32:
        """Coefficients of a uniform shift by one pixel, (Ky, Kx)."""
        shift = np.zeros(self.solver_shape, np.float32)
        shift[0, 0] = 1
        return shift

    def expand(self, fields: Float32, *, threads: int | None = None) -> Float32:
        """Displacements float32 (T, Y, X, 2) in pixels of coefficients (T, Ky, Kx, 2).

        Raises
        ------
        OptionError
            Not coefficients of this shape.
        """
        if fields.ndim != 4 or fields.shape[1:] != (*self.solver_shape, 2):
            raise OptionError("not the fields of this plan", found=fields.shape, expected=("T", *self.solver_shape, 2))
        return native.bayes_synthesize(
            np.ascontiguousarray(np.moveaxis(fields, -1, 1), np.float32),
            _waves(self.height, self.modes_y, self.margin),
            _waves(self.width, self.modes_x, self.margin),
            thread_count(threads),
        )


# a recording is expanded some frames at a time
@lru_cache(maxsize=8)
def _waves(size: int, modes: int, margin: int) -> Float32:
    """Cosines at all pixels of a side, (size, modes)."""
    waves = cosines(np.arange(size), modes, size + 2 * margin, margin).astype(np.float32)
    waves.flags.writeable = False
    return waves
