"""Correcting a recording: reference -> calibrate -> (estimate, measure, keep) for each block -> movie as it is read.

Motion is kept first, in a file of its own, and the movie is written from it like any conversion. So both outputs appear
whole or not at all, both can be resumed, and the same motion can be applied to another channel or recording.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo import native
from galvo.conversion import convert, field_name
from galvo.core.atomic import journal_path
from galvo.core.blocks import block_selections
from galvo.core.checksum import block_checksum
from galvo.core.memory import recycling
from galvo.core.metadata import Metadata
from galvo.core.output import Target
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.core.write import Progress, write_recording
from galvo.errors import GalvoError, OptionError
from galvo.formats.opening import open_recording
from galvo.motion.apply import check_interpolation
from galvo.motion.averaging import build_reference
from galvo.motion.correction import Correction
from galvo.motion.custom import FlowFunction, name_of
from galvo.motion.estimation import calibrated
from galvo.motion.estimator import Plan
from galvo.motion.executors import ExecutorName, solving
from galvo.motion.kept import MOST_FIELD_BYTES, HeldRests, Motion, MotionFacts
from galvo.motion.means import mean_images
from galvo.motion.movie import MOST_BLOCK_BYTES, movie_of, reference_of
from galvo.motion.params import MotionParams
from galvo.motion.records import MotionReader
from galvo.motion.reference import Reference
from galvo.motion.stored import MotionSink, open_motion
from galvo.motion.threads import thread_count
from galvo.motion.warping import Interpolation, warp
from galvo.progress import ProgressOption, reporting

__all__ = ["correct", "correct_fields"]

ReferenceOption = ArrayLike | Reference | slice | Sequence[int] | None
_LEAST_TOGETHER = 32


def correct(
    source: Any,
    destination: str | os.PathLike[str] | None = None,
    params: MotionParams | Mapping[str, Any] | None = None,
    *,
    motion: str | os.PathLike[str] | None = None,
    channels: Any = None,
    apply_to: Any = None,
    reference: ReferenceOption = None,
    update_reference: int | None = None,
    flow: FlowFunction | None = None,
    executor: ExecutorName = "threads",
    workers: int | None = None,
    interpolation: Interpolation = "cubic",
    fill: Literal["edge"] | float = "edge",
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
    apply_to : anything that `galvo.open` takes, optional
        What is corrected instead of `source`: the raw recording where motion is estimated on a denoised one, say.
    reference : optional
        An image (Y, X), (Y, X, C) or (Z, Y, X, C), or a `Reference`; T positions whose mean it is to be, a slice or a
        list; None: the mean of frames that resemble each other most (`galvo.motion.build_reference`), plane by plane.
    update_reference : int, optional
        Every so many frames have a reference of their own, for recordings that change slowly: the mean of those among
        them that resemble each other most, registered to `reference` by the estimator itself, so that the movie stays
        where it is. All references are made before the first frame is corrected.
    flow : callable, optional
        A function that estimates instead of an estimator of galvo's (`galvo.motion.FunctionEstimator`). A field of
        full resolution is kept for each frame: 4 bytes per pixel.
    executor : "threads", "sequential" or "processes"
        Where frames are worked on; the result is the same bit for bit. A script that uses processes needs
        ``if __name__ == "__main__":``.
    workers : int, optional
        Threads or processes; None: one per usable core.
    interpolation : "cubic", "linear" or "nearest"
    fill : "edge" or number
        What a pixel becomes whose source lies outside the frame.
    overwrite : bool
        Replace existing outputs, once the new ones are complete.
    resume : bool
        Go on behind the last block that an interrupted attempt brought to the disk. A motion that is complete, of this
        source and with these parameters, is used as it is.
    progress : bool or callable
        True: a bar in the terminal for each output; a callable gets (frames done, frames in all), where a frame counts
        once for the motion and once more for the movie.
    open_options : dict, optional
        Passed to `galvo.open` for `source` and `apply_to`.
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
        An output exists, or cannot be written; nothing of the first kind is found out after frames were worked on.

    Examples
    --------
    >>> correction = galvo.correct("rec_00001_00001.tif", "corrected.h5")             # doctest: +SKIP
    >>> bad = correction.quality["correlation"][:, 0] < 0.5                           # doctest: +SKIP
    """
    opening = open_options or {}
    with ExitStack() as failed, ExitStack() as finished:
        # what is corrected stays open for the result
        recording = _opened(source, opening, failed if apply_to is None else finished)
        corrected = recording if apply_to is None else _opened(apply_to, opening, failed)
        name = None if destination is None else os.path.expanduser(os.fspath(destination))
        job = _Job(
            shown=recording.isel(c=channels),
            params=_chosen(params, flow),
            reference=reference,
            update_reference=update_reference,
            flow=flow,
            executor=executor,
            workers=1 if executor == "sequential" else thread_count(workers),
        )
        job.check(corrected)
        check_interpolation(corrected.dtype, interpolation, fill)
        kept_at = motion_path(name) if motion is None and name is not None else motion
        if name is not None and kept_at is not None and os.path.realpath(name) == os.path.realpath(kept_at):
            raise OptionError("movie and motion would have one name", found=name, hint="Choose another one for motion")
        common = {"overwrite": overwrite, "resume": resume, **options}
        if name is not None:
            # what can be foreseen, before minutes of estimating
            convert(corrected, name, dry_run=True, **common)
        count = len(corrected)
        estimating, correcting = _parts(progress, count, name is not None)
        if kept_at is None:
            found = _held(job, estimating)
        else:
            kept_at = os.path.expanduser(os.fspath(kept_at))
            found = _kept(job, kept_at, estimating, overwrite, resume, [str(path) for path in corrected.files])
        correction = Correction(found, corrected, kept_at)
        if name is not None:
            shown = correction.apply(interpolation=interpolation, fill=fill, threads=job.workers)
            with reporting(correcting, "correcting", unit="frames") as report:
                movie = convert(shown, name, progress=_in_frames(report, count), **common)
            correction = replace(correction, movie=movie)
        failed.pop_all()
        return correction


