"""Index algebra: what `rec[...]` and `rec.isel(...)` mean, without any reading.

An axis selection is a `range` when the wanted positions are evenly spaced, else an int64 array. Five of
them make a `Selection`; selections compose, and a list on several axes selects their outer product.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index as as_int
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.errors import SelectionError

__all__ = [
    "Indices",
    "Piece",
    "Selection",
    "as_slice",
    "compact",
    "is_whole",
    "outer_index",
    "parse_axis",
    "parse_key",
    "plane_area",
    "spans",
    "split_by_chunk",
]

Indices = range | NDArray[np.int64]

# grid position of a chunk, wanted positions inside it, where they belong in the output
Piece = tuple[int, Indices, Indices]


@dataclass(frozen=True, slots=True)
class Selection:
    """Positions wanted along T, C, Z, Y and X (an outer product).

    Attributes
    ----------
    t, c, z, y, x : range or ndarray of int64, (n,)
        Non-negative positions, in the order wanted; repeats are allowed.
    """

    t: Indices
    c: Indices
    z: Indices
    y: Indices
    x: Indices

    @classmethod
    def whole(cls, shape: Shape) -> Selection:
        """Everything of an array of `shape` (T, C, Z, Y, X)."""
        return cls(*(range(length) for length in shape))

    @property
    def axes(self) -> tuple[Indices, Indices, Indices, Indices, Indices]:
        """The five axis selections in the order T C Z Y X."""
        return (self.t, self.c, self.z, self.y, self.x)

    @property
    def shape(self) -> Shape:
        """Lengths of the selected axes."""
        return (len(self.t), len(self.c), len(self.z), len(self.y), len(self.x))

    def take(self, inner: Selection) -> Selection:
        """The part of this selection that `inner`, relative to it, picks."""
        return Selection(*(_take(outer, part) for outer, part in zip(self.axes, inner.axes, strict=True)))


def _take(outer: Indices, inner: Indices) -> Indices:
    if isinstance(inner, range):
        if isinstance(outer, np.ndarray):
            return compact(outer[np.arange(inner.start, inner.stop, inner.step)])
        if not len(inner):
            return range(0)
        start, last = outer[inner[0]], outer[inner[-1]]
        step = outer.step * inner.step
        return range(start, last + (1 if step > 0 else -1), step)
    if isinstance(outer, np.ndarray):
        return compact(outer[inner])
    return compact(outer.start + inner * outer.step)


def compact(positions: NDArray[np.int64]) -> Indices:
    """`positions` as a range when they are evenly spaced."""
    if positions.size == 0:
        return range(0)
    if positions.size == 1:
        return range(int(positions[0]), int(positions[0]) + 1)
    steps = np.diff(positions)
    step = int(steps[0])
    if step != 0 and bool((steps == step).all()):
        return range(int(positions[0]), int(positions[-1]) + (1 if step > 0 else -1), step)
    return positions


def is_whole(positions: Indices, length: int) -> bool:
    """Whether positions are all of an axis, in order."""
    return isinstance(positions, range) and positions == range(length)


def parse_axis(key: Any, length: int, axis: str, names: Sequence[str] = ()) -> tuple[Indices, bool]:
    """Positions that `key` selects on an axis of `length`.

    Parameters
    ----------
    key : int, slice, sequence of int, 1-D boolean mask, str or sequence of str
        Strings are looked up in `names` (channels).
    length : int
    axis : str
        Letter, for messages.
    names : sequence of str

    Returns
    -------
    positions : range or ndarray of int64
    is_integer : bool
        One position was named, so that NumPy would drop the axis.

    Raises
    ------
    SelectionError
        Out of bounds, an unknown name, or a key of another kind.
    """
    if isinstance(key, slice):
        try:
            return range(length)[key], False
        except (TypeError, ValueError) as error:
            raise SelectionError(f"axis {axis}: {error}", found=repr(key)) from None
    if isinstance(key, str):
        position = _named(key, axis, names)
        return range(position, position + 1), True
    if isinstance(key, bool | np.bool_):
        raise SelectionError(f"axis {axis} takes no single boolean", found=repr(key))
    if not isinstance(key, list | tuple | np.ndarray | range):
        try:
            number = as_int(key)
        except TypeError:
            raise SelectionError(
                f"axis {axis} takes an integer, a slice, a list of integers or a boolean mask", found=repr(key)
            ) from None
        position = _bounded(number, length, axis)
        return range(position, position + 1), True
    if isinstance(key, np.ndarray) and key.ndim == 0:
        return parse_axis(key.item(), length, axis, names)
    if any(isinstance(item, str) for item in key):
        key = [_named(item, axis, names) if isinstance(item, str) else item for item in key]
    try:
        array = np.asarray(key)
    except ValueError:
        raise SelectionError(f"axis {axis} takes lists of one dimension", found="lists of several lengths") from None
    return _listed(array, length, axis), False


def _listed(array: NDArray[Any], length: int, axis: str) -> Indices:
    if array.ndim != 1:
        raise SelectionError(f"axis {axis} takes lists of one dimension", found=f"{array.ndim} dimensions")
    if array.dtype == np.bool_:
        if array.size != length:
            raise SelectionError(f"boolean mask on axis {axis} has the wrong length", found=array.size, expected=length)
        return compact(np.flatnonzero(array).astype(np.int64))
    if array.size == 0:
        return range(0)
    if array.dtype.kind not in "iu":
        raise SelectionError(f"axis {axis} takes integers", found=f"a list of {array.dtype}")
    beyond = (array >= length) | (array < -length)
    if beyond.any():
        raise _out_of_bounds(int(array[beyond][0]), length, axis)
    positions = array.astype(np.int64)
    return compact(np.where(positions < 0, positions + length, positions))


def _named(name: str, axis: str, names: Sequence[str]) -> int:
    matches = [position for position, known in enumerate(names) if known == name]
    if axis != "C" or len(matches) != 1:
        what = "no channel of that name" if not matches else "several channels of that name"
        raise SelectionError(
            what if axis == "C" else f"axis {axis} has no names",
            found=repr(name),
            expected=f"one of {list(names)}" if axis == "C" else "an integer",
        )
    return matches[0]


def _bounded(number: int, length: int, axis: str) -> int:
    if not -length <= number < length:
        raise _out_of_bounds(number, length, axis)
    return number + length if number < 0 else number


def _out_of_bounds(number: int, length: int, axis: str) -> SelectionError:
    expected = f"-{length} to {length - 1}" if length else "nothing, the axis is empty"
    return SelectionError(f"index out of bounds on axis {axis}", found=number, expected=expected)


def parse_key(key: Any, shape: Shape, channel_names: Sequence[str] = ()) -> tuple[Selection, tuple[int, ...]]:
    """The selection that `rec[key]` means, and the axes that it drops.

    Parameters
    ----------
    key : object
        One axis key or a tuple of up to five, `...` standing for the axes left out.
    shape : (T, C, Z, Y, X)
    channel_names : sequence of str

    Returns
    -------
    selection : Selection
    dropped : tuple of int
        Positions of the axes that were indexed by an integer or a name.
    """
    parts = list(key) if isinstance(key, tuple) else [key]
    ellipses = [position for position, part in enumerate(parts) if part is Ellipsis]
    if len(ellipses) > 1:
        raise SelectionError("more than one ellipsis")
    given = len(parts) - len(ellipses)
    if given > len(AXES):
        raise SelectionError("too many indices", found=given, expected=f"at most {len(AXES)} (T C Z Y X)")
    at = ellipses[0] if ellipses else len(parts)
    parts[at : at + 1] = [slice(None)] * (len(AXES) - given)
    chosen, dropped = [], []
    for position, (part, length, axis) in enumerate(zip(parts, shape, AXES, strict=True)):
        positions, is_integer = parse_axis(part, length, axis, channel_names if axis == "C" else ())
        chosen.append(positions)
        if is_integer:
            dropped.append(position)
    return Selection(*chosen), tuple(dropped)


def spans(positions: Indices, gap: int) -> Iterator[tuple[int, int, slice | NDArray[np.int64]]]:
    """Split positions into spans (first, stop) that hold no gap above `gap`, with where they belong in the output."""
    if isinstance(positions, range) and positions.step == 1:
        yield positions.start, positions.stop, slice(0, len(positions))
        return
    array = np.asarray(positions, np.int64)
    order = np.argsort(array, kind="stable")
    breaks = np.flatnonzero(np.diff(array[order]) > gap) + 1
    for lo, hi in pairwise([0, *breaks.tolist(), array.size]):
        where = order[lo:hi]
        yield int(array[where[0]]), int(array[where[-1]]) + 1, where.astype(np.int64)


def split_by_chunk(positions: Indices, chunk: int) -> list[Piece]:
    """Positions grouped by the chunk that they lie in: grid position, positions in the chunk, in the output."""
    array = np.asarray(positions, np.int64)
    grid = array // chunk
    order = np.argsort(grid, kind="stable").astype(np.int64)
    bounds = np.flatnonzero(np.diff(grid[order])) + 1
    return [
        (int(grid[where[0]]), compact(array[where] % chunk), compact(where))
        for where in (order[lo:hi] for lo, hi in pairwise([0, *bounds.tolist(), order.size]))
    ]


def outer_index(axes: list[Indices]) -> Any:
    """What NumPy takes for an outer product of positions; slices where it can be, which copy many times faster."""
    if all(isinstance(axis, range) and axis.step > 0 for axis in axes):
        return tuple(slice(axis.start, axis.stop, axis.step) for axis in axes if isinstance(axis, range))
    return np.ix_(*(np.asarray(axis, np.int64) for axis in axes))


def plane_area(selection: Selection) -> tuple[Any, Any]:
    """What a selection takes of a frame (Y, X), as an index: slices where both are even, which copies much faster."""
    y, x = selection.y, selection.x
    if isinstance(y, range) and isinstance(x, range):
        return as_slice(y), as_slice(x)
    rows, columns = np.ix_(np.asarray(y, np.int64), np.asarray(x, np.int64))
    return rows, columns


def as_slice(positions: range) -> slice:
    """The slice that selects the same positions."""
    return slice(positions.start, None if positions.stop < 0 else positions.stop, positions.step)
