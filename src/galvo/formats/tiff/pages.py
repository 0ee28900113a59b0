"""Every page of a TIFF file: by arithmetic where they are evenly spaced, else by walking the chain.

The prediction (ScanImage spec 1.8; any writer with constant pages): page i lies `i * stride` behind page 0. It is
believed after the first pages, the last one and a sample between have shown the same header, moved, and the chain ends
where the file does. Every other page proves itself when it is first read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.index import EvenPages, HeaderCheck, Int64, ListedPages
from galvo.core.recording import Damage
from galvo.core.source import FileSource
from galvo.errors import FormatError, GalvoError, LimitExceeded, Malformed, ReadError, Truncated, Unsupported
from galvo.formats.tiff.ifd import Ifd, TiffHeader, read_header, read_ifd
from galvo.formats.tiff.layout import LAYOUT_TAGS, PageLayout, page_layout, raw_layout
from galvo.limits import Limits

__all__ = ["TiffPages", "find_pages"]

_SAMPLED_PAGES = 6
_BLOCK_BYTES = 64 << 10
_STRUCTURE = frozenset(tag for tag, _ in LAYOUT_TAGS.values()) | {254, 273, 279, 324, 325, 338}
_OFFSETS = (273, 324)
_COUNTS = (279, 325)


@dataclass(frozen=True, slots=True)
class TiffPages:
    """The pages of one file.

    Attributes
    ----------
    header : TiffHeader
    first : Ifd
        Page 0.
    layout : PageLayout or None
        Common to all pages; None where they need tifffile.
    run : PageRun
        Their bytes; one segment per strip or tile, contiguous raw strips joined into one.
    reduced_count : int
        Reduced-resolution pages, left out.
    damage : tuple of Damage
    numbers : ndarray of int64, (P,), or None
        Positions of the pages in the chain, where some were left out.
    """

    header: TiffHeader
    first: Ifd
    layout: PageLayout | None
    run: EvenPages | ListedPages
    reduced_count: int = 0
    damage: tuple[Damage, ...] = ()
    numbers: Int64 | None = None


def find_pages(
    source: FileSource,
    file: int,
    limits: Limits,
    *,
    walk: bool = False,
    damaged: str = "raise",
    pages: Callable[[int], Int64] | None = None,
) -> TiffPages:
    """The pages of file number `file`.

    Parameters
    ----------
    source : FileSource
    file : int
    limits : Limits
    walk : bool
        Walk the chain even where the spacing is even.
    damaged : "raise" or "report"
        What to do with a chain that breaks off.
    pages : callable, optional
        Given the number of pages, those wanted.

    Returns
    -------
    TiffPages

    Raises
    ------
    Malformed, Truncated
        The chain loops, leaves the file, breaks off, or pages are contradictory.
    Unsupported
        Pages of different shapes.
    """
    header = read_header(source, file)
    first = read_ifd(source, file, header, header.first_ifd, limits)
    layout = page_layout(first, limits)
    if layout is not None and not walk and pages is None:
        even = _predict(source, file, first, layout, limits)
        if even is not None:
            return even
    return _walk(source, file, header, first, layout, limits, damaged, pages)


# ---- even spacing -------------------------------------------------------------------------------------------------


def _predict(source: FileSource, file: int, first: Ifd, layout: PageLayout, limits: Limits) -> TiffPages | None:
    """The pages by arithmetic, or None when the file does not fit the prediction."""
    size, stride = source.size(file), first.next - first.offset
    if first.next == 0 or stride < first.nbytes:
        return None
    segments = _segments(first, layout)
    made = _template(source, file, first, stride)
    if segments is None or made is None:
        return None
    template, nbytes = made
    if not _plausible(layout, segments[1]):
        return None
    merged = _merge(layout, segments)
    end = max(int((segments[0] + segments[1]).max()), first.offset + nbytes)
    count = (size - end) // stride + 1
    trailing = size - end - (count - 1) * stride
    if count < 2 or trailing >= first.nbytes:
        # behind the last page there is room for a page that was moved there
        return None
    limits.check("page_count", count, path=source.paths[file])
    step = max(1, count // (_SAMPLED_PAGES + 1))
    for page in {1, count - 1, *range(step, count, step)}:
        block = source.read_upto(file, first.offset + page * stride, nbytes)
        if not template.check(block, page * stride, page == count - 1):
            return None
    text = first.entries.get(270)
    relist = partial(_relist, source, file, first.header, first, layout, limits)
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
    return TiffPages(first.header, first, merged[0], run)


def _segments(ifd: Ifd, layout: PageLayout) -> tuple[Int64, Int64] | None:
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


def _merge(layout: PageLayout, segments: tuple[Int64, Int64]) -> tuple[PageLayout, Int64, Int64]:
    """Raw strips that lie behind each other as one strip per page; other segments as they are.

    Works on one page (S,) or all of them (P, S).
    """
    offset, nbytes = segments
    planes = layout.samples if layout.planar else 1
    if layout.tiled or not layout.codec.is_raw or layout.segment_count == planes:
        return layout, offset, nbytes
    shape = (*offset.shape[:-1], planes, -1)
    by_plane, sizes = offset.reshape(shape), nbytes.reshape(shape)
    expected = layout.segment_nbytes().reshape(planes, -1)
    follows = (by_plane[..., 1:] == by_plane[..., :-1] + sizes[..., :-1]).all() and (sizes >= expected).all()
    if not follows or not (sizes[..., :-1] == expected[..., :-1]).all():
        return layout, offset, nbytes
    return raw_layout(layout, layout.height), by_plane[..., 0].copy(), sizes.sum(axis=-1)


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


# ---- walking ------------------------------------------------------------------------------------------------------


def _walk(
    source: FileSource,
    file: int,
    header: TiffHeader,
    first: Ifd,
    layout: PageLayout | None,
    limits: Limits,
    damaged: str,
    pages: Callable[[int], Int64] | None,
) -> TiffPages:
    path, size = source.paths[file], source.size(file)
    columns, stop = _columns(source, file, header, limits)
    error = _stopped(stop, path, size, limits)
    damage: list[Damage] = []
    if error is not None:
        if damaged != "report" or isinstance(error, LimitExceeded | ReadError) or not columns["ifd"].size:
            raise error
        damage.append(Damage(path, error.offset, f"{error.message}; {columns['ifd'].size} pages before it are kept"))
    full = (columns["subfile_type"] < 0) | (columns["subfile_type"] & 1 == 0)
    if not full.any():
        full[:] = True
    numbers = np.flatnonzero(full).astype(np.int64)
    if pages is not None:
        numbers = numbers[pages(numbers.size)]
    if numbers.size == 0:
        raise Unsupported("no pages are wanted", path=path)
    first = read_ifd(source, file, header, int(columns["ifd"][numbers[0]]), limits)
    layout = page_layout(first, limits)
    _refuse_mixture(columns, numbers, path)
    reduced = int((~full).sum())
    if layout is None:
        offset = np.zeros((numbers.size, 1), np.int64)
        listed = ListedPages(offset, offset + 1, path, size, *_texts(columns, numbers))
        return TiffPages(header, first, None, listed, reduced, tuple(damage), numbers)
    listed, merged, cut = _listed(columns, numbers, layout, path, size, damaged)
    if cut is not None:
        damage.append(cut)
        numbers = numbers[: listed.count]
    keep_numbers = None if numbers.size == columns["ifd"].size else numbers
    return TiffPages(header, first, merged, listed, reduced, tuple(damage), keep_numbers)


def _relist(
    source: FileSource, file: int, header: TiffHeader, first: Ifd, layout: PageLayout, limits: Limits
) -> ListedPages:
    found = _walk(source, file, header, first, layout, limits, "raise", None)
    predicted, _, _ = _merge(layout, _segments(first, layout) or (np.zeros(0, np.int64),) * 2)
    if found.layout != predicted or not isinstance(found.run, ListedPages):
        raise Malformed("pages differ in layout", path=source.paths[file], hint="Open it again with walk=True")
    return found.run


def _columns(
    source: FileSource, file: int, header: TiffHeader, limits: Limits
) -> tuple[dict[str, Int64], tuple[int, int, int]]:
    size = source.size(file)
    with source.lease((file,)) as descriptors:
        return native.tiff_walk(
            descriptors[file],
            size,
            header.big,
            header.order == "<",
            header.first_ifd,
            min(limits.page_count, size // 6 + 1),
            65536 + size // 8,
        )


def _stopped(stop: tuple[int, int, int], path: str, size: int, limits: Limits) -> GalvoError | None:
    """The error that a walk's ending means, None for a proper end."""
    kind, offset, page = stop
    hint = 'Open it with damaged="report" to get the frames that are there'
    if kind == 0:
        return None
    if kind == 1:
        return Truncated(
            f"the chain of pages leaves the file after page {page - 1}",
            path=path,
            offset=offset,
            found=f"next page at {offset}",
            expected=f"within {size} bytes",
            hint=hint,
        )
    if kind == 2:
        return Malformed(f"the chain of pages loops at page {page}", path=path, offset=offset, hint=hint)
    if kind == 3:
        if page >= limits.page_count:
            return LimitExceeded(
                "more pages than allowed",
                path=path,
                expected=f"at most {limits.page_count}",
                hint="Open it with limits=galvo.Limits(page_count=...) if it is trusted",
            )
        return Malformed("more pages than the file can hold", path=path, offset=offset, found=page)
    if kind == 4:
        return Truncated(f"the file ends inside the header of page {page}", path=path, offset=offset, hint=hint)
    if kind == 5:
        return Malformed(f"impossible number of tags in page {page}", path=path, offset=offset, hint=hint)
    if kind == 6:
        return Truncated(
            f"a tag of page {page} reaches beyond the end of the file", path=path, offset=offset, hint=hint
        )
    if kind == 8:
        return Malformed("more tag values than the file can hold", path=path, offset=offset, hint=hint)
    return ReadError(f"reading failed with errno {offset}", path=path)