def correct_fields(
    source: Any,
    destination: str | os.PathLike[str],
    params: MotionParams | Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Correction, ...]:
    """Correct each scan field of a multi-ROI recording for itself.

    Parameters
    ----------
    source : anything that `galvo.open` takes
    destination : path
        Of ``out.h5`` become ``out_field1.h5``, ``out_field2.h5``, ..., in the order of `Recording.fields`, each with
        its motion beside it.
    params : MotionParams or mapping, optional
    resume : bool
        Leave fields whose movies exist, and go on with the one that an earlier attempt began.
    progress : bool or callable
        As in `correct`, for one field after another.
    open_options : dict, optional
        Passed to `galvo.open`.
    **options
        Those of `correct`, without those that are of one field: `motion`, `apply_to`.

    Returns
    -------
    tuple of Correction
        Of the fields that were corrected.

    Raises
    ------
    OptionError
        The recording has no fields.
    WriteError
        As in `correct`.
    """
    for name in ("motion", "apply_to"):
        if options.get(name) is not None:
            raise OptionError(f"{name} is of one field", hint="Correct the fields one by one: recording.fields")
    recording = open_recording(source, **(open_options or {}))
    try:
        parts = recording.fields
        if not parts:
            raise OptionError("the recording has no fields to split", hint="Only multi-ROI recordings have them")
        names = [field_name(os.fspath(destination), options.get("format"), number + 1) for number in range(len(parts))]
        waiting = [job for job in zip(parts, names, strict=True) if not (resume and os.path.lexists(job[1]))]
        return tuple(correct(part, name, params, resume=resume, progress=progress, **options) for part, name in waiting)
    except BaseException:
        if recording is not source:
            recording.close()
        raise


def motion_path(destination: str) -> str:
    """Where the motion of a movie is kept: ``movie.h5`` has ``movie_motion.h5`` beside it."""
    return f"{os.path.splitext(destination.rstrip(os.sep))[0]}_motion.h5"


def _opened(source: Any, options: dict[str, Any], stack: ExitStack) -> Recording:
    """A recording, closed by the stack where it was opened here."""
    recording = open_recording(source, **options)
    if recording is not source:
        stack.callback(recording.close)
    return recording


def _chosen(params: MotionParams | Mapping[str, Any] | None, flow: FlowFunction | None) -> MotionParams:
    chosen = params if isinstance(params, MotionParams) else MotionParams.model_validate(dict(params or {}))
    return chosen if flow is None else chosen.model_copy(update={"estimator": "custom"})


def _parts(progress: ProgressOption, count: int, both: bool) -> tuple[ProgressOption, ProgressOption]:
    """What is told of the motion, and of the movie behind it where there is one."""
    if not callable(progress):
        return progress, progress
    told, total = progress, 2 * count if both else count
    return lambda done, _: told(done, total), lambda done, _: told(count + done, total)


