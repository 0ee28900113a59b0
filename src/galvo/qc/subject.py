"""What a report is about: a motion, the recording before it was corrected, and the recording after."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from galvo.core.recording import Recording
from galvo.core.source import path_name
from galvo.errors import GalvoError, NotFound, OptionError
from galvo.formats.opening import open_recording
from galvo.motion.apply import Correcting
from galvo.motion.correction import Correction, open_correction
from galvo.motion.kept import Motion
from galvo.motion.pipeline import motion_path
from galvo.motion.stored import holds_motion
from galvo.motion.undoing import Undone

__all__ = ["Subject", "opened_subject"]

_MOTION_SUFFIX = "_motion.h5"

BeforeIs = Literal["original", "reconstructed", "missing"]


@dataclass(frozen=True)
class Subject:
    """What is reported on.

    Attributes
    ----------
    correction : Correction
    before, after : Recording or None
        With all channels; None where there are no pixels of it.
    before_is : "original", "reconstructed" or "missing"
        Where `before` is from.
    name : str
        What people call it.
    is_written : bool
        There is a file of the corrected movie.
    files : tuple of str
        Everything that is read.
    note : str
        Why there is no original, for people; empty where there is one.
    """

    correction: Correction
    before: Recording | None
    after: Recording | None
    before_is: BeforeIs
    name: str
    is_written: bool
    files: tuple[str, ...] = ()
    note: str = ""

    @property
    def motion(self) -> Motion:
        """What was applied."""
        return self.correction.motion

    @property
    def shown(self) -> Recording | None:
        """The recording that facts are taken from."""
        return self.before if self.before_is == "original" else self.after

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Of the pixels that are shown, by number where they have no names."""
        if self.shown is None:
            return self.estimated_names
        names = self.shown.channel_names
        return names or tuple(f"channel {number + 1}" for number in range(self.shown.shape[1]))

    @property
    def estimated_names(self) -> tuple[str, ...]:
        """Of the channels that motion was estimated on."""
        told = self.motion.facts.provenance.get("channels")
        count = self.motion.facts.reference.shape[3]
        if isinstance(told, list) and len(told) == count:
            return tuple(map(str, told))
        return tuple(f"channel {number + 1}" for number in range(count))

    def estimated_channels(self, recording: Recording) -> list[int] | None:
        """Which channels of a recording the reference shows; None where that is not known."""
        count = self.motion.facts.reference.shape[3]
        found = [position for name in self.estimated_names for position in _positions(recording.channel_names, name)]
        if len(found) == count:
            return found
        return list(range(count)) if count == recording.shape[1] else None


@contextmanager
def opened_subject(corrected: Any, source: Any, motion: Any, options: dict[str, Any]) -> Iterator[Subject]:
    """What `galvo.report` is asked to report on; files that were opened for it are closed at the end.

    Parameters
    ----------
    corrected : Correction or path
    source : anything that `galvo.open` takes, or None
    motion : path or None
    options : dict
        Passed to `galvo.open` for the source.
    """
    with ExitStack() as stack:
        if isinstance(corrected, Correction):
            yield _of_correction(corrected, source, options, stack)
        else:
            yield _of_path(path_name(corrected), source, motion, options, stack)


def _of_correction(correction: Correction, source: Any, options: dict[str, Any], stack: ExitStack) -> Subject:
    motion = correction.motion
    before = correction.recording if source is None else _original(source, options, motion, stack)
    if correction.movie is None:
        return _subject(correction, before, None, None, "The original is not open.")
    name = correction.movie.path
    # a movie may be in several files; its frames are made again then
    written = _movie(name, motion, stack) if before is None or os.path.exists(name) else None
    return _subject(correction, before, name, written, "The original is not open.")


def _of_path(path: str, source: Any, motion: Any, options: dict[str, Any], stack: ExitStack) -> Subject:
    name: str | None = path
    if motion is None and _is_motion(path):
        motion, name = path, _movie_beside(path)
    kept_at = path_name(motion) if motion is not None else motion_path(path)
    if not os.path.isfile(kept_at):
        hint = "Name it (motion=, --motion)" if os.path.exists(path) else "Is the name right?"
        raise NotFound("there is no motion of this recording", path=path, expected=kept_at, hint=hint)
    correction = open_correction(kept_at)
    written = None if name is None else _movie(name, correction.motion, stack)
    if source is not None:
        return _subject(correction, _original(source, options, correction.motion, stack), name, written, "")
    before, note = _found_beside(
        kept_at, _corrected_file(written, correction.motion), options, correction.motion, stack
    )
    return _subject(correction, before, name, written, note)


def _subject(
    correction: Correction, before: Recording | None, name: str | None, written: Recording | None, note: str
) -> Subject:
    """With what can be had of the recording before and after."""
    motion = correction.motion
    before_is: BeforeIs = "missing" if before is None else "original"
    after = written
    if before is not None:
        if written is not None:
            _check_channels(before, written)
        if written is None or written.dtype != before.dtype:
            # what was written in another type, for people to look at, cannot be compared
            after = correction.apply(before)
    elif after is not None:
        before, before_is = after.through(Correcting(Undone(motion))), "reconstructed"
    read = [str(path) for recording in (before, written) if recording is not None for path in recording.files]
    kept_at = [correction.path] if correction.path else []
    return Subject(
        correction=correction,
        before=before,
        after=after,
        before_is=before_is,
        name=name or correction.path or "motion",
        is_written=name is not None,
        files=tuple(dict.fromkeys([*kept_at, *read])),
        note="" if before_is == "original" else note,
    )


