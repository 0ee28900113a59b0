"""Motion by a function of the user's own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.estimator import Fields, Flags, Frames, FramewisePlan
from galvo.motion.expansion import GridExpansion
from galvo.motion.reference import Reference

__all__ = ["FlowFunction", "FunctionEstimator", "FunctionPlan", "name_of"]

FlowFunction = Callable[..., Any]
"""``flow(frames (T, Y, X, C), reference (Y, X, C)) -> displacements (T, Y, X, 2)``, x before y in pixels."""


@dataclass(frozen=True)
class FunctionEstimator:
    """An estimator that asks a function; it learns nothing.

    Parameters
    ----------
    flow : callable
        ``flow(frames, reference)`` with frames (T, Y, X, C) in the recording's dtype and the reference (Y, X, C) gives
        displacements (T, Y, X, 2), x before y in pixels: ``frame(x + w(x)) = reference(x)``. What a frame gets must
        not depend on the frames beside it, since how many come together is not promised.
    """

    flow: FlowFunction

    def __post_init__(self) -> None:
        if not callable(self.flow):
            raise OptionError("flow must be a function of frames and reference", found=repr(self.flow))

    def calibrate(
        self, frames: Frames, reference: Reference, *, run_length: int | None = None, threads: int | None = None
    ) -> "FunctionPlan":
        """The function with its reference."""
        return FunctionPlan(self.flow, reference)


@dataclass(frozen=True)
class FunctionPlan(FramewisePlan):
    """A function and the reference that it is called with."""

    flow: FlowFunction
    reference: Reference

    @property
    def expansion(self) -> GridExpansion:
        """Fields have a value for each pixel."""
        height, width = self.reference.image.shape[:2]
        return GridExpansion(height, width, height, width)

    def solve(
        self, frames: Frames, *, first: int = 0, count: int | None = None, threads: int | None = None
    ) -> tuple[Fields, Flags]:
        """What the function says of `frames[first : first + count]`, a part of them in each thread.

        Raises
        ------
        OptionError
            It gives something else than finite displacements of each pixel.
        """
        wanted = frames[first : len(frames) if count is None else first + count]
        bounds = np.linspace(0, len(wanted), min(thread_count(threads), max(1, len(wanted))) + 1).round().astype(int)
        parts = [wanted[start:stop] for start, stop in pairwise(bounds.tolist())]
        if len(parts) == 1:
            fields = [self._asked(parts[0])]
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                fields = list(pool.map(self._asked, parts))
        return np.concatenate(fields), np.zeros(len(wanted), np.uint32)

    def _asked(self, frames: Frames) -> Fields:
        if not len(frames):
            return np.zeros((*frames.shape[:3], 2), np.float32)
        found = np.asarray(self.flow(frames, self.reference.image))
        expected = (*frames.shape[:3], 2)
        if found.shape != expected or found.dtype.kind not in "iuf":
            raise OptionError(
                "the flow function gives no displacements of its frames",
                found=f"{found.shape} {found.dtype}",
                expected=f"(T, Y, X, 2) = {expected}",
            )
        if not np.isfinite(found).all():
            raise OptionError("the flow function gives displacements that are no numbers", expected="finite ones")
        return found.astype(np.float32, copy=False)


def name_of(flow: FlowFunction) -> str:
    """By which name a function is told from others where a result is kept."""
    kind = flow if hasattr(flow, "__qualname__") else type(flow)
    return f"{kind.__module__}.{kind.__qualname__}"
