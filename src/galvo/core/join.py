"""Several recordings as one, along T (files that follow each other) or C (one file per channel)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.events import event_dtype
from galvo.core.facts import FrameFacts
from galvo.core.index import Int64
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.selection import Indices, Selection, compact
from galvo.errors import FormatError, OptionError

if TYPE_CHECKING:
    from galvo.core.scanfield import ScanField

__all__ = ["join", "join_opened"]


class _Joined:
    """Reader, and frame facts, over the parts in order along one axis."""

    def __init__(self, parts: Sequence[Recording], axis: int) -> None:
        self._parts = tuple(parts)
        self._axis = axis
        self._starts = np.cumsum([0, *(part.shape[axis] for part in parts)]).astype(np.int64)
        lengths = list(parts[0].shape)
        lengths[axis] = int(self._starts[-1])
        t, c, z, y, x = lengths
        self.shape: Shape = (t, c, z, y, x)
        self.dtype = parts[0].dtype
        self.chunks: Shape = parts[0].chunks

    def _split(self, positions: Int64) -> list[tuple[int, Int64, Int64]]:
        """Part number, which entries lie in it, and their positions in it."""
        owner = np.searchsorted(self._starts, positions, side="right") - 1
        split = []
        for number in np.unique(owner).tolist():
            where = np.flatnonzero(owner == number).astype(np.int64)
            split.append((number, where, positions[where] - self._starts[number]))
        return split

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Each part reads what lies in it."""
        wanted = np.asarray(selection.axes[self._axis], np.int64)
        for number, where, local in self._split(wanted):
            axes = list(selection.axes)
            axes[self._axis] = compact(local)
            part = Selection(*axes)
            target = compact(where)
            if self._axis == 0 and isinstance(target, range) and target.step == 1:
                self._parts[number]._reader.read(
                    self._parts[number]._selection.take(part), out[target.start : target.stop]
                )
            else:
                out[(slice(None),) * self._axis + (where,)] = self._parts[number]._read(part)

    def _columns(self, t: Int64, c: Int64, z: Int64, facts: bool) -> dict[str, NDArray[Any]]:
        places = [t, c, z]
        columns: dict[str, NDArray[Any]] = {}
        first_file = np.cumsum([0, *(len(part.files) for part in self._parts)])
        for number, where, local in self._split(places[self._axis]):
            inner = [axis[where] for axis in places]
            inner[self._axis] = local
            part = self._parts[number]
            axes = part._selection.axes[:3]
            whole = [np.asarray(axis, np.int64)[position] for axis, position in zip(axes, inner, strict=True)]
            if facts:
                found = {} if part._facts is None else part._facts.read(*whole)
            else:
                found = part._reader.place(*whole)
                if "file" in found:
                    found["file"] = found["file"] + first_file[number]
            for name, column in found.items():
                if name not in columns:
                    empty: Any = np.nan if column.dtype.kind == "f" else 0
                    columns[name] = np.full(t.shape, empty, column.dtype)
                columns[name][where] = column
        return columns

    def _events(self, t: Int64) -> NDArray[np.void]:
        """Events of the parts; of parts that are channels of one recording, the first one's that has any."""
        tables = []
        for number, where, local in self._split(t) if self._axis == 0 else [(0, np.arange(t.size), t)]:
            parts = self._parts[number : number + 1] if self._axis == 0 else self._parts
            found = next((table for table in (part.isel(t=local).events() for part in parts) if table.size), None)
            if found is not None:
                found["t"] = where[found["t"]]
                tables.append(found)
        if not tables:
            return np.empty(0, event_dtype())
        room = event_dtype(max(table.dtype["data"].shape[0] for table in tables))
        joined = np.zeros(sum(table.size for table in tables), room)
        at = 0
        for table in tables:
            part = joined[at : at + table.size]
            for name in ("t", "z", "kind", "time_s", "data_nbytes"):
                part[name] = table[name]
            part["data"][:, : table.dtype["data"].shape[0]] = table["data"]
            at += table.size
        ordered: NDArray[np.void] = joined[np.argsort(joined["t"], kind="stable")]
        return ordered

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned in every part."""
        found = [part.isel(z=np.asarray(z), y=np.asarray(y), x=np.asarray(x)).coverage() for part in self._parts]
        covered: NDArray[np.bool_] = np.logical_and.reduce(found)
        return covered

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """File and page of each frame, files counted through all parts."""
        return self._columns(t, c, z, facts=False)

    def prove(self) -> None:
        """Check every part."""
        for part in self._parts:
            part.prove()

    def close(self) -> None:
        """Close every part."""
        for part in self._parts:
            part.close()


class _JoinedFacts(FrameFacts):
    def __init__(self, joined: _Joined) -> None:
        self._joined = joined

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        return self._joined._columns(t, c, z, facts=True)

    def events(self, t: Int64) -> NDArray[np.void]:
        return self._joined._events(t)


class _JoinedChecksums:
    """The checksums of all parts."""

    def __init__(self, joined: _Joined) -> None:
        self._joined = joined

    def blocks(self) -> list[tuple[tuple[slice, ...], int]]:
        """Index and CRC-32C of each block."""
        axis, found = self._joined._axis, []
        for part, start in zip(self._joined._parts, self._joined._starts.tolist(), strict=False):
            for index, crc in part.checksums.blocks() if part.checksums else []:
                moved = slice(index[axis].start + start, index[axis].stop + start)
                found.append(((*index[:axis], moved, *index[axis + 1 :]), crc))
        return found

    def metadata_damage(self) -> list[str]:
        """What any part says of its metadata."""
        return [line for part in self._joined._parts if part.checksums for line in part.checksums.metadata_damage()]


def join(parts: Sequence[Recording], axis: Literal["t", "c"] = "t") -> Recording:
    """One recording over `parts`.

    Parameters
    ----------
    parts : sequence of Recording
        Equal in dtype and in all axes but `axis`.
    axis : "t" or "c"
        "t": they follow each other; "c": each holds one channel, or several.

    Returns
    -------
    Recording
        Rate, pixel size and depths are kept where all parts agree, else None.

    Raises
    ------
    FormatError
        The parts do not fit each other.
    """
    if axis not in ("t", "c"):
        raise OptionError("axis must be 't' or 'c'", found=repr(axis))
    if not parts:
        raise OptionError("no recordings to join")
    if len(parts) == 1:
        return parts[0]
    number = AXES.index(axis.upper())
    for one, other in pairwise(parts):
        differ = [
            f"{letter} {a} and {b}"
            for letter, a, b in zip(AXES, one.shape, other.shape, strict=True)
            if a != b and letter != axis.upper()
        ]
        if one.dtype != other.dtype:
            differ.append(f"dtype {one.dtype} and {other.dtype}")
        if differ:
            raise FormatError(
                f"recordings that do not fit cannot follow each other along {axis.upper()}: {', '.join(differ)}",
                path=other.files[0] if other.files else None,
            )
    joined = _Joined(parts, number)
    has_facts = any(part._facts is not None for part in parts)
    return Recording(
        joined,
        _merge([part.metadata for part in parts], axis),
        files=[str(path) for part in parts for path in part.files],
        facts=_JoinedFacts(joined) if has_facts else None,
        fields=_common_fields(parts),
        left_out=[entry for part in parts for entry in part.left_out],
        damage=[entry for part in parts for entry in part.damage],
        checksums=_JoinedChecksums(joined) if all(part.checksums is not None for part in parts) else None,
    )


def join_opened(parts: Iterable[Recording], axis: Literal["t", "c"] = "t") -> Recording:
    """`join` of recordings that are opened as they are taken: when anything fails, those that are open are closed."""
    opened: list[Recording] = []
    try:
        opened.extend(parts)
        return join(opened, axis)
    except BaseException:
        for part in opened:
            part.close()
        raise


def _common_fields(parts: Sequence[Recording]) -> Sequence[ScanField]:
    """The scan fields of whole pages, where all parts have the same."""
    first = parts[0]
    for part in parts:
        if part._fields != first._fields or part._selection.axes[2:] != Selection.whole(part._reader.shape).axes[2:]:
            return ()
    return first._fields


def _merge(all_metadata: Sequence[Metadata], axis: str) -> Metadata:
    first = all_metadata[0]
    agreed: dict[str, Any] = {
        name: getattr(first, name)
        if all(repr(getattr(other, name)) == repr(getattr(first, name)) for other in all_metadata)  # NaN equals NaN
        else None
        for name in ("frame_rate_hz", "pixel_size_um", "z_um")
    }
    names = first.channel_names
    if axis == "c":
        names = tuple(name for other in all_metadata for name in other.channel_names)
        if not all(other.channel_names for other in all_metadata):
            names = ()
    return replace(first, channel_names=names, scan_field=None, **agreed)
