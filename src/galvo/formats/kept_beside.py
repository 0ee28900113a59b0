"""Frames in a row in one file, and what galvo keeps of them in a text beside it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.partial import PartialFile
from galvo.core.sink import FileSink, WritePlan
from galvo.core.source import read_file
from galvo.errors import NotFound, warn
from galvo.formats.kept_json import KeptJson, kept_json
from galvo.limits import Limits

__all__ = ["RowSink", "read_beside"]

_ROW_BYTES = 128


def read_beside(place: str, fits: Callable[[Shape], bool], limits: Limits) -> KeptJson | None:
    """What galvo kept; None where there is no text, or, with a warning, one that does not fit.

    Parameters
    ----------
    place : str
    fits : callable
        Whether a recording of a shape could be the one that is there.
    limits : Limits
    """
    try:
        text = read_file(place, limits.text_bytes)
    except NotFound:
        return None
    kept = KeptJson.parse(text, place, limits)
    if not fits(kept.shape):
        warn(f"{place}: it is of another recording {kept.shape}; not used")
        return None
    return kept


class RowSink(FileSink):
    """What sinks share that write frames as T, C, Z, the last fastest, without gaps, little endian.

    A format adds `target`: first the file with the frames, last the one with what galvo keeps.
    """

    compresses = False

    def head(self) -> bytes:
        """What comes before the first frame."""
        return b""

    def description(self) -> str | None:
        """The text of a second file that other programs look for."""
        return None

    def prepare(self, plan: WritePlan) -> None:
        """Take on a plan."""
        self._plan = plan
        self._recording = plan.recording
        self._dtype = plan.recording.dtype.newbyteorder("<")

    def estimate(self, plan: WritePlan) -> int:
        """Pixels and texts."""
        recording = plan.recording
        texts = sum(4 * len(text) for text in recording.metadata.texts.values())
        return recording.nbytes + math.prod(recording.shape[:3]) * _ROW_BYTES + 2 * texts + (1 << 17)

    def begin(self, output: Outlet) -> None:
        """Write what is known before the first frame."""
        self.reopen(output)
        output.files[0].seek(0)
        output.files[0].write(self.head())
        described = self.description()
        if described is not None:
            _replace(output.files[1], described)
        _replace(output.files[-1], json.dumps(kept_json(self._plan, None)))

    def reopen(self, output: Outlet) -> None:
        """Frames have places of their own."""
        self._output = output
        self._first_offset_bytes = len(self.head())

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """Little-endian."""
        return np.ascontiguousarray(block, self._dtype)

    def put(self, index: BlockIndex, encoded: NDArray[Any]) -> None:
        """Write a block, which follows the one before."""
        file = self._output.files[0]
        _, channels, planes, y, x = self._recording.shape
        first = (index[0].start * channels + index[1].start) * planes + index[2].start
        file.seek(self._first_offset_bytes + first * y * x * self._dtype.itemsize)
        file.write(encoded.reshape(-1).view(np.uint8).data)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write all that is kept."""
        _replace(self._output.files[-1], json.dumps(kept_json(self._plan, checksums)))


def _replace(file: PartialFile, text: str) -> None:
    file.seek(0)
    file.write(text.encode())
    file.truncate()
