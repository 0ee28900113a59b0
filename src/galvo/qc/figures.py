"""Pictures of a report: images before and after, kymographs, and fields with arrows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.motion.kept import Motion
from galvo.pictures.picture import colored, data_uri, display_limits, fitted, png_bytes, to_uint8
from galvo.pictures.summary import summarize
from galvo.qc.markup import Markup
from galvo.qc.subject import Subject

__all__ = ["FieldPicture", "Kymograph", "Pair", "field_picture", "field_scale", "frame_picture", "kymographs", "pairs"]

_KINDS = {"mean": "Mean", "max": "Maximum", "local_correlation": "Local correlation"}
_MOST_COLUMNS = 600
_CLOSE_COLUMNS = 200
_STRIP_ROWS = 96
_STRIP_COLUMNS = 9
_ARROWS = 12
_LEAST_REST_PX = 0.05
_FRAME_SIDE = 240

Image = NDArray[Any]


@dataclass(frozen=True)
class Pair:
    """One image before and after, in the same gray levels; URIs, `before` None where it is not known."""

    kind: str
    title: str
    before: str | None
    after: str
    height: int
    width: int


@dataclass(frozen=True)
class Kymograph:
    """A strip over time before and after.

    Attributes
    ----------
    pair : Pair
        Rows along y, columns along T.
    rows, columns : range
        Which pixels.
    frames : ndarray of int64, (F,)
        T positions, one for each column of the picture.
    consecutive : bool
        They follow each other.
    """

    pair: Pair
    rows: range
    columns: range
    frames: NDArray[np.int64] = field(repr=False)
    consecutive: bool = True


@dataclass(frozen=True)
class FieldPicture:
    """The motion of a frame: its length in colour, and arrows.

    Attributes
    ----------
    uri : str
    arrows : Markup
        Paths in pixels of the recording.
    times : float
        How many times as long as they are arrows are drawn.
    is_rest : bool
        What is shown is without the frame's shift.
    most_px : float
        Length of the longest arrow of what is shown.
    """

    uri: str
    arrows: Markup
    times: float
    is_rest: bool
    most_px: float


def pairs(subject: Subject, channel: int, z: int, most_bytes: int, frame_count: int | None) -> list[Pair]:
    """Mean, maximum and local correlation before and after, of the same sampled frames.

    Parameters
    ----------
    subject : Subject
    channel, z : int
    most_bytes : int
        That all of them may take in the page.
    frame_count : int or None
        How many frames to sample.
    """
    if subject.after is None:
        return _kept_means(subject, channel, z, most_bytes)
    after = summarize(subject.after, channel=channel, plane=z, frame_count=frame_count)
    before = None
    if subject.before is not None:
        before = summarize(subject.before, channel=channel, plane=z, frames=after.frames)
    each = most_bytes // (2 * len(_KINDS))
    return [
        _pair(kind, title, None if before is None else getattr(before, kind), getattr(after, kind), each)
        for kind, title in _KINDS.items()
    ]


def _kept_means(subject: Subject, channel: int, z: int, most_bytes: int) -> list[Pair]:
    means = subject.motion.means
    if means is None:
        return []
    return [_pair("mean", "Mean", means[0, z, :, :, channel], means[1, z, :, :, channel], most_bytes // 2)]


def _pair(kind: str, title: str, before: Image | None, after: Image, most_bytes: int) -> Pair:
    known = [image for image in (before, after) if image is not None]
    limits = display_limits(np.stack(known))
    first, second = (None if image is None else _gray(image, limits, most_bytes) for image in (before, after))
    if second is None:
        raise TypeError("a pair without its second image")
    return Pair(kind, title, first, second, *after.shape)


def _gray(image: Image, limits: tuple[float, float], most_bytes: int) -> str:
    return data_uri(png_bytes(_within(to_uint8(image, limits), most_bytes)))


def _within(levels: NDArray[np.uint8], most_bytes: int, most_side: int | None = None) -> NDArray[np.uint8]:
    """So small that its PNG, which takes hardly more than the pixels themselves, fits as base64."""
    height, width = levels.shape[:2]
    pixels = (most_bytes * 3 / 4 * 0.98 - 1000) / (levels.size / (height * width))
    side = max(height, width) * min(1.0, np.sqrt(max(pixels, 64) / (height * width)))
    return fitted(levels, max(1, int(side if most_side is None else min(side, most_side))), enlarge=False)


def kymographs(subject: Subject, channel: int, z: int, most_bytes: int, eventful: int) -> list[Kymograph]:
    """One over the whole recording; of long ones another of consecutive frames around frame `eventful`."""
    after = subject.after
    if after is None or min(after.shape[3:]) < 2:
        return []
    count = len(after)
    rows, columns = _strip(_structure(subject, channel, z))
    whole = np.unique(np.linspace(0, count - 1, min(count, _MOST_COLUMNS)).round().astype(np.int64))
    shown = [whole]
    if count > _MOST_COLUMNS:
        first = int(np.clip(eventful - _CLOSE_COLUMNS // 2, 0, count - _CLOSE_COLUMNS))
        shown.append(np.arange(first, first + _CLOSE_COLUMNS, dtype=np.int64))
    made = []
    for times in shown:
        before = None if subject.before is None else _over_time(subject.before, times, channel, z, rows, columns)
        pair = _pair(
            "kymograph", "y over time", before, _over_time(after, times, channel, z, rows, columns), most_bytes // 4
        )
        made.append(Kymograph(pair, rows, columns, times, bool((np.diff(times) == 1).all())))
    return made


def _structure(subject: Subject, channel: int, z: int) -> Image:
    """An image of where things are."""
    motion = subject.motion
    if subject.after is None:
        return np.asarray(motion.facts.reference[z].mean(axis=2))
    channels = subject.estimated_channels(subject.after)
    if channels is None or channel not in channels:
        count = min(len(subject.after), 16)
        times = np.unique(np.linspace(0, len(subject.after) - 1, count).round().astype(np.int64))
        return np.asarray(subject.after[times, channel, z].mean(axis=0, dtype=np.float64))
    return motion.facts.reference[z, :, :, channels.index(channel)]


def _strip(image: Image) -> tuple[range, range]:
    """The rows and columns with the strongest edges along y."""
    height, width = image.shape
    rows, columns = min(height, _STRIP_ROWS), min(width, _STRIP_COLUMNS)
    energy = np.square(np.gradient(_smooth_rows(np.nan_to_num(image.astype(np.float64)), 3), axis=0))
    # the outermost tenth is seldom scanned all the time
    energy[:, : width // 10] = energy[:, width - width // 10 :] = 0
    energy[: height // 10] = energy[height - height // 10 :] = 0
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = energy.cumsum(axis=0).cumsum(axis=1)
    boxes = sums[rows:, columns:] - sums[:-rows, columns:] - sums[rows:, :-columns] + sums[:-rows, :-columns]
    y, x = np.unravel_index(int(boxes.argmax()), boxes.shape)
    return range(int(y), int(y) + rows), range(int(x), int(x) + columns)


def _smooth_rows(image: Image, over: int) -> Image:
    kernel = np.ones(over) / over
    return np.asarray(np.apply_along_axis(np.convolve, 0, image, kernel, mode="same"))


def _over_time(
    recording: Recording, times: NDArray[np.int64], channel: int, z: int, rows: range, columns: range
) -> Image:
    pixels = recording[times, channel, z, rows.start : rows.stop, columns.start : columns.stop]
    return np.asarray(pixels.mean(axis=2, dtype=np.float64)).T


def frame_picture(recording: Recording, t: int, channel: int, z: int, most_bytes: int) -> str:
    """One frame, small."""
    image = recording[t, channel, z]
    return data_uri(png_bytes(_within(to_uint8(image), most_bytes, _FRAME_SIDE)))


def field_scale(motion: Motion, frames: Sequence[int], z: int) -> tuple[bool, float]:
    """Whether rests are shown rather than whole displacements, and the greatest length of what is shown."""
    rest, whole = (max((_longest(motion, t, z, without) for t in frames), default=0.0) for without in (True, False))
    return (True, rest) if rest >= _LEAST_REST_PX else (False, whole)


def field_picture(motion: Motion, t: int, z: int, is_rest: bool, most_px: float, most_bytes: int) -> FieldPicture:
    """The field of a frame, in colours that reach up to `most_px`."""
    shown = _field(motion, t, z, is_rest)
    height, width = shown.shape[:2]
    length = np.hypot(shown[..., 0], shown[..., 1])
    levels = to_uint8(length, (0.0, max(most_px, 1e-6)))
    uri = data_uri(png_bytes(_within(colored(levels), most_bytes, _FRAME_SIDE)))
    spacing = max(height, width) / _ARROWS
    longest = float(length.max())
    times = 0.9 * spacing / max(most_px, 1e-6)
    return FieldPicture(uri, _arrows(shown, spacing, times), times, is_rest, longest)


def _field(motion: Motion, t: int, z: int, is_rest: bool) -> Image:
    field = motion.displacements(range(t, t + 1), z)[0].astype(np.float64)
    return np.asarray(field - motion.frames["shift"][t, z]) if is_rest else field


def _longest(motion: Motion, t: int, z: int, is_rest: bool) -> float:
    field = _field(motion, t, z, is_rest)
    return float(np.hypot(field[..., 0], field[..., 1]).max())


def _arrows(field: Image, spacing: float, times: float) -> Markup:
    """On a grid, each centred on its place."""
    height, width = field.shape[:2]
    words = []
    for row in np.arange(spacing / 2, height, spacing):
        for column in np.arange(spacing / 2, width, spacing):
            x, y = field[int(row), int(column)] * times
            size = float(np.hypot(x, y))
            if size < spacing / 12:
                words.append(f"M{column:.1f} {row:.1f}h0")
                continue
            tip_x, tip_y = column + x / 2, row + y / 2
            words.append(f"M{column - x / 2:.1f} {row - y / 2:.1f}L{tip_x:.1f} {tip_y:.1f}")
            barb = min(size, spacing) * 0.35
            for turn in (2.6, -2.6):
                angle = np.arctan2(y, x) + turn
                words.append(f"M{tip_x:.1f} {tip_y:.1f}l{barb * np.cos(angle):.1f} {barb * np.sin(angle):.1f}")
    return Markup(f'<path class="arrow" d="{"".join(words)}"/>')
