"""Evenly spaced pages: page i lies ``i * stride`` behind page 0.

True of every ScanImage file (scanimage spec 1.8) and of any writer with constant pages. It is believed after the first
pages, the last one and a sample between have shown the same header, moved, and the chain ends where the file does.
Every other page proves itself when it is first read.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from galvo import native
from galvo.core.index import EvenPages, HeaderCheck, Int64, ListedPages
from galvo.core.source import FileSource
from galvo.errors import FormatError
from galvo.formats.tiff.ifd import Ifd, read_ifd
from galvo.formats.tiff.layout import LAYOUT_TAGS, PageLayout, join_strips
from galvo.limits import Limits

__all__ = ["page_before", "page_segments", "predict_pages", "single_page"]

_SAMPLED_PAGES = 6
_BLOCK_BYTES = 64 << 10
_BEGINNING_BYTES = 4 << 10
_STRUCTURE = frozenset(tag for tag, _ in LAYOUT_TAGS.values()) | {254, 273, 279, 324, 325, 338}
_OFFSETS = (273, 324)
_COUNTS = (279, 325)
# tags that may stand before ImageWidth: NewSubfileType, SubfileType
_BEFORE_WIDTH = 2


def predict_pages(
    source: FileSource,
    file: int,
    first: Ifd,
    layout: PageLayout,
    limits: Limits,
    relist: Callable[[], ListedPages],
) -> tuple[PageLayout, EvenPages] | None:
    """The pages by arithmetic, or None when the file does not fit the prediction.

    Parameters
    ----------
    source : FileSource
    file : int
    first : Ifd
        Page 0.
    layout : PageLayout
    limits : Limits
    relist : callable
        Walks the file, for a page that contradicts the prediction when it is read.

    Returns
    -------
    layout : PageLayout
        With contiguous raw strips joined.
    run : EvenPages
    """
    size, stride = source.size(file), first.next - first.offset
    if first.next == 0 or stride < first.nbytes:
        return None
    segments = page_segments(first, layout)
    made = _template(source, file, first, stride)
    if segments is None or made is None:
        return None
    template, nbytes = made
    if not _plausible(layout, segments[1]) or int(segments[1].sum()) > stride:
        # directories that lie together say nothing of the spacing of the pixels
        return None
    merged = join_strips(layout, segments)
    end = max(int((segments[0] + segments[1]).max()), first.offset + nbytes)
    count = (size - end) // stride + 1
    trailing = size - end - (count - 1) * stride
    if count < 2 or trailing >= first.nbytes:
        # behind the last page there is room for a page that was moved there
        return None
    limits.check("page_count", count, path=source.paths[file])
    if page_before(source, file, first, stride) is not None:
        return None
    step = max(1, count // (_SAMPLED_PAGES + 1))
    for page in {1, count - 1, *range(step, count, step)}:
        block = source.read_upto(file, first.offset + page * stride, nbytes)
        if not template.check(block, page * stride, page == count - 1):
            return None
    text = first.entries.get(270)
    run = EvenPages(
        count=count,
        stride=stride,
        offset=merged[1],
        nbytes=merged[2],
        text_offset=text.position if text else 0,
        text_nbytes=text.nbytes if text else 0,
        text_stride=stride if text and 0 <= text.position - first.offset <= stride - text.nbytes else 0,
        check=HeaderCheck(template, first.offset, nbytes, stride, count - 1, relist),
    )
    return merged[0], run


def single_page(
    source: FileSource, file: int, first: Ifd, segments: tuple[Int64, Int64], relist: Callable[[], ListedPages]
) -> EvenPages | None:
    """The only page of a file, as pages of other files that may be alike; None where its header cannot be compared.

    Parameters
    ----------
    source : FileSource
    file : int
    first : Ifd
    segments : (ndarray of int64, ndarray of int64)
        Offsets and sizes of its strips or tiles, (S,).
    relist : callable
        Walks the file.
    """
    made = _template(source, file, first, source.size(file)) if first.next == 0 else None
    if made is None:
        return None
    text = first.entries.get(270)
    return EvenPages(
        count=1,
        stride=0,
        offset=segments[0],
        nbytes=segments[1],
        text_offset=text.position if text else 0,
        text_nbytes=text.nbytes if text else 0,
        check=HeaderCheck(made[0], first.offset, made[1], 0, 0, relist),
    )


def page_before(source: FileSource, file: int, first: Ifd, stride: int) -> int | None:
    """Where a page lies that the chain begins behind; None where there is none.

    Looked for are the width and height entries of the first page of the chain, one stride before it and where the file
    begins.
    """
    step, head, header_nbytes = (20, 8, 16) if first.header.big else (12, 2, 8)
    width, height = first.entries.get(256), first.entries.get(257)
    if width is None or height is None or height.at != width.at + step:
        return None
    mark = source.read(file, width.at, 2 * step)
    reach = head + (_BEFORE_WIDTH + 2) * step
    for place, nbytes in ((first.offset - stride, reach), (header_nbytes, _BEGINNING_BYTES)):
        nbytes = min(nbytes, first.offset - place)
        if header_nbytes <= place and nbytes > len(mark):
            at = source.read_upto(file, place, nbytes).find(mark)
            if at >= 0 and not _is_former(source, file, first, place + at, head, step):
                return place + at
    return None


def _is_former(source: FileSource, file: int, first: Ifd, at: int, head: int, step: int) -> bool:
    """Whether the IFD with its width entry at `at` has the pixels of `first`: what libtiff leaves where it rewrites."""
    for before in range(_BEFORE_WIDTH + 1):
        try:
            ifd = read_ifd(source, file, first.header, at - head - before * step, first.limits)
            if any(ifd.values(tag, 1) == first.values(tag, 1) != () for tag in _OFFSETS):
                return True
        except FormatError:
            continue
    return False


def page_segments(ifd: Ifd, layout: PageLayout) -> tuple[Int64, Int64] | None:
    """Offsets and sizes of page 0's strips or tiles."""
    needed = layout.segment_count
    offsets = ifd.values(_OFFSETS[layout.tiled], needed)
    counts = ifd.values(_COUNTS[layout.tiled], needed)
    size = ifd.source.size(ifd.file)
    if len(offsets) != needed or len(counts) != needed:
        return None
    if not all(isinstance(value, int) and 0 <= value <= size for value in offsets + counts):
        return None
    return np.array(offsets, np.int64), np.array(counts, np.int64)


