"""What the pages of a walked file say against each other.

A walk believes every link and every offset. Most writers repeat themselves, though: pages lie at one spacing, nothing
lies on anything else, and the chain visits every page that the file has. Where the one page or link that differs could
only be damage, it is found here; the checks are arithmetic over the walked columns and at most a few small reads.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.metadata import Damage
from galvo.core.source import FileSource
from galvo.errors import Malformed
from galvo.formats.tiff.even import page_before
from galvo.formats.tiff.ifd import Ifd, TiffHeader, read_ifd
from galvo.limits import Limits

__all__ = ["displaced_pages", "pages_on_structure", "refuse_overlap", "suspicions"]

_SUB_IFDS = 330
_LAYOUT_COLUMNS = ("width", "height", "bits", "compression", "photometric", "samples", "subfile_type")
_TAIL_BYTES = 64 << 10
_MOST_SEARCHED_BYTES = 4 << 20
_MOST_GAPS = 64
# tags that may stand before ImageWidth: NewSubfileType, SubfileType
_BEFORE_WIDTH = 2


def refuse_overlap(offset: Int64, nbytes: Int64, numbers: Int64, path: str) -> None:
    """Strips or tiles that share bytes contradict each other, unless they are the same ones.

    Parameters
    ----------
    offset, nbytes : ndarray of int64, (P, S)
    numbers : ndarray of int64, (P,)
        Positions of the pages in the chain.
    path : str

    Raises
    ------
    Malformed
    """
    start, size = offset.ravel(), nbytes.ravel()
    order = np.lexsort((size, start))
    start, stop = start[order], start[order] + size[order]
    same = (start[1:] == start[:-1]) & (stop[1:] == stop[:-1])
    overlaps = (start[1:] < stop[:-1]) & ~same
    if overlaps.any():
        at = int(np.argmax(overlaps))
        pages = sorted(int(numbers[order[one] // offset.shape[1]]) for one in (at, at + 1))
        raise Malformed(
            f"the pixels of pages {pages[0]} and {pages[1]} overlap",
            path=path,
            offset=int(start[at + 1]),
            found=f"{int(stop[at])}",
            expected=f"an end at or before {int(start[at + 1])}",
        )


def pages_on_structure(
    columns: dict[str, Int64], offset: Int64, nbytes: Int64, header: TiffHeader
) -> NDArray[np.bool_]:
    """Pages whose pixels lie on the file's header, on an IFD or on a page's text, (P,).

    Parameters
    ----------
    columns : dict of str to ndarray of int64
        Of all pages of the chain.
    offset, nbytes : ndarray of int64, (P, S)
        Of the pages concerned.
    header : TiffHeader
    """
    described = columns["description_nbytes"] > 0
    text = columns["description_offset"][described]
    start = np.concatenate([[0], columns["ifd"], text])
    stop = np.concatenate(
        [[16 if header.big else 8], _table_end(columns, header), text + columns["description_nbytes"][described]]
    )
    # stretches that begin before a segment's end and do not end before it begins
    begun = np.searchsorted(np.sort(start, kind="stable"), offset + nbytes, side="left")
    over = np.searchsorted(np.sort(stop, kind="stable"), offset, side="right")
    return np.asarray((begun > over).any(axis=1))


def _table_end(columns: dict[str, Int64], header: TiffHeader) -> Int64:
    """Where each IFD ends at the earliest: the walk has seen these tags."""
    seen: Int64 = np.sum([columns[name] >= 0 for name in _LAYOUT_COLUMNS], axis=0, dtype=np.int64)
    return columns["ifd"] + ((16 + 20 * seen) if header.big else (6 + 12 * seen))


def displaced_pages(columns: dict[str, Int64], numbers: Int64, offset: Int64) -> NDArray[np.bool_]:
    """Pages in the row of the others whose pixels are not, (P,).

    Writers put pixels at one distance from the page's own IFD, from the IFD before it or from the pixels before them;
    padding may change one of these, not all. So a page whose IFD lies at the common distance from those beside it, but
    whose pixels keep none of these distances, contradicts the others. Not judged are the first page, which has what
    all pages share, the last one where its pixels lie behind its IFD, pages with a longer or shorter text, which moves
    what follows, and files where less than two thirds of the pages agree. Pages may also have the very pixels of
    another one.

    Parameters
    ----------
    columns : dict of str to ndarray of int64
        Of all pages of the chain.
    numbers : ndarray of int64, (P,)
        The pages concerned, in their order.
    offset : ndarray of int64, (P, S)
        Where their pixels lie.
    """
    count = numbers.size
    if count < 4:
        return np.zeros(count, np.bool_)
    ifd = columns["ifd"][numbers]
    usual = _is_usual(np.diff(ifd))
    # pixels behind the last IFD have nothing behind them that would show how far they were moved
    in_row = np.r_[False, usual] & np.r_[usual, bool((_middle(offset - ifd[:, None]) < 0).all())]
    for name in ("description_nbytes", "software_nbytes"):
        in_row &= _is_usual(columns[name][numbers])
    distances = (offset - ifd[:, None], offset[1:] - ifd[:-1, None], np.diff(offset, axis=0))
    own, before, step = map(_is_usual, distances)
    agree = max(map(np.count_nonzero, (own, before, step)))
    kept = own.copy()
    kept[1:] |= before | step
    kept[:-1] |= step
    wrong = in_row & ~kept
    if not wrong.any() or 3 * min(agree, np.count_nonzero(usual) + 1) < 2 * count:
        return np.zeros(count, np.bool_)
    _, same, shared = np.unique(offset, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(wrong & (shared[same.ravel()] == 1))


def _is_usual(values: Int64) -> NDArray[np.bool_]:
    """Where values (N,) or rows (N, S) are the middle one, which is the common one wherever most are equal."""
    same = values == _middle(values)
    return np.asarray(same if values.ndim == 1 else same.all(axis=1))


def _middle(values: Int64) -> Int64:
    """The middle value along the first axis: the common one wherever most are equal."""
    return np.asarray(np.partition(values, values.shape[0] // 2, axis=0)[values.shape[0] // 2])


def suspicions(source: FileSource, file: int, first: Ifd, columns: dict[str, Int64], limits: Limits) -> list[Damage]:
    """What may be damage or the habit of some program: a page that was deleted is not in the chain either.

    Parameters
    ----------
    source : FileSource
    file : int
    first : Ifd
        Page 0.
    columns : dict of str to ndarray of int64
        Of all pages of a chain that ends properly.
    limits : Limits

    Returns
    -------
    list of Damage
        Tags of page 0 that are not sorted while those of page 1 are, and a page that the chain does not visit.
    """
    path, count = source.paths[file], columns["ifd"].size
    found = []
    if not first.ascends and count > 1:
        second = read_ifd(source, file, first.header, int(columns["ifd"][1]), limits)
        if second.ascends:
            message = "the tags of page 0 are out of order, unlike those of page 1: one of them may be damaged"
            found.append(Damage(path, first.offset, message))
    width, height, samples = (max(1, int(columns[name][0])) for name in ("width", "height", "samples"))
    unlinked = _unlinked_page(source, file, first, columns, min(8 * width * height * samples, limits.frame_bytes))
    if unlinked is not None:
        offset, place = unlinked
        message = f"what looks like a page {place} is not in the chain of {count} pages: pages may be missing"
        found.append(Damage(path, offset, message))
    return found


def _unlinked_page(
    source: FileSource, file: int, first: Ifd, columns: dict[str, Int64], frame_nbytes: int
) -> tuple[int, str] | None:
    """A page that the chain does not visit: where its tags lie, in bytes and as "behind page 3".

    Looked for are the width and height entries of page 0, behind the last page of the chain, at the end of the file,
    and at the spacing of the pages before the first one and where the chain skips such places. Not looked for in files
    with SubIFDs.
    """
    step, head = (20, 8) if first.header.big else (12, 2)
    width, height = first.entries.get(256), first.entries.get(257)
    if width is None or height is None or height.at != width.at + step or _SUB_IFDS in first.entries:
        return None
    mark = source.read(file, width.at, 2 * step)
    size, ifd = source.size(file), columns["ifd"]
    known = np.sort(ifd)
    reach = head + _BEFORE_WIDTH * step

    def find(start: int, stop: int) -> int | None:
        block = source.read_upto(file, start, max(0, stop - start))
        at = block.find(mark)
        while at >= 0:
            below = int(np.searchsorted(known, start + at, side="right")) - 1
            if below < 0 or start + at - int(known[below]) > reach:
                return start + at
            at = block.find(mark, at + 1)
        return None

    gaps = np.diff(ifd)
    if gaps.size:
        stride = int(_middle(gaps))
        skips = (gaps > stride) & (gaps % max(1, stride) == 0) & (stride > 0)
        places = [(int(ifd[page]) + stride, f"behind page {page}") for page in np.flatnonzero(skips)[:_MOST_GAPS]]
        before = page_before(source, file, first, stride) if first.offset == ifd[0] else None
        if before is not None:
            return before, "before page 0"
        for place, name in places:
            if (at := find(place, place + reach + 2 * step)) is not None:
                return at, name
    # byte counts may be nonsense in a damaged page: the search begins where its pixels do
    ends = [_table_end(columns, first.header), columns["segment_offset"][columns["segment_offset"] < size]]
    start = max(int(part.max()) for part in ends if part.size)
    stop = min(size, start + min(frame_nbytes + _TAIL_BYTES, _MOST_SEARCHED_BYTES))
    at = find(start, stop)
    if at is None and stop < size:
        at = find(max(stop, size - _TAIL_BYTES), size)
    return None if at is None else (at, f"behind page {ifd.size - 1}")
