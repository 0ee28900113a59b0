"""HDF5's filters by their registered numbers, datasets that have them, and which programs do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import numpy as np

__all__ = ["FILTER_STEPS", "create_chunked", "who_reads"]

# registered filter: codec step
FILTER_STEPS = {1: "zlib", 2: "shuffle", 3: "fletcher32", 32000: "lzf", 32015: "zstd"}
_NUMBERS = {step: number for number, step in FILTER_STEPS.items()}

_READERS = {
    "lzf": "lzf: galvo and h5py read it, other programs need the LZF filter (HDF5 filter 32000)",
    "zstd": "zstd: galvo reads it, other programs need HDF5 filter 32015 (hdf5plugin for Python and napari, "
    "the HDF Group's plug-ins for MATLAB)",
}


def who_reads(steps: Iterable[str]) -> tuple[str, ...]:
    """What users should know of chunks stored by these codec steps; empty where every HDF5 program reads them."""
    return tuple(_READERS[step] for step in steps if step in _READERS)


def create_chunked(
    file: Any,
    name: str,
    dtype: np.dtype[Any],
    lengths: tuple[int, ...],
    chunk: tuple[int, ...],
    steps: Iterable[str],
    level: int | None,
) -> Any:
    """A dataset whose filters are codec steps, whether or not this HDF5 has them: chunks come encoded.

    Parameters
    ----------
    file : h5py.File
    name : str
    dtype : dtype
    lengths, chunk : tuple of int
    steps : iterable of str
        In the order of storing.
    level : int or None
        Of the compression.
    """
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(chunk)
    plist.set_obj_track_times(False)
    for step in steps:
        if step == "shuffle":
            plist.set_shuffle()
        elif step == "zlib":
            plist.set_deflate(level)
        elif step == "fletcher32":
            plist.set_fletcher32()
        else:
            plist.set_filter(_NUMBERS[step], h5py.h5z.FLAG_OPTIONAL, () if level is None else (level,))
    kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(lengths)
    return h5py.Dataset(h5py.h5d.create(file.id, name.encode(), kind, space, plist))
