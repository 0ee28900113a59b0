"""Events: what a vendor noted beside the frames, such as trigger times and packets of bytes.

Their number differs from frame to frame, so they are a table of their own and no columns of `frame_table`.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64

__all__ = ["EventFacts", "event_dtype"]

_KIND_CHARACTERS = 16


def event_dtype(data_nbytes: int = 1) -> np.dtype[Any]:
    """The columns of an event table: ``t z kind time_s data_nbytes data``.

    Parameters
    ----------
    data_nbytes : int
        Room for the longest payload; at least 1 is taken, since a column without room cannot be stored.
    """
    return np.dtype(
        [
            ("t", np.int64),
            ("z", np.int64),
            ("kind", f"U{_KIND_CHARACTERS}"),
            ("time_s", np.float64),
            ("data_nbytes", np.int64),
            ("data", np.uint8, (max(1, data_nbytes),)),
        ]
    )


@runtime_checkable
class EventFacts(Protocol):
    """Frame facts that have events besides."""

    def events(self, t: Int64) -> NDArray[np.void]:
        """Events of the given T, all planes, in the order of `t` and of the file.

        Returns
        -------
        structured ndarray of `event_dtype`
            ``t`` counts the entries of the argument; ``z`` the planes of the whole recording, -1 where the event
            lies in a frame that no plane shows.
        """
