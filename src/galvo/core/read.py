"""The one place that turns bytes into arrays.

Uncompressed pixels go from the file straight into the output, in parallel where it pays, byte order included;
compressed chunks are read, decoded and cut in a pool of threads.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import AXES, Shape
from galvo.core.index import FrameIndex, Int64, PageRun
from galvo.core.lock import ForkSafeLock
from galvo.core.selection import Indices, Piece, Selection, outer_index, spans, split_by_chunk
from galvo.core.source import FileSource
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, Truncated

__all__ = ["SMALL_READ_BYTES", "CanvasReader", "IndexedReader", "Reader", "coverage_of", "worker_count"]

_PARALLEL_BYTES = 4 << 20
_SCRATCH_BYTES = 32 << 20
_ROW_GAP_BYTES = 8 << 10
_PROVED_PAGES = 1 << 20
# what a small read costs, expressed in bytes of a large one
SMALL_READ_BYTES = 8 << 10


class Reader(Protocol):
    """What a recording reads from: an index over files, an array, a container with a library of its own."""

    @property
    def shape(self) -> Shape:
        """Lengths of T C Z Y X."""

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """Type of the pixels, native byte order."""

    @property
    def chunks(self) -> Shape:
        """Extent of what is read at once."""

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`, C-contiguous, of the selection's shape and `dtype`."""

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns that say where frames lie: file, page; empty when there is nothing to say."""

    def prove(self) -> None:
        """Check what was predicted and has not been read yet."""

    def close(self) -> None:
        """Give back descriptors."""


@runtime_checkable
class CanvasReader(Protocol):
    """A reader that shows pixels which were never scanned."""

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned, (Z, Y, X)."""


