"""TIFF files that galvo wrote: what it kept in the first IFD says the axes and where the pixels are.

Uncompressed pixels lie behind each other without a gap (`arrangement`), so they are found by arithmetic whatever the
other IFDs say; the size of the file proves it. Compressed pages are walked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from galvo.core.index import EvenPages, ListedPages, PageOrder
from galvo.core.metadata import Damage
from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.core.source import FileSource
from galvo.errors import Malformed, Truncated, warn
from galvo.formats.kept_json import KeptJson
from galvo.formats.tiff.arrangement import KEPT_TAG
from galvo.formats.tiff.even import page_segments
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.ifd import Ifd, read_header, read_ifd
from galvo.formats.tiff.layout import PageLayout, page_layout
from galvo.formats.tiff.pages import find_pages
from galvo.limits import Limits

__all__ = ["open_own"]

_BEGINNING = '{"schema_version":'
_REPORT = 'Open it with damaged="report" (--damaged report) to get the frames that are there'
_FOREIGN = "Open it with pages=slice(None) to read its pages as any TIFF's"


def open_own(source: FileSource, walk: bool, damaged: str, limits: Limits) -> Recording | None:
    """The recording, or None when galvo did not write the file.

    Parameters
    ----------
    source : FileSource
    walk : bool
        Check that the chain of pages leads to the pixels.
    damaged : "raise" or "report"
    limits : Limits

    Raises
    ------
    Malformed
        What is kept contradicts the pages.
    Truncated
        Frames are missing: the file was cut, or never finished.
    """
    path = source.paths[0]
    first = read_ifd(source, 0, header := read_header(source), header.first_ifd, limits)
    if KEPT_TAG not in first.entries:
        return None
    text = first.text(KEPT_TAG)
    if not text.startswith(_BEGINNING):
        warn(f"{path}: tag {KEPT_TAG} does not hold what galvo writes there; opened as any TIFF")
        return None
    kept = KeptJson.parse(text, path, limits)
    layout = page_layout(first, limits)
    shape = kept.shape
    limits.check("page_count", shape[0] * shape[1] * shape[2], path=path)
    samples = shape[1] if layout is not None and layout.samples > 1 else 1
    expected = (*shape[3:], samples, kept.get("dtype"))
    if layout is None or layout.planar or _kind(layout) != expected:
        raise Malformed(
            "the first page is not as galvo wrote it",
            path=path,
            offset=first.offset,
            found=None if layout is None else _kind(layout),
            expected=expected,
            hint=_FOREIGN,
        )
    run, layout, damage = _pages(source, first, layout, kept, walk, damaged, limits)
    channels, planes = shape[1] // samples, shape[2]
    per_t = channels * planes
    whole = min(shape[0], run.count // per_t)
    if run.count != shape[0] * per_t:
        damage = [*damage, *_incomplete(run.count, whole, shape[0] * per_t, kept, path, damaged)]
    order = PageOrder(0, per_t, 1, channels)
    index = frame_index([run], layout, (whole, channels, planes), order, path)
    reader = IndexedReader(source, index)
    return kept.recording(reader, kept.metadata("tiff"), [path], damage, whole == shape[0])


def _kind(layout: PageLayout) -> tuple[int, int, int, str]:
    return layout.height, layout.width, layout.samples, layout.dtype.str


def _pages(
    source: FileSource, first: Ifd, layout: PageLayout, kept: KeptJson, walk: bool, damaged: str, limits: Limits
) -> tuple[EvenPages | ListedPages, PageLayout, Sequence[Damage]]:
    """Pages without a gap by arithmetic, others by the chain."""
    offset = kept.get("pixels_offset_bytes")
    if offset is None and not layout.codec.is_raw:
        found = find_pages(source, 0, limits, walk=True, damaged=damaged)
        return found.run, found.layout or layout, found.damage
    shape, size = kept.shape, source.size(0)
    segments = page_segments(first, layout) if layout.codec.is_raw and not layout.tiled else None
    placed = segments is not None and (segments[0].tolist(), segments[1].tolist()) == ([offset], [layout.frame_nbytes])
    page_count = shape[0] * shape[1] * shape[2] // layout.samples
    end = offset + page_count * layout.frame_nbytes if type(offset) is int else 0
    if not placed or size > end:
        raise Malformed(
            "the pixels are not where galvo put them",
            path=source.paths[0],
            offset=first.offset,
            found=f"{segments and segments[0].tolist()} in {size} bytes",
            expected=f"{offset} in {end} bytes",
            hint=_FOREIGN,
        )
    count = page_count if size == end else max(0, size - offset) // layout.frame_nbytes
    nbytes = np.array([layout.frame_nbytes], np.int64)
    run = EvenPages(count, layout.frame_nbytes, np.array([offset], np.int64), nbytes)
    if walk and count == page_count:
        chain = find_pages(source, 0, limits, walk=True).run
        pages, zeros = np.arange(chain.count, dtype=np.int64), np.zeros(chain.count, np.int64)
        # one directory may stand for all images
        if chain.count not in (1, count) or (chain.locate(pages, zeros)[0] != run.locate(pages, zeros)[0]).any():
            raise Malformed("the chain of pages does not lead to the pixels", path=source.paths[0])
    return run, replace(layout, rows=layout.height), ()


def _incomplete(count: int, whole: int, wanted: int, kept: KeptJson, path: str, damaged: str) -> list[Damage]:
    """What to say of a file that has fewer pages than it announces."""
    if count > wanted:
        raise Malformed("more pages than galvo wrote", path=path, found=count, expected=wanted, hint=_FOREIGN)
    finished = kept.get("block_crc32c") is not None
    message = "frames are missing at the end of the file" if finished else "the file was never finished"
    if damaged != "report" or whole == 0:
        hint = _REPORT if finished else f"{_REPORT}, or get them with `galvo recover`"
        raise Truncated(message, path=path, found=f"{count} pages", expected=wanted, hint=hint)
    return [Damage(path, None, f"{message}: {count} of {wanted} pages are there; {whole} whole T are kept")]
