"""Cutting the pages of a ScanImage series into volumes.

The pages of files that continue each other (their frame numbers do) are one stream; a gap or another acquisition begins
a new one. A stream that begins inside a volume, because an earlier file is missing, starts with the next whole volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galvo.core.index import Int64, PageOrder
from galvo.errors import Malformed
from galvo.formats.scanimage.timeline import Timeline

__all__ = ["FileStart", "Volumes", "cut_volumes", "page_order"]


@dataclass(frozen=True, slots=True)
class FileStart:
    """What the first page of a file says of its place in the series; -1 where it says nothing.

    Attributes
    ----------
    frame_number : int
        Acquired frames since the start of the acquisition mode, from 1.
    acquisition_number : int
    frame_number_in_acquisition : int
    page_count : int
        Pages of the file.
    begins : bool
        By its name the first file of an acquisition.
    """

    frame_number: int
    acquisition_number: int
    frame_number_in_acquisition: int
    page_count: int
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Volumes:
    """Where whole volumes begin.

    Attributes
    ----------
    start : ndarray of int64, (V,)
        First page of each volume, counted through the files of one channel file set.
    leftover_count : int
        Pages that belong to no whole volume.
    is_even : bool
        Volumes follow each other without gaps.
    first_count : int
        Volumes of the first stream, which follow each other without a pause.
    """

    start: Int64
    leftover_count: int
    is_even: bool
    first_count: int


def _streams(files: Sequence[FileStart], timeline: Timeline, channels: int) -> list[tuple[FileStart, int, int]]:
    """First file, first page and page count of each stream."""
    streams: list[tuple[FileStart, int, int]] = []
    first_page, expected = 0, -1
    for start in files:
        follows = streams and (start.frame_number < 0 or start.frame_number == expected)
        if follows and timeline.slow and start.begins:
            follows = False
        if follows and not timeline.slow and start.acquisition_number != streams[-1][0].acquisition_number:
            follows = False
        if follows:
            head, page, count = streams[-1]
            streams[-1] = (head, page, count + start.page_count)
        else:
            streams.append((start, first_page, start.page_count))
        first_page += start.page_count
        if start.frame_number >= 0:
            expected = start.frame_number + start.page_count // channels * timeline.average
    return streams


def cut_volumes(files: Sequence[FileStart], timeline: Timeline, channels: int, path: str) -> Volumes:
    """Whole volumes (frames, when planar) of the files.

    Parameters
    ----------
    files : sequence of FileStart
        In order.
    timeline : Timeline
    channels : int
        Channels whose pages alternate in these files.
    path : str
        For messages.

    Raises
    ------
    Malformed
        Not one whole volume.
    """
    starts: list[Int64] = []
    leftover = 0
    cycle_pages = timeline.cycle * channels
    for head, page, count in _streams(files, timeline, channels):
        skip = 0
        number = head.frame_number if timeline.slow else head.frame_number_in_acquisition
        if timeline.is_volumetric and number > 0 and not (timeline.slow and head.begins):
            # an averaged page carries the number of its last acquired frame
            logged = -(-number // timeline.average) - 1
            skip = -logged % timeline.cycle * channels
        whole = max(0, count - skip) // cycle_pages
        starts.append(page + skip + np.arange(whole, dtype=np.int64) * cycle_pages)
        leftover += count - whole * cycle_pages
    start = np.concatenate(starts)
    if start.size == 0:
        total = sum(one.page_count for one in files)
        is_stack = timeline.slow and timeline.is_volumetric
        hint = None
        if is_stack:
            hint = 'galvo.open(..., interrupted="slices") or --open-option interrupted=slices shows the whole slices'
        raise Malformed(
            "not one whole volume is in the files" if timeline.is_volumetric else "not one whole frame is in the files",
            path=path,
            found=f"{total} pages",
            expected=f"{cycle_pages} pages a volume" if timeline.is_volumetric else f"{channels} channels a frame",
            hint=hint,
        )
    is_even = bool((np.diff(start) == cycle_pages).all())
    first_count = next(part.size for part in starts if part.size)
    return Volumes(start, leftover, is_even, first_count)


def page_order(
    volumes: Volumes, timeline: Timeline, channels: int, channel_pages: int, repeat: int | None
) -> tuple[PageOrder, int]:
    """Order of pages and length of T.

    Parameters
    ----------
    volumes : Volumes
    timeline : Timeline
    channels : int
        Channels whose pages alternate.
    channel_pages : int
        Pages from one channel to the next: 1 where they alternate, all pages of a channel's files otherwise.
    repeat : int or None
        The repeat of each slice that is wanted; None for all, each a T of its own: (volume, repeat).
    """
    z = timeline.repeats * channels
    if repeat is None and timeline.repeats > 1:
        repeats = np.arange(timeline.repeats, dtype=np.int64) * channels
        table = (volumes.start[:, None] + repeats).ravel()
        return PageOrder(0, table, channel_pages, z), table.size
    shift = (repeat or 0) * channels
    if volumes.is_even:
        return (
            PageOrder(int(volumes.start[0]) + shift, timeline.cycle * channels, channel_pages, z),
            volumes.start.size,
        )
    return PageOrder(shift, volumes.start, channel_pages, z), volumes.start.size
