"""Writing raw binaries with their texts."""

from __future__ import annotations

import json
import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.partial import PartialFile
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.target import Target
from galvo.errors import OptionError
from galvo.formats.kept_json import kept_json
from galvo.formats.raw.sidecar import describing_path, kept_path

__all__ = ["RawSink"]

_ROW_BYTES = 128


class RawSink(FileSink):
    """Writes pixels one after another, in the machine's own byte order made little-endian."""

    compresses = False

    @property
    def notes(self) -> tuple[str, ...]:
        """What other readers see."""
        _, channels, planes = self._recording.shape[:3]
        if channels * planes == 1:
            return ()
        return (
            f"{channels} channels and {planes} planes follow each other as frames: galvo gives back the axes, "
            "other readers see one long movie",
        )

    def target(self, final: str, recording: Recording) -> Target:
        """The binary, CalSciPy's text and galvo's."""
        if not os.path.splitext(final)[1]:
            raise OptionError("a raw binary needs a suffix: its texts have the same name", path=final, hint="Add .bin")
        return Target(final=final, files=(final, describing_path(final), kept_path(final)))

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
        t, c, z, y, x = self._recording.shape
        # the type's name without its byte order, which CalSciPy writes for arrays of the machine's own
        described = {"frames": t * c * z, "y": y, "x": x, "dtype": self._dtype.name}
        _replace(output.files[1], json.dumps(described))
        _replace(output.files[2], json.dumps(kept_json(self._plan, None)))

    def reopen(self, output: Outlet) -> None:
        """Frames have places of their own."""
        self._output = output

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """Little-endian."""
        return np.ascontiguousarray(block, self._dtype)

    def put(self, index: BlockIndex, encoded: NDArray[Any]) -> None:
        """Write a block, which follows the one before."""
        file = self._output.files[0]
        _, channels, planes, y, x = self._recording.shape
        first = (index[0].start * channels + index[1].start) * planes + index[2].start
        file.seek(first * y * x * self._dtype.itemsize)
        file.write(encoded.reshape(-1).view(np.uint8).data)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write all that is kept."""
        _replace(self._output.files[2], json.dumps(kept_json(self._plan, checksums)))


def _replace(file: PartialFile, text: str) -> None:
    file.seek(0)
    file.write(text.encode())
    file.truncate()
