"""What formats know of single frames besides their pixels."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64

__all__ = ["FrameFacts", "FrameTimes", "TimedFacts"]


class FrameFacts(Protocol):
    """What a format knows of single frames besides their pixels."""

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns by name, one row per frame; "timestamp_s" (float64, NaN where unknown) feeds `timestamps`."""


@runtime_checkable
class TimedFacts(Protocol):
    """Frame facts that are quicker at times alone than at all columns."""

    def times(self, t: Int64, c: Int64, z: Int64) -> NDArray[np.float64]:
        """The column "timestamp_s" alone."""


class FrameTimes:
    """Nothing but the time of each T.

    Parameters
    ----------
    seconds : ndarray of float64, (T,)
    """

    def __init__(self, seconds: NDArray[np.float64]) -> None:
        self._seconds = seconds

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """The times, in s."""
        return {"timestamp_s": self._seconds[t]}

    def times(self, t: Int64, c: Int64, z: Int64) -> NDArray[np.float64]:
        """The same alone."""
        return self._seconds[t]
