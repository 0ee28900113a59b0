"""HDF5's filters by their registered numbers, and which programs have them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["FILTER_NUMBERS", "FILTER_STEPS", "who_reads"]

# registered filter: codec step
FILTER_STEPS = {1: "zlib", 2: "shuffle", 3: "fletcher32", 32000: "lzf", 32015: "zstd"}
FILTER_NUMBERS = {step: number for number, step in FILTER_STEPS.items()}

_READERS = {
    "lzf": "lzf: galvo and h5py read it, other programs need the LZF filter (HDF5 filter 32000)",
    "zstd": "zstd: galvo reads it, other programs need HDF5 filter 32015 (hdf5plugin for Python and napari, "
    "the HDF Group's plug-ins for MATLAB)",
}


def who_reads(steps: Iterable[str]) -> tuple[str, ...]:
    """What users should know of chunks stored by these codec steps; empty where every HDF5 program reads them."""
    return tuple(_READERS[step] for step in steps if step in _READERS)
