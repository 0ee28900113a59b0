"""The group `/galvo`: what a recording is besides its pixels, as 1-D datasets.

Texts are UTF-8 bytes; what is unknown is an empty dataset. `metadata_crc32c` covers every other dataset's name, type
and bytes, in the order of their names.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import Shape
from galvo.core.blocks import BlockIndex
from galvo.core.index import Int64
from galvo.core.metadata import LeftOut, Metadata
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import LimitExceeded, Malformed, Unsupported
from galvo.formats import REGISTRY
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.guard import contained
from galvo.limits import Limits

__all__ = [
    "GROUP",
    "StoredFacts",
    "StoredFrameChecksums",
    "create_group",
    "finish_group",
    "read_left_out",
    "read_metadata",
    "read_shape",
    "write_frames",
]

GROUP = "galvo"
SCHEMA_VERSION = 1
_CHECKSUM = "metadata_crc32c"
# deflate's greatest expansion (RFC 1951), the one compression that occurs in the group
_EXPANSION = 1032
_MOST_MEMBERS = 4096
# what reading adds to the attributes
_ADDED = ("source_format", "source_version", "provenance")


# ---- writing ---------------------------------------------------------------------------------------------------------


def create_group(file: h5py.Group, plan: WritePlan, axes: str) -> None:
    """Write what is known before the pixels, and make room for the frame table."""
    group = _create_group(file, GROUP)
    recording, metadata = plan.recording, plan.recording.metadata
    group["schema_version"] = np.array([SCHEMA_VERSION], np.int64)
    group["axes"] = _utf8(axes)
    group["shape"] = np.array(recording.shape, np.int64)
    group["channel_names"] = _json_text(list(metadata.channel_names))
    group["frame_rate_hz"] = _known(metadata.frame_rate_hz)
    group["pixel_size_um"] = _known(metadata.pixel_size_um)
    group["z_um"] = _known(metadata.z_um)
    group["start_time"] = _utf8(metadata.start_time or "")
    group["source_format"] = _utf8(str(metadata.attributes.get("source_format", metadata.format)))
    group["source_version"] = _utf8(str(metadata.attributes.get("source_version", metadata.version) or ""))
    before = metadata.attributes.get("provenance")
    group["provenance"] = _json_text({**plan.provenance, **({"before": before} if before else {})})
    group["attributes"] = _json_text({name: v for name, v in metadata.attributes.items() if name not in _ADDED})
    _create_group(group, "texts")
    for name, text in metadata.texts.items():
        if "/" in name or name in ("", "."):
            raise Unsupported("HDF5 has no such name for a text", found=repr(name))
        group[f"texts/{name}"] = _utf8(text)
    _create_frames(group, plan)


def _create_group(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that does not record the time: equal content is equal bytes."""
    plan = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    plan.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=plan))


def _utf8(text: str) -> NDArray[np.uint8]:
    # lone surrogates stand for bytes that were no text
    return np.frombuffer(text.encode(errors="backslashreplace"), np.uint8)


def _json_text(value: Any) -> NDArray[np.uint8]:
    return _utf8(json.dumps(value, default=_plain))


