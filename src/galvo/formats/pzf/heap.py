"""Variable-length rows of an HDF5 dataset, read without libhdf5.

It has one lock, would be opened anew for every read, which takes ten times as long, and trusts the lengths in a heap.

::

    a row        u32 nbytes, u64 address of its collection, u32 number of its object
    collection   "GCOL", u8 version 1, 3 reserved, u64 size of the collection; then objects to its end
    object       u16 number (0: free space to the end), u16 references, 4 reserved, u64 nbytes, the bytes, padded to 8

Source: HDF5 file format specification, sections III.E (global heap) and IV.B (variable-length data).
"""

from __future__ import annotations

import struct
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.codec import Codec
from galvo.core.source import FileSource
from galvo.errors import DamagedData, Malformed, Truncated, Unsupported
from galvo.formats.hdf5.chunks import is_plain, stored_chunks
from galvo.formats.hdf5.filters import FILTER_STEPS
from galvo.limits import Limits

__all__ = ["Heaps", "stored_elements"]

_ROW = np.dtype([("nbytes", "<u4"), ("address", "<u8"), ("number", "<u4")])

_COLLECTION = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<HHIQ")
_HEAD_BYTES = _COLLECTION.size + _OBJECT.size
# libhdf5 makes no smaller collection
_LOOK_BYTES = 4096
_SMALL_BYTES = 1 << 17
_MOST_OBJECTS = 1 << 16


def stored_elements(dataset: Any, source: FileSource, limits: Limits) -> NDArray[Any]:
    """All elements of a 1-D dataset: `ROW` where they are of variable length, else as they are.

    Parameters
    ----------
    dataset : h5py.Dataset
    source : FileSource
        Its file.
    limits : Limits

    Raises
    ------
    Truncated, Malformed
        Elements were never written, or lie where they cannot.
    Unsupported
        A layout, a filter or a type that galvo has no reader for.
    """
    path, name = source.paths[0], dataset.name
    plist = dataset.file.id.get_create_plist()
    if plist.get_userblock() or plist.get_sizes() != (8, 8):
        raise Unsupported("an HDF5 file with a user block or short addresses", path=path, hint="h5repack rewrites it")
    dtype = _ROW if h5py.check_vlen_dtype(dataset.dtype) is not None else dataset.dtype
    if dtype.hasobject or (dtype is not _ROW and not is_plain(dataset)):
        raise Unsupported(f"{name} has elements that galvo does not read", path=path, found=str(dataset.dtype))
    (count,) = dataset.shape
    limits.check("page_count" if dtype.names else "text_bytes", count, path=path)
    layout = dataset.id.get_create_plist().get_layout()
    if not count:
        return np.empty(0, dtype)
    if layout == h5py.h5d.CHUNKED:
        return _chunked(dataset, dtype, source, limits)
    start = dataset.id.get_offset() if layout == h5py.h5d.CONTIGUOUS else None
    if start is None:
        raise Unsupported(f"{name} is not stored in chunks", path=path, hint="h5repack rewrites it")
    return np.frombuffer(source.read(0, start, count * dtype.itemsize), dtype)