def _in_frames(report: Progress, frame_count: int) -> Progress:
    """Takes bytes, tells frames."""
    return lambda done, total: report(done * frame_count // max(1, total), frame_count)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Whose motion is estimated, and how."""

    shown: Recording
    params: MotionParams
    reference: ReferenceOption
    update_reference: int | None
    flow: FlowFunction | None
    executor: ExecutorName
    workers: int

    def check(self, corrected: Recording) -> None:
        """Refuse what could only fail later, or mean nothing."""
        shown = self.shown
        movie_of(shown.isel(z=0))
        if self.update_reference is not None and self.update_reference < 1:
            raise OptionError("a reference is of at least one frame", found=self.update_reference)
        if len(shown.fields) > shown.shape[2]:
            raise OptionError(
                "several scan fields share the pages, and each moves for itself",
                found=f"{len(shown.fields)} fields",
                hint="Correct them with galvo.correct_fields (--fields split), or one of recording.fields",
            )
        if (corrected.shape[0], *corrected.shape[2:]) != (shown.shape[0], *shown.shape[2:]):
            raise OptionError(
                "the recording to correct does not fit the one that motion is estimated on",
                found=f"T C Z Y X {corrected.shape}",
                expected=f"{shown.shape} with any C",
            )

    @property
    def asked(self) -> dict[str, Any]:
        """What the motion follows from, as JSON; equal for equal work."""
        from galvo import __version__

        shown = self.shown
        files = [(path.name, path.stat()) for path in shown.files]
        return {
            "galvo_version": __version__,
            "source_format": shown.metadata.format,
            "source_files": [[name, status.st_size, status.st_mtime_ns] for name, status in files],
            "source_pixels": [] if files else [block_checksum(block) for _, block in shown.blocks()],
            "shown": shown.selection_checksum(),
            "shape": list(shown.shape),
            "channels": list(shown.channel_names),
            "reference": _told_reference(self.reference),
            "update_reference": self.update_reference,
            "flow": None if self.flow is None else name_of(self.flow),
        }

    def prepare(self, asked: dict[str, Any]) -> tuple[list[Plan], MotionFacts]:
        """References and plans of each part and plane."""
        planes = [self.shown.isel(z=z) for z in range(self.shown.shape[2])]
        references = self._references(planes)
        parts = self._parts()
        if len(parts) > 1:
            anchors = [self._plan(plane, reference) for plane, reference in zip(planes, references, strict=True)]
            planes = [plane.isel(t=part) for part in parts for plane in planes]
            references = [self._registered(plane, anchors[n % len(anchors)]) for n, plane in enumerate(planes)]
        plans = [self._plan(plane, reference) for plane, reference in zip(planes, references, strict=True)]
        images = np.stack([np.asarray(reference.image, np.float32) for reference in references])
        facts = MotionFacts(
            expansion=plans[0].expansion,
            references=images.reshape(len(parts), -1, *images.shape[1:]),
            params=self.params.model_dump(mode="json"),
            provenance=asked,
            learned=tuple(plan.learned() for plan in plans),
            calibrations=tuple(plan.to_bytes() for plan in plans),
            part_frames=0 if len(parts) == 1 else self.update_reference or 0,
        )
        return plans, facts

    def _plan(self, plane: Recording, reference: Reference) -> Plan:
        return calibrated(movie_of(plane), reference, self.params, self.workers, self.flow)

    def _parts(self) -> list[slice]:
        """Of the recording; the last one takes what is less than half of one more."""
        count, length = len(self.shown), self.update_reference or len(self.shown)
        number = max(1, round(count / length))
        return [slice(n * length, None if n + 1 == number else (n + 1) * length) for n in range(number)]

    def _registered(self, part: Recording, anchor: Plan) -> Reference:
        """The reference of a part, without its motion against the reference of the recording."""
        found = build_reference(part, threads=self.workers).reference
        fields, _ = anchor.solve(found.image[np.newaxis], threads=self.workers)
        displacements = anchor.expansion.expand(fields, threads=self.workers)[0]
        image, *halves = (
            np.asarray(warp(each[np.newaxis], displacements, threads=self.workers)[0], np.float32)
            for each in (found.image, *(found.halves or ()))
        )
        return Reference(image, (halves[0], halves[1]) if halves else None, found.frame_count)

    def _references(self, planes: Sequence[Recording]) -> list[Reference]:
        wanted = self.reference
        if isinstance(wanted, Reference):
            return [reference_of(wanted, movie_of(plane)) for plane in planes]
        chosen = _positions(wanted)
        if wanted is None or chosen is not None:
            return [build_reference(plane, chosen=chosen, threads=self.workers).reference for plane in planes]
        image = np.asarray(wanted)
        images = image if image.ndim == 4 else image[np.newaxis]
        if len(images) not in (1, len(planes)):
            raise OptionError(
                "there is another number of references than planes", found=len(images), expected=len(planes)
            )
        return [reference_of(images[z % len(images)], movie_of(plane)) for z, plane in enumerate(planes)]

    def records(self, plans: Sequence[Plan], facts: MotionFacts, stack: ExitStack) -> Recording:
        """The motion as a recording of records, worked out when it is read."""
        solve = stack.enter_context(solving(self.executor, plans, self.workers))
        # frames of a block, displacements and corrected frames of a part of it
        stack.enter_context(recycling(2 * MOST_BLOCK_BYTES + 2 * MOST_FIELD_BYTES))
        reader = MotionReader(self.shown, plans, solve, facts, self.workers)
        files = [str(path) for path in self.shown.files]
        return Recording(reader, Metadata(format="motion"), files=files, lineage=facts.checksum)

    def block_bytes(self, records: Recording) -> int:
        """Bytes of the records of as many frames as are worked on together."""
        shape = self.shown.shape
        frame_bytes = shape[1] * shape[3] * shape[4] * self.shown.dtype.itemsize
        return max(_LEAST_TOGETHER, MOST_BLOCK_BYTES // frame_bytes) * records.dtype.itemsize * shape[2]

    def means(self, motion: Motion) -> NDArray[np.float32]:
        """Mean images before and after."""
        return mean_images(self.shown, motion, threads=self.workers)


def _positions(reference: ReferenceOption) -> slice | list[int] | None:
    """T positions that a reference is given by, if it is."""
    if isinstance(reference, slice):
        return reference
    if isinstance(reference, range | list | tuple) and all(isinstance(t, int | np.integer) for t in reference):
        return [int(t) for t in reference]
    return None


def _told_reference(reference: ReferenceOption) -> Any:
    """A reference as JSON; images by their CRC-32C."""
    if reference is None:
        return None
    chosen = _positions(reference)
    if isinstance(chosen, slice):
        return {"frames": [chosen.start, chosen.stop, chosen.step], "slice": True}
    if chosen is not None:
        return {"frames": chosen}
    images = [reference.image, *(reference.halves or ())] if isinstance(reference, Reference) else [reference]
    arrays = [np.ascontiguousarray(image) for image in images]
    told = {"shape": list(arrays[0].shape), "crc32c": [native.crc32c(array.tobytes()) for array in arrays]}
    return told | ({"frame_count": reference.frame_count} if isinstance(reference, Reference) else {})


def _held(job: _Job, progress: ProgressOption) -> Motion:
    """The motion in memory."""
    plans, facts = job.prepare({})
    with ExitStack() as stack:
        records = job.records(plans, facts, stack)
        found = np.empty((records.shape[0], records.shape[2]), records.dtype)
        with reporting(progress, "estimating", unit="frames") as report:
            report(0, len(records))
            for index, block in records.blocks(job.block_bytes(records)):
                found[index[0], index[2]] = block[:, 0, :, 0, 0]
                report(index[0].stop, len(records))
    motion = Motion(found["frame"].copy(), HeldRests(found["rest"].copy()), facts)
    return replace(motion, means=job.means(motion))


def _kept(
    job: _Job, path: str, progress: ProgressOption, overwrite: bool, resume: bool, sources: Sequence[str]
) -> Motion:
    """The motion in a file."""
    asked = job.asked
    begun = os.path.exists(journal_path(path))
    if resume and not begun:
        finished = _finished(path, job, asked)
        if finished is not None:
            return finished
    target = Target(final=path, files=(path,))
    target.guard([str(file) for file in job.shown.files] + list(sources), overwrite or (resume and begun))
    plans, facts = job.prepare(asked)
    with ExitStack() as stack:
        records = job.records(plans, facts, stack)
        sink = MotionSink(facts, job.means)
        order, multiple = sink.block_order, sink.t_multiple(records)
        cut = block_selections(records.shape, records.dtype.itemsize, job.block_bytes(records), multiple, order)
        plan = WritePlan(recording=records, blocks=tuple(cut), provenance={"facts": facts.checksum}, pixels_told=True)
        sink.prepare(plan)
        with reporting(progress, "estimating", unit="frames") as report:
            write_recording(plan, sink, target, _in_frames(report, len(records)), resume, overwrite)
    return open_motion(path)


def _finished(path: str, job: _Job, asked: dict[str, Any]) -> Motion | None:
    """The motion that a file holds, if it is what would be estimated now."""
    if not os.path.exists(path):
        return None
    try:
        found = open_motion(path)
    except GalvoError:
        return None
    same = found.facts.provenance == asked and found.facts.params == job.params.model_dump(mode="json")
    return found if same else None
