"""Identities that hold in every sound recording, checked on a few pages when it is opened; what differs is a warning.

Scanimage spec 1.3, 1.4, 1.6: page ``k`` of a file is acquired frame ``first + k // C * logAverageFactor``, volumes come
``scanFrameRate / F`` times a second, lines and pixels of a page are the header's. Under multi-ROI the header's lines
are stale, and line averaging divides them: neither is complained about.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from galvo.core.index import Int64
from galvo.core.read import IndexedReader
from galvo.errors import warn
from galvo.formats.scanimage.facts import scan_pages
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.timeline import Timeline

__all__ = ["check_geometry", "check_numbers", "check_rate", "check_slow_stack", "check_volume_rate"]

_RATE_TOLERANCE = 0.02
# headers up to 2022 state 6 digits
_STATED_TOLERANCE = 1e-4
_SAMPLED_FILES = 8


def check_geometry(header: Header, height: int, width: int, path: str) -> None:
    """Warn when pages have another size than the header's lines and pixels."""
    if header.flag("SI.hRoiManager.mroiEnable"):
        return
    prefix = {"state": "state.acq."}.get(header.family, "SI.hRoiManager.")
    lines, pixels = header.count(prefix + "linesPerFrame"), header.count(prefix + "pixelsPerLine")
    if lines is None or pixels is None or (pixels == width and lines % height == 0):
        return
    warn(f"{path}: pages have {height} x {width} pixels, the header says {lines} lines of {pixels}")


def check_volume_rate(header: Header, timeline: Timeline, path: str) -> None:
    """Warn when the header's volume rate is not its frame rate divided by the frames of a volume."""
    volumes, frames = header.positive("SI.hRoiManager.scanVolumeRate"), timeline.frame_rate_hz
    if not timeline.is_volumetric or timeline.slow or volumes is None or frames is None:
        return
    expected = frames / timeline.cycle
    if not math.isclose(volumes, expected, rel_tol=_STATED_TOLERANCE):
        warn(
            f"{path}: the header says {volumes:.6g} volumes a second, but its frame rate makes {expected:.6g} "
            f"of {timeline.cycle} frames"
        )


def check_numbers(reader: IndexedReader, first_number: Sequence[int], timeline: Timeline, channels: int) -> None:
    """Warn when pages count other frames than their places say: other channels or averaging than the header's.

    Parameters
    ----------
    reader : IndexedReader
        All pages as one axis.
    first_number : sequence of int
        Last acquired frame of each file's first page, below 1 where it states none.
    timeline : Timeline
    channels : int
        Channels whose pages alternate.
    """
    bounds = reader.index.first_page
    step = -(-len(first_number) // _SAMPLED_FILES)
    files = [file for file in range(0, len(first_number), step) if first_number[file] > 0]
    # the first page that can differ, the middle and the last one
    wanted = {
        (file, int(page))
        for file in files
        for page in (channels, (bounds[file + 1] - bounds[file]) // 2, bounds[file + 1] - bounds[file] - 1)
        if page < bounds[file + 1] - bounds[file]
    }
    if not wanted:
        return
    places = sorted(wanted)
    pages: Int64 = np.array([bounds[file] + page for file, page in places], np.int64)
    found = scan_pages(reader, pages, ("frame_number",))["frame_number"]
    for (file, page), number in zip(places, found.tolist(), strict=True):
        expected = first_number[file] + page // channels * timeline.average
        if number > 0 and number != expected:
            warn(
                f"{reader.source.paths[file]}: page {page} counts as frame {number}, but {channels} channels and "
                f"{timeline.average} frames a page, as the header says, make it frame {expected}"
            )
            return


def check_slow_stack(reader: IndexedReader, timeline: Timeline, channels: int) -> None:
    """Warn when the header describes a slow stack, but the frames of two slices count on as those of a fast one do.

    Parameters
    ----------
    reader : IndexedReader
        All pages as one axis.
    timeline : Timeline
    channels : int
        Channels whose pages alternate.
    """
    step = timeline.repeats * channels
    if not timeline.slow or not timeline.is_volumetric or reader.index.first_page[1] <= step:
        return
    names = ("acquisition_number", "frame_number_in_acquisition")
    columns = scan_pages(reader, np.array([0, step], np.int64), names)
    acquisitions, frames = (columns[name].tolist() for name in names)
    counted = frames[0] > 0 and frames[1] == frames[0] + timeline.repeats * timeline.average
    if counted and acquisitions[0] == acquisitions[1]:
        warn(
            f"{reader.source.paths[0]}: the header describes a slow stack, which counts the frames of each slice anew, "
            f"but page {step} counts on as frame {frames[1]}: it may be a fast stack, with flyback among its frames"
        )


def check_rate(reader: IndexedReader, rate: float | None, timeline: Timeline, following: int, path: str) -> None:
    """Warn when the frames' own times contradict the header's rate.

    Parameters
    ----------
    reader : IndexedReader
    rate : float or None
        Of T in Hz.
    timeline : Timeline
    following : int
        T that follow each other without a pause.
    path : str
    """
    if rate is None or following < 2 or timeline.slow or not isinstance(reader.index.order.t, int):
        return
    ends = np.array([0, min(following, 100) - 1], np.int64)
    zero = np.zeros(2, np.int64)
    times = scan_pages(reader, reader.index.order.page(ends, zero, zero), ("timestamp_s",))["timestamp_s"]
    elapsed = times[1] - times[0]
    if not np.isfinite(elapsed) or elapsed <= 0:
        return
    measured = (ends[1] - ends[0]) / elapsed
    if not math.isclose(measured, rate, rel_tol=_RATE_TOLERANCE):
        warn(
            f"{path}: the header says {rate:.6g} Hz, the first {ends[1] + 1} timestamps say {measured:.6g} Hz; "
            "frame_rate_hz is the header's, timestamps are the frames' own"
        )