def _refuse_mixture(columns: dict[str, Int64], numbers: Int64, path: str) -> None:
    names = [name for name in LAYOUT_TAGS if name != "photometric"]
    table = np.stack(
        [np.where(columns[name][numbers] == -1, LAYOUT_TAGS[name][1], columns[name][numbers]) for name in names], axis=1
    )
    # rows beyond the height say nothing: many writers put the largest number there
    rows, height = names.index("rows_per_strip"), names.index("height")
    table[:, rows] = np.minimum(table[:, rows], table[:, height])
    differs = (table != table[0]).any(axis=1)
    if differs.any():
        at = int(np.argmax(differs))
        pairs = zip(names, table[0], table[at], strict=True)
        detail = ", ".join(f"{name} {mine} and {other}" for name, mine, other in pairs if mine != other)
        raise Unsupported(
            f"pages {int(numbers[0])} and {int(numbers[at])} differ",
            path=path,
            offset=int(columns["ifd"][numbers[at]]),
            found=detail,
            expected="pages of one shape and type",
            hint="Open some of them with pages=slice(...) or pages=[...]",
        )


def _texts(columns: dict[str, Int64], numbers: Int64) -> tuple[Int64, Int64]:
    return np.maximum(columns["description_offset"][numbers], 0), np.maximum(columns["description_nbytes"][numbers], 0)