def _plausible(layout: PageLayout, nbytes: Int64) -> bool:
    """Whether strips or tiles of these sizes can hold the pixels."""
    return bool((nbytes >= (layout.segment_nbytes() if layout.codec.is_raw else 1)).all())


def _template(source: FileSource, file: int, first: Ifd, stride: int) -> tuple[native.PageTemplate, int] | None:
    """What every page's header must hold, and its size; None when values lie where they cannot be predicted."""
    width = first.header.width
    start, nbytes = first.offset, first.nbytes
    relocations: list[int] = []
    for entry in first.entries.values():
        if entry.code not in _STRUCTURE and entry.code != 270:
            continue
        outside = entry.nbytes > width
        moves = outside and start <= entry.position and entry.position + entry.nbytes <= start + stride
        if moves:
            relocations.append(entry.at - start + (12 if width == 8 else 8))
        if entry.code in _OFFSETS:
            if outside and not moves:
                return None
            if entry.nbytes // max(1, entry.count) != width:
                return None
            base = entry.position - start
            relocations += range(base, base + entry.nbytes, width)
        if moves and entry.code in _STRUCTURE:
            nbytes = max(nbytes, entry.position + entry.nbytes - start)
    if nbytes > min(stride, _BLOCK_BYTES):
        return None
    block = source.read(file, start, nbytes)
    mask = np.zeros(nbytes, np.uint8)
    mask[: 8 if width == 8 else 2] = 1
    for entry in first.entries.values():
        at, room = entry.at - start, (12 if width == 8 else 8)
        mask[at : at + room] = 1
        if entry.code in _STRUCTURE or entry.code == 270:
            mask[at + room : at + room + width] = entry.code in _STRUCTURE or entry.nbytes > width
            if entry.nbytes > width and entry.code in _STRUCTURE:
                mask[max(0, entry.position - start) : max(0, entry.position - start + entry.nbytes)] = 1
    positions = np.array(sorted(relocations), np.int64)
    for position in relocations:
        mask[position : position + width] = 0
    little = first.header.order == "<"
    template = native.PageTemplate(block, mask.tobytes(), positions, width, little, first.nbytes - width)
    return template, nbytes