def _chunked(dataset: Any, dtype: np.dtype[Any], source: FileSource, limits: Limits) -> NDArray[Any]:
    path, (count,), (step,) = source.paths[0], dataset.shape, dataset.chunks
    limits.check("chunk_bytes", step * dtype.itemsize, path=path)
    plist = dataset.id.get_create_plist()
    filters = [plist.get_filter(number)[0] for number in range(plist.get_nfilters())]
    infos = {info.chunk_offset[0]: info for info in stored_chunks(dataset, path)}
    if len(infos) < -(-count // step):
        raise Truncated(
            f"elements of {dataset.name} were never written",
            path=path,
            found=f"{len(infos)} chunks",
            expected=f"{-(-count // step)} chunks",
        )
    parts = []
    for start in range(0, count, step):
        info = infos.get(start)
        if info is None:
            raise Malformed(f"the chunks of {dataset.name} do not lie side by side", path=path)
        codec = _codec([code for number, code in enumerate(filters) if not info.filter_mask >> number & 1], path)
        data = source.read(0, info.byte_offset, info.size)
        try:
            # without filters, too: it refuses what is too short
            decoded = codec.decode(data, (step,), np.dtype(f"V{dtype.itemsize}"))
        except DamagedData as error:
            error.path = path
            raise
        parts.append(decoded[: count - start].view(dtype))
    return np.concatenate(parts)


def _codec(filters: list[int], path: str) -> Codec:
    unknown = [code for code in filters if code not in FILTER_STEPS]
    if unknown:
        raise Unsupported(f"HDF5 filter {unknown[0]} on rows of frames", path=path, hint="h5repack removes it")
    return Codec(tuple(FILTER_STEPS[code] for code in filters))


class Heaps:
    """The global heaps of a file.

    Parameters
    ----------
    source : FileSource
    """

    def __init__(self, source: FileSource) -> None:
        self._source = source
        # of the small collection that was read last: small rows share one, and are read one after the other
        self._last: tuple[int, dict[int, range]] = (-1, {})

    def read(self, row: Any, most_bytes: int | None = None) -> memoryview:
        """The bytes of a row.

        Parameters
        ----------
        row : np.void of `ROW`
        most_bytes : int, optional
            No more than these.

        Raises
        ------
        DamagedData
            The row leads nowhere.
        Malformed
            Its collection is none, or too small for it.
        Truncated
            The file ends before it.
        """
        source, path = self._source, self._source.paths[0]
        address, number, nbytes = int(row["address"]), int(row["number"]), int(row["nbytes"])
        wanted = nbytes if most_bytes is None else min(nbytes, most_bytes)
        if address >= source.size(0):
            raise DamagedData("a row leads beyond the end of the file", path=path, offset=address)
        known, places = self._last
        ahead = memoryview(b"")
        if known != address:
            # a large row has a collection of its own, and comes along
            ahead = memoryview(source.read_upto(0, address, max(_LOOK_BYTES, wanted + _HEAD_BYTES)))
            places = self._walk(address, ahead, number)
        place = places.get(number)
        if place is None or not number:
            raise DamagedData("a row leads to nothing in its heap", path=path, offset=address, found=f"object {number}")
        if len(place) < nbytes:
            raise Malformed(
                "a row is longer than what it leads to",
                path=path,
                offset=address + place.start,
                found=f"{nbytes} bytes",
                expected=f"at most {len(place)}",
            )
        data = ahead[place.start : place.start + wanted]
        return data if len(data) == wanted else memoryview(source.read(0, address + place.start, wanted))

    def _walk(self, address: int, ahead: memoryview, number: int) -> dict[int, range]:
        """Where in a collection its objects are, at least up to `number`."""
        source, path = self._source, self._source.paths[0]
        if len(ahead) < _COLLECTION.size:
            raise Truncated("a heap is cut off", path=path, offset=address)
        signature, version, size = _COLLECTION.unpack_from(ahead)
        if signature != b"GCOL" or version != 1:
            found = bytes(ahead[:5])
            raise Malformed("a row leads to no heap", path=path, offset=address, found=found, expected=b"GCOL\1")
        is_small = size <= _SMALL_BYTES
        if is_small and len(ahead) < size:
            ahead = memoryview(source.read_upto(0, address, size))
        places: dict[int, range] = {}
        at = _COLLECTION.size
        while at + _OBJECT.size <= size and len(places) < _MOST_OBJECTS:
            head = ahead[at : at + _OBJECT.size]
            if len(head) < _OBJECT.size:
                head = memoryview(source.read_upto(0, address + at, _OBJECT.size))
            if len(head) < _OBJECT.size:
                break
            found, _, _, length = _OBJECT.unpack(head)
            at += _OBJECT.size
            if not found or found in places or at + length > size:
                break
            places[found] = range(at, at + length)
            if found == number and (not is_small or len(places) == 1):
                return places
            at += length + -length % 8
        if is_small:
            self._last = (address, places)
        return places