def _listed(
    columns: dict[str, Int64], numbers: Int64, layout: PageLayout, path: str, size: int, damaged: str
) -> tuple[ListedPages, PageLayout, Damage | None]:
    cut: Damage | None = None

    def refuse(wrong: NDArray[Any], kind: type[FormatError], what: str, found: Int64, expected: int) -> Int64:
        """The pages before the first wrong one, where damage is to be reported."""
        nonlocal cut
        if not wrong.any():
            return numbers
        at = int(np.argmax(wrong))
        offset = int(columns["ifd"][numbers[at]])
        message = f"page {int(numbers[at])} {what}"
        if damaged != "report" or at == 0:
            hint = None if at == 0 else 'Open it with damaged="report" to get the pages before it'
            raise kind(message, path=path, offset=offset, found=int(found[at]), expected=expected, hint=hint)
        cut = Damage(path, offset, f"{message}; {at} pages before it are kept")
        return numbers[:at]

    needed = layout.segment_count
    listed = np.diff(columns["segment_first"])
    numbers = refuse(
        listed[numbers] < needed, Malformed, "lists too few strips or tiles", listed[numbers], needed
    )
    where = columns["segment_first"][numbers][:, None] + np.arange(needed, dtype=np.int64)
    offset, nbytes = columns["segment_offset"][where], columns["segment_nbytes"][where]
    if layout.codec.is_raw:
        # Many writers get the byte counts of raw strips wrong; the geometry is what readers go by.
        expected = layout.segment_nbytes()
        nbytes = np.where(nbytes < 0, expected, np.minimum(nbytes, expected))
        small = np.any(nbytes < expected, axis=1)
        numbers = refuse(small, Malformed, "announces too few pixel bytes", nbytes.sum(axis=1), int(expected.sum()))
    else:
        empty = np.any(nbytes <= 0, axis=1)
        numbers = refuse(empty, Malformed, "announces strips or tiles without bytes", nbytes.min(axis=1), 1)
    offset, nbytes = offset[: numbers.size], nbytes[: numbers.size]
    # the ends are computed where they cannot overflow
    absurd = (offset < 0) | (offset > size) | (nbytes > size)
    end = np.where(absurd, size + 1, offset + nbytes).max(axis=1)
    numbers = refuse(end > size, Truncated, "has pixels beyond the end of the file", end, size)
    merged, offset, nbytes = _merge(layout, (offset[: numbers.size], nbytes[: numbers.size]))
    text_offset, text_nbytes = _texts(columns, numbers)
    return ListedPages(offset, nbytes, path, size, text_offset, text_nbytes), merged, cut