def coverage_of(reader: Reader, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
    """Which pixels of a reader were scanned, (Z, Y, X): all, unless it says otherwise."""
    if isinstance(reader, CanvasReader):
        return reader.coverage(z, y, x)
    return np.ones((len(z), len(y), len(x)), np.bool_)


def worker_count(nbytes: int) -> int:
    """Threads that pay for moving `nbytes`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, 16, nbytes // _PARALLEL_BYTES))


def _cut(rows: NDArray[Any], columns: range) -> NDArray[Any]:
    return rows if len(columns) == rows.shape[1] else rows[:, columns.start : columns.stop].copy()


class IndexedReader:
    """Reads the frames that a `FrameIndex` locates in a `FileSource`.

    Parameters
    ----------
    source : FileSource
    index : FrameIndex
    """

    def __init__(self, source: FileSource, index: FrameIndex) -> None:
        self.source = source
        self.index = index
        self.shape = index.shape
        self.dtype = index.dtype.newbyteorder("=")
        self.chunks: Shape = index.chunk_shape
        self._lock = ForkSafeLock()
        self._proven = {number: np.zeros(run.count, np.bool_) for number, run in enumerate(index.runs) if run.check}
        self._swap = _swapped_bytes(index.dtype)
        self._first_pages = index.first_page[:-1].tolist()
        whole = index.chunk_shape == (1, 1, 1, *index.shape[3:]) and not index.planar
        self._has_whole_frames = whole and self._is_direct

    def read_frame(self, t: int, c: int, z: int, rows: range, columns: range) -> NDArray[Any] | None:
        """A part of one frame (Y, X), by integers where `read` goes by arrays; None where that must serve it.

        A frame takes 10 µs to come out of the page cache, less than a handful of small NumPy calls. Rows are read
        whole.
        """
        if not self._has_whole_frames:
            return None
        index = self.index
        order, page = index.order, index.order.start + c * index.order.c + z * index.order.z
        page += t * order.t if isinstance(order.t, int) else int(order.t[t])
        file = bisect_right(self._first_pages, page) - 1
        local = page - self._first_pages[file]
        run = index.runs[file]
        offset, nbytes = run.locate_first(local)
        width = self.shape[4]
        skip = rows.start * width * self.dtype.itemsize
        out = np.empty((len(rows), width), self.dtype)
        if offset < 0 or nbytes < skip + out.nbytes:
            return None
        offset += skip
        descriptor = self.source.take(file)
        try:
            check = run.check
            if check is None or self._proven[file][local]:
                failed = native.read_page(descriptor, offset, out, self._swap)[0]
                return None if failed else _cut(out, columns)
            delta = local * check.stride
            header, last = check.offset + delta, local == check.last_page
            if native.read_page(descriptor, offset, out, self._swap, check.template, header, delta, last)[0]:
                return None
        finally:
            self.source.give_back(file)
        self._proven[file][local] = True
        return _cut(out, columns)

    def close(self) -> None:
        """Close the files."""
        self.source.close()

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """File number and page within that file of each frame."""
        chunk = self.index.chunk_shape
        page = self.index.order.page(t // chunk[0], c // chunk[1], z // chunk[2])
        file = self.index.file_of(page)
        return {"file": file, "page": page - self.index.first_page[file]}

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
        if self._is_direct:
            self._read_direct(selection, out)
        else:
            self._read_decoded(selection, out)

    @property
    def _is_direct(self) -> bool:
        """Rows of one frame lie whole in the file: no decoding, no samples between the pixels."""
        axes = self.index.stored_axes
        return self.index.codec.is_raw and axes == "".join(letter for letter in AXES if letter in axes)

    # ---- uncompressed ------------------------------------------------------------------------------------------------

    def _read_direct(self, selection: Selection, out: NDArray[Any]) -> None:
        index, itemsize = self.index, self.dtype.itemsize
        t, c, z = (np.asarray(axis, np.int64) for axis in (selection.t, selection.c, selection.z))
        t, c, z = (grid.ravel() for grid in np.meshgrid(t, c, z, indexing="ij"))
        ct, cc, cz, cy, cx = index.chunk_shape
        page = index.order.page(t // ct, c // cc, z // cz)
        inside = ((t % ct) * cc + c % cc) * cz + z % cz
        frame_nbytes = out.shape[3] * out.shape[4] * itemsize
        frame_start = np.arange(page.size, dtype=np.int64) * frame_nbytes
        flat = out.reshape(-1).view(np.uint8)
        plane = c // cc * (index.grid[0] * index.grid[1]) if index.planar else np.zeros(page.shape, np.int64)
        for segment, rows, columns, file_box, out_box in self._boxes(selection):
            height = cy if index.padded else min(cy, index.shape[3] - (segment // index.grid[1]) * cy)
            skip = (inside * height + file_box[0]) * cx * itemsize + file_box[1] * itemsize
            self._gather(
                page,
                plane + segment,
                skip,
                rows,
                columns * itemsize,
                cx * itemsize,
                flat,
                frame_start + (out_box[0] * out.shape[4] + out_box[1]) * itemsize,
                out.shape[4] * itemsize,
            )

    def _boxes(self, selection: Selection) -> Iterator[tuple[int, int, int, tuple[int, int], tuple[int, int]]]:
        """Chunks that the wanted rectangle meets: segment, rows, columns, corner in the chunk, corner in the output."""
        (_, _, _, cy, cx), (_, grid_x) = self.index.chunk_shape, self.index.grid
        y0, y1, x0, x1 = selection.y[0], selection.y[-1] + 1, selection.x[0], selection.x[-1] + 1
        for gy, gx in product(range(y0 // cy, -(-y1 // cy)), range(x0 // cx, -(-x1 // cx))):
            top, left = max(y0, gy * cy), max(x0, gx * cx)
            bottom, right = min(y1, (gy + 1) * cy), min(x1, (gx + 1) * cx)
            yield (
                gy * grid_x + gx,
                bottom - top,
                right - left,
                (top - gy * cy, left - gx * cx),
                (top - y0, left - x0),
            )

    def _gather(
        self,
        page: Int64,
        segment: Int64,
        skip: Int64,
        rows: int,
        row_nbytes: int,
        file_stride: int,
        flat: NDArray[np.uint8],
        out_offset: Int64,
        out_stride: int,
    ) -> None:
        for file, where, local in self.index.split_by_file(page):
            run = self.index.runs[file]
            offset, nbytes = run.locate(local, segment[where])
            self._refuse_absent(file, local, offset)
            first, last = skip[where], skip[where] + (rows - 1) * file_stride + row_nbytes
            short = last > nbytes
            if short.any():
                at = int(np.argmax(short))
                raise Malformed(
                    f"page {int(local[at])} holds too few pixel bytes",
                    path=self.source.paths[file],
                    offset=int(offset[at]),
                    found=int(nbytes[at]),
                    expected=f"at least {int(last[at])}",
                )
            header = self._header_columns(run, file, local)
            swap = self._swap
            with self.source.lease((file,)) as descriptors:
                failed, kind, value = native.read_boxes(
                    np.full(local.shape, descriptors[file], np.int64),
                    offset + first,
                    np.full(local.shape, rows, np.int64),
                    np.ascontiguousarray(out_offset[where]),
                    row_nbytes,
                    file_stride,
                    flat,
                    out_stride,
                    swap,
                    worker_count(local.size * rows * row_nbytes),
                    **header,
                )
            if failed < 0:
                if header:
                    self._proven[file][local] = True
                continue
            if kind == 2:
                self._relist(file, int(local[failed]))
                again = np.arange(page.size)[where]
                columns = (page[again], segment[again], skip[again])
                self._gather(*columns, rows, row_nbytes, file_stride, flat, out_offset[again], out_stride)
                continue
            raise self._failure(file, int(local[failed]), kind, value)

    def _header_columns(self, run: PageRun, file: int, local: Int64) -> dict[str, Any]:
        # of the run whose offsets will be read: another thread may have replaced it by now
        check = run.check
        if check is None:
            return {}
        proven = self._proven[file]
        if proven[local].all():
            return {}
        delta = local * check.stride
        return {
            "template": check.template,
            "header_offset": np.where(proven[local], -1, check.offset + delta),
            "delta": delta,
            "last": (local == check.last_page).astype(np.uint8),
        }

    def _relist(self, file: int, page: int) -> None:
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
                    hint="Open it again with walk=True",
                )
            self.index = self.index.with_run(file, listed)

    def _refuse_absent(self, file: int, local: Int64, offset: Int64) -> None:
        absent = offset < 0
        if absent.any():
            raise DamagedData(
                f"page {int(local[np.argmax(absent)])} was never written",
                path=self.source.paths[file],
                hint="The frames before it can be read",
            )

    def _failure(self, file: int, page: int, kind: int, value: int) -> GalvoError:
        path = self.source.paths[file]
        if kind == 1:
            hint = "The frames before it can be read"
            return Truncated(f"page {page} is cut off", path=path, offset=value, hint=hint)
        return ReadError(os.strerror(value), path=path)

    # ---- compressed, or samples between the pixels -------------------------------------------------------------------

    def _read_decoded(self, selection: Selection, out: NDArray[Any]) -> None:
        index = self.index
        pieces = [split_by_chunk(axis, chunk) for axis, chunk in zip(selection.axes, index.chunk_shape, strict=True)]
        jobs = list(product(*pieces))
        workers = worker_count(out.nbytes)
        if workers == 1 or len(jobs) == 1:
            for job in jobs:
                self._decode_into(job, out)
            return
        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(lambda job: self._decode_into(job, out), jobs):
                pass

    def _decode_into(self, job: tuple[Piece, ...], out: NDArray[Any]) -> None:
        index = self.index
        gt, gc, gz, gy, gx = (piece[0] for piece in job)
        one = np.ones(1, np.int64)
        ((file, _, local),) = index.split_by_file(index.order.page(one * gt, one * gc, one * gz))
        self.prove_pages(file, local)
        plane = gc * index.grid[0] * index.grid[1] if index.planar else 0
        offset, nbytes = self.index.runs[file].locate(local, one * (plane + gy * index.grid[1] + gx))
        self._refuse_absent(file, local, offset)
        shape = list(index.chunk_shape)
        if not index.padded:
            shape[3] = min(shape[3], index.shape[3] - gy * shape[3])
        lengths = dict(zip(AXES, shape, strict=True))
        stored = tuple(lengths[letter] for letter in index.stored_axes)
        data = self.source.read(file, int(offset[0]), int(nbytes[0]))
        try:
            chunk = index.codec.decode(data, stored, index.dtype, index.stored_axes.index("X"))
        except DamagedData as error:
            raise DamagedData(
                f"page {int(local[0])}: {error.message}",
                path=self.source.paths[file],
                offset=int(offset[0]),
                found=error.found,
                expected=error.expected,
            ) from error
        present = [letter for letter in AXES if letter in index.stored_axes]
        chunk = chunk.transpose([index.stored_axes.index(letter) for letter in present])
        chunk = chunk.reshape([lengths[letter] if letter in present else 1 for letter in AXES])
        out[outer_index([piece[2] for piece in job])] = chunk[outer_index([piece[1] for piece in job])]

    def prove(self) -> None:
        """Check every page of every file, those too that no frame shows."""
        for file, run in enumerate(self.index.runs):
            if run.check is not None:
                for first in range(0, run.count, _PROVED_PAGES):
                    self.prove_pages(file, np.arange(first, min(run.count, first + _PROVED_PAGES), dtype=np.int64))

    def prove_pages(self, file: int, local: Int64) -> None:
        """Check the headers of predicted pages that nobody has read yet; where one differs, the chain is walked."""
        header = self._header_columns(self.index.runs[file], file, local)
        if not header:
            return
        nothing = np.zeros(local.shape, np.int64)
        with self.source.lease((file,)) as descriptors:
            descriptor = np.full(local.shape, descriptors[file], np.int64)
            failed, kind, value = native.read_boxes(
                descriptor, nothing, nothing, nothing, 1, 1, np.empty(0, np.uint8), 1, 1,
                worker_count(SMALL_READ_BYTES * local.size), **header,
            )  # fmt: skip
        if failed < 0:
            self._proven[file][local] = True
        elif kind == 2:
            self._relist(file, int(local[failed]))
        else:
            raise self._failure(file, int(local[failed]), kind, value)


def _swapped_bytes(stored: np.dtype[Any]) -> int:
    """Bytes whose order is to be reversed together; 1 for none."""
    if stored == stored.newbyteorder("="):
        return 1
    return stored.itemsize // 2 if stored.kind == "c" else stored.itemsize
