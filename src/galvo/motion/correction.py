"""Correcting a recording: reference -> calibrate -> (estimate, measure, keep) for each block -> movie as it is read.

Motion is kept first, in a file of its own, and the movie is written from it like any conversion. So both outputs appear
whole or not at all, both can be resumed, and the same motion can be applied to another channel or recording.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.conversion import ConvertResult, convert
from galvo.core.atomic import journal_path
from galvo.core.blocks import block_selections
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.core.write import write_recording
from galvo.errors import OptionError
from galvo.formats.opening import open_recording
from galvo.motion.apply import Correcting
from galvo.motion.averaging import build_reference
from galvo.motion.estimation import calibrated
from galvo.motion.estimator import Fields, Plan
from galvo.motion.executors import ExecutorName, executor_of
from galvo.motion.flags import Flag
from galvo.motion.kept import HeldRests, Motion, MotionFacts
from galvo.motion.movie import MOST_BLOCK_BYTES, movie_of, reference_of
from galvo.motion.params import MotionParams
from galvo.motion.quality import QUALITY
from galvo.motion.records import MotionReader
from galvo.motion.reference import Reference
from galvo.motion.stored import MotionSink, open_motion
from galvo.motion.warping import Interpolation
from galvo.progress import ProgressOption, reporting

__all__ = ["Correction", "correct", "open_correction"]

ReferenceOption = ArrayLike | Reference | slice | Sequence[int] | None


@dataclass(frozen=True)
class Correction:
    """The motion of a recording, and what can be done with it.

    Attributes
    ----------
    motion : Motion
    recording : Recording or None
        What it was estimated on, where that is still open.
    path : str or None
        The file that holds the motion.
    movie : ConvertResult or None
        The corrected movie, where it was written.
    """

    motion: Motion
    recording: Recording | None = None
    path: str | None = None
    movie: ConvertResult | None = None

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
        """What frames were registered to, (Z, Y, X, C)."""
        return self.motion.facts.reference

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
        return lines + [line for learned in self.motion.facts.learned for line in learned.get("remarks", ())]

    def displacements(self, t: int | slice | Sequence[int], z: int = 0) -> Fields:
        """Float32 (T, Y, X, 2) in pixels, x before y, that are applied to the frames at `t` of plane `z`."""
        count, planes = self.motion.shape[:2]
        positions = np.atleast_1d(np.arange(count)[t])
        if not 0 <= z < planes:
            raise OptionError("there is no such plane", found=z, expected=f"0 to {planes - 1}")
        return self.motion.displacements(positions, z)

    def valid_mask(self, t: int | slice | Sequence[int] | None = None, z: int = 0) -> NDArray[np.bool_]:
        """Which corrected pixels were scanned in every one of the frames at `t`, bool (Y, X); all frames by default."""
        height, width = self.motion.shape[2:]
        y, x = np.mgrid[:height, :width].astype(np.float32)
        valid = np.ones((height, width), np.bool_)
        positions = np.atleast_1d(np.arange(self.motion.shape[0])[slice(None) if t is None else t])
        for first in range(0, len(positions), 16):
            fields = self.displacements(positions[first : first + 16].tolist(), z)
            at_x, at_y = x + fields[..., 0], y + fields[..., 1]
            inside = (at_x >= -0.5) & (at_x <= width - 0.5) & (at_y >= -0.5) & (at_y <= height - 0.5)
            valid &= inside.all(axis=0)
        return valid

    def apply(
        self,
        recording: Recording | None = None,
        *,
        interpolation: Interpolation = "cubic",
        fill: Any = "edge",
    ) -> Recording:
        """A recording with every frame corrected as it is read.

        Parameters
        ----------
        recording : Recording, optional
            By default the one that the motion was estimated on, with all its channels; any other with as many frames
            and planes of the same size, a denoised one, say.
        interpolation : "cubic", "linear" or "nearest"
        fill : "edge" or number
            What a pixel becomes whose source lies outside the frame.

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
        how = Correcting(self.motion, interpolation, fill)
        return shown.through(how, motion_corrected=dict(self.motion.facts.params))


