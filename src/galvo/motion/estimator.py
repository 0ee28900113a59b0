"""What every estimator offers: calibrate once on a recording's frames, then solve any of its frames."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.motion.reference import Reference

Frames = NDArray[np.generic]
Fields = NDArray[np.float32]
Flags = NDArray[np.uint32]


class Expansion(Protocol):
    """How solver fields become displacements, without anything else of the estimator."""

    @property
    def solver_shape(self) -> tuple[int, int]:
        """(h, w) of a solver field."""

    @property
    def constant(self) -> NDArray[np.float32]:
        """The solver field (h, w) of a uniform shift by one pixel."""

    def expand(self, fields: Fields, *, threads: int | None = None) -> Fields:
        """Displacements float32 (T, Y, X, 2), x before y in pixels, of solver fields (T, h, w, 2)."""


class Plan(Protocol):
    """An estimator that has learned what it needs from a reference and some frames; frozen and safe to share.

    Equal frames get bit-equal fields, however a recording is cut into blocks, as long as each block brings `halo`
    frames of context where the recording has them.
    """

    @property
    def halo(self) -> int:
        """Neighbouring frames on each side that the field of a frame may depend on."""

    @property
    def expansion(self) -> Expansion:
        """How its solver fields become displacements."""

    def solve(
        self, frames: Frames, *, first: int = 0, count: int | None = None, threads: int | None = None
    ) -> tuple[Fields, Flags]:
        """Solver fields and flags of `frames[first : first + count]`; the other frames are context.

        Parameters
        ----------
        frames : (T, Y, X, C)
            In the recording's dtype.

        Returns
        -------
        fields : ndarray, float32 (T, h, w, 2)
        flags : ndarray, uint32 (T,)
            Sums of `galvo.motion.Flag`.
        """

    def learned(self) -> dict[str, Any]:
        """What it learned, as JSON has it; empty where it learns nothing."""

    def to_bytes(self) -> bytes:
        """A calibration that `galvo.motion.load_calibration` makes an equal plan of; empty where it learns nothing."""


class FramewisePlan:
    """What plans share that learn nothing and solve every frame by itself.

    Attributes
    ----------
    halo : int
        0: no frame depends on its neighbours.
    """

    halo = 0

    def learned(self) -> dict[str, Any]:
        """Nothing."""
        return {}

    def to_bytes(self) -> bytes:
        """Nothing."""
        return b""


class Estimator(Protocol):
    """A way to estimate motion, before it has seen a recording."""

    def calibrate(
        self,
        frames: Frames,
        reference: Reference,
        *,
        run_length: int | None = None,
        threads: int | None = None,
    ) -> Plan:
        """A plan for the recording that `frames` (T, Y, X, C) were taken from.

        `frames` are runs of `run_length` consecutive frames, one after another; None: all of them are consecutive.
        """
