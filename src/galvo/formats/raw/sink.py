"""Writing raw binaries with their texts."""

from __future__ import annotations

import json
import os

from galvo.core.recording import Recording
from galvo.core.target import Target
from galvo.errors import OptionError
from galvo.formats.kept_beside import RowSink
from galvo.formats.raw.sidecar import describing_path, kept_path

__all__ = ["RawSink"]


class RawSink(RowSink):
    """Writes pixels one after another, in the machine's own byte order made little-endian."""

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

    def description(self) -> str:
        """CalSciPy's text."""
        t, c, z, y, x = self._recording.shape
        # the type's name without its byte order, which CalSciPy writes for arrays of the machine's own
        return json.dumps({"frames": t * c * z, "y": y, "x": x, "dtype": self._dtype.name})