def open_correction(path: str | os.PathLike[str], recording: Any = None) -> Correction:
    """The motion that `correct` wrote.

    Parameters
    ----------
    path : path
    recording : anything that `galvo.open` takes, optional
        What `Correction.apply` is to correct by default.

    Raises
    ------
    Malformed
        It is no file of a motion.
    """
    name = os.fspath(path)
    opened = None if recording is None else open_recording(recording)
    return Correction(open_motion(name), opened, name)


def motion_path(destination: str) -> str:
    """Where the motion of a movie is kept: ``movie.h5`` has ``movie_motion.h5`` beside it."""
    return f"{os.path.splitext(destination)[0]}_motion.h5"


def correct(
    source: Any,
    destination: str | os.PathLike[str] | None = None,
    params: MotionParams | Mapping[str, Any] | None = None,
    *,
    motion: str | os.PathLike[str] | None = None,
    channels: Any = None,
    apply_to: Recording | None = None,
    reference: ReferenceOption = None,
    executor: ExecutorName = "threads",
    workers: int | None = None,
    interpolation: Interpolation = "cubic",
    fill: Any = "edge",
    overwrite: bool = False,
    resume: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> Correction:
    """Estimate the motion of a recording, keep it, and write the corrected movie.

    Parameters
    ----------
    source : anything that `galvo.open` takes
    destination : path, optional
        The corrected movie, in any format that `galvo.convert` writes; None: no pixel is written, and the result's
        `apply` corrects frames as they are read.
    params : MotionParams or mapping, optional
    motion : path, optional
        Where the motion is kept; by default ``<destination>_motion.h5``, and in memory where there is no destination.
    channels : int, name, or list of them, optional
        Channels that motion is estimated on; all of them by default. All channels are corrected.
    apply_to : Recording, optional
        What is corrected instead of `source`: the raw recording where motion is estimated on a denoised one, say.
    reference : optional
        An image (Y, X), (Y, X, C) or (Z, Y, X, C); T positions whose mean it is to be, a slice or a list; None: the
        mean of frames that resemble each other most (`galvo.motion.build_reference`), plane by plane.
    executor : "threads", "sequential" or "processes"
        Where frames are worked on; the result is the same bit for bit.
    workers : int, optional
        Threads or processes; None: one per usable core.
    interpolation : "cubic", "linear" or "nearest"
    fill : "edge" or number
        What a pixel becomes whose source lies outside the frame.
    overwrite : bool
        Replace existing outputs, once the new ones are complete.
    resume : bool
        Go on behind the last block that an interrupted attempt brought to the disk.
    progress : bool or callable
        True: a bar in the terminal; a callable gets (frames done, frames in all) of the estimation, then bytes of
        the movie as in `convert`.
    open_options : dict, optional
        Passed to `galvo.open`.
    **options
        Of `galvo.convert`, for the movie: `verify`, `dtype`, those of the format, ...

    Returns
    -------
    Correction

    Raises
    ------
    OptionError
        An option does not fit, or the recording has nothing to register.
    WriteError
        An output exists, or cannot be written; nothing was published.
    """
    chosen = params if isinstance(params, MotionParams) else MotionParams.model_validate(dict(params or {}))
    kept_at = None if motion is None else os.fspath(motion)
    if kept_at is None and destination is not None:
        kept_at = motion_path(os.fspath(destination))
    recording = open_recording(source, **(open_options or {}))
    try:
        shown = recording.isel(c=channels)
        references = _references(shown, reference, workers)
        plans = [calibrated(movie_of(shown.isel(z=z)), references[z], chosen, workers) for z in range(shown.shape[2])]
        facts = _facts(shown, plans, references, chosen)
        with ExitStack() as stack:
            executors = [stack.enter_context(executor_of(executor, plan, workers)) for plan in plans]
            records = _records(MotionReader(shown, plans, executors, facts, workers), shown)
            if kept_at is None:
                found = _held(records, facts, progress)
            else:
                found = _kept(records, facts, kept_at, progress, overwrite, resume)
        correction = Correction(found, recording if apply_to is None else apply_to, kept_at)
        if destination is None:
            return correction
        movie = convert(
            correction.apply(interpolation=interpolation, fill=fill),
            destination,
            overwrite=overwrite,
            resume=resume,
            progress=progress,
            **options,
        )
        return replace(correction, movie=movie)
    except BaseException:
        if recording is not source:
            recording.close()
        raise


def _references(shown: Recording, reference: ReferenceOption, workers: int | None) -> list[Reference]:
    """One for each plane."""
    planes = shown.shape[2]
    if isinstance(reference, Reference):
        return [reference] * planes
    if reference is None or isinstance(reference, slice | list | tuple | range):
        chosen = reference if reference is None or isinstance(reference, slice) else [int(t) for t in reference]
        return [build_reference(shown.isel(z=z), chosen=chosen, threads=workers).reference for z in range(planes)]
    image = np.asarray(reference)
    images = image if image.ndim == 4 else image[np.newaxis]
    if len(images) not in (1, planes):
        raise OptionError("there is another number of references than planes", found=len(images), expected=planes)
    return [reference_of(images[z % len(images)], movie_of(shown.isel(z=z))) for z in range(planes)]


def _facts(
    shown: Recording, plans: Sequence[Plan], references: Sequence[Reference], params: MotionParams
) -> MotionFacts:
    from galvo import __version__

    return MotionFacts(
        expansion=plans[0].expansion,
        reference=np.stack([np.asarray(reference.image, np.float32) for reference in references]),
        params=params.model_dump(mode="json"),
        provenance={
            "galvo_version": __version__,
            "source_format": shown.metadata.format,
            "source_files": [path.name for path in shown.files],
            "channels": list(shown.channel_names),
        },
        learned=tuple(plan.learned() for plan in plans),
        calibrations=tuple(plan.to_bytes() for plan in plans),
    )


def _records(reader: MotionReader, shown: Recording) -> Recording:
    """The motion of `shown` as a recording of records."""
    return Recording(
        reader,
        Metadata(format="motion"),
        files=[str(path) for path in shown.files],
        lineage=shown.selection_checksum(),
    )


def _block_bytes(records: Recording, facts: MotionFacts) -> int:
    """Bytes of the records of as many frames as are worked on together."""
    frame_bytes = int(np.prod(facts.reference.shape[1:])) * 2
    return max(16, MOST_BLOCK_BYTES // frame_bytes) * records.dtype.itemsize * records.shape[2]


def _held(records: Recording, facts: MotionFacts, progress: ProgressOption) -> Motion:
    """The motion in memory."""
    found = np.empty((records.shape[0], records.shape[2]), records.dtype)
    with reporting(progress, "estimating", unit="frames") as report:
        report(0, len(records))
        for index, block in records.blocks(_block_bytes(records, facts)):
            found[index[0], index[2]] = block[:, 0, :, 0, 0]
            report(index[0].stop, len(records))
    return Motion(found["frame"].copy(), HeldRests(found["rest"].copy()), facts)


def _kept(
    records: Recording, facts: MotionFacts, path: str, progress: ProgressOption, overwrite: bool, resume: bool
) -> Motion:
    """The motion in a file."""
    final = os.path.expanduser(path)
    sink = MotionSink(facts)
    target = sink.target(final, records)
    begun = os.path.exists(journal_path(final))
    if resume and not begun and os.path.exists(final) and sink.is_of(final, records):
        return open_motion(final)
    target.guard([str(file) for file in records.files], overwrite or (resume and begun))
    blocks = tuple(
        block_selections(
            records.shape,
            records.dtype.itemsize,
            _block_bytes(records, facts),
            sink.t_multiple(records),
            sink.block_order,
        )
    )
    plan = WritePlan(recording=records, blocks=blocks, provenance={"facts": facts.checksum})
    sink.prepare(plan)
    with reporting(progress, "estimating", unit="frames") as report:
        nbytes = records.nbytes // len(records)
        write_recording(
            plan, sink, target, lambda done, total: report(done // nbytes, total // nbytes), resume, overwrite
        )
    return open_motion(final)
