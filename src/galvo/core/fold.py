"""Planes and channels laid one after another in T, for formats that have no axis for them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.facts import FrameFacts
from galvo.core.index import Int64
from galvo.core.metadata import Metadata
from galvo.core.over import ReaderOver
from galvo.core.reader import Reader, coverage_of
from galvo.core.selection import Indices, Selection, compact

__all__ = ["FoldedFacts", "FoldedReader", "folded_metadata"]


class _Fold:
    """Positions in T of the folded recording as positions T C Z of the whole; C counts fastest, then Z."""

    def __init__(self, selection: Selection, axes: str) -> None:
        self._axes = [np.asarray(axis, np.int64) for axis in selection.axes[:3]]
        t, c, z = selection.shape[:3]
        self.channels = c if "C" in axes else 1
        self.planes = z if "Z" in axes else 1
        self.lengths = (t * self.channels * self.planes, c // self.channels, z // self.planes)

    def unfolded(self, t: Int64, c: Int64, z: Int64) -> tuple[Int64, Int64, Int64]:
        rest, channel = np.divmod(t, self.channels)
        time, plane = np.divmod(rest, self.planes)
        whole = [axis[place] for axis, place in zip(self._axes, (time, c + channel, z + plane), strict=True)]
        return whole[0], whole[1], whole[2]


class FoldedReader(ReaderOver):
    """A reader whose Z, C or both go into T.

    Parameters
    ----------
    reader : Reader
    selection : Selection
        The part of it that is shown.
    axes : str
        "Z", "C" or "CZ": what is folded.
    """

    def __init__(self, reader: Reader, selection: Selection, axes: str) -> None:
        super().__init__(reader)
        self._selection = selection
        self._fold = _Fold(selection, axes)
        self.shape = (*self._fold.lengths, *selection.shape[3:])
        self.chunks = (1, 1, 1, *reader.chunks[3:])

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`: one read for the T of each channel and plane that goes into T."""
        t = np.asarray(selection.t, np.int64)
        rest, channels = np.divmod(t, self._fold.channels)
        times, planes = np.divmod(rest, self._fold.planes)
        kinds = channels * self._fold.planes + planes
        for kind in np.unique(kinds).tolist():
            channel, plane = divmod(kind, self._fold.planes)
            rows = np.flatnonzero(kinds == kind)
            c, z = (np.asarray(axis, np.int64) + more for axis, more in ((selection.c, channel), (selection.z, plane)))
            part = Selection(compact(times[rows]), compact(c), compact(z), selection.y, selection.x)
            pixels = np.empty(part.shape, self.dtype)
            self._reader.read(self._selection.take(part), pixels)
            out[rows] = pixels

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned, in every plane where planes went into T."""
        whole = range(1)
        inner = self._selection.take(Selection(whole, whole, range(self._selection.shape[2]), y, x))
        found = coverage_of(self._reader, *inner.axes[2:])
        if self._fold.planes > 1:
            return np.broadcast_to(found.all(axis=0, keepdims=True), (len(z), *found.shape[1:]))
        return found[np.asarray(z, np.int64)]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Where the frames lie."""
        return self._reader.place(*self._fold.unfolded(t, c, z))


class FoldedFacts:
    """The frame facts of a folded recording.

    Parameters
    ----------
    facts : FrameFacts
    selection : Selection
    axes : str
    """

    def __init__(self, facts: FrameFacts, selection: Selection, axes: str) -> None:
        self._facts = facts
        self._fold = _Fold(selection, axes)

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns of the frames at (t, c, z)."""
        return self._facts.read(*self._fold.unfolded(t, c, z))


def folded_metadata(metadata: Metadata, axes: str) -> Metadata:
    """What still holds of the metadata."""
    return replace(
        metadata,
        frame_rate_hz=None,
        channel_names=() if "C" in axes else metadata.channel_names,
        z_um=None if "Z" in axes else metadata.z_um,
        scan_field=None,
        attributes={**metadata.attributes, "folded": f"{axes} into T"},
    )