def _plain(value: Any) -> Any:
    """What JSON has for a value that it does not know."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def _known(value: float | tuple[float, ...] | None) -> NDArray[np.float64]:
    return np.atleast_1d(np.array([] if value is None else value, np.float64))


def _create_frames(group: h5py.Group, plan: WritePlan) -> None:
    """Empty columns of the frame table, one row per (t, c, z), a chunk for the rows that a block writes at once."""
    recording = plan.recording
    sample = _frame_columns(recording.isel(t=slice(0, 1), c=slice(0, 1), z=slice(0, 1)))
    rows = recording.shape[0] * recording.shape[1] * recording.shape[2]
    together = _rows_together(recording, plan.blocks[0])
    if sample:
        _create_group(group, "frames")
    for name, column in sample.items():
        group.create_dataset(
            f"frames/{name}",
            (rows,),
            column.dtype,
            # a chunk that is written twice moves, and leaves a hole that nothing fills again
            chunks=(together,),
            compression="gzip",
            compression_opts=4,
            shuffle=True,
            fletcher32=True,
        )


def _rows_together(recording: Recording, index: BlockIndex) -> int:
    """Rows of the frame table that follow each other in a block."""
    t, c, z = (int(part.stop - part.start) for part in index[:3])
    if z < recording.shape[2]:
        return z
    return c * z if c < recording.shape[1] else t * c * z


def _frame_columns(recording: Recording) -> dict[str, NDArray[Any]]:
    """The frame table without positions; `file` and `page` are those of the source."""
    table = recording.frame_table()
    renamed = {"file": "source_file", "page": "source_page"}
    names = [name for name in table.dtype.names or () if name not in ("t", "c", "z")]
    if "source_page" in names:
        names = [name for name in names if name not in renamed]
    return {renamed.get(name, name): table[name] for name in names}


def write_frames(group: h5py.Group, recording: Recording, index: BlockIndex) -> None:
    """Fill the rows of the frame table that belong to a block."""
    if "frames" not in group:
        return
    t, c, z = index[:3]
    columns = _frame_columns(recording.isel(t=t, c=c, z=z))
    _, channels, planes = recording.shape[:3]
    together = _rows_together(recording, index)
    corners = range(0, (t.stop - t.start) * (c.stop - c.start) * (z.stop - z.start), together)
    starts = [
        ((t.start + i) * channels + c.start + j) * planes + z.start + k
        for i, j, k in (np.unravel_index(corner, [part.stop - part.start for part in index[:3]]) for corner in corners)
    ]
    for name, column in columns.items():
        dataset = group[f"frames/{name}"]
        for corner, start in zip(corners, starts, strict=True):
            dataset[start : start + together] = column[corner : corner + together]


def finish_group(group: h5py.Group, blocks: tuple[BlockIndex, ...], checksums: NDArray[np.uint32]) -> None:
    """Write the blocks' checksums and the metadata's own."""
    bounds = [[part.start, part.stop] for index in blocks for part in index]
    group["block_bounds"] = np.array(bounds, np.int64).reshape(-1)
    group["block_crc32c"] = checksums
    group[_CHECKSUM] = np.array([_metadata_checksum(group, "")], np.uint32)


def _members(group: h5py.Group, path: str) -> list[str]:
    """Names of the datasets in the group and in its groups, in order."""
    names = []
    for name in group:
        item = contained(group, name)
        names += [f"{name}/{inner}" for inner in item] if isinstance(item, h5py.Group) else [name]
        if len(names) > _MOST_MEMBERS:
            raise LimitExceeded(
                f"/{GROUP} has more members than galvo writes", path=path, found=f"over {_MOST_MEMBERS}"
            )
    return sorted(names)


def _metadata_checksum(group: h5py.Group, path: str) -> int:
    crc = 0
    for name in _members(group, path):
        if name == _CHECKSUM:
            continue
        dataset = _dataset(group, name, "iuf", path)
        crc = native.crc32c(f"{name}\0{dataset.dtype.str}\0{dataset.shape}\0".encode(), crc)
        for start in range(0, dataset.shape[0], 1 << 20):
            crc = native.crc32c(dataset[start : start + (1 << 20)].tobytes(), crc)
    return crc


# ---- reading ---------------------------------------------------------------------------------------------------------


def _dataset(group: h5py.Group, name: str, kinds: str, path: str) -> Any:
    """A 1-D dataset of the group, whose bytes are in the file."""
    dataset = contained(group, name)
    if (
        not isinstance(dataset, h5py.Dataset)
        or dataset.shape is None
        or dataset.ndim != 1
        or dataset.dtype.kind not in kinds
    ):
        raise Malformed(f"/{GROUP}/{name} is missing or of another kind", path=path)
    nbytes, stored = dataset.size * dataset.dtype.itemsize, dataset.id.get_storage_size()
    if nbytes > stored * (_EXPANSION if dataset.chunks else 1):
        raise Malformed(
            f"/{GROUP}/{name} claims more than the file holds",
            path=path,
            found=f"{stored} bytes",
            expected=f"{nbytes} bytes",
        )
    return dataset


def _array(group: h5py.Group, name: str, kinds: str, path: str, limits: Limits) -> NDArray[Any]:
    dataset = _dataset(group, name, kinds, path)
    limits.check("text_bytes", dataset.size * dataset.dtype.itemsize, path=path)
    return np.asarray(dataset[...])


def _text(group: h5py.Group, name: str, path: str, limits: Limits) -> str:
    try:
        return _array(group, name, "u", path, limits).tobytes().decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"/{GROUP}/{name} is no UTF-8 text", path=path) from error


def _json(group: h5py.Group, name: str, path: str, limits: Limits) -> Any:
    try:
        return json.loads(_text(group, name, path, limits))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"/{GROUP}/{name} is no JSON", path=path) from error


def read_shape(file: h5py.Group, path: str, limits: Limits) -> Shape:
    """T C Z Y X as the file states them."""
    shape = _array(file[GROUP], "shape", "iu", path, limits)
    if shape.size != 5:
        raise Malformed(f"/{GROUP}/shape is no shape", path=path, found=shape.tolist())
    t, c, z, y, x = shape.tolist()
    return t, c, z, y, x


def read_metadata(file: h5py.Group, path: str, limits: Limits) -> Metadata:
    """The metadata that galvo wrote.

    Raises
    ------
    Unsupported
        Written by a later galvo in a schema of its own.
    Malformed
        Parts are missing or of another kind.
    """
    group = file[GROUP]
    version = _array(group, "schema_version", "i", path, limits)
    if version.size != 1 or version[0] != SCHEMA_VERSION:
        raise Unsupported(
            "written by another galvo",
            path=path,
            found=f"schema {version.tolist()}",
            expected=f"schema {SCHEMA_VERSION}",
        )
    names = _json(group, "channel_names", path, limits)
    attributes = _json(group, "attributes", path, limits)
    if not isinstance(names, list) or not isinstance(attributes, dict):
        raise Malformed(f"/{GROUP}/channel_names or attributes is no list and mapping", path=path)
    texts = {
        name[6:]: _text(group, name, path, limits) for name in _members(group, path) if name.startswith("texts/")
    }
    source_format = _text(group, "source_format", path, limits)
    rate = _array(group, "frame_rate_hz", "f", path, limits)
    size = _array(group, "pixel_size_um", "f", path, limits)
    depths = _array(group, "z_um", "f", path, limits)
    if rate.size > 1 or size.size not in (0, 2):
        raise Malformed(f"/{GROUP}/frame_rate_hz or pixel_size_um has another length", path=path)
    attributes |= {
        "source_format": source_format,
        "source_version": _text(group, "source_version", path, limits) or None,
        "provenance": _json(group, "provenance", path, limits),
    }
    return Metadata(
        format="hdf5",
        version=f"galvo schema {SCHEMA_VERSION}",
        channel_names=tuple(str(name) for name in names),
        frame_rate_hz=float(rate[0]) if rate.size else None,
        pixel_size_um=(float(size[0]), float(size[1])) if size.size == 2 else None,
        z_um=tuple(depths.tolist()) if depths.size else None,
        start_time=_text(group, "start_time", path, limits) or None,
        header=_header(source_format, texts),
        texts=texts,
        attributes=attributes,
    )


def _header(source_format: str, texts: Mapping[str, str]) -> Mapping[str, Any]:
    """The vendor's header, by the parser of the format that it came from."""
    entry = REGISTRY.all().get(source_format)
    if entry is None or entry.parse_header is None or "header" not in texts:
        return {}
    return entry.parse_header(texts["header"])


