"""Writing .npy files."""

from __future__ import annotations

from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.core.target import Target
from galvo.errors import OptionError
from galvo.formats.kept_beside import RowSink
from galvo.formats.npy.header import encode_header
from galvo.formats.npy.reader import kept_path

__all__ = ["NpySink"]


class NpySink(RowSink):
    """Writes the bytes that `numpy.save` writes, little endian: YX, TYX or TCZYX, whichever says it all."""

    def target(self, final: str, recording: Recording) -> Target:
        """The array and galvo's text."""
        return Target(final=final, files=(final, kept_path(final)))

    def prepare(self, plan: WritePlan) -> None:
        """Take on a plan, or refuse types that are not the same everywhere."""
        super().prepare(plan)
        if self._dtype.kind not in "biufc" or self._dtype.itemsize > (16 if self._dtype.kind == "c" else 8):
            raise OptionError(
                "such pixels are not the same on every machine",
                found=str(self._dtype),
                hint='dtype="float64" (--dtype) makes others of them',
            )

    def head(self) -> bytes:
        """NumPy's header."""
        shape: tuple[int, ...] = self._recording.shape
        if shape[1:3] == (1, 1):
            shape = shape[3:] if shape[0] == 1 else (shape[0], *shape[3:])
        return encode_header(self._dtype, shape)
