"""What every estimator offers: calibrate once on a recording's frames, then solve any of its frames."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.generic]
Fields = NDArray[np.float32]


class Plan(Protocol):
    """An estimator that has learned what it needs from a reference and some frames; frozen and safe to share.

    Equal frames get bit-equal fields, however a recording is cut into blocks, as long as each block brings `halo`
    frames of context where the recording has them.
    """

    @property
    def halo(self) -> int:
        """Neighbouring frames on each side that the field of a frame may depend on."""

    def solve(self, frames: Frames, *, first: int = 0, count: int | None = None, threads: int | None = None) -> Fields:
        """Fields of `frames[first : first + count]` at solver resolution, float32 (T, h, w, 2); the rest is context.

        `frames` is (T, Y, X, C) in the recording's dtype.
        """

    def expand(self, fields: Fields, *, threads: int | None = None) -> Fields:
        """The displacements that solver fields stand for: float32 (T, Y, X, 2) in pixels, x before y."""


class Estimator(Protocol):
    """A way to estimate motion, before it has seen a recording."""

    def calibrate(
        self,
        frames: Frames,
        reference: NDArray[np.generic],
        *,
        run_length: int | None = None,
        threads: int | None = None,
    ) -> Plan:
        """A plan for the recording that `frames` (T, Y, X, C) were taken from; `reference` is (Y, X, C).

        `frames` are runs of `run_length` consecutive frames, one after another; None: all of them are consecutive.
        """