def read_left_out(metadata: Metadata) -> list[LeftOut]:
    """What the conversion had left out, as the file remembers it."""
    provenance = metadata.attributes.get("provenance")
    entries = provenance.get("left_out") if isinstance(provenance, dict) else None
    return [
        LeftOut(str(entry.get("what")), entry["page_count"], str(entry.get("reason")))
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("page_count"), int)
    ]


class StoredFacts:
    """The frame table of a file, read when it is first asked for.

    Parameters
    ----------
    path : str
    lengths : (T, C, Z)
    limits : Limits
    """

    def __init__(self, path: str, lengths: tuple[int, int, int], limits: Limits) -> None:
        self._path = path
        self._lengths = lengths
        self._limits = limits
        self._columns: dict[str, NDArray[Any]] | None = None

    def _load(self) -> dict[str, NDArray[Any]]:
        rows = self._lengths[0] * self._lengths[1] * self._lengths[2]
        with opened(self._path) as file:
            group = file[GROUP]
            names = [name for name in _members(group, self._path) if name.startswith("frames/")]
            columns = {name[7:]: _array(group, name, "iuf", self._path, self._limits) for name in names}
        for name, column in columns.items():
            if column.size != rows or name in ("t", "c", "z"):
                raise Malformed(f"/{GROUP}/frames/{name} is no column of {rows} frames", path=self._path)
        return columns

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns of the frames at (t, c, z)."""
        if self._columns is None:
            self._columns = self._load()
        row = (t * self._lengths[1] + c) * self._lengths[2] + z
        return {name: column[row] for name, column in self._columns.items()}


class StoredFrameChecksums:
    """The checksums in `/galvo`.

    Parameters
    ----------
    path : str
    shape : (T, C, Z, Y, X)
    limits : Limits
    """

    def __init__(self, path: str, shape: Shape, limits: Limits) -> None:
        self._path = path
        self._shape = shape
        self._limits = limits

    def blocks(self) -> list[tuple[tuple[slice, ...], int]]:
        """Index and CRC-32C of each block."""
        with opened(self._path) as file:
            group = file[GROUP]
            bounds = _array(group, "block_bounds", "i", self._path, self._limits)
            crcs = _array(group, "block_crc32c", "u", self._path, self._limits)
        if bounds.size != crcs.size * 10:
            raise Malformed(f"/{GROUP}/block_bounds does not fit block_crc32c", path=self._path)
        pairs = bounds.reshape(-1, 5, 2)
        start, stop = pairs[..., 0], pairs[..., 1]
        inside = bool(((start >= 0) & (start < stop) & (stop <= self._shape)).all())
        # blocks that leave frames out would let them pass as verified
        if not inside or sum(math.prod(lengths) for lengths in (stop - start).tolist()) != math.prod(self._shape):
            raise Malformed(f"/{GROUP}/block_bounds does not cover the recording", path=self._path)
        slices = [tuple(slice(*pair) for pair in one) for one in pairs.tolist()]
        return list(zip(slices, crcs.tolist(), strict=True))

    def metadata_damage(self) -> list[str]:
        """One line when the metadata does not match its checksum."""
        with opened(self._path) as file:
            group = file[GROUP]
            stored = _array(group, _CHECKSUM, "u", self._path, self._limits)
            if stored.size == 1 and int(stored[0]) == _metadata_checksum(group, self._path):
                return []
        return [f"/{GROUP}: the checksum of the metadata does not match"]
