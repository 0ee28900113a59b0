"""Frames before they were corrected, from corrected ones and their motion."""

import numpy as np
from numpy.typing import NDArray

from galvo.core.selection import Indices
from galvo.motion.apply import DenseFields
from galvo.motion.estimator import Fields
from galvo.motion.warping import warp

__all__ = ["Undone"]

_ROUNDS = 6


class Undone:
    """The motion that brings corrected frames back to where they were.

    A corrected frame is ``corrected(x) = frame(x + w(x))``; so ``frame(y) = corrected(y + v(y))`` for the v that solves
    ``v(y) = -w(y + v(y))``, found by fixed-point iteration, which converges where fields do not fold.
    """

    def __init__(self, motion: DenseFields) -> None:
        self._motion = motion

    def displacements(self, t: Indices, z: int, *, threads: int | None = None) -> Fields:
        """Float32 (T, Y, X, 2), x before y in pixels, of the frames at times `t` of plane `z`."""
        back: NDArray[np.float32] = -self._motion.displacements(t, z, threads=threads)
        found = back
        for _ in range(_ROUNDS):
            found = np.asarray(warp(back, found, interpolation="linear", threads=threads), np.float32)
        return found

    @property
    def checksum(self) -> int:
        """Of the motion that is undone."""
        return self._motion.checksum
