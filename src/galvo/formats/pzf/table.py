"""Blobs in HDF5: a variable-length dataset of bytes with one row per frame, and a table of what each row is.

::

    /PZFImageData    (frames,) variable-length u8, one blob per row
    /PZFImageIndex   (frames,) compound: FrameNum, Position (the row in PZFImageData)
    /galvo/kept      (bytes,) u8: JSON (`kept_json`), where galvo wrote the file

Rows are read in the order of FrameNum. Source: PZF wire format, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.output import Outlet
from galvo.errors import DamagedData, Malformed, ReadError
from galvo.formats.hdf5.access import opened, written
from galvo.formats.hdf5.guard import contained
from galvo.formats.hdf5.schema import create_subgroup
from galvo.limits import Limits

__all__ = ["TableBlobs", "create_table", "finish_table", "put_rows"]

DATA = "PZFImageData"
INDEX = "PZFImageIndex"
KEPT = "galvo/kept"

_HEADER_BYTES = 64
_KEPT_CHUNK = 16 << 10


class TableBlobs:
    """Blobs of an HDF5 file, which is opened for each read.

    Parameters
    ----------
    path : str
    limits : Limits

    Attributes
    ----------
    kept : bytes or None
        What galvo wrote beside the blobs.
    """

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._closed = False
        with opened(path) as file:
            data = _data(file, path)
            limits.check("page_count", data.shape[0], path=path)
            self._rows = _rows(file, data.shape[0], path)
            kept = contained(file, KEPT)
            is_kept = isinstance(kept, h5py.Dataset) and kept.dtype == np.uint8 and kept.ndim == 1
            if is_kept:
                limits.check("text_bytes", kept.size, path=path)
            self.kept = kept[...].tobytes() if is_kept else None

    def __len__(self) -> int:
        return int(self._rows.size)

    def path(self, number: int) -> str:
        """The one file."""
        return self._path

    def read(self, number: int) -> memoryview:
        """A row."""
        if self._closed:
            raise ReadError("the recording is closed", path=self._path, hint="Open it again")
        with opened(self._path) as file:
            blob = _data(file, self._path)[int(self._rows[number])]
        if not isinstance(blob, np.ndarray) or blob.dtype != np.uint8 or not blob.size:
            raise DamagedData(f"row {self._rows[number]} of {DATA} holds no blob", path=self._path)
        self._limits.check("frame_bytes", blob.nbytes, path=self._path)
        return memoryview(blob.data)

    def read_head(self, number: int) -> bytes:
        """The beginning of a row."""
        return bytes(self.read(number)[:_HEADER_BYTES])

    def place(self, number: Int64) -> dict[str, NDArray[Any]]:
        """Rows of the one file."""
        return {"file": np.zeros_like(number), "page": self._rows[number]}

    def close(self) -> None:
        """Reading ends here; nothing is kept open."""
        self._closed = True


def _data(file: Any, path: str) -> Any:
    data = contained(file, DATA)
    if not isinstance(data, h5py.Dataset) or data.ndim != 1 or h5py.check_vlen_dtype(data.dtype) != np.uint8:
        raise Malformed(f"/{DATA} is no dataset of blobs", path=path)
    return data


def _rows(file: Any, count: int, path: str) -> NDArray[np.int64]:
    """Rows in the order of their frames."""
    index = contained(file, INDEX)
    if index is None:
        return np.arange(count, dtype=np.int64)
    names = index.dtype.names if isinstance(index, h5py.Dataset) and index.ndim == 1 else None
    if not names or not {"FrameNum", "Position"} <= set(names):
        raise Malformed(f"/{INDEX} is no table of FrameNum and Position", path=path)
    if index.shape[0] > count:
        raise Malformed(f"/{INDEX} names more frames than /{DATA} has", path=path, found=index.shape[0], expected=count)
    table = index[...]
    rows = table["Position"].astype(np.int64)
    if rows.size and (int(rows.min()) < 0 or int(rows.max()) >= count):
        raise Malformed(f"/{INDEX} names rows that /{DATA} does not have", path=path, expected=f"0 to {count - 1}")
    ordered: NDArray[np.int64] = rows[np.argsort(table["FrameNum"], kind="stable")]
    return ordered


# ---- writing --------------------------------------------------------------------------------------------------------

_INDEX_DTYPE = np.dtype([("FrameNum", "<u4"), ("Position", "<u4")])
_ROWS_TOGETHER = 1024


def create_table(output: Outlet, kept: bytes) -> None:
    """Lay out an empty table, and what is known before the first frame."""
    with written(output, "w") as file:
        _create(file, DATA, h5py.h5t.vlen_create(h5py.h5t.NATIVE_UINT8), _ROWS_TOGETHER)
        _create(file, INDEX, h5py.h5t.py_create(_INDEX_DTYPE), _ROWS_TOGETHER)
        create_subgroup(file, KEPT.partition("/")[0])
        _create(file, KEPT, h5py.h5t.STD_U8LE, _KEPT_CHUNK)
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


def put_rows(output: Outlet, numbers: Sequence[int], blobs: Sequence[bytes]) -> None:
    """Append blobs, and which frames they are."""
    with written(output, "r+") as file:
        data, index = file[DATA], file[INDEX]
        start, stop = index.shape[0], index.shape[0] + len(blobs)
        data.resize((stop,))
        index.resize((stop,))
        rows = np.empty(len(blobs), object)
        rows[:] = [np.frombuffer(blob, np.uint8) for blob in blobs]
        data[start:stop] = rows
        table = np.empty(len(blobs), _INDEX_DTYPE)
        table["FrameNum"], table["Position"] = numbers, np.arange(start, stop)
        index[start:stop] = table


def finish_table(output: Outlet, kept: bytes) -> None:
    """Write all that is kept beside the frames."""
    with written(output, "r+") as file:
        _put_kept(file, kept)
