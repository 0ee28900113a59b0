"""ScanImage series as recordings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from galvo.core.axes import Shape
from galvo.core.index import PageOrder, first_pages
from galvo.core.metadata import Damage, LeftOut
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source
from galvo.errors import Malformed, OptionError, Unsupported, warn
from galvo.formats.scanimage.checks import (
    check_geometry,
    check_numbers,
    check_rate,
    check_slow_stack,
    check_volume_rate,
)
from galvo.formats.scanimage.describe import describe
from galvo.formats.scanimage.events import CyclePages, ScanImageFacts
from galvo.formats.scanimage.facts import scan_pages
from galvo.formats.scanimage.repeats import MeanOfRepeats
from galvo.formats.scanimage.series import SeriesName, parse_name, warn_of_gaps
from galvo.formats.scanimage.stacks import read_timeline
from galvo.formats.scanimage.static import StaticTexts, read_static, text_behind_pages
from galvo.formats.scanimage.streams import FileStart, Volumes, cut_volumes, page_order
from galvo.formats.scanimage.timeline import Timeline
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.layout import PageLayout
from galvo.formats.tiff.pages import TiffPages, find_pages
from galvo.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from galvo.core.scanfield import ScanField

__all__ = ["open_scanimage"]

SliceRepeats = int | Literal["interleave", "mean"] | None


@dataclass(frozen=True, slots=True)
class _Found:
    """All that was read of the files before they are put in order."""

    source: FileSource
    pages: tuple[TiffPages, ...]
    layout: PageLayout
    texts: StaticTexts
    timeline: Timeline


def open_scanimage(
    paths: Sequence[str],
    *,
    flyback: Literal["drop", "keep"] = "drop",
    slice_repeats: SliceRepeats = None,
    interrupted: Literal["raise", "slices"] = "raise",
    walk: bool = False,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A ScanImage series.

    Parameters
    ----------
    paths : sequence of str
        The files in order.
    flyback : "drop" or "keep"
        "keep": flyback frames are planes at the end of Z, their depth NaN.
    slice_repeats : int, "interleave", "mean" or None
        What to do with several frames per slice in a stack: one of them (from 0); each as a T of its own in the order
        (volume, repeat); their mean, float32. None raises where there are several.
    interrupted : "raise" or "slices"
        What to do with a slow stack that ends inside its first volume. "slices": show the slices that are whole; of a
        first slice that is not, its frames.
    walk : bool
        Walk the chain of pages even where they are evenly spaced.
    damaged : "raise" or "report"
    limits : Limits

    Returns
    -------
    Recording
        (T, C, Z, Y, X): T counts volumes, or frames when planar; Z slices without flyback.
    """
    if flyback not in ("drop", "keep"):
        raise OptionError('flyback must be "drop" or "keep"', found=repr(flyback))
    if interrupted not in ("raise", "slices"):
        raise OptionError('interrupted must be "raise" or "slices"', found=repr(interrupted))
    with opening_source(paths) as source:
        found = _find(source, limits, walk, damaged)
        return _assemble(found, flyback == "keep", slice_repeats, interrupted == "slices")


def _find(source: FileSource, limits: Limits, walk: bool, damaged: str) -> _Found:
    pages = [find_pages(source, file, limits, walk=walk, damaged=damaged) for file in range(len(source.paths))]
    layout = pages[0].layout
    for file, one in enumerate(pages):
        if one.layout is None:
            raise Unsupported(
                "pages that galvo does not decode itself",
                path=source.paths[file],
                hint='Open it as plain pages with format="tiff" (--format tiff)',
            )
        if one.layout != layout:
            raise Malformed(
                "the files of the series differ in their pages",
                path=source.paths[file],
                found=str(one.layout),
                expected=str(layout),
            )
    if layout is None or layout.samples > 1:
        raise Unsupported("ScanImage pages with several samples", path=source.paths[0])
    texts = read_static(source, 0, pages[0].first, limits)
    if not texts.roi:
        order, end = pages[0].header.order, _end_of_pages(pages[0], layout)
        texts = replace(texts, roi=text_behind_pages(source, 0, order, end, limits))
    return _Found(source, tuple(pages), layout, texts, read_timeline(texts.header, source.paths[0]))


def _end_of_pages(pages: TiffPages, layout: PageLayout) -> int:
    """Where the last page's pixels and text end."""
    last = np.array([pages.run.count - 1], np.int64)
    parts = (pages.run.locate(last, np.array([layout.segment_count - 1], np.int64)), pages.run.text(last))
    return max(int(offset[0] + nbytes[0]) for offset, nbytes in parts)


