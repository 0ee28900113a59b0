"""Several TIFF files as one recording: a list that follows in T, and which files of a folder belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import pairwise

from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.core.source import opening_source
from galvo.errors import GalvoError, warn
from galvo.formats.tiff.arrangement import KEPT_TAG
from galvo.formats.tiff.describe import describe, left_out
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.imagej import imagej_fields
from galvo.formats.tiff.ome import looks_like_ome
from galvo.formats.tiff.ome_files import OmeFiles, find_ome, first_description
from galvo.formats.tiff.page_axes import PageAxes, asked_axes
from galvo.formats.tiff.pages import TiffPages
from galvo.formats.tiff.several import pages_of_files
from galvo.formats.tiff.shaped import shaped_text
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["belonging_together", "ome_set", "open_images"]

# the last number of a name
_NUMBER = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)


def ome_set(path: str, limits: Limits = DEFAULT_LIMITS, image: int | str | None = None) -> OmeFiles | None:
    """The OME files that a TIFF file belongs to, None where it belongs to none."""
    return find_ome(path, first_description(path, limits), limits, image)


def open_images(
    paths: Sequence[str],
    *,
    axes: str | None,
    channels: int | None,
    planes: int | None,
    walk: bool,
    damaged: str,
    limits: Limits,
) -> Recording | None:
    """Files of one layout as one run of pages along T, or along the axes that are asked for.

    Returns
    -------
    Recording or None
        None where the files differ, or say of themselves what their pages are.
    """
    with opening_source(paths) as source:
        found = pages_of_files(source, limits, walk=walk, damaged=damaged)
        layout = found.layout
        if layout is None or any(_speaks(one) for one in found.opened.values()):
            source.close()
            return None
        count = sum(run.count for run in found.runs)
        asked = asked_axes(axes, channels, planes, count, paths[0], None, {})
        arranged = PageAxes(t=count) if asked is None else asked
        index = frame_index(found.runs, layout, arranged.lengths, arranged.page_order(), paths[0])
        return Recording(
            IndexedReader(source, index),
            describe(found.opened[0], {}, arranged.z),
            files=paths,
            left_out=left_out(*found.opened.values()),
            damage=found.damage,
        )


def _speaks(found: TiffPages) -> bool:
    """Whether a file says itself what its pages are, so that it is a recording of its own."""
    text = found.first.description
    if KEPT_TAG in found.first.entries:
        return True
    if looks_like_ome(text):
        return "<BinaryOnly" not in text and ":BinaryOnly" not in text
    fields = imagej_fields(text)
    if fields:
        return True
    shaped = shaped_text(text)
    return shaped is not None and (shaped.truncated or any(letter in "CZ" for letter in shaped.axes))


def belonging_together(paths: Sequence[str]) -> list[list[str]]:
    """The files of each recording in a folder, in their order.

    Parameters
    ----------
    paths : sequence of str
        All TIFF files of the folder, in natural order.

    Returns
    -------
    list of list of str
        OME files that name each other; files whose names differ in their last number only; any other one alone.
    """
    numbered: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for path in paths:
        stem, suffix = os.path.splitext(os.path.basename(path))
        match = _NUMBER.fullmatch(stem)
        before, number, behind = match.groups() if match else (stem, "0", "")
        numbered.setdefault((before, behind + suffix), []).append((int(number), path))
    together: list[list[str]] = []
    taken: set[str] = set()
    for group in numbered.values():
        members = [path for _, path in group if path not in taken]
        files = _ome_members(members[0]) if members else []
        if len(files) > 1:
            taken.update(files)
            together.append(files)
            members = [path for path in members if path not in taken]
        if members:
            together.append(members)
    if len(numbered) == len(together) == 1:
        _tell_gaps([number for number, _ in next(iter(numbered.values()))], together[0])
    return together


def _ome_members(path: str) -> list[str]:
    try:
        files = ome_set(path)
    except GalvoError:
        # opening it will say what is wrong
        return []
    return [] if files is None else list(files.paths)


def _tell_gaps(numbers: Sequence[int], paths: Sequence[str]) -> None:
    """Warn where numbers are missing: a frame that nobody misses is a shift in time."""
    steps = [after - before for before, after in pairwise(numbers)]
    usual = min(steps, default=1)
    gaps = [at for at, step in enumerate(steps) if step != usual]
    if gaps:
        at = gaps[0]
        before, after = (os.path.basename(paths[number]) for number in (at, at + 1))
        more = f", and {len(gaps) - 1} more such places" if len(gaps) > 1 else ""
        warn(f"{os.path.dirname(paths[0])}: numbers are missing between {before} and {after}{more}")
