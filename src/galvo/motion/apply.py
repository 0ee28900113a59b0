"""Recordings corrected as they are read: no pixel is written before somebody wants it."""

from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.recording import Recording
from galvo.core.selection import Indices, Selection, is_whole, outer_index
from galvo.errors import OptionError
from galvo.motion.estimator import Fields
from galvo.motion.kept import frames_together
from galvo.motion.warping import Interpolation, warp

__all__ = ["CorrectedReader", "Correcting", "DenseFields", "check_interpolation"]


class DenseFields(Protocol):
    """Displacements of a recording's frames."""

    def displacements(self, t: Indices, z: int, *, threads: int | None = None) -> Fields:
        """Float32 (T, Y, X, 2) of the frames at times `t` of plane `z`."""

    @property
    def checksum(self) -> int:
        """CRC-32C of all that displacements depend on."""


@dataclass(frozen=True)
class Correcting:
    """Makes the corrected frames of a recording.

    Attributes
    ----------
    motion : DenseFields
    interpolation : "cubic", "linear" or "nearest"
    fill : "edge" or number
        What a pixel becomes whose source lies outside the frame.
    threads : int, optional
        None: one per usable core. Pixels do not depend on it.
    """

    motion: DenseFields = field(repr=False)
    interpolation: Interpolation = "cubic"
    fill: Literal["edge"] | float = "edge"
    threads: int | None = None

    def __call__(self, recording: Recording) -> "CorrectedReader":
        """The reader of the corrected frames."""
        return CorrectedReader(recording, self)

    def __repr__(self) -> str:
        return f"Correcting({self.motion.checksum:08x}, {self.interpolation}, {self.fill})"


def check_interpolation(dtype: np.dtype[Any], interpolation: Interpolation, fill: Literal["edge"] | float) -> None:
    """Refuse what pixels of that type cannot be warped with.

    Raises
    ------
    OptionError
    """
    # a frame without a pixel is warped at once
    warp(np.zeros((0, 1, 1), dtype), np.zeros((0, 1, 1, 2), np.float32), interpolation=interpolation, dtype="same")
    if isinstance(fill, str) and fill == "edge":
        return
    if isinstance(fill, bool) or not isinstance(fill, int | float | np.integer | np.floating):
        raise OptionError("fill is the edge or a number", found=repr(fill), expected='"edge" or a number')
    if dtype.kind in "iu" and not (np.iinfo(dtype).min <= fill <= np.iinfo(dtype).max and fill == int(fill)):
        raise OptionError(f"{dtype} cannot hold the fill", found=fill)


class CorrectedReader:
    """Reads frames of a recording and warps them; a part of a frame costs the whole frame.

    Parameters
    ----------
    recording : Recording
    how : Correcting
    """

    def __init__(self, recording: Recording, how: Correcting) -> None:
        self._recording = recording
        self._how = how
        self.shape: Shape = recording.shape
        self.chunks: Shape = (*recording.chunks[:3], *recording.shape[3:])
        self.dtype = recording.dtype

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with corrected pixels."""
        height, width = self.shape[3:]
        step = frames_together(height, width)
        whole = is_whole(selection.y, height) and is_whole(selection.x, width)
        part = None if whole else outer_index([selection.y, selection.x])
        for first in range(0, len(selection.t), step):
            times = selection.t[first : first + step]
            for place, plane in enumerate(np.asarray(selection.z).tolist()):
                frames = np.moveaxis(self._recording[times, selection.c, plane], 1, -1)
                fields = self._how.motion.displacements(times, plane, threads=self._how.threads)
                wanted = np.moveaxis(out[first : first + len(times), :, place], 1, -1)
                direct = part is None and wanted.dtype == self.dtype
                corrected = warp(
                    frames,
                    fields,
                    fill=self._how.fill,
                    interpolation=self._how.interpolation,
                    dtype="same",
                    out=wanted if direct else None,
                    threads=self._how.threads,
                )
                if not direct:
                    wanted[...] = corrected if part is None else corrected[(slice(None), *part)]

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned before they were moved."""
        return self._recording.isel(z=z, y=y, x=x).coverage()

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Where the frames lie, uncorrected."""
        shown = self._recording._selection
        axes = (np.asarray(axis, np.int64)[at] for axis, at in zip(shown.axes[:3], (t, c, z), strict=True))
        return self._recording._reader.place(*axes)

    def prove(self) -> None:
        """Check the structure that was taken for granted."""
        self._recording.prove()

    def close(self) -> None:
        """Close the files."""
        self._recording.close()