def _assemble(found: _Found, keep_flyback: bool, slice_repeats: SliceRepeats, whole_slices: bool) -> Recording:
    source, timeline, path = found.source, found.timeline, found.source.paths[0]
    names = [parse_name(name) for name in source.paths]
    channel_files, channels = 1, timeline.channel_count
    trimmed = 0
    if any(name is not None and name.channel is not None for name in names):
        timeline, found, trimmed = _by_channel(names, found)
        channel_files, channels = timeline.channel_count, 1
    starts = _file_starts(found, names, channels)[: len(source.paths) // channel_files]
    if whole_slices:
        timeline = _interrupted_stack(timeline, starts, channels, path)
        found = replace(found, timeline=timeline)
    repeat = _chosen_repeat(timeline, slice_repeats, path)
    volumes = cut_volumes(starts, timeline, channels, path)
    leftover = volumes.leftover_count * channel_files + trimmed
    per_channel = sum(start.page_count for start in starts)
    order, t = page_order(volumes, timeline, channels, per_channel if channel_files > 1 else 1, repeat)
    z = timeline.slices
    if keep_flyback and timeline.flyback:
        if timeline.repeats > 1:
            raise OptionError("flyback frames cannot be kept as planes where slices have repeats", path=path)
        z += timeline.flyback
    runs = [one.run for one in found.pages]
    index = frame_index(runs, found.layout, (t, timeline.channel_count, z), order, path)
    reader = IndexedReader(source, index)
    cycle = CyclePages.of(
        timeline.slices, timeline.repeats, timeline.flyback, channels, repeat=repeat, keep_flyback=keep_flyback
    )
    facts = ScanImageFacts(reader, cycle)
    shown: Reader = reader
    if slice_repeats == "mean" and timeline.repeats > 1:
        shown = MeanOfRepeats(reader, timeline.repeats)
        cycle = CyclePages.of(
            timeline.slices, timeline.repeats, timeline.flyback, channels, repeat=0, keep_flyback=False
        )
        facts = ScanImageFacts(_first_repeats(reader, timeline.repeats), cycle)
    left_out = _left_out(found, volumes, leftover, repeat, keep_flyback, slice_repeats)
    damage = [entry for one in found.pages for entry in one.damage]
    _warn_of_series(found, volumes, leftover, damage)
    interleaved = slice_repeats == "interleave" and timeline.repeats > 1
    if interleaved:
        warn(f"{path}: repeats of a slice are interleaved in T; their times are uneven")
    metadata = describe(
        found.texts,
        found.timeline,
        found.layout,
        found.pages[0].first.description,
        keep_flyback=keep_flyback,
        interleaved=interleaved,
    )
    check_geometry(found.texts.header, found.layout.height, found.layout.width, path)
    check_volume_rate(found.texts.header, found.timeline, path)
    check_rate(reader, metadata.frame_rate_hz, found.timeline, volumes.first_count, path)
    return Recording(
        shown,
        metadata,
        files=source.paths,
        facts=facts,
        fields=_fields(found, repeat, path),
        left_out=left_out,
        damage=damage,
    )


def _fields(found: _Found, repeat: int | None, path: str) -> tuple[ScanField, ...]:
    """The scan fields of multi-ROI pages; most recordings have none, and do without the modules for them."""
    header, layout = found.texts.header, found.layout
    if not header.flag("SI.hRoiManager.mroiEnable"):
        return ()
    from galvo.formats.scanimage.fields import find_fields

    return find_fields(header, found.texts.roi, found.timeline, (layout.height, layout.width), repeat, path)


def _interrupted_stack(timeline: Timeline, starts: Sequence[FileStart], channels: int, path: str) -> Timeline:
    """Of a slow stack that ends inside its first volume what is whole; any other as it is."""
    frames = sum(start.page_count for start in starts) // channels
    if not timeline.slow or not timeline.is_volumetric or not 0 < frames < timeline.cycle or starts[0].frame_number > 1:
        return timeline
    slices, repeats = max(1, frames // timeline.repeats), min(frames, timeline.repeats)
    fewer = f" with {repeats} of {timeline.repeats} frames" if repeats < timeline.repeats else ""
    warn(f"{path}: the stack ends in its first volume; {slices} of {timeline.slices} slices are shown{fewer}")
    depths = None if timeline.z_um is None else timeline.z_um[:slices]
    return replace(timeline, slices=slices, repeats=repeats, z_um=depths, announced=None)


def _first_repeats(reader: IndexedReader, repeats: int) -> IndexedReader:
    """The same files, T counting volumes by their first repeat."""
    index = reader.index
    t = index.order.t if isinstance(index.order.t, np.ndarray) else np.arange(index.shape[0]) * index.order.t
    lengths: Shape = (index.shape[0] // repeats, *index.shape[1:])
    return IndexedReader(reader.source, replace(index, shape=lengths, order=replace(index.order, t=t[::repeats])))


def _chosen_repeat(timeline: Timeline, wanted: SliceRepeats, path: str) -> int | None:
    """The repeat to show, None for all of them."""
    if timeline.repeats == 1:
        return 0
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < timeline.repeats:
        return wanted
    if wanted in ("interleave", "mean"):
        return None
    raise OptionError(
        f"each slice has {timeline.repeats} frames: say which to show",
        path=path,
        found=f"slice_repeats={wanted!r}",
        expected=f'0 to {timeline.repeats - 1}, "interleave" or "mean"',
        hint='For example galvo.open(..., slice_repeats="mean"), or --slice-repeats mean',
    )


def _by_channel(names: Sequence[SeriesName | None], found: _Found) -> tuple[Timeline, _Found, int]:
    """A series with a file per channel: its channels, its files cut to what all channels have, the pages cut off."""
    timeline, paths = found.timeline, found.source.paths
    by_channel: dict[int | None, list[tuple[int, int | None] | None]] = {}
    for name in names:
        counters = None if name is None else (name.acquisition, name.part)
        by_channel.setdefault(None if name is None else name.channel, []).append(counters)
    present = [one for one in by_channel if one in timeline.channel_ids]
    lists = list(by_channel.values())
    if len(present) != len(by_channel) or any(one != lists[0] for one in lists):
        raise Malformed(
            "one file per channel was logged, and files of a channel are missing or do not belong",
            path=paths[0],
            found=", ".join(f"channel {channel}: {len(files)} files" for channel, files in by_channel.items()),
            expected=f"the same files of each of {', '.join(timeline.channel_names)}",
        )
    known = dict(zip(timeline.channel_ids, timeline.channel_names, strict=True))
    absent = [name for one, name in known.items() if one not in present]
    if absent and len(paths) > 1:
        warn(f"{paths[0]}: the files of {', '.join(absent)} are missing")
    ids = tuple(one for one in present if one is not None)
    timeline = replace(timeline, channel_ids=ids, channel_names=tuple(known[one] for one in ids))
    per_channel = len(paths) // len(present)
    counts = np.array([one.run.count for one in found.pages]).reshape(len(present), per_channel)
    least = np.tile(counts.min(axis=0), len(present)).tolist()
    pages = tuple(replace(one, run=first_pages(one.run, count)) for one, count in zip(found.pages, least, strict=True))
    return timeline, replace(found, pages=pages, timeline=timeline), int(counts.sum()) - sum(least)


def _file_starts(found: _Found, names: Sequence[SeriesName | None], channels: int) -> list[FileStart]:
    """What the first page of each file says of its place; pages between are compared with it."""
    timeline = found.timeline
    runs, path = [one.run for one in found.pages], found.source.paths[0]
    index = frame_index(runs, found.layout, (sum(run.count for run in runs), 1, 1), PageOrder(), path)
    probe = IndexedReader(found.source, index)
    keys = ("frame_number", "acquisition_number", "frame_number_in_acquisition")
    columns = scan_pages(probe, probe.index.first_page[:-1], keys)
    check_numbers(probe, columns["frame_number"].tolist(), timeline, channels)
    check_slow_stack(probe, timeline, channels)
    starts = []
    for file, (one, name) in enumerate(zip(found.pages, names, strict=True)):
        numbers = [int(columns[key][file]) for key in keys]
        if numbers[0] >= 0:
            # the first acquired frame of an averaged page
            numbers[0] -= timeline.average - 1
        # 3.x counts the parts of an acquisition where others count acquisitions
        begins = name is not None and name.part in (None, 1) and found.texts.header.flavour != "state"
        starts.append(FileStart(numbers[0], numbers[1], numbers[2], one.run.count, begins))
    return starts


def _left_out(
    found: _Found,
    volumes: Volumes,
    leftover: int,
    repeat: int | None,
    keep_flyback: bool,
    slice_repeats: SliceRepeats,
) -> list[LeftOut]:
    left_out = []
    timeline = found.timeline
    count, channels = volumes.start.size, timeline.channel_count
    if leftover:
        what = "incomplete volume" if timeline.is_volumetric else "incomplete frame"
        left_out.append(LeftOut(what, leftover, f"pages that make no whole {what.split()[1]}"))
    if timeline.flyback and not keep_flyback:
        pages = count * timeline.flyback * channels
        left_out.append(LeftOut("flyback", pages, f"{timeline.flyback} frames end each volume while z returns"))
    if repeat is not None and timeline.repeats > 1 and isinstance(slice_repeats, int):
        pages = count * timeline.slices * (timeline.repeats - 1) * channels
        left_out.append(LeftOut("slice repeats", pages, f"repeat {repeat} of {timeline.repeats} is shown"))
    reduced = sum(one.reduced_count for one in found.pages)
    if reduced:
        left_out.append(LeftOut("reduced pages", reduced, "smaller copies of other pages"))
    return left_out


def _warn_of_series(found: _Found, volumes: Volumes, leftover: int, damage: Sequence[Damage]) -> None:
    timeline, paths = found.timeline, found.source.paths
    unit = "volumes" if timeline.is_volumetric else "frames"
    if leftover:
        warn(f"{paths[0]}: {leftover} pages make no whole {unit[:-1]} and are left out")
    warn_of_gaps(paths)
    acquisitions = found.texts.header.count("SI.acqsPerLoop") or 1
    looped = found.texts.header.word("SI.acqState") == "loop"
    announced = timeline.announced and timeline.announced * (acquisitions if looped else 1)
    if announced and volumes.start.size < announced and not damage:
        warn(f"{paths[0]}: {volumes.start.size} {unit} are in the files, the header announces {announced}")
