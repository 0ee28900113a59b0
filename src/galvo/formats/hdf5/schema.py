"""The group `/galvo`: what a recording is besides its pixels, as 1-D datasets.

Texts are UTF-8 bytes; what is unknown is an empty dataset. `metadata_crc32c` covers every other dataset's name, type
and bytes, in the order of their names.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.axes import AXES, Shape
from galvo.core.blocks import BlockIndex
from galvo.core.metadata import Metadata
from galvo.core.scanfield import ScanField
from galvo.core.sink import WritePlan
from galvo.errors import LimitExceeded, Malformed, Unsupported
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.guard import contained
from galvo.formats.kept import checked_blocks, kept_facts, kept_metadata, plain, require_schema
from galvo.formats.kept_fields import kept_fields
from galvo.limits import Limits

__all__ = [
    "GROUP",
    "StoredFrameChecksums",
    "create_group",
    "create_subgroup",
    "finish_group",
    "member_names",
    "read_array",
    "read_datasets",
    "read_fields",
    "read_metadata",
    "read_shape",
]

GROUP = "galvo"
_CHECKSUM = "metadata_crc32c"
# deflate's greatest expansion (RFC 1951), the one compression that occurs in the group
_EXPANSION = 1032
_MOST_MEMBERS = 4096


# ---- writing ---------------------------------------------------------------------------------------------------------


def create_group(file: h5py.Group, plan: WritePlan, axes: str, datasets: Sequence[str]) -> None:
    """Write what is known before the pixels, and which datasets hold them with which axes."""
    group = create_subgroup(file, GROUP)
    facts = kept_facts(plan)
    group["axes"] = _utf8(axes)
    group["datasets"] = _utf8(json.dumps(list(datasets)))
    for name in ("schema_version", "shape"):
        group[name] = np.atleast_1d(np.array(facts[name], np.int64))
    for name in ("frame_rate_hz", "pixel_size_um", "z_um"):
        group[name] = _known(facts[name])
    for name in ("start_time", "source_format", "source_version"):
        group[name] = _utf8(facts[name] or "")
    for name in ("channel_names", "provenance", "attributes"):
        group[name] = _utf8(json.dumps(facts[name], default=plain))
    if "fields" in facts:
        group["fields"] = _utf8(json.dumps(facts["fields"]))
    create_subgroup(group, "texts")
    for name, text in facts["texts"].items():
        if "/" in name or name in ("", "."):
            raise Unsupported("HDF5 has no such name for a text", found=repr(name))
        group[f"texts/{name}"] = _utf8(text)


def create_subgroup(parent: h5py.Group, name: str) -> h5py.Group:
    """A group that does not record the time: equal content is equal bytes."""
    plan = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
    plan.set_obj_track_times(False)
    return h5py.Group(h5py.h5g.create(parent.id, name.encode(), gcpl=plan))


def _utf8(text: str) -> NDArray[np.uint8]:
    # lone surrogates stand for bytes that were no text
    return np.frombuffer(text.encode(errors="backslashreplace"), np.uint8)


def _known(value: float | tuple[float, ...] | None) -> NDArray[np.float64]:
    return np.atleast_1d(np.array([] if value is None else value, np.float64))


def finish_group(group: h5py.Group, blocks: tuple[BlockIndex, ...], checksums: NDArray[np.uint32]) -> None:
    """Write the blocks' checksums and the metadata's own."""
    bounds = [[part.start, part.stop] for index in blocks for part in index]
    group["block_bounds"] = np.array(bounds, np.int64).reshape(-1)
    group["block_crc32c"] = checksums
    group[_CHECKSUM] = np.array([_metadata_checksum(group, "")], np.uint32)


def member_names(group: h5py.Group, path: str) -> list[str]:
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
    for name in member_names(group, path):
        if name == _CHECKSUM:
            continue
        dataset = _dataset(group, name, "iufS", path)
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


def read_array(group: h5py.Group, name: str, kinds: str, path: str, limits: Limits) -> NDArray[Any]:
    """A dataset of the group, 1-D, of one of the NumPy `kinds`."""
    dataset = _dataset(group, name, kinds, path)
    limits.check("text_bytes", dataset.size * dataset.dtype.itemsize, path=path)
    return np.asarray(dataset[...])


def _text(group: h5py.Group, name: str, path: str, limits: Limits) -> str:
    try:
        return read_array(group, name, "u", path, limits).tobytes().decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"/{GROUP}/{name} is no UTF-8 text", path=path) from error


def _json(group: h5py.Group, name: str, path: str, limits: Limits) -> Any:
    try:
        return json.loads(_text(group, name, path, limits))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"/{GROUP}/{name} is no JSON", path=path) from error


def read_datasets(file: h5py.Group, path: str, limits: Limits) -> tuple[list[str], str]:
    """Names of the datasets that hold the pixels, and their axes."""
    names = _json(file[GROUP], "datasets", path, limits)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise Malformed(f"/{GROUP}/datasets is no list of names", path=path, found=names)
    axes = _text(file[GROUP], "axes", path, limits)
    if set(axes) - set(AXES) or len(set(axes)) < len(axes) or not {"Y", "X"} <= set(axes):
        raise Malformed(f"/{GROUP}/axes are no axes", path=path, found=axes)
    return names, axes


def read_shape(file: h5py.Group, path: str, limits: Limits) -> Shape:
    """T C Z Y X as the file states them."""
    shape = read_array(file[GROUP], "shape", "iu", path, limits)
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
    version = read_array(group, "schema_version", "i", path, limits).tolist()
    require_schema(version[0] if len(version) == 1 else version, path)
    rate, size, depths = (
        read_array(group, name, "f", path, limits).tolist() for name in ("frame_rate_hz", "pixel_size_um", "z_um")
    )
    if len(rate) > 1:
        raise Malformed(f"/{GROUP}/frame_rate_hz has another length", path=path)
    facts: dict[str, Any] = {
        "shape": read_shape(file, path, limits),
        "frame_rate_hz": rate[0] if rate else None,
        "pixel_size_um": size or None,
        "z_um": depths or None,
        "texts": {
            name[6:]: _text(group, name, path, limits)
            for name in member_names(group, path)
            if name.startswith("texts/")
        },
    }
    facts |= {name: _text(group, name, path, limits) for name in ("start_time", "source_format", "source_version")}
    facts |= {name: _json(group, name, path, limits) for name in ("channel_names", "provenance", "attributes")}
    return kept_metadata(facts, "hdf5", path)


def read_fields(file: h5py.Group, path: str, limits: Limits) -> tuple[ScanField, ...]:
    """The scan fields of the pages, none in a file without them."""
    group = file[GROUP]
    stored = _json(group, "fields", path, limits) if group.get("fields", getlink=True) is not None else None
    return kept_fields(stored, read_shape(file, path, limits), path)


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
            bounds = read_array(group, "block_bounds", "i", self._path, self._limits)
            crcs = read_array(group, "block_crc32c", "u", self._path, self._limits)
        return checked_blocks(bounds, crcs, self._shape, self._path)

    def metadata_damage(self) -> list[str]:
        """One line when the metadata does not match its checksum."""
        with opened(self._path) as file:
            group = file[GROUP]
            stored = read_array(group, _CHECKSUM, "u", self._path, self._limits)
            if stored.size == 1 and int(stored[0]) == _metadata_checksum(group, self._path):
                return []
        return [f"/{GROUP}: the checksum of the metadata does not match"]
