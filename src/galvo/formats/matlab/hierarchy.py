"""Version 7.3: HDF5 with MATLAB's classes as attributes, and dimensions in reverse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.metadata import Metadata
from galvo.core.over import ReaderOver
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.selection import Selection
from galvo.core.source import read_prefix
from galvo.errors import Malformed, Unsupported
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.discovery import Movie
from galvo.formats.hdf5.guard import contained, refuse, walk
from galvo.formats.hdf5.reader import movie_reader
from galvo.formats.matlab.discovery import movie
from galvo.formats.matlab.own import (
    CREATED_BY,
    END_NAME,
    START_NAME,
    Kept,
    check_bounds,
    own_recording,
    own_variables,
)
from galvo.formats.matlab.variable import CLASSES, Variable, listing
from galvo.limits import Limits

__all__ = ["open_hierarchy"]

# MATLAB's own bookkeeping: elements of cells, and objects
_INTERNAL = ("#refs#", "#subsystem#")
_MOST_EMPTY_DIMENSIONS = 32
# deflate's greatest expansion
_EXPANSION = 1032


def open_hierarchy(
    path: str,
    names: str | Sequence[str] | None,
    axes: str | None,
    allow_external: bool,
    damaged: str,
    limits: Limits,
) -> Recording:
    """A file of version 7.3; the parameters are those of `open_matlab`."""
    head = read_prefix(path, 124)
    with opened(path) as file:
        if names is None:
            start, end = (_text(file, name, path, limits) for name in (START_NAME, END_NAME))
            if start is None and CREATED_BY in head:
                raise Malformed(f"what galvo wrote has no variable {START_NAME}", path=path)
            if start is not None and start.startswith("{"):
                kept = Kept(start, end, path, limits)
                found = [_variable(f"/{name}", contained(file, name)) for name in kept.names if contained(file, name)]
                chosen = own_variables(kept, found, path)
                if any(one.content is None and one not in found for one in chosen):
                    raise Malformed("the channels of a galvo file are missing", path=path, found=listing(found))
                reader = _reader(file, path, chosen, kept.axes[: len(chosen[0].shape)], False, limits)
                return own_recording(kept, reader, path, damaged, limits)
        variables = _named(file, names) or _variables(file, path, allow_external)
        chosen, letters = movie(variables, path, names, axes)
        reader = _reader(file, path, chosen, letters, allow_external, limits)
    check_bounds(reader, path, limits)
    return Recording(reader, Metadata(format="matlab", version="7.3"), files=[path])


def _named(file: Any, names: str | Sequence[str] | None) -> list[Variable]:
    """The variables that are asked for, where all of them lie in the file itself; else none."""
    wanted = [] if names is None else [names] if isinstance(names, str) else list(names)
    items = [contained(file, name) for name in wanted]
    there = all(isinstance(item, h5py.Dataset) and "MATLAB_sparse" not in item.parent.attrs for item in items)
    return [_variable(name, item) for name, item in zip(wanted, items, strict=True)] if there else []


def _variables(file: Any, path: str, allow_external: bool) -> list[Variable]:
    """Every array of the file; one that reaches outside is refused."""
    found = []
    sparse: dict[str, bool] = {}
    for name, item, danger in walk(file, allow_external, path):
        if name.split("/")[1] in _INTERNAL:
            continue
        if danger:
            refuse(name, danger, path)
        parent = name.rpartition("/")[0]
        if parent and parent not in sparse:
            sparse[parent] = "MATLAB_sparse" in file[parent].attrs
        if not sparse.get(parent, False):
            found.append(_variable(name, item))
    return found


def _variable(name: str, dataset: Any) -> Variable:
    """A dataset as MATLAB shows it."""
    title = name.lstrip("/")
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        return Variable(name=title, kind="struct")
    stated = dataset.attrs.get("MATLAB_class")
    kind = stated.decode("ascii", "replace") if isinstance(stated, bytes) else ""
    shape = tuple(reversed(dataset.shape))
    if "MATLAB_empty" in dataset.attrs:
        # the dataset holds the dimensions instead
        few = dataset.ndim == 1 and dataset.size <= _MOST_EMPTY_DIMENSIONS and dataset.dtype.kind in "iu"
        shape = tuple(int(length) for length in dataset[...]) if few else (0, 0)
        return Variable(name=title, kind=kind or "empty", shape=shape)
    stored = dataset.dtype
    if "MATLAB_object_decode" in dataset.attrs or (kind and kind not in CLASSES):
        return Variable(name=title, kind=kind or "opaque", shape=shape)
    shown = _complex(stored) if stored.kind == "V" else stored.newbyteorder("=") if stored.kind in "biufc" else None
    if kind == "logical" and shown is not None and shown.kind in "biu":
        shown = np.dtype("?")
    return Variable(name=title, kind=kind or (stored.name if shown is not None else "opaque"), shape=shape, dtype=shown)


def _complex(stored: np.dtype[Any]) -> np.dtype[Any] | None:
    """The type of MATLAB's complex numbers, a pair of floats called real and imag."""
    if stored.names != ("real", "imag") or stored["real"] != stored["imag"] or stored["real"].kind != "f":
        return None
    one = stored["real"]
    if stored.itemsize != 2 * one.itemsize or one.itemsize not in (4, 8) or not one.isnative:
        return None
    return np.dtype(f"c{stored.itemsize}")


def _reader(
    file: Any, path: str, chosen: Sequence[Variable], letters: str, allow_external: bool, limits: Limits
) -> Reader:
    datasets = Movie(tuple(f"/{one.name}" for one in chosen), letters[::-1])
    types = {file[name].dtype for name in datasets.names}
    if len(types) > 1:
        raise Unsupported("channels are stored in different types", path=path, found=listing(list(chosen)))
    reader = movie_reader(file, path, datasets, allow_external, limits)[0]
    shown = chosen[0].dtype
    return reader if shown is None or shown == reader.dtype else _ShownReader(reader, shown)


class _ShownReader(ReaderOver):
    """Shows stored numbers as what MATLAB takes them for: bytes as truth values, pairs as complex numbers.

    Parameters
    ----------
    reader : Reader
    dtype : numpy.dtype
    """

    def __init__(self, reader: Reader, dtype: np.dtype[Any]) -> None:
        super().__init__(reader)
        self.shape, self.chunks, self.dtype = reader.shape, reader.chunks, dtype

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`, in place where sizes are equal."""
        stored = self._reader.dtype
        if stored.itemsize != self.dtype.itemsize:
            scratch = np.empty(out.shape, stored)
            self._reader.read(selection, scratch)
            out[...] = scratch
            return
        self._reader.read(selection, out.view(stored))
        if self.dtype == np.bool_:
            np.not_equal(out.view(stored), 0, out=out)


def _text(file: Any, name: str, path: str, limits: Limits) -> str | None:
    """The text that galvo keeps under a name: UTF-16 units, (N, 1); None for anything else."""
    dataset = contained(file, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype != np.dtype("<u2"):
        return None
    nbytes, stored = math.prod(dataset.shape) * 2, dataset.id.get_storage_size()
    if nbytes > stored * (_EXPANSION if dataset.chunks else 1):
        raise Malformed(f"{name} claims more than the file holds", path=path, found=f"{nbytes} bytes")
    limits.check("text_bytes", nbytes, path=path)
    limits.check("chunk_bytes", 2 * math.prod(dataset.chunks or (0,)), path=path)
    return np.asarray(dataset[...]).tobytes().decode("utf-16-le", "replace")
