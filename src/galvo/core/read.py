"""The one place that turns bytes into arrays.

Uncompressed pixels go from the file straight into the output, in parallel where it pays, byte order included;
compressed chunks are read, decoded and cut in a pool of threads.
"""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
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
from galvo.core.transpose import transpose_into
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, Truncated

__all__ = ["SMALL_READ_BYTES", "CanvasReader", "IndexedReader", "Reader", "coverage_of", "worker_count"]

_PARALLEL_BYTES = 4 << 20
_SCRATCH_BYTES = 32 << 20
_ROW_GAP_BYTES = 8 << 10
_PROVED_PAGES = 1 << 20
_BUNCH_BYTES = 4 << 20
# what writers leave between segments that follow each other
_PADDING_BYTES = 64
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


@dataclass(frozen=True, slots=True)
class _Segment:
    """A strip or tile that a selection meets.

    Attributes
    ----------
    gy, gx : int
        Its place in the grid.
    inside, outside : (positions, positions)
        Rows and columns in the segment, and in the output.
    place : tuple
        `outside` as NumPy takes it behind three slices.
    """

    gy: int
    gx: int
    inside: tuple[Indices, Indices]
    outside: tuple[Indices, Indices]
    place: tuple[Any, Any]

    @classmethod
    def of(cls, y: Piece, x: Piece) -> _Segment:
        """From the pieces of two axes."""
        rows, columns = outer_index([y[2], x[2]])
        return cls(y[0], x[0], (y[1], x[1]), (y[2], x[2]), (rows, columns))


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
            self._frame_pages,
            index.first_page[:-1],
            *index.order.places(selection.axes[:3]),
            row_nbytes,
            y[0] * row_nbytes + x[0] * self.dtype.itemsize,
            len(y),
            len(x),
            self.dtype,
            self._swap,
        )

    @cached_property
    def _frame_pages(self) -> list[native.FramePages]:
        return [self._frame_pages_of(file, run) for file, run in enumerate(self.index.runs)]

    def _frame_pages_of(self, file: int, run: PageRun) -> native.FramePages:
        check, (offset, stride, nbytes) = run.check, run.first_segments()
        if check is None:
            return native.FramePages(run.count, offset, stride, nbytes)
        return native.FramePages(
            run.count, offset, stride, nbytes,
            check.template, check.offset, check.stride, check.last_page, self._proven[file],
        )  # fmt: skip

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
        self._refuse_missing(page, t, c, z)
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
                    hint="Open it again with walk=True (--open-option walk=true)",
                )
            self.index = self.index.with_run(file, listed)
            # made by another thread before the line above, what was predicted stays: its pages are still checked
            self._frame_pages[file] = self._frame_pages_of(file, listed)

    def _refuse_missing(self, page: Int64, t: Int64 | int, c: Int64 | int, z: Int64 | int) -> None:
        missing = page < 0
        if missing.any():
            at = int(np.argmax(missing))
            place = ", ".join(
                f"{letter}={int(np.atleast_1d(axis)[at])}" for letter, axis in zip("tcz", (t, c, z), strict=True)
            )
            raise DamagedData(
                f"no file holds the plane {place}",
                path=self.source.paths[0],
                hint="Select planes that are there; `frame_table` gives -1 as the file of the others",
            )

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
        """Page by page, in threads where it pays; pages too few for all threads are split into parts."""
        index = self.index
        pieces = [split_by_chunk(axis, chunk) for axis, chunk in zip(selection.axes, index.chunk_shape, strict=True)]
        pages = list(product(*pieces[:3]))
        segments = [_Segment.of(y, x) for y, x in product(*pieces[3:])]
        workers = worker_count(out.nbytes)
        parts = 1 if len(pages) >= 2 * workers else min(workers, len(segments))
        size = -(-len(segments) // parts)
        jobs = [(page, segments[lo : lo + size]) for page in pages for lo in range(0, len(segments), size)]
        if workers == 1 or len(jobs) == 1:
            for page, part in jobs:
                self._decode_page(page, part, out)
            return
        # one thread takes several jobs at once: handing over a job costs as much as decoding a small one
        bunch = max(1, min(len(jobs) // (4 * workers), _BUNCH_BYTES * len(jobs) // out.nbytes))

        def work(first: int) -> None:
            for page, part in jobs[first : first + bunch]:
                self._decode_page(page, part, out)

        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(work, range(0, len(jobs), bunch)):
                pass

    def _decode_page(self, page: tuple[Piece, ...], segments: list[_Segment], out: NDArray[Any]) -> None:
        """Decode segments of one page into their places."""
        index = self.index
        (gt, *_), (gc, *_), (gz, *_) = page
        number = index.order.page_at(gt, gc, gz)
        if number < 0:
            place = (np.array([axis[0] * chunk]) for axis, chunk in zip(page, index.chunk_shape, strict=False))
            self._refuse_missing(np.array([number]), *place)
        file = bisect_right(self._first_pages, number) - 1
        local = number - self._first_pages[file]
        if index.runs[file].check is not None and not self._proven[file][local]:
            self.prove_pages(file, np.array([local], np.int64))
        plane = gc * index.grid[0] * index.grid[1] if index.planar else 0
        wanted = np.array([plane + segment.gy * index.grid[1] + segment.gx for segment in segments], np.int64)
        where = np.full(wanted.shape, local, np.int64)
        offset, nbytes = self.index.runs[file].locate(where, wanted)
        self._refuse_absent(file, where, offset)
        target = out[outer_index([piece[2] for piece in page])]
        # a view of `out`, unless positions are in no order
        is_view = np.may_share_memory(target, out)
        inner = [piece[1] for piece in page]
        letters = [letter for letter in AXES if letter in index.stored_axes]
        order = [index.stored_axes.index(letter) for letter in letters]
        is_turned = index.stored_axes.index("X") < index.stored_axes.index("Y")
        # whole chunks that lie in `out` as in the file are decoded straight to there
        is_direct = is_view and order == list(range(len(order))) and all(_is_run(axis) for axis in inner)
        for segment, start, data in zip(segments, offset.tolist(), self._stored(file, offset, nbytes), strict=True):
            if is_direct and all(map(_is_run, segment.inside)):
                place = target[(slice(None),) * 3 + segment.place]
                if place.flags.c_contiguous and self._decoded_into(data, place, segment.gy):
                    continue
            chunk, lengths = self._decoded(data, segment.gy, file, local, start)
            if order != list(range(len(order))):
                chunk = chunk.transpose(order)
            chunk = chunk.reshape([lengths[letter] if letter in letters else 1 for letter in AXES])
            part = chunk[outer_index([*inner, *segment.inside])]
            if is_view:
                place = target[(slice(None),) * 3 + segment.place]
                if is_turned:
                    transpose_into(place, part)
                else:
                    place[...] = part
            else:
                out[outer_index([*(piece[2] for piece in page), *segment.outside])] = part

    def _decoded_into(self, data: memoryview | bytes, place: NDArray[Any], gy: int) -> bool:
        """Whether a chunk is now in its place."""
        index = self.index
        shape = list(index.chunk_shape)
        if not index.padded:
            shape[3] = min(shape[3], index.shape[3] - gy * shape[3])
        if place.shape != tuple(shape):
            return False
        with suppress(DamagedData):
            # what does not decode is decoded again, for its message
            return index.codec.decode_into(data, place, index.dtype)
        return False

    def _decoded(
        self, data: memoryview | bytes, gy: int, file: int, local: int, start: int
    ) -> tuple[NDArray[Any], dict[str, int]]:
        """A chunk in its stored axes, and its lengths by letter."""
        index = self.index
        lengths = dict(zip(AXES, index.chunk_shape, strict=True))
        whole = lengths["Y"]
        if not index.padded:
            lengths["Y"] = min(whole, index.shape[3] - gy * whole)
        x_axis = index.stored_axes.index("X")

        def decode() -> NDArray[Any]:
            return index.codec.decode(data, tuple(lengths[one] for one in index.stored_axes), index.dtype, x_axis)

        try:
            return decode(), lengths
        except DamagedData as error:
            if lengths["Y"] < whole:
                # some writers fill the last strip
                lengths["Y"] = whole
                with suppress(DamagedData):
                    return decode(), lengths
            raise DamagedData(
                f"page {local}: {error.message}",
                path=self.source.paths[file],
                offset=start,
                found=error.found,
                expected=error.expected,
            ) from error

    def _stored(self, file: int, offset: Int64, nbytes: Int64) -> Iterator[memoryview | bytes]:
        """The stored bytes of segments of one page: by one read where they lie behind each other."""
        if offset.size == 1:
            yield self.source.read(file, int(offset[0]), int(nbytes[0]))
            return
        start, stop = int(offset.min()), int((offset + nbytes).max())
        if 0 <= stop - start <= int(nbytes.sum()) + _PADDING_BYTES * offset.size:
            block = memoryview(self.source.read(file, start, stop - start))
            for at, size in zip((offset - start).tolist(), nbytes.tolist(), strict=True):
                yield block[at : at + size]
            return
        for at, size in zip(offset.tolist(), nbytes.tolist(), strict=True):
            yield self.source.read(file, at, size)

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


def _is_run(positions: Indices) -> bool:
    return isinstance(positions, range) and positions.step == 1


def _swapped_bytes(stored: np.dtype[Any]) -> int:
    """Bytes whose order is to be reversed together; 1 for none."""
    if stored == stored.newbyteorder("="):
        return 1
    return stored.itemsize // 2 if stored.kind == "c" else stored.itemsize
