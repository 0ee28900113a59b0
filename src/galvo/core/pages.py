"""Pages of files as an index locates them; each proves by its own header that it lies where it was predicted."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.index import FrameIndex, Int64, PageRun
from galvo.core.lock import ForkSafeLock
from galvo.core.source import FileSource
from galvo.core.threads import SMALL_READ_BYTES, worker_count
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, Truncated

__all__ = ["Pages"]

_PROVED_TOGETHER = 1 << 20
# what `native.read_boxes` says of the box that failed
_CUT_OFF, _CONTRADICTED = 1, 2


class Pages:
    """The pages of an index, and which of them have been checked.

    Parameters
    ----------
    source : FileSource
    index : FrameIndex

    Attributes
    ----------
    index : FrameIndex
        With the real chain of a file in the place of a prediction that a page contradicted.
    proven : dict of int to ndarray of bool
        By file, where its pages are predicted: which of them have been checked.
    """

    def __init__(self, source: FileSource, index: FrameIndex) -> None:
        self.source = source
        self.index = index
        self.proven = {file: np.zeros(run.count, np.bool_) for file, run in enumerate(index.runs) if run.check}
        self._lock = ForkSafeLock()

    @cached_property
    def frame_pages(self) -> list[native.FramePages]:
        """The pages of each file as `native.FrameReader` takes them."""
        return [self._frame_pages_of(file, run) for file, run in enumerate(self.index.runs)]

    def _frame_pages_of(self, file: int, run: PageRun) -> native.FramePages:
        check, (offset, stride, nbytes) = run.check, run.first_segments()
        if check is None:
            return native.FramePages(run.count, offset, stride, nbytes)
        return native.FramePages(
            run.count, offset, stride, nbytes,
            check.template, check.offset, check.stride, check.last_page, self.proven[file],
        )  # fmt: skip

    def read_boxes(
        self,
        file: int,
        run: PageRun,
        page: Int64,
        offset: Int64,
        rows: int,
        row_nbytes: int,
        file_stride: int,
        out: NDArray[np.uint8],
        out_offset: Int64,
        out_stride: int,
        swapped: int,
    ) -> bool:
        """Read a box of each page, and the headers of pages that have not been checked.

        Parameters
        ----------
        file : int
        run : PageRun
            What `offset` was taken from: another thread may have replaced it by now.
        page, offset, out_offset : ndarray of int64
            Pages of the file; where their boxes begin in it and in `out`.
        rows, row_nbytes : int
            Extent of a box.
        file_stride, out_stride : int
            Bytes from one row to the next.
        out : ndarray of uint8, 1-D
        swapped : int
            Bytes whose order is reversed together; 1 for none.

        Returns
        -------
        bool
            False where a page contradicted the prediction: the file's pages have been found anew, and nothing is read.
        """
        header = self._unproven(file, run, page)
        with self.source.lease((file,)) as descriptors:
            failed, kind, value = native.read_boxes(
                np.full(page.shape, descriptors[file], np.int64),
                offset,
                np.full(page.shape, rows, np.int64),
                out_offset,
                row_nbytes,
                file_stride,
                out,
                out_stride,
                swapped,
                worker_count(page.size * (rows * row_nbytes or SMALL_READ_BYTES)),
                **header,
            )
        if failed < 0:
            if header:
                self.proven[file][page] = True
            return True
        if kind != _CONTRADICTED:
            raise self._failure(file, int(page[failed]), kind, value)
        self._find_anew(file, int(page[failed]))
        return False

    def _unproven(self, file: int, run: PageRun, page: Int64) -> dict[str, Any]:
        """Headers to check; nothing where all pages have been."""
        check = run.check
        if check is None or self.proven[file][page].all():
            return {}
        delta = page * check.stride
        return {
            "template": check.template,
            "header_offset": np.where(self.proven[file][page], -1, check.offset + delta),
            "delta": delta,
            "last": (page == check.last_page).astype(np.uint8),
        }

    def _find_anew(self, file: int, page: int) -> None:
        """Replace a prediction that a page contradicts by the chain as it is."""
        with self._lock:
            run = self.index.runs[file]
            if run.check is None:
                return
            listed = run.check.relist()
            if listed.count != run.count:
                raise Malformed(
                    f"page {page} is not where the file's even spacing puts it, and the chain has other frames",
                    path=self.source.paths[file],
                    found=f"{listed.count} pages by the chain",
                    expected=f"{run.count} pages by spacing",
                    hint="Open it again with walk=True (--open-option walk=true)",
                )
            self.index = self.index.with_run(file, listed)
            # made by another thread before the line above, what was predicted stays: its pages are still checked
            self.frame_pages[file] = self._frame_pages_of(file, listed)

    def _failure(self, file: int, page: int, kind: int, value: int) -> GalvoError:
        path = self.source.paths[file]
        if kind == _CUT_OFF:
            hint = "The frames before it can be read"
            return Truncated(f"page {page} is cut off", path=path, offset=value, hint=hint)
        return ReadError(os.strerror(value), path=path)

    def prove(self, file: int, page: Int64) -> None:
        """Check the headers of predicted pages that nobody has read yet; where one differs, the chain is walked."""
        run = self.index.runs[file]
        if run.check is not None and not self.proven[file][page].all():
            nothing = np.zeros(page.shape, np.int64)
            self.read_boxes(file, run, page, nothing, 0, 1, 1, np.empty(0, np.uint8), nothing, 1, 1)

    def prove_all(self) -> None:
        """Check every page of every file, those too that no frame shows."""
        for file, run in enumerate(self.index.runs):
            if run.check is not None:
                for first in range(0, run.count, _PROVED_TOGETHER):
                    self.prove(file, np.arange(first, min(run.count, first + _PROVED_TOGETHER), dtype=np.int64))

    def refuse_missing(self, page: Int64, t: Int64, c: Int64, z: Int64) -> None:
        """Raise `DamagedData` where a plane has no page."""
        missing = page < 0
        if missing.any():
            at = int(np.argmax(missing))
            place = ", ".join(f"{letter}={int(axis[at])}" for letter, axis in zip("tcz", (t, c, z), strict=True))
            raise DamagedData(
                f"no file holds the plane {place}",
                path=self.source.paths[0],
                hint="Select planes that are there; `frame_table` gives -1 as the file of the others",
            )

    def refuse_absent(self, file: int, page: Int64, offset: Int64) -> None:
        """Raise `DamagedData` where pixels have no place in the file."""
        absent = offset < 0
        if absent.any():
            raise DamagedData(
                f"page {int(page[np.argmax(absent)])} was never written",
                path=self.source.paths[file],
                hint="The frames before it can be read",
            )
