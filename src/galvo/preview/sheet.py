"""Contact sheets: mean, maximum, standard deviation and local correlation of views; of many views the mean alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.preview.drawing import Band, Legend, Panel, lay_out, scale_bar
from galvo.preview.picture import VIRIDIS, colored, display_limits, fitted, to_uint8
from galvo.preview.summary import Summary, summarize
from galvo.preview.views import View, counted, sampled_text, spread_views, title_of

__all__ = ["Sheet", "contact_sheet", "facts_line"]

_GRAY: Final = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
_MOST_BANDS: Final = 8
_MOST_GRID: Final = 48
_MOST_AT_ALL: Final = 200
_ALL_FRAMES: Final = 1024
_LEAST_FRAMES: Final = 16
_MOST_FRAMES: Final = 256
_READ_BYTES: Final = 1 << 29
# of fewer views each may be larger: pixels on the longer side
_SIZES: Final = ((2, 512), (4, 384), (_MOST_AT_ALL, 256))
_GRID_SIZE: Final = 256
_IMAGES: Final = 4
_MOST_PIXELS: Final = 1 << 27
# noise alone must not look like structure
_LEAST_CORRELATION: Final = 0.1

Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet.

    Attributes
    ----------
    picture : ndarray of uint8, (Y, X, 3)
    notes : tuple of str
        What was sampled and what is not shown.
    """

    picture: NDArray[np.uint8]
    notes: tuple[str, ...]


def contact_sheet(
    recording: Recording,
    views: Sequence[View],
    *,
    everything: bool = False,
    frame_count: int | None = None,
    size: int | None = None,
    report: Report = lambda done, total: None,
) -> Sheet:
    """A contact sheet of some views of a recording.

    Parameters
    ----------
    recording : Recording
        The whole, which the head of the sheet is about.
    views : sequence of View
        Up to 8 are shown with four images each, of more the mean alone, 48 of them at most.
    everything : bool
        All views with four images, up to 200.
    frame_count : int, optional
        Frames to sample for each view; by default as many as take seconds, 256 at most.
    size : int, optional
        Longer side of an image on the sheet, in pixels.
    report : callable
        Called with (frames done, frames in all).
    """
    if everything and len(views) > _MOST_AT_ALL:
        raise OptionError(
            f"a sheet shows {_MOST_AT_ALL} images of each kind at most",
            found=len(views),
            hint="Choose channels, planes or fields",
        )
    in_bands = everything or len(views) <= _MOST_BANDS
    shown = list(views) if in_bands else spread_views(views, _MOST_GRID)
    most = size or (next(side for count, side in _SIZES if len(shown) <= count) if in_bands else _GRID_SIZE)
    if most * most * len(shown) * (_IMAGES if in_bands else 1) > _MOST_PIXELS:
        raise OptionError("the sheet would be too large", found=f"{len(shown)} x {most} pixels", hint="Choose fewer")
    counts = [min(recording.shape[0], frame_count or _affordable(view, len(shown))) for view in shown]
    made, done, sampled = [], 0, 0
    for view, count in zip(shown, counts, strict=True):
        report(done, sum(counts))
        summary = summarize(view.recording, channel=view.channel, plane=view.plane, frame_count=count)
        done, sampled = done + count, summary.frames.size
        made.append(_four_panels(view, summary, most) if in_bands else [_mean_panel(view, summary, most)])
    report(done, done)
    if in_bands:
        bands = [Band(panels, view.label) for panels, view in zip(made, shown, strict=True)]
    else:
        panels = [panel for row in made for panel in row]
        # channels of a plane stay in one row
        channels = len({view.channel for view in shown})
        across = ceil(sqrt(len(panels) * 1.5) / channels) * channels
        bands = [Band(panels[first : first + across]) for first in range(0, len(panels), across)]
    notes = [sampled_text(sampled, recording)]
    if not in_bands:
        notes.append("means; choose channels, planes or fields (or all) to see more of each")
    if len(shown) < len(views):
        notes.append(f"{len(shown)} of {len(views):,} images are shown, evenly spread")
    notes += [f"left out: {entry.what}, {counted(entry.page_count, 'page')}" for entry in recording.left_out]
    if recording.damage:
        notes.append(f"damaged in {counted(len(recording.damage), 'place')}")
    picture, _ = lay_out(title_of(recording), [facts_line(recording), " · ".join(notes)], bands)
    return Sheet(picture, tuple(notes))


def facts_line(recording: Recording) -> str:
    """Axes, type, rate and pixel size in one line."""
    sizes = " · ".join(f"{axis} {length:,}" for axis, length in zip("TCZYX", recording.shape, strict=True))
    facts = [sizes, str(recording.dtype)]
    if recording.frame_rate_hz is not None:
        facts.append(f"{recording.frame_rate_hz:.4g} Hz")
    if recording.pixel_size_um is not None:
        facts.append("{:.4g} x {:.4g} µm per pixel".format(*recording.pixel_size_um))
    return " · ".join(facts)


def _affordable(view: View, view_count: int) -> int:
    """Frames that each of so many views may cost."""
    height, width = view.recording.shape[3:]
    fitting = _READ_BYTES // max(1, view_count * height * width * view.recording.dtype.itemsize)
    return max(_LEAST_FRAMES, min(_MOST_FRAMES, _ALL_FRAMES // view_count, fitting))


def _four_panels(view: View, summary: Summary, most: int) -> list[Panel]:
    images: list[tuple[str, NDArray[Any], NDArray[np.uint8]]] = [
        ("mean", summary.mean, _GRAY),
        ("maximum", summary.max, _GRAY),
        ("standard deviation", summary.std, _GRAY),
        ("local correlation", summary.local_correlation, VIRIDIS),
    ]
    panels = []
    for number, (title, image, table) in enumerate(images):
        low, high = display_limits(image)
        if title == "local correlation":
            high = max(high, low + _LEAST_CORRELATION)
        levels = fitted(to_uint8(image, (low, high)), most)
        scale = None
        if number == 0:
            size = view.recording.pixel_size_um
            scale = scale_bar(image.shape[1], levels.shape[1], None if size is None else size[1])
        pixels = levels if table is _GRAY else colored(levels, table)
        panels.append(Panel(pixels, title, Legend(low, high, table), scale))
    return panels


def _mean_panel(view: View, summary: Summary, most: int) -> Panel:
    levels = fitted(to_uint8(summary.mean), most)
    size = view.recording.pixel_size_um
    scale = scale_bar(summary.mean.shape[1], levels.shape[1], None if size is None else size[1])
    return Panel(levels, view.label, None, scale)
