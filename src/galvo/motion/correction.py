"""The motion of a recording, and what can be done with it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from galvo.conversion import ConvertResult
from galvo.core.recording import Recording
from galvo.core.registry import deferred
from galvo.core.source import path_name
from galvo.errors import OptionError, SelectionError
from galvo.formats.opening import open_recording
from galvo.motion.apply import Correcting, check_interpolation
from galvo.motion.estimator import Fields
from galvo.motion.flags import Flag
from galvo.motion.kept import Motion
from galvo.motion.params import MotionParams
from galvo.motion.quality import QUALITY
from galvo.motion.stored import open_motion
from galvo.motion.warping import Interpolation

__all__ = ["Correction", "open_correction"]

# reports know corrections, not the other way round
_report = deferred("galvo.qc.writing:report")


@dataclass(frozen=True)
class Correction:
    """The motion of a recording, and what can be done with it; a context manager that closes the recording.

    Attributes
    ----------
    motion : Motion
    recording : Recording or None
        What `apply` corrects by default.
    path : str or None
        The file that holds the motion.
    movie : ConvertResult or None
        The corrected movie, where it was written.
    """

    motion: Motion
    recording: Recording | None = None
    path: str | None = None
    movie: ConvertResult | None = None

    def __repr__(self) -> str:
        t_count, planes = self.flags.shape
        flagged = int(np.count_nonzero(self.flags.any(axis=1)))
        correlation = float(np.nanmean(self.quality["correlation"])) if t_count else float("nan")
        facts = [f"T={t_count} Z={planes}", f"mean correlation {correlation:.3f}", f"{flagged} flagged"]
        return f"<Correction {' · '.join(filter(None, (*facts, self.path)))}>"

    @property
    def quality(self) -> Mapping[str, NDArray[np.float32]]:
        """Per frame and plane (T, Z): correlation, residual, crispness, mean_px, max_px, divergence."""
        return {name: self.motion.frames[name] for name in QUALITY}

    @property
    def flags(self) -> NDArray[np.uint32]:
        """What was unusual with each frame and plane (T, Z), sums of `galvo.motion.Flag`."""
        return np.asarray(self.motion.frames["flags"])

    @property
    def shifts(self) -> NDArray[np.float32]:
        """The rigid part (T, Z, 2) of the displacements in pixels, x before y."""
        return np.asarray(self.motion.frames["shift"])

    @property
    def reference(self) -> NDArray[np.float32]:
        """What frames were registered to, (Z, Y, X, C); those of the first part where the reference is updated."""
        return self.motion.facts.reference

    @property
    def references(self) -> NDArray[np.float32]:
        """What the frames of each part were registered to, (E, Z, Y, X, C)."""
        return self.motion.facts.references

    @property
    def mean_before(self) -> NDArray[np.float32]:
        """Mean of up to 256 frames spread over the recording as they were, (Z, Y, X, C)."""
        return np.asarray(self._means[0])

    @property
    def mean_after(self) -> NDArray[np.float32]:
        """Mean of the same frames, corrected, (Z, Y, X, C)."""
        return np.asarray(self._means[1])

    @property
    def _means(self) -> NDArray[np.float32]:
        if self.motion.means is None:
            raise OptionError("this motion has no mean images")
        return self.motion.means

    @property
    def params(self) -> MotionParams:
        """With which parameters."""
        return MotionParams.model_validate(dict(self.motion.facts.params))

    def remarks(self) -> list[str]:
        """What somebody should know of single frames and of what was learned, one line each."""
        count = self.flags.size
        lines = []
        for flag in Flag:
            found = int(np.count_nonzero(self.flags & flag))
            if found:
                lines.append(f"{found:,} of {count:,} frames: {flag.meaning}")
        told = (line for learned in self.motion.facts.learned for line in learned.get("remarks", ()))
        return [*lines, *dict.fromkeys(told)]

    def displacements(self, t: int | slice | Sequence[int], z: int = 0) -> Fields:
        """Float32 (T, Y, X, 2) in pixels, x before y, that are applied to the frames at `t` of plane `z`."""
        planes = self.motion.shape[1]
        positions = self._positions(t)
        if not 0 <= z < planes:
            raise OptionError("there is no such plane", found=z, expected=f"0 to {planes - 1}")
        return self.motion.displacements(positions, z)

    def valid_mask(self, t: int | slice | Sequence[int] | None = None, z: int = 0) -> NDArray[np.bool_]:
        """Which corrected pixels were scanned in every one of the frames at `t`, bool (Y, X); all frames by default."""
        height, width = self.motion.shape[2:]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        valid = np.ones((height, width), np.bool_)
        positions = self._positions(slice(None) if t is None else t)
        for first in range(0, len(positions), 16):
            fields = self.displacements(positions[first : first + 16].tolist(), z)
            at_x, at_y = x + fields[..., 0], y + fields[..., 1]
            # as `warp` has it: up to half a pixel beyond the edge
            inside = (at_x >= -0.5) & (at_x < width - 0.5) & (at_y >= -0.5) & (at_y < height - 0.5)
            valid &= inside.all(axis=0)
        return valid

    def _positions(self, t: int | slice | Sequence[int]) -> NDArray[np.intp]:
        count = self.motion.shape[0]
        try:
            return np.atleast_1d(np.arange(count)[t])
        except IndexError:
            raise SelectionError("there is no such frame", found=repr(t), expected=f"0 to {count - 1}") from None

    def apply(
        self,
        recording: Recording | None = None,
        *,
        interpolation: Interpolation = "cubic",
        fill: Literal["edge"] | float = "edge",
        threads: int | None = None,
    ) -> Recording:
        """A recording with every frame corrected as it is read.

        Parameters
        ----------
        recording : Recording, optional
            By default the one that the motion was estimated on, with all its channels; any other with as many frames
            and planes of the same size, a denoised one, say.
        interpolation : {"cubic", "linear", "nearest"}
        fill : number or "edge"
            What a pixel becomes whose source lies outside the frame.
        threads : int, optional
            None: one per usable core. Pixels do not depend on it.

        Raises
        ------
        OptionError
            The recording has another length, number of planes, or size.
        """
        shown = self.recording if recording is None else recording
        if shown is None:
            raise OptionError("the recording that the motion was estimated on is not open", hint="Give one to apply()")
        t, _, z, y, x = shown.shape
        if (t, z, y, x) != self.motion.shape:
            raise OptionError(
                "the recording does not fit the motion", found=f"T Z Y X {(t, z, y, x)}", expected=self.motion.shape
            )
        check_interpolation(shown.dtype, interpolation, fill)
        how = Correcting(self.motion, interpolation, fill, threads)
        return shown.through(how, motion_corrected=dict(self.motion.facts.params))

    def report(self, output: str | os.PathLike[str] | None = None, **options: Any) -> str:
        """Write a page that shows how the correction went, and say where it is.

        Parameters
        ----------
        output : path, optional
            By default ``<movie>_report.html``.
        **options
            Those of `galvo.report`.
        """
        path: str = _report(self, output, **options)
        return path

    def close(self) -> None:
        """Close the recording."""
        if self.recording is not None:
            self.recording.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_correction(path: str | os.PathLike[str], recording: Any = None, **options: Any) -> Correction:
    """The motion that `correct` wrote.

    Parameters
    ----------
    path : path
    recording : anything that galvo.open takes, optional
        What `Correction.apply` is to correct by default.
    **options
        Passed to `galvo.open`.

    Raises
    ------
    Malformed
        It is no file of a motion.
    """
    name = path_name(path)
    motion = open_motion(name)
    return Correction(motion, None if recording is None else open_recording(recording, **options), name)
