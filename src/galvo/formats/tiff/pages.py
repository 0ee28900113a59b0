"""Every page of a TIFF file: by arithmetic where they are evenly spaced, else by walking the chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.index import EvenPages, Int64, ListedPages
from galvo.core.metadata import Damage
from galvo.core.source import FileSource
from galvo.errors import FormatError, GalvoError, LimitExceeded, Malformed, ReadError, Truncated, Unsupported, warn
from galvo.formats.tiff.contradictions import displaced_pages, pages_on_structure, refuse_overlap, suspicions
from galvo.formats.tiff.even import page_segments, predict_pages
from galvo.formats.tiff.ifd import Ifd, TiffHeader, read_header, read_ifd
from galvo.formats.tiff.layout import LAYOUT_TAGS, PageLayout, join_strips, page_layout
from galvo.limits import Limits

__all__ = ["TiffPages", "find_pages"]


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
    other_count : int
        Pages of other shapes or types behind these, left out.
    """

    header: TiffHeader
    first: Ifd
    layout: PageLayout | None
    run: EvenPages | ListedPages
    reduced_count: int = 0
    damage: tuple[Damage, ...] = ()
    numbers: Int64 | None = None
    other_count: int = 0


def find_pages(
    source: FileSource,
    file: int,
    limits: Limits,
    *,
    walk: bool = False,
    damaged: str = "raise",
    pages: Callable[[Int64], Int64] | None = None,
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
        Given the positions of all full pages in the chain, those wanted.

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
        relist = partial(_relist, source, file, header, first, layout, limits)
        even = predict_pages(source, file, first, layout, limits, relist)
        if even is not None:
            return TiffPages(header, first, *even)
    return _walk(source, file, header, first, layout, limits, damaged, pages)


def _walk(
    source: FileSource,
    file: int,
    header: TiffHeader,
    first: Ifd,
    layout: PageLayout | None,
    limits: Limits,
    damaged: str,
    pages: Callable[[Int64], Int64] | None,
    suspect: bool = True,
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
        numbers = pages(numbers)
    if numbers.size == 0:
        raise Unsupported("no pages are wanted", path=path)
    suspect = suspect and error is None and pages is None
    for entry in suspicions(source, file, first, columns, limits) if suspect else ():
        if damaged == "report":
            damage.append(entry)
        else:
            warn(f"{path} at byte {entry.offset}: {entry.message}")
    if int(columns["ifd"][numbers[0]]) != first.offset:
        first = read_ifd(source, file, header, int(columns["ifd"][numbers[0]]), limits)
        layout = page_layout(first, limits)
    same = _of_first_kind(columns, numbers, path, refuse=pages is not None)
    other, numbers = numbers.size - same, numbers[:same]
    reduced = int((~full).sum())
    if layout is None:
        offset = np.zeros((numbers.size, 1), np.int64)
        listed = ListedPages(offset, offset + 1, path, size, *_texts(columns, numbers))
        return TiffPages(header, first, None, listed, reduced, tuple(damage), numbers, other)
    listed, merged, cut = _listed(columns, numbers, layout, path, size, header, damaged)
    if cut is not None:
        damage.append(cut)
        numbers = numbers[: listed.count]
    keep_numbers = None if numbers.size == columns["ifd"].size else numbers
    return TiffPages(header, first, merged, listed, reduced, tuple(damage), keep_numbers, other)


def _relist(
    source: FileSource, file: int, header: TiffHeader, first: Ifd, layout: PageLayout, limits: Limits
) -> ListedPages:
    found = _walk(source, file, header, first, layout, limits, "raise", None, suspect=False)
    predicted, _, _ = join_strips(layout, page_segments(first, layout) or (np.zeros(0, np.int64),) * 2)
    if found.layout != predicted or not isinstance(found.run, ListedPages):
        raise Malformed(
            "pages differ in layout",
            path=source.paths[file],
            hint="Open it again with walk=True (--open-option walk=true)",
        )
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
    hint = 'Open it with damaged="report" (--damaged report) to get the frames that are there'
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


def _of_first_kind(columns: dict[str, Int64], numbers: Int64, path: str, refuse: bool) -> int:
    """How many pages at the beginning are of one shape and type; none may come behind others, unless it is refused.

    Scanners and some microscopes put an overview or a label behind the pages; one that differs among others is damage.
    """
    names = [name for name in LAYOUT_TAGS if name != "photometric"]
    table = np.stack(
        [np.where(columns[name][numbers] == -1, LAYOUT_TAGS[name][1], columns[name][numbers]) for name in names], axis=1
    )
    # rows beyond the height say nothing: many writers put the largest number there
    rows, height = names.index("rows_per_strip"), names.index("height")
    table[:, rows] = np.minimum(table[:, rows], table[:, height])
    differs = (table != table[0]).any(axis=1)
    if not differs.any():
        return int(numbers.size)
    at = int(np.argmax(differs))
    pairs = zip(names, table[0], table[at], strict=True)
    detail = ", ".join(f"{name} {mine} and {other}" for name, mine, other in pairs if mine != other)
    _, kinds = np.unique(table[at:], axis=0, return_counts=True)
    if refuse or not differs[at:].all() or kinds.max() > at:
        raise Unsupported(
            f"pages {int(numbers[0])} and {int(numbers[at])} differ",
            path=path,
            offset=int(columns["ifd"][numbers[at]]),
            found=detail,
            expected="pages of one shape and type",
            hint="Open some of them with pages=slice(...) or pages=[...]",
        )
    warn(
        f"{path}: {numbers.size - at} pages from page {int(numbers[at])} on are left out, which differ from page "
        f"{int(numbers[0])}: {detail}"
    )
    return at


def _texts(columns: dict[str, Int64], numbers: Int64) -> tuple[Int64, Int64]:
    return np.maximum(columns["description_offset"][numbers], 0), np.maximum(columns["description_nbytes"][numbers], 0)


def _listed(
    columns: dict[str, Int64],
    numbers: Int64,
    layout: PageLayout,
    path: str,
    size: int,
    header: TiffHeader,
    damaged: str,
) -> tuple[ListedPages, PageLayout, Damage | None]:
    cut: Damage | None = None

    def refuse(wrong: NDArray[Any], kind: type[FormatError], what: str, found: Int64, expected: int | str) -> Int64:
        """The pages before the first wrong one, where damage is to be reported."""
        nonlocal cut
        if not wrong.any():
            return numbers
        at = int(np.argmax(wrong))
        offset = int(columns["ifd"][numbers[at]])
        message = f"page {int(numbers[at])} {what}"
        if damaged != "report" or at == 0:
            hint = None if at == 0 else 'Open it with damaged="report" (--damaged report) to get the pages before it'
            raise kind(message, path=path, offset=offset, found=int(found[at]), expected=expected, hint=hint)
        cut = Damage(path, offset, f"{message}; {at} pages before it are kept")
        return numbers[:at]

    needed = layout.segment_count
    listed = np.diff(columns["segment_first"])
    numbers = refuse(listed[numbers] < needed, Malformed, "lists too few strips or tiles", listed[numbers], needed)
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
    if layout.codec.is_raw:
        offset, nbytes = offset[: numbers.size], nbytes[: numbers.size]
        astray = pages_on_structure(columns, offset, nbytes, header)
        numbers = refuse(astray, Malformed, "has pixels where the file has its structure", offset.min(axis=1), "pixels")
        offset = offset[: numbers.size]
        astray = displaced_pages(columns, numbers, offset)
        numbers = refuse(
            astray, Malformed, "has its pixels elsewhere than the others", offset.min(axis=1), "their distance"
        )
    merged, offset, nbytes = join_strips(layout, (offset[: numbers.size], nbytes[: numbers.size]))
    text_offset, text_nbytes = _texts(columns, numbers)
    refuse_overlap(offset, nbytes, numbers, path)
    return ListedPages(offset, nbytes, path, size, text_offset, text_nbytes), merged, cut
