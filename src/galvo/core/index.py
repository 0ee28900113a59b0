"""Where every frame's bytes are: columns of wide integers, closed form where the file is regular.

A recording is a grid of chunks. A chunk holds part of a frame (a strip or tile), a whole one, or several
(HDF5). Chunks that share T, C and Z lie on one *page*; a page's chunks are its *segments*, counted over
(sample plane, Y, X). So a lookup is: frame -> page -> (file, offset, nbytes) of a segment.

Pages come in runs, one per file: `EvenPages` answers by arithmetic (constant stride, so opening costs the
same for 200 pages and for 20 million), `ListedPages` by columns. Both are checked against the file's size
when they are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import Shape
from galvo.core.codec import RAW, Codec
from galvo.core.selection import Indices, outer_index
from galvo.errors import Malformed, Truncated

__all__ = ["EvenPages", "FrameIndex", "HeaderCheck", "Int64", "ListedPages", "PageOrder", "PageRun", "first_pages"]

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeaderCheck:
    """How a predicted page proves itself: its own header must be page 0's, moved.

    Attributes
    ----------
    template : native.PageTemplate
    offset, nbytes : int
        Position and size of page 0's header in the file.
    stride : int
        Bytes from one page's header to the next one's.
    last_page : int
        The page whose header must end the chain.
    relist : callable
        Walks the file and returns the pages as they really are.
    """

    template: native.PageTemplate
    offset: int
    nbytes: int
    stride: int
    last_page: int
    relist: Callable[[], ListedPages]


class PageRun(Protocol):
    """The pages of one file."""

    @property
    def count(self) -> int:
        """Number of pages."""

    @property
    def check(self) -> HeaderCheck | None:
        """How a page is checked when it is first read, if it was predicted."""

    def locate(self, page: Int64, segment: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes of segments; an offset below 0 has no bytes in the file."""

    def first_segments(self) -> tuple[Int64, int, Int64]:
        """Offset, what each page adds to it, and nbytes of the pages' first segments: (1,) or (P,) each."""

    def text(self, page: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes of each page's own text; nbytes 0 where it has none."""


@dataclass(frozen=True, slots=True)
class EvenPages:
    """Pages at a constant stride.

    Attributes
    ----------
    count, stride : int
        Number of pages and bytes from one to the next.
    offset, nbytes : ndarray of int64, (S,)
        Segments of page 0.
    text_offset, text_nbytes : int
        Text of page 0.
    text_stride : int
        Bytes from one page's text to the next one's; 0 where all pages share one.
    check : HeaderCheck or None
    """

    count: int
    stride: int
    offset: Int64
    nbytes: Int64
    text_offset: int = 0
    text_nbytes: int = 0
    text_stride: int = 0
    check: HeaderCheck | None = None

    def locate(self, page: Int64, segment: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes by arithmetic."""
        return self.offset[segment] + page * self.stride, self.nbytes[segment]

    def first_segments(self) -> tuple[Int64, int, Int64]:
        """Page 0's, and the stride."""
        return self.offset[:1], self.stride, self.nbytes[:1]

    def text(self, page: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes of each page's text."""
        return self.text_offset + page * self.text_stride, np.full(page.shape, self.text_nbytes, np.int64)


@dataclass(frozen=True, slots=True)
class ListedPages:
    """Pages wherever they are.

    Attributes
    ----------
    offset, nbytes : ndarray of int64, (P, S)
    text_offset, text_nbytes : ndarray of int64, (P,), or None
    path : str
        For messages.
    file_size : int
        Bytes of the file; nothing may reach beyond.
    """

    offset: Int64
    nbytes: Int64
    path: str
    file_size: int
    text_offset: Int64 | None = None
    text_nbytes: Int64 | None = None

    def __post_init__(self) -> None:
        if self.offset.shape != self.nbytes.shape or self.offset.ndim != 2:
            raise Malformed("offsets and sizes of the pages do not match", path=self.path)
        present = self.offset >= 0
        wrong = present & ((self.nbytes <= 0) | (self.offset > self.file_size) | (self.nbytes > self.file_size))
        if wrong.any():
            page, segment = map(int, np.argwhere(wrong)[0])
            raise Malformed(
                f"page {page} announces impossible pixel bytes",
                path=self.path,
                found=f"{self.nbytes[page, segment]} bytes at {self.offset[page, segment]}",
                expected=f"a part of the {self.file_size} bytes of the file",
            )
        beyond = present & (self.offset + self.nbytes > self.file_size)
        if beyond.any():
            page, segment = map(int, np.argwhere(beyond)[0])
            raise Truncated(
                f"the pixels of page {page} reach beyond the end of the file",
                path=self.path,
                offset=int(self.offset[page, segment]),
                found=f"{self.file_size} bytes in the file",
                expected=f"{int(self.offset[page, segment] + self.nbytes[page, segment])}",
                hint='Open it with damaged="report" (--damaged report) to get the frames that are there',
            )

    @property
    def count(self) -> int:
        """Number of pages."""
        return int(self.offset.shape[0])

    @property
    def check(self) -> None:
        """Listed pages were read from the file itself."""
        return

    def locate(self, page: Int64, segment: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes by look-up."""
        return self.offset[page, segment], self.nbytes[page, segment]

    def first_segments(self) -> tuple[Int64, int, Int64]:
        """The first column."""
        return self.offset[:, 0], 0, self.nbytes[:, 0]

    def text(self, page: Int64) -> tuple[Int64, Int64]:
        """Offset and nbytes of each page's text."""
        if self.text_offset is None or self.text_nbytes is None:
            return np.zeros(page.shape, np.int64), np.zeros(page.shape, np.int64)
        return self.text_offset[page], self.text_nbytes[page]


def first_pages(run: EvenPages | ListedPages, count: int) -> EvenPages | ListedPages:
    """The first `count` pages of a file."""
    if count >= run.count:
        return run
    if isinstance(run, EvenPages):
        return replace(run, count=count)
    texts = [None if column is None else column[:count] for column in (run.text_offset, run.text_nbytes)]
    return ListedPages(run.offset[:count], run.nbytes[:count], run.path, run.file_size, *texts)


@dataclass(frozen=True, slots=True)
class PageOrder:
    """Which page holds the chunk at grid position (t, c, z).

    Attributes
    ----------
    start : int
        Added to every page.
    t : int or ndarray of int64, (T,)
        Pages from one T to the next, or the page of each T.
    c, z : int
        Pages from one position to the next along C and Z.
    table : ndarray of int64, (T, C, Z), or None
        Instead of all these, the page of each position where no rule gives it; -1 where no file holds it.
    """

    start: int = 0
    t: int | Int64 = 1
    c: int = 0
    z: int = 0
    table: Int64 | None = None

    def page_at(self, t: int, c: int, z: int) -> int:
        """Page number of one grid position."""
        if self.table is not None:
            return int(self.table[t, c, z])
        return self.start + (t * self.t if isinstance(self.t, int) else int(self.t[t])) + c * self.c + z * self.z

    def page(self, t: Int64, c: Int64, z: Int64) -> Int64:
        """Page numbers of grid positions."""
        if self.table is not None:
            return np.asarray(self.table[t, c, z])
        along_t = t * self.t if isinstance(self.t, int) else self.t[t]
        return self.start + along_t + c * self.c + z * self.z

    def places(self, axes: Sequence[Indices]) -> tuple[int, Any]:
        """The first page, and what positions on T, C and Z add to it: the table's part, or one entry for each axis.

        An entry is int64 values, or (first, step, length) where they are even.
        """
        if self.table is not None:
            return 0, self.table[outer_index(list(axes))]
        steps: tuple[int | Int64, ...] = (self.t, self.c, self.z)
        return self.start, tuple(_added(axis, step) for axis, step in zip(axes, steps, strict=True))

    def bounds(self, lengths: tuple[int, int, int]) -> tuple[int, int]:
        """Lowest and highest page of a grid of `lengths` (T, C, Z)."""
        if self.table is not None:
            return max(0, int(self.table.min())), int(self.table.max())
        low = high = self.start
        ends = [length - 1 for length in lengths]
        if isinstance(self.t, int):
            spans = [self.t * ends[0]]
        else:
            low, high = low + int(self.t.min()), high + int(self.t.max())
            spans = []
        for span in (*spans, self.c * ends[1], self.z * ends[2]):
            low, high = low + min(0, span), high + max(0, span)
        return low, high


def _added(axis: Indices, step: int | Int64) -> Int64 | tuple[int, int, int]:
    if isinstance(step, np.ndarray):
        return np.asarray(step[outer_index([axis])])
    if isinstance(axis, range):
        return axis.start * step, axis.step * step, len(axis)
    return axis * step


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The whole of a recording's bytes.

    Attributes
    ----------
    shape : (T, C, Z, Y, X)
    dtype : numpy.dtype
        As stored, byte order included.
    chunk_shape : (T, C, Z, Y, X)
        Extent of one chunk.
    stored_axes : str
        Axes inside a chunk, slowest first; axes of length 1 are left out.
    order : PageOrder
    runs : tuple of PageRun
        One per file, their pages counted through.
    codec : Codec
    planar : bool
        A page's segments are grouped by channel (TIFF planar configuration 2).
    padded : bool
        Chunks at the lower and right edge have full size in the file (tiles, HDF5), not strips.
    """

    shape: Shape
    dtype: np.dtype[np.generic]
    chunk_shape: Shape
    stored_axes: str
    order: PageOrder
    runs: tuple[PageRun, ...]
    codec: Codec = RAW
    planar: bool = False
    padded: bool = False
    first_page: Int64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        counts = np.array([0, *(run.count for run in self.runs)], np.int64)
        object.__setattr__(self, "first_page", np.cumsum(counts))
        if all(self.shape[:3]):
            self._check_order()

    def _check_order(self) -> None:
        t, c, z = (-(-self.shape[axis] // self.chunk_shape[axis]) for axis in range(3))
        if isinstance(self.order.t, np.ndarray) and self.order.t.size < t:
            raise Malformed("fewer T are located than announced", found=self.order.t.size, expected=t)
        if self.order.table is not None and self.order.table.shape != (t, c, z):
            raise Malformed("the table of pages has another shape", found=self.order.table.shape, expected=(t, c, z))
        low, high = self.order.bounds((t, c, z))
        if low < 0 or high >= self.page_count:
            raise Malformed(
                "the frames need more pages than the files hold",
                found=f"{self.page_count} pages",
                expected=f"{high + 1}",
            )

    @property
    def page_count(self) -> int:
        """Pages of all files."""
        return int(self.first_page[-1])

    @property
    def grid(self) -> tuple[int, int]:
        """Chunks along Y and X."""
        return -(-self.shape[3] // self.chunk_shape[3]), -(-self.shape[4] // self.chunk_shape[4])

    def file_of(self, page: Int64) -> Int64:
        """File number of each page."""
        if len(self.runs) == 1:
            return np.zeros(page.shape, np.int64)
        return np.searchsorted(self.first_page, page, side="right").astype(np.int64) - 1

    def split_by_file(self, page: Int64) -> list[tuple[int, Int64 | slice, Int64]]:
        """For each file concerned: its number, which entries of `page` lie in it, and their pages in that file."""
        if len(self.runs) == 1:
            return [(0, slice(None), page)]
        files = self.file_of(page)
        parts: list[tuple[int, Int64 | slice, Int64]] = []
        if files.size and (np.diff(files) >= 0).all():
            bounds = np.flatnonzero(np.diff(files)) + 1
            for lo, hi in pairwise([0, *bounds.tolist(), files.size]):
                file = int(files[lo])
                parts.append((file, slice(lo, hi), page[lo:hi] - self.first_page[file]))
            return parts
        for file in np.unique(files).tolist():
            where = np.flatnonzero(files == file)
            parts.append((file, where, page[where] - self.first_page[file]))
        return parts

    def with_run(self, file: int, run: PageRun) -> FrameIndex:
        """The same index with the pages of one file replaced."""
        return replace(self, runs=(*self.runs[:file], run, *self.runs[file + 1 :]))
