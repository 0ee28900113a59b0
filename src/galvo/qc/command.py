"""How the same correction is asked for again: a command to copy."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from galvo.core.recording import Recording
from galvo.formats.opening import open_recording
from galvo.motion.params import MotionParams
from galvo.qc.subject import Subject

__all__ = ["Command", "command_of"]

_OPENING = {"format": "--format", "axis": "--axis", "flyback": "--flyback", "slice_repeats": "--slice-repeats",
            "damaged": "--damaged"}  # fmt: skip


@dataclass(frozen=True)
class Command:
    """What to type.

    Attributes
    ----------
    text : str
    params : str
        JSON that the command takes from a file ``params.json``; empty where options say it all.
    notes : tuple of str
        What the command line cannot say.
    """

    text: str
    params: str
    notes: tuple[str, ...]


def command_of(subject: Subject) -> Command:
    """The command for a correction, as far as the file of its motion tells."""
    told = subject.motion.facts.provenance
    words, notes = ["galvo", "correct", *_source_names(subject)], []
    words += _applied_to(subject)
    words += ["-o", os.path.basename(subject.name)] if subject.is_written else ["--motion", "motion.h5"]
    said, params = _params(subject.motion.facts.params)
    words += said
    if subject.shown is not None and len(subject.estimated_names) < subject.shown.shape[1]:
        words += [word for name in subject.estimated_names for word in ("--channel", name)]
    reference, note = _reference(told.get("reference"))
    words += reference
    notes += [note] if note else []
    update = told.get("update_reference")
    words += ["--update-reference", str(update)] if isinstance(update, int) else []
    frames = told.get("frames")
    if isinstance(frames, list) and len(frames) == 3:
        words += ["--frames", ":".join(map(str, frames if frames[2] != 1 else frames[:2]))]
    words += _opening(told.get("opened"))
    if told.get("flow") is not None:
        notes.append(
            f"Motion was estimated by a function, {told['flow']}; that takes Python: galvo.correct(..., flow=...)."
        )
    return Command(" ".join(map(shlex.quote, words)), params, tuple(notes))


def _source_names(subject: Subject) -> list[str]:
    """As they were typed, where the source is open: a folder, a pattern, one file of a series; else its first file."""
    files = _file_names(subject)
    before = _original(subject)
    if before is not None and [path.name for path in before.files] == files:
        return _typed(before)
    return files[:1] or ["RECORDING"]


def _applied_to(subject: Subject) -> list[str]:
    before, files = _original(subject), _file_names(subject)
    if before is None or not before.files or not files or [path.name for path in before.files] == files:
        return []
    return ["--apply-to", *_typed(before)[:1]]


def _original(subject: Subject) -> Recording | None:
    return subject.before if subject.before_is == "original" else None


def _file_names(subject: Subject) -> list[str]:
    told = subject.motion.facts.provenance.get("source_files")
    return [str(row[0]) for row in told if isinstance(row, list) and row] if isinstance(told, list) else []


def _typed(recording: Recording) -> list[str]:
    origin = recording._origin
    while origin is not None and isinstance(origin.source, Recording):
        origin = origin.source._origin
    source = None if origin is None or origin.reopen is not open_recording else origin.source
    names = [source] if isinstance(source, str) else source or [path.name for path in recording.files[:1]]
    return [os.path.basename(name) for name in names] or ["RECORDING"]


def _params(given: Mapping[str, Any]) -> tuple[list[str], str]:
    """Options, and JSON for what options cannot say."""
    default = MotionParams().model_dump(mode="json")
    words = []
    for name in ("estimator", "preset"):
        if given.get(name) not in (default[name], "custom", None):
            words += [f"--{name}", str(given[name])]
    others = {name: value for name, value in _changed(given, default) if name not in ("estimator", "preset")}
    if others:
        words += ["--params", "params.json"]
    return words, json.dumps(others, indent=2) if others else ""


def _changed(given: Mapping[str, Any], default: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in given.items():
        usual = default.get(name)
        if isinstance(value, dict) and isinstance(usual, dict):
            inner = {key: part for key, part in value.items() if part != usual.get(key)}
            if inner:
                yield name, inner
        elif value != usual:
            yield name, value


def _reference(told: Any) -> tuple[list[str], str]:
    if told is None:
        return [], ""
    frames = told.get("frames") if isinstance(told, dict) else None
    if isinstance(frames, list) and told.get("slice") and len(frames) == 3:
        ends = ["" if number is None else str(number) for number in frames]
        return ["--reference", ":".join(ends if ends[2] else ends[:2])], ""
    if isinstance(frames, list):
        return [], "The reference is the mean of frames that were listed; that takes Python: reference=[...]."
    return ["--reference", "REFERENCE_IMAGE"], "The reference was an image: the motion file holds it, but not its name."


def _opening(told: Any) -> Iterator[str]:
    for name, value in told.items() if isinstance(told, dict) else ():
        if name in _OPENING:
            yield from (_OPENING[name], str(value))
        elif name == "series":
            yield "--no-series"
        elif name == "allow_external":
            yield "--allow-external"
        else:
            yield from ("--open-option", f"{name}={value}")
