"""Movies of views side by side: percentiles to gray, averaged over time, as many frames as take seconds."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.preview.drawing import MARGIN, Band, Panel, lay_out, scale_bar, text_strip
from galvo.preview.picture import display_limits, fitted, to_uint8
from galvo.preview.views import View, counted, sampled_text, spread, spread_views

__all__ = ["Movie", "MovieLimits", "preview_movie", "webp_bytes"]

_MOST_VIEWS: Final = 9
_READ_BYTES: Final = 1 << 30
_BLOCK_BYTES: Final = 16 << 20
_MOVIE_BYTES: Final = 256 << 20
_LEAST_SHOWN: Final = 16
_LIMIT_WINDOWS: Final = 24
_LIMIT_VALUES: Final = 1 << 20
_LEAST_HZ: Final = 10.0
_WEBP_QUALITY: Final = 70

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class MovieLimits:
    """What a kind of file bears.

    Attributes
    ----------
    seconds, rate_hz : float
        Of the movie.
    side : int
        Longer side of all views together, in pixels.
    """

    seconds: float
    rate_hz: float
    side: int


@dataclass(frozen=True, slots=True)
class Movie:
    """Frames to be shown.

    Attributes
    ----------
    frames : ndarray of uint8, (T, Y, X)
    starts : ndarray of int64, (T,)
        T position of each, the first of those that it is the mean of.
    rate_hz : float
    notes : tuple of str
        What was sampled, and how fast it is shown.
    """

    frames: NDArray[np.uint8]
    starts: NDArray[np.int64]
    rate_hz: float
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pace:
    """Which frames are shown: windows of `average` frames that begin at `starts`, at `rate_hz`."""

    starts: NDArray[np.int64]
    average: int
    rate_hz: float
    notes: tuple[str, ...]


def preview_movie(
    recording: Recording,
    views: Sequence[View],
    limits: MovieLimits,
    *,
    average: int = 1,
    speed: float | None = None,
    size: int | None = None,
    report: Report = lambda done, total: None,
) -> Movie:
    """Frames of a movie of some views of a recording, side by side, up to 9.

    Parameters
    ----------
    recording : Recording
    views : sequence of View
    limits : MovieLimits
    average : int
        Each frame of the movie is the mean of so many consecutive ones.
    speed : float, optional
        How many times as fast as recorded to show it, from its beginning; by default the whole of it, as fast as takes
        ``limits.seconds`` where it is longer.
    size : int, optional
        Longer side of a view, in pixels.
    report : callable
        Called with (frames read, frames in all).
    """
    shown = spread_views(views, _MOST_VIEWS)
    across = ceil(sqrt(len(shown)))
    side = size or limits.side // across
    template, places = _template(shown, side, across)
    pace = _pace(recording, shown, limits, average, speed, template.size)
    frames = np.repeat(template[None], pace.starts.size, axis=0)
    total = pace.starts.size * pace.average * len(shown)
    done = 0
    for view, (top, left) in zip(shown, places, strict=True):
        bounds = _limits_of(view, pace)
        for first, images in _averaged(view, pace):
            for number, image in enumerate(images, first):
                picture = fitted(to_uint8(image, bounds), side)
                frames[number, top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            done += len(images) * pace.average
            report(done, total)
    for number, start in enumerate(pace.starts):
        strip = text_strip(_time_text(int(start), recording.frame_rate_hz), frames.shape[2] - 2 * MARGIN)
        frames[number, MARGIN : MARGIN + strip.shape[0], MARGIN : MARGIN + strip.shape[1]] = strip
    notes = list(pace.notes)
    if len(shown) < len(views):
        notes.append(f"{len(shown)} of {len(views):,} images are shown, evenly spread")
    return Movie(frames, pace.starts, pace.rate_hz, tuple(notes))


def webp_bytes(movie: Movie) -> bytes:
    """An animated WebP of a movie, lossy, shown again and again."""
    file = io.BytesIO()
    first, *others = (Image.fromarray(frame).convert("RGB") for frame in movie.frames)
    milliseconds = max(1, round(1000 / movie.rate_hz))
    first.save(
        file,
        "WEBP",
        save_all=True,
        append_images=others,
        duration=milliseconds,
        loop=0,
        quality=_WEBP_QUALITY,
        method=0,
    )
    return file.getvalue()


def _template(views: Sequence[View], side: int, across: int) -> tuple[NDArray[np.uint8], list[tuple[int, int]]]:
    """All of a frame but the pictures, gray levels (Y, X), and where the pictures belong."""
    panels = []
    for view in views:
        height, width = view.recording.shape[3:]
        blank = fitted(np.zeros((height, width), np.uint8), side)
        size = view.recording.pixel_size_um
        scale = scale_bar(width, blank.shape[1], None if size is None else size[1])
        panels.append(Panel(blank, view.label, None, scale))
    bands = [Band(panels[first : first + across]) for first in range(0, len(panels), across)]
    sheet, places = lay_out("", [" "], bands)
    return sheet[..., 0], [(place.top, place.left) for place in places]


def _pace(
    recording: Recording,
    views: Sequence[View],
    limits: MovieLimits,
    average: int,
    speed: float | None,
    frame_nbytes: int,
) -> _Pace:
    """Which frames a movie shows, and how fast."""
    length, rate = recording.shape[0], recording.frame_rate_hz
    if average < 1:
        raise OptionError("at least one frame is averaged", found=average)
    if speed is not None and not 0 < speed < float("inf"):
        raise OptionError("speed does not fit", found=speed, expected="how many times faster than recorded")
    average = min(average, length)
    frame_bytes = sum(view.recording.dtype.itemsize * np.prod(view.recording.shape[3:]) for view in views)
    affordable = min(_READ_BYTES // int(average * frame_bytes), _MOVIE_BYTES // frame_nbytes)
    most = min(length // average, int(limits.seconds * limits.rate_hz), max(_LEAST_SHOWN, affordable))
    if speed is None:
        starts = np.linspace(0, length - average, most).round().astype(np.int64)
        as_recorded_hz = limits.rate_hz if rate is None else most * rate / length
        shown_hz = min(limits.rate_hz, max(_LEAST_HZ, most / limits.seconds, as_recorded_hz))
    elif rate is None:
        raise OptionError("the recording has no frame rate, which a speed refers to", hint="Leave speed out")
    else:
        shown_hz = min(limits.rate_hz, rate * speed / average)
        step = rate * speed / shown_hz
        starts = (np.arange(min(most, int((length - average) / step) + 1)) * step).astype(np.int64)
    return _Pace(starts, average, shown_hz, tuple(_pace_notes(recording, starts, average, shown_hz)))


def _pace_notes(recording: Recording, starts: NDArray[np.int64], average: int, shown_hz: float) -> Iterator[str]:
    length, rate = recording.shape[0], recording.frame_rate_hz
    shown, last = starts.size, int(starts[-1]) + average
    step = (starts[-1] - starts[0]) / max(1, shown - 1)
    yield sampled_text(shown * average, recording)
    if average > 1:
        yield f"{counted(shown, 'mean')} of {average:,} each"
    if last < length - step:
        yield f"only the first {last:,}"
    if rate is not None and shown > 1:
        factor = f"{step * shown_hz / rate:.2g}"
        yield "shown as fast as recorded" if factor == "1" else f"shown {factor} times as fast as recorded"


def _windows(view: View, starts: NDArray[np.int64], average: int) -> NDArray[Any]:
    """Means (T, Y, X) of the frames that begin at `starts`, NaN left out."""
    times = (starts[:, None] + np.arange(average)).ravel()
    pixels = view.recording[times, view.channel, view.plane]
    if pixels.dtype.kind == "c":
        pixels = np.abs(pixels)
    if average == 1:
        return pixels
    windows = pixels.reshape(starts.size, average, *pixels.shape[1:])
    if pixels.dtype.kind != "f":
        means: NDArray[Any] = windows.mean(axis=1, dtype=np.float32)
        return means
    known = np.isfinite(windows)
    count = known.sum(axis=1)
    found: NDArray[Any] = np.where(known, windows, 0).sum(axis=1) / np.where(count, count, np.nan)
    return found


def _averaged(view: View, pace: _Pace) -> Iterator[tuple[int, NDArray[Any]]]:
    """Number of the first frame shown, and frames (T, Y, X) from there on, a bounded part at a time."""
    height, width = view.recording.shape[3:]
    at_once = max(1, _BLOCK_BYTES // (pace.average * height * width * view.recording.dtype.itemsize))
    for first in range(0, pace.starts.size, at_once):
        yield first, _windows(view, pace.starts[first : first + at_once], pace.average)


def _limits_of(view: View, pace: _Pace) -> tuple[float, float]:
    """What is black and white in all frames: from some of them."""
    some = spread(pace.starts.tolist(), _LIMIT_WINDOWS)
    parts = [_windows(view, np.array([start]), pace.average) for start in some]
    every = -(-sum(part.size for part in parts) // _LIMIT_VALUES)
    return display_limits(np.concatenate([part.ravel()[::every] for part in parts]))


def _time_text(frame: int, rate_hz: float | None) -> str:
    number = f"frame {frame:,}"
    return number if not rate_hz else f"{frame / rate_hz:,.2f} s · {number}"
