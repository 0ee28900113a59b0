"""What the numbers say, in sentences for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from galvo.motion.flags import Flag
from galvo.qc.measures import SERIOUS, Plane, median
from galvo.qc.subject import Subject
from galvo.text import count_text

__all__ = ["Remark", "Verdict", "frames_text", "pixels_text", "verdict_of"]

_MANY = 0.02
_TOO_MANY = 0.2
_WORSE = -0.01
_DRIFTED = 0.85
_LITTLE_SCANNED = 0.9
_LITTLE_MOTION_PX = 0.3
_NAMED_FRAMES = 12

Mood = Literal["good", "note", "look", "bad"]


@dataclass(frozen=True)
class Remark:
    """A sentence, and what it means: all is well, something to know, to look at, or wrong."""

    mood: Mood
    text: str


@dataclass(frozen=True)
class Verdict:
    """The sentences of all planes, and what they come to."""

    remarks: tuple[Remark, ...]

    @property
    def mood(self) -> Mood:
        """The worst of all remarks."""
        order: tuple[Mood, ...] = ("bad", "look", "good")
        return next((mood for mood in order if any(remark.mood == mood for remark in self.remarks)), "good")

    @property
    def headline(self) -> str:
        """A few words."""
        return {
            "good": "The correction looks good.",
            "look": "The correction needs a look.",
            "bad": "The correction is doubtful.",
        }[self.mood]


def verdict_of(subject: Subject, planes: Sequence[Plane]) -> Verdict:
    """What is to be said of a correction."""
    return Verdict((
        *_gains(planes),
        *_motion(planes),
        *_frames_to_look_at(planes),
        *_changes(planes),
        *_edges(planes),
        *_flags(subject),
        *_learned(subject),
        *_missing(subject),
    ))  # fmt: skip


def _gains(planes: Sequence[Plane]) -> Iterator[Remark]:
    gains = [plane.gain for plane in planes if plane.gain is not None]
    before = median(np.concatenate([gain.before for gain in gains])) if gains else np.nan
    after = median(np.concatenate([gain.after for gain in gains])) if gains else np.nan
    if np.isfinite(before) and np.isfinite(after):
        count, better = sum(gain.frames.size for gain in gains), sum(gain.better for gain in gains)
        what = f"{better:,} of {count_text(count, 'frame')} that were compared resemble the reference more than before"
        change = f"the median correlation goes from {before:.3f} to {after:.3f}"
        if after - before < _WORSE:
            text = f"Frames resemble the reference less than before: {change} ({better:,} of {count:,} are better)."
            yield Remark("bad", text)
        elif after - before < -_WORSE:
            yield Remark("note" if 2 * better >= count else "look", f"Little changed: {change}; {what}.")
        else:
            yield Remark("good" if 2 * better > count else "look", f"{what[0].upper()}{what[1:]}; {change}.")
    sharper = [plane.sharper for plane in planes if plane.sharper is not None]
    if sharper and np.mean(sharper) >= 1.01:
        yield Remark("good", f"The mean image is {100 * (float(np.mean(sharper)) - 1):.0f} % sharper (gradient).")


def _motion(planes: Sequence[Plane]) -> Iterator[Remark]:
    lengths = np.stack([plane.frames["max_px"] for plane in planes], axis=1).astype(np.float64)
    if not np.isfinite(lengths).any():
        yield Remark("bad", "No frame has a displacement that is a number.")
        return
    t, place = np.unravel_index(int(np.nanargmax(lengths)), lengths.shape)
    where = f"frame {t:,}" + (f" of plane {planes[int(place)].z + 1}" if len(planes) > 1 else "")
    usual = median(lengths)
    most = pixels_text(float(lengths[t, place]))
    text = f"Half of the frames moved by {pixels_text(usual)} or more somewhere; {where} moved most, {most}."
    if usual < _LITTLE_MOTION_PX:
        text = f"There was little to correct. {text}"
    yield Remark("note", text)


def _frames_to_look_at(planes: Sequence[Plane]) -> Iterator[Remark]:
    count = sum(plane.frames.size for plane in planes)
    found = sum(int(plane.to_look_at.sum()) for plane in planes)
    if not found:
        yield Remark("good", f"None of {count_text(count, 'frame')} is unusual.")
        return
    share = found / count
    mood: Mood = "bad" if share > _TOO_MANY else "look" if share > _MANY else "note"
    named = [
        ("" if len(planes) == 1 else f"plane {plane.z + 1}: ") + frames_text(plane.to_look_at)
        for plane in planes
        if plane.to_look_at.any()
    ]
    places = "; ".join(named[:3]) + (" and other planes" if len(named) > 3 else "")
    many = "are" if found > 1 else "is"
    text = f"{found:,} of {count_text(count, 'frame')} ({_percent(share)}) {many} unusual or doubtful: {places}."
    yield Remark(mood, text)


def _changes(planes: Sequence[Plane]) -> Iterator[Remark]:
    drift = min(plane.drift for plane in planes)
    if drift < _DRIFTED:
        yield Remark(
            "look",
            f"At the end, frames correlate with the reference {100 * (1 - drift):.0f} % less than at the beginning: "
            "the tissue or its brightness changed, or the focus drifted. --update-reference gives parts of the "
            "recording references of their own.",
        )


def _edges(planes: Sequence[Plane]) -> Iterator[Remark]:
    scanned = min(plane.scanned_fraction for plane in planes)
    others = " that is not unusual" if any(plane.to_look_at.any() for plane in planes) else ""
    if scanned < 1:
        mood: Mood = "note" if scanned >= _LITTLE_SCANNED else "look"
        yield Remark(
            mood,
            f"About {100 * scanned:.0f} % of the image was scanned in every frame{others}; beyond, at the edges, some "
            "frames repeat their outermost pixels.",
        )


def _flags(subject: Subject) -> Iterator[Remark]:
    flags = subject.correction.flags
    for flag in Flag:
        found = int(np.count_nonzero(flags & flag))
        if found:
            mood: Mood = "look" if flag & SERIOUS and found > _MANY * flags.size else "note"
            yield Remark(mood, f"{found:,} of {count_text(flags.size, 'frame')}: {flag.meaning}.")


def _learned(subject: Subject) -> Iterator[Remark]:
    told = (learned.get("remarks") for learned in subject.motion.facts.learned)
    lines = (str(line) for remarks in told if isinstance(remarks, list | tuple) for line in remarks)
    for line in dict.fromkeys(lines):
        yield Remark("note", f"Of the estimator: {line}.")


def _missing(subject: Subject) -> Iterator[Remark]:
    if subject.before_is == "reconstructed":
        text = f"{subject.note} What it looked like was made again from the corrected frames and their motion."
        yield Remark("note", text)
    elif subject.before_is == "missing":
        yield Remark("look", f"{subject.note} There are no pixels to show but the mean images.")


def frames_text(mask: NDArray[np.bool_]) -> str:
    """The frames of a mask, runs of them as ``3–5``, some of many; without commas inside of numbers."""
    found = np.flatnonzero(mask)
    runs = np.split(found, np.flatnonzero(np.diff(found) != 1) + 1)
    texts = [f"{run[0]}" if run.size == 1 else f"{run[0]}–{run[-1]}" for run in runs if run.size]
    more = "" if len(texts) <= _NAMED_FRAMES else f" and {len(texts) - _NAMED_FRAMES:,} more"
    return ", ".join(texts[:_NAMED_FRAMES]) + more


def pixels_text(length: float) -> str:
    """A length in pixels."""
    return f"{length:.2f} px" if abs(length) < 10 else f"{length:.1f} px"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "less than 0.1 %"
