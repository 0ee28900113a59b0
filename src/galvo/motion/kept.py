"""What is kept of the motion of a recording: per frame and plane a shift, a small solver field and its quality.

A field is stored as a float32 shift and a float16 rest at solver resolution. What is applied is always the field that
these two give back, so a movie can be made again from its stored motion, bit for bit.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.motion.estimator import Fields
from galvo.motion.quality import QUALITY

__all__ = ["kept_dtype", "rounded", "solver_fields"]


def kept_dtype(solver_shape: tuple[int, int]) -> np.dtype[Any]:
    """One frame of one plane: `shift` (x, y), `rest`, the numbers of `QUALITY`, `flags`."""
    return np.dtype(
        [
            ("shift", np.float32, (2,)),
            ("rest", np.float16, (*solver_shape, 2)),
            *((name, np.float32) for name in QUALITY),
            ("flags", np.uint32),
        ]
    )


def rounded(fields: Fields, constant: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """The shift (T, 2) and the rest (T, h, w, 2) of solver fields: the uniform part, and what it leaves."""
    weight = constant / np.square(constant, dtype=np.float64).sum()
    shift = np.einsum("thwk,hw->tk", fields, weight).astype(np.float32)
    rest = fields - shift[:, None, None] * constant[..., None]
    return shift, rest.astype(np.float16)


def solver_fields(shift: NDArray[np.float32], rest: NDArray[np.float16], constant: NDArray[np.float32]) -> Fields:
    """The fields that a shift and a rest stand for; what `rounded` was given, up to its rounding."""
    return np.asarray(rest.astype(np.float32) + shift[:, None, None] * constant[..., None], np.float32)
