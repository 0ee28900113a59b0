"""The motion of a recording as one piece of work: references and plans, then records, held or written to a file."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo import native
from galvo.core.atomic import journal_path
from galvo.core.blocks import block_selections
from galvo.core.checksum import block_checksum
from galvo.core.memory import recycling
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.core.target import Target
from galvo.core.write import Progress, write_recording
from galvo.errors import GalvoError, OptionError
from galvo.formats.opening import open_recording
from galvo.motion.averaging import build_reference
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
from galvo.motion.warping import warp
from galvo.progress import ProgressOption, reporting

__all__ = ["Job", "ReferenceOption", "held_motion", "in_frames", "kept_motion"]

ReferenceOption = ArrayLike | Reference | slice | Sequence[int] | None
_LEAST_TOGETHER = 32


def in_frames(report: Progress, frame_count: int) -> Progress:
    """Takes bytes, tells frames."""
    return lambda done, total: report(done * frame_count // max(1, total), frame_count)


@dataclass(frozen=True, kw_only=True)
class Job:
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
            "frames": _told_frames(shown),
            "opened": _told_opening(shown),
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


def _told_frames(shown: Recording) -> list[int] | None:
    """First, stop and step of the frames of a file that are shown; None: all of them."""
    t, count = shown._selection.t, shown._reader.shape[0]
    if not isinstance(t, range) or t.step < 0 or t == range(count):
        return None
    return [t.start, t.stop, t.step]


def _told_opening(shown: Recording) -> dict[str, Any]:
    """Options that the recording was opened with, as far as JSON has them."""
    origin = shown._origin
    options = origin.options if origin is not None and origin.reopen is open_recording else {}
    usual = {"series": True, "axis": "t", "damaged": "raise", "allow_external": False}
    return {
        name: value
        for name, value in options.items()
        if isinstance(value, str | int | float) and value != usual.get(name)
    }


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


def held_motion(job: Job, progress: ProgressOption) -> Motion:
    """The motion in memory."""
    with reporting(progress, "estimating", unit="frames") as report, ExitStack() as stack:
        plans, facts = job.prepare({})
        records = job.records(plans, facts, stack)
        found = np.empty((records.shape[0], records.shape[2]), records.dtype)
        report(0, len(records))
        for index, block in records.blocks(job.block_bytes(records)):
            found[index[0], index[2]] = block[:, 0, :, 0, 0]
            report(index[0].stop, len(records))
    motion = Motion(found["frame"].copy(), HeldRests(found["rest"].copy()), facts)
    return replace(motion, means=job.means(motion))


def kept_motion(
    job: Job, path: str, progress: ProgressOption, overwrite: bool, resume: bool, sources: Sequence[str]
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
    # the bar is there while references are made, which takes seconds
    with reporting(progress, "estimating", unit="frames") as report, ExitStack() as stack:
        plans, facts = job.prepare(asked)
        records = job.records(plans, facts, stack)
        sink = MotionSink(facts, job.means)
        order, multiple = sink.block_order, sink.t_multiple(records)
        cut = block_selections(records.shape, records.dtype.itemsize, job.block_bytes(records), multiple, order)
        plan = WritePlan(recording=records, blocks=tuple(cut), provenance={"facts": facts.checksum}, pixels_told=True)
        sink.prepare(plan)
        write_recording(plan, sink, target, in_frames(report, len(records)), resume, overwrite)
    return open_motion(path)


def _finished(path: str, job: Job, asked: dict[str, Any]) -> Motion | None:
    """The motion that a file holds, if it is what would be estimated now."""
    if not os.path.exists(path):
        return None
    try:
        found = open_motion(path)
    except GalvoError:
        return None
    same = found.facts.provenance == asked and found.facts.params == job.params.model_dump(mode="json")
    return found if same else None
