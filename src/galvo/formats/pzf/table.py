"""Blobs in HDF5: a variable-length dataset of bytes with one row per frame, and a table of what each row is.

::

    /PZFImageData    (frames,) variable-length u8, one blob per row; attribute pixel_shift: what was added to int16
    /PZFImageIndex   (frames,) compound: FrameNum, Position (the row in PZFImageData)
    /galvo/kept      (bytes,) u8: JSON (`kept_json`), where galvo wrote the file

Rows are read in the order of FrameNum; without an index in their own. Source: PZF wire format, section 7.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.output import Outlet
from galvo.core.source import FileSource
from galvo.errors import DamagedData, Malformed
from galvo.formats.hdf5.access import opened, written
from galvo.formats.hdf5.guard import contained
from galvo.formats.hdf5.schema import create_subgroup
from galvo.formats.pzf.folder import MOST_OVERHEAD
from galvo.formats.pzf.heap import Heaps, stored_elements
from galvo.limits import Limits

__all__ = ["TableBlobs", "create_table", "finish_table", "put_rows"]

DATA = "PZFImageData"
INDEX = "PZFImageIndex"
KEPT = "galvo/kept"
SHIFT = "pixel_shift"

_HEADER_BYTES = 64
_KEPT_CHUNK = 16 << 10
_ROWS_TOGETHER = 32


class TableBlobs:
    """Blobs of an HDF5 file; libhdf5 only says where their rows are.

    Parameters
    ----------
    path : str
    limits : Limits

    Attributes
    ----------
    numbers : ndarray of int64
        Frame numbers in order.
    kept : bytes or None
        What galvo wrote beside the blobs.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._source = FileSource([path])
        self._heaps = Heaps(self._source)
        try:
            with opened(path) as file:
                self._places = stored_elements(_data(file, path), self._source, limits)
                self.numbers, self._rows = _index(file, self._source, self._places.size, limits)
                kept = contained(file, KEPT)
                is_kept = isinstance(kept, h5py.Dataset) and kept.dtype == np.uint8 and kept.ndim == 1
                self.kept = stored_elements(kept, self._source, limits).tobytes() if is_kept else None
        except BaseException:
            self._source.close()
            raise

    def __len__(self) -> int:
        return int(self._rows.size)

    def path(self, position: int) -> str:
        """The one file."""
        return self._path

    def nbytes(self, position: int) -> int:
        """Bytes of a row, as it says."""
        return min(int(self._places[self._rows[position]]["nbytes"]), self._source.size(0))

    def read(self, position: int) -> memoryview:
        """A row."""
        return self._read(position, None)

    def read_head(self, position: int) -> bytes:
        """The beginning of a row."""
        return bytes(self._read(position, _HEADER_BYTES))

    def _read(self, position: int, most_bytes: int | None) -> memoryview:
        place = self._places[self._rows[position]]
        if not place["nbytes"]:
            raise DamagedData(f"row {self._rows[position]} of /{DATA} is empty", path=self._path)
        self._limits.check(
            "frame_bytes", int(place["nbytes"]) - MOST_OVERHEAD, path=self._path, offset=int(place["address"])
        )
        return self._heaps.read(place, most_bytes)

    def place(self, position: Int64) -> dict[str, NDArray[Any]]:
        """Rows of the one file."""
        return {"file": np.zeros_like(position), "page": self._rows[position]}

    def close(self) -> None:
        """Close the file."""
        self._source.close()


def _data(file: Any, path: str) -> Any:
    data = contained(file, DATA)
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 or h5py.check_vlen_dtype(data.dtype) != np.uint8:
        raise Malformed(f"/{DATA} is no dataset of blobs", path=path)
    return data


def _index(file: Any, source: FileSource, count: int, limits: Limits) -> tuple[Int64, Int64]:
    """Frame numbers in order, and their rows."""
    path, index = source.paths[0], contained(file, INDEX)
    if index is None:
        return np.arange(count, dtype=np.int64), np.arange(count, dtype=np.int64)
    fields = index.dtype.fields if isinstance(index, h5py.Dataset) and index.ndim == 1 else None
    kinds = [fields[name][0].kind if name in fields else "" for name in ("FrameNum", "Position")] if fields else [""]
    if not set(kinds) <= {"i", "u"}:
        raise Malformed(f"/{INDEX} is no table of FrameNum and Position", path=path)
    if index.shape[0] > count:
        raise Malformed(f"/{INDEX} names more frames than /{DATA} has", path=path, found=index.shape[0], expected=count)
    table = stored_elements(index, source, limits)
    numbers, rows = table["FrameNum"].astype(np.int64), table["Position"].astype(np.int64)
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise Malformed(f"/{INDEX} names rows that /{DATA} does not have", path=path, expected=f"0 to {count - 1}")
    order = np.argsort(numbers, kind="stable")
    return numbers[order], rows[order]


# ---- writing --------------------------------------------------------------------------------------------------------

_INDEX_DTYPE = np.dtype([("FrameNum", "<u4"), ("Position", "<u4")])
_ROWS_TOGETHER = 1024


def create_table(output: Outlet, kept: bytes, pixel_shift: int) -> None:
    """Lay out an empty table, and what is known before the first frame."""
    with written(output, "w") as file:
        _create(file, DATA, h5py.h5t.vlen_create(h5py.h5t.NATIVE_UINT8), _ROWS_TOGETHER)
        _create(file, INDEX, h5py.h5t.py_create(_INDEX_DTYPE), _ROWS_TOGETHER)
        create_subgroup(file, KEPT.partition("/")[0])
        _create(file, KEPT, h5py.h5t.STD_U8LE, _KEPT_CHUNK)
        if pixel_shift:
            file[DATA].attrs[SHIFT] = pixel_shift
        _put_kept(file, kept)


def _create(file: Any, name: str, dtype: Any, chunk: int) -> None:
    """A growing dataset that does not record the time: equal content is equal bytes."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_obj_track_times(False)
    plist.set_chunk((chunk,))
    space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    h5py.h5d.create(file.id, name.encode(), dtype, space, dcpl=plist)


def _put_kept(file: Any, kept: bytes) -> None:
    file[KEPT].resize((len(kept),))
    file[KEPT][...] = np.frombuffer(kept, np.uint8)


def put_rows(output: Outlet, numbers: Sequence[int], blobs: Iterator[bytes]) -> None:
    """Append blobs, and which frames they are."""
    with written(output, "r+") as file:
        data, index = file[DATA], file[INDEX]
        start, stop = index.shape[0], index.shape[0] + len(numbers)
        data.resize((stop,))
        index.resize((stop,))
        for first in range(start, stop, _ROWS_TOGETHER):
            some = [np.frombuffer(blob, np.uint8) for blob in islice(blobs, _ROWS_TOGETHER)]
            rows = np.empty(len(some), h5py.vlen_dtype(np.uint8))
            for row, blob in enumerate(some):
                rows[row] = blob
            # h5py's own assignment makes a matrix of rows that happen to have one length
            space = data.id.get_space()
            space.select_hyperslab((first,), (len(some),))
            data.id.write(h5py.h5s.create_simple((len(some),)), space, rows, h5py.h5t.py_create(rows.dtype))
        table = np.empty(len(numbers), _INDEX_DTYPE)
        table["FrameNum"], table["Position"] = numbers, np.arange(start, stop)
        index[start:stop] = table


def finish_table(output: Outlet, kept: bytes) -> None:
    """Write all that is kept beside the frames."""
    with written(output, "r+") as file:
        _put_kept(file, kept)