def _check_channels(before: Recording, after: Recording) -> None:
    if before.shape[1] != after.shape[1]:
        raise OptionError(
            "the source has another number of channels than the corrected recording",
            found=before.shape[1],
            expected=after.shape[1],
        )


def _is_motion(path: str) -> bool:
    return path.lower().endswith((".h5", ".hdf5")) and os.path.isfile(path) and holds_motion(path)


def _movie_beside(path: str) -> str | None:
    """The movie whose motion a file holds, by its name."""
    if not path.endswith(_MOTION_SUFFIX):
        return None
    stem = path.removesuffix(_MOTION_SUFFIX)
    folder, base = os.path.split(stem)
    for name in sorted(os.listdir(folder or ".")):
        beside = os.path.join(folder, name)
        if os.path.splitext(name)[0] == base and os.path.abspath(beside) != os.path.abspath(path):
            try:
                open_recording(beside).close()
            except GalvoError:
                continue
            return beside
    return None


def _movie(path: str, motion: Motion, stack: ExitStack) -> Recording:
    movie = stack.enter_context(open_recording(path))
    if not _fits(movie, motion):
        raise OptionError(
            "the recording does not fit the motion",
            found=f"{path}, T C Z Y X {movie.shape}",
            expected=f"T Z Y X {motion.shape}",
            hint="Name the file of its motion (motion=, --motion)",
        )
    return movie


def _original(source: Any, options: dict[str, Any], motion: Motion, stack: ExitStack) -> Recording:
    recording = open_recording(source, **options)
    if recording is not source:
        stack.callback(recording.close)
    found = _corrected_part(recording, motion)
    if found is None:
        raise OptionError(
            "the source is not what was corrected",
            found=f"T C Z Y X {recording.shape}",
            expected=f"T Z Y X {motion.shape}",
            hint="Give the recording that was corrected, or the scan field of it",
        )
    return found


def _corrected_part(recording: Recording, motion: Motion) -> Recording | None:
    """The part of a recording that a motion is of: all of it, frames of it, or one of its scan fields."""
    told = motion.facts.provenance.get("frames")
    parts = [recording, *recording.fields]
    if isinstance(told, list) and len(told) == 3 and all(isinstance(number, int) for number in told):
        # a recording that was given in memory may show those frames already
        parts += [part.isel(t=slice(told[0], told[1], told[2])) for part in parts if told[1] <= len(part)]
    fitting = [part for part in parts if _fits(part, motion)]
    same = [part for part in fitting if part.selection_checksum() == motion.facts.provenance.get("shown")]
    if same or len(fitting) == 1:
        return (same or fitting)[0]
    # channels were chosen: what is shown is part of one of these
    for part in fitting:
        chosen = _channels_of(part, motion)
        if chosen is not None and chosen.selection_checksum() == motion.facts.provenance.get("shown"):
            return part
    return fitting[0] if fitting and fitting[0] is recording else None


def _channels_of(part: Recording, motion: Motion) -> Recording | None:
    told = motion.facts.provenance.get("channels")
    names = [name for name in told if name in part.channel_names] if isinstance(told, list) else []
    return part.isel(c=[part.channel_names.index(name) for name in names]) if names else None


def _fits(recording: Recording, motion: Motion) -> bool:
    t, _, z, y, x = recording.shape
    return (t, z, y, x) == motion.shape


def _corrected_file(written: Recording | None, motion: Motion) -> tuple[str, Any] | None:
    """Name and size of the first file that was corrected: the movie knows it, unless its format keeps no such thing."""
    told = None if written is None else written.metadata.attributes.get("provenance")
    if isinstance(told, dict):
        names, sizes = told.get("source_files"), told.get("source_bytes")
        if isinstance(names, list) and isinstance(sizes, list) and names and sizes:
            return str(names[0]), sizes[0]
    rows = motion.facts.provenance.get("source_files")
    row = rows[0] if isinstance(rows, list) and rows else None
    return (str(row[0]), row[1]) if isinstance(row, list) and len(row) >= 2 else None


def _found_beside(
    kept_at: str, wanted: tuple[str, Any] | None, options: dict[str, Any], motion: Motion, stack: ExitStack
) -> tuple[Recording | None, str]:
    """The original, if a file of its name and size lies beside the motion; or why there is none."""
    if wanted is None:
        return None, "The original was in memory only."
    name, nbytes = wanted
    beside = Path(kept_at).parent / Path(name).name
    if not beside.is_file() or beside.stat().st_size != nbytes:
        return None, f"The original ({name}) does not lie beside the motion; --source names it."
    try:
        recording = stack.enter_context(open_recording(beside, **options))
        found = _corrected_part(recording, motion)
    except GalvoError as error:
        return None, f"The original ({name}) could not be opened: {error}"
    return found, "" if found is not None else f"{name} is not what was corrected; --source names the original."


def _positions(names: Sequence[str], name: str) -> list[int]:
    places = [place for place, other in enumerate(names) if other == name]
    return places if len(places) == 1 else []
