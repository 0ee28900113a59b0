"""The one place that turns bytes into arrays.

`IndexedReader` says which way a selection goes: `gather` where pixels lie as they are, `decode` for all others; both
ask `pages` where that is. A single frame takes neither (`IndexedReader.frames`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import Shape
from galvo.core.decode import read_decoded
from galvo.core.gather import has_whole_rows, read_rows, swapped_bytes
from galvo.core.index import FrameIndex, Int64
from galvo.core.pages import Pages
from galvo.core.selection import Selection, spans
from galvo.core.source import FileSource

__all__ = ["IndexedReader"]

_SCRATCH_BYTES = 32 << 20
_ROW_GAP_BYTES = 8 << 10


class IndexedReader:
    """Reads the frames that a `FrameIndex` locates in a `FileSource`.

    Parameters
    ----------
    source : FileSource
    index : FrameIndex
    """

    def __init__(self, source: FileSource, index: FrameIndex) -> None:
        self.source = source
        self.shape = index.shape
        self.dtype = index.dtype.newbyteorder("=")
        self.chunks: Shape = index.chunk_shape
        self._pages = Pages(source, index)
        self._has_whole_rows = has_whole_rows(index)
        is_page_a_frame = index.chunk_shape == (1, 1, 1, *index.shape[3:]) and not index.planar
        self._has_whole_frames = is_page_a_frame and self._has_whole_rows

    @property
    def index(self) -> FrameIndex:
        """Where the frames lie, as far as it is known by now."""
        return self._pages.index

    def frames(self, selection: Selection) -> native.FrameReader | None:
        """What reads single frames of a selection by integers; None where that takes more than one read of each.

        A frame comes out of the page cache in 14 µs, less than a handful of small NumPy calls take.
        """
        index, (y, x) = self.index, selection.axes[3:]
        dense = all(isinstance(axis, range) and axis.step == 1 and len(axis) > 0 for axis in (y, x))
        if not dense or not self._has_whole_frames:
            return None
        row_nbytes = self.shape[4] * self.dtype.itemsize
        return native.FrameReader(
            self.source.take,
            self._pages.frame_pages,
            index.first_page[:-1],
            *index.order.places(selection.axes[:3]),
            row_nbytes,
            y[0] * row_nbytes + x[0] * self.dtype.itemsize,
            len(y),
            len(x),
            self.dtype,
            swapped_bytes(index.dtype),
        )

    def close(self) -> None:
        """Close the files."""
        self.source.close()

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """File number and page within that file of each frame."""
        chunk = self.index.chunk_shape
        page = self.index.order.page(t // chunk[0], c // chunk[1], z // chunk[2])
        file = self.index.file_of(page)
        within = page - self.index.first_page[file]
        # a plane that no file holds
        return {"file": np.where(page < 0, -1, file), "page": np.where(page < 0, -1, within)}

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the selected pixels.

        Raises
        ------
        Truncated
            Bytes are missing from a file.
        Malformed
            A predicted page is not where the file's regularity puts it, and the real chain has other frames.
        DamagedData
            A chunk does not decode.
        """
        if out.size == 0:
            return
        dense = all(isinstance(axis, range) and axis.step == 1 for axis in (selection.y, selection.x))
        if dense:
            self._read_dense(selection, out)
            return
        row_nbytes = max(1, self.chunks[4] * self.dtype.itemsize)
        gap = max(1, _ROW_GAP_BYTES // row_nbytes)
        for first, stop, where in spans(selection.y, gap):
            x_first, x_stop = min(selection.x), max(selection.x) + 1
            rows = np.asarray(selection.y, np.int64)[where] - first
            columns = np.asarray(selection.x, np.int64) - x_first
            per_t = len(selection.c) * len(selection.z) * (stop - first) * (x_stop - x_first) * self.dtype.itemsize
            frames = max(1, _SCRATCH_BYTES // per_t)
            for lo in range(0, len(selection.t), frames):
                times = selection.t[lo : lo + frames]
                part = Selection(times, selection.c, selection.z, range(first, stop), range(x_first, x_stop))
                scratch = np.empty(part.shape, self.dtype)
                self._read_dense(part, scratch)
                out[lo : lo + frames, :, :, where, :] = scratch[..., rows[:, None], columns]

    def _read_dense(self, selection: Selection, out: NDArray[Any]) -> None:
        read = read_rows if self._has_whole_rows else read_decoded
        read(self._pages, selection, out)

    def prove(self) -> None:
        """Check every page of every file, those too that no frame shows."""
        self._pages.prove_all()

    def prove_pages(self, file: int, page: Int64) -> None:
        """Check pages of a file that nobody has read yet."""
        self._pages.prove(file, page)
