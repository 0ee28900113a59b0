"""A struct of a .mat file as plain values: what programs keep beside their recordings.

Numbers, texts and structs of one element are read; cells, objects, sparse and function handles are left out. Source:
MathWorks, "MAT-File Format" (level 5); HDF5 files of MATLAB as observed: a struct is a group, its fields are datasets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.detect import Probe
from galvo.core.source import FileSource
from galvo.errors import LimitExceeded, Malformed, Unsupported
from galvo.formats.matlab import level5
from galvo.formats.matlab.reader import version_of
from galvo.formats.matlab.variable import Variable, listing, read_text
from galvo.limits import Limits

__all__ = ["Structure", "read_structure"]

Structure = dict[str, Any]

_MOST_DEPTH = 8
_MOST_BYTES = 64 << 20
# what a field counts for, so that groups that hold themselves come to an end
_FIELD_BYTES = 1 << 10


def read_structure(path: str, name: str, limits: Limits) -> Structure:
    """The fields of a struct.

    Parameters
    ----------
    path : str
        A .mat file of version 5, 6, 7 or 7.3.
    name : str
    limits : Limits

    Returns
    -------
    dict of str
        Arrays in MATLAB's dimensions, texts as str, structs as dict.

    Raises
    ------
    Malformed
        No such struct, or it is not what the format allows.
    Unsupported
        No MATLAB file of such a version.
    LimitExceeded
        More than anything that lies beside a recording.
    """
    probe = Probe(path)
    try:
        version = version_of(probe)
    finally:
        probe.close()
    if version == "7.3":
        return _from_hierarchy(path, name, limits)
    if version != "5":
        raise Unsupported(
            "no MATLAB file with structs",
            path=path,
            found="version 4" if version else "something else",
            expected="version 5, 6, 7 or 7.3",
        )
    source = FileSource([path])
    try:
        found = []
        for variable in level5.variables(source):
            found.append(variable)
            if variable.name == name and variable.fields is not None:
                return _Values(path, limits).of(variable.fields())
    finally:
        source.close()
    raise _absent(path, name, listing(found))


def _absent(path: str, name: str, found: str) -> Malformed:
    return Malformed(f"no struct {name!r}", path=path, found=found or "a file without variables", expected=name)


class _Values:
    """Reads fields, all together no more than is reasonable."""

    def __init__(self, path: str, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        self._left = min(_MOST_BYTES, limits.text_bytes)

    def take(self, nbytes: int) -> None:
        """Count bytes before they are read."""
        self._left -= nbytes
        if self._left < 0:
            raise LimitExceeded("a struct holds more than lies beside a recording", path=self._path)

    def of(self, fields: Mapping[str, Variable], depth: int = 0) -> Structure:
        """The values of fields."""
        if depth > _MOST_DEPTH:
            raise LimitExceeded("structs lie in each other too deep", path=self._path)
        found: Structure = {}
        for name, variable in fields.items():
            self.take(_FIELD_BYTES)
            if variable.fields is not None:
                found[name] = self.of(variable.fields(), depth + 1)
            elif variable.content is not None:
                self.take(sum(part.nbytes for part in variable.parts))
                found[name] = self._value(variable)
        return found

    def _value(self, variable: Variable) -> Any:
        if variable.dtype is None:
            return read_text(variable, self._path, self._limits)
        parts = [self._part(variable, number) for number in range(len(variable.parts))]
        whole = parts[0] if len(parts) == 1 else parts[0] + 1j * parts[1]
        return whole.astype(variable.dtype).reshape(variable.shape, order="F")

    def _part(self, variable: Variable, number: int) -> NDArray[Any]:
        part = variable.parts[number]
        if variable.content is None:
            raise Malformed(f"{variable.name} holds no numbers", path=self._path)
        return np.frombuffer(variable.content.read(part.offset, part.nbytes), part.dtype)


def _from_hierarchy(path: str, name: str, limits: Limits) -> Structure:
    import h5py

    from galvo.formats.hdf5.access import opened
    from galvo.formats.hdf5.guard import contained

    values = _Values(path, limits)

    def inside(group: Any, depth: int) -> Structure:
        if depth > _MOST_DEPTH:
            raise LimitExceeded("structs lie in each other too deep", path=path)
        found: Structure = {}
        for key in group:
            values.take(_FIELD_BYTES)
            item = contained(group, key)
            kind = b"" if item is None else item.attrs.get("MATLAB_class", b"")
            if isinstance(item, h5py.Group):
                found[key] = inside(item, depth + 1)
            elif item is not None and item.shape is not None and item.dtype.kind in "biuf":
                if "MATLAB_empty" in item.attrs or kind == b"cell":
                    continue
                # with as many bytes in the file as it claims, unless it is deflated, or it is only a claim
                values.take(item.size * item.dtype.itemsize)
                array = np.asarray(item[...]).T
                is_text = kind == b"char" and array.dtype.itemsize == 2
                found[key] = array.tobytes(order="F").decode("utf-16-le", "replace") if is_text else array
        return found

    with opened(path) as file:
        group = contained(file, name)
        if not isinstance(group, h5py.Group):
            raise _absent(path, name, ", ".join(list(file)[:12]))
        return inside(group, 0)
