"""Keys of scans: which positions of field, y, x, channel and frame an index names."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from galvo.core.index import Int64

__all__ = ["AXES", "AxisKey", "KeptAxis", "checked", "positions", "split_key"]

AXES = ("field", "y", "x", "channel", "frame")

KeptAxis: TypeAlias = slice | Int64
AxisKey: TypeAlias = int | KeptAxis


def split_key(key: Any) -> tuple[AxisKey, ...]:
    """The keys of the five axes, whatever the scan's lengths.

    Parameters
    ----------
    key : int, slice, sequence of int, ..., or a tuple of them
        Axes that are not named are taken whole.

    Raises
    ------
    IndexError
        More than five keys, or several Ellipsis.
    TypeError
        A key of another kind; booleans are no integers here.
    """
    keys = list(key) if isinstance(key, tuple) else [key]
    filled = [number for number, one in enumerate(keys) if one is Ellipsis]
    if len(filled) > 1:
        raise IndexError("an index can have only one Ellipsis")
    if len(keys) - len(filled) > len(AXES):
        raise IndexError(f"too many indices for a scan: it has {len(AXES)} axes, but {len(keys)} were indexed")
    missing = [slice(None)] * (len(AXES) - len(keys) + len(filled))
    at = filled[0] if filled else len(keys)
    keys[at : at + len(filled)] = missing
    return tuple(_axis_key(one, axis) for one, axis in zip(keys, AXES, strict=True))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _axis_key(key: Any, axis: str) -> AxisKey:
    if _is_integer(key):
        return int(key)
    if isinstance(key, slice):
        # what cannot be a bound raises TypeError here
        key.indices(0)
        return key
    if isinstance(key, np.ndarray) and key.ndim == 1 and key.dtype.kind in "iu":
        return _int64(key.tolist())
    if isinstance(key, list | tuple) and all(map(_is_integer, key)):
        return _int64([int(item) for item in key])
    raise TypeError(
        f"{axis}: an index is an integer, a slice, or a list, tuple or 1-D array of integers, not {type(key).__name__}"
    )


def _int64(items: list[int]) -> Int64:
    try:
        return np.array(items, np.int64)
    except OverflowError:
        raise IndexError(f"index out of bounds: {max(items, key=abs)}") from None


def checked(key: AxisKey, length: int, axis: str) -> None:
    """Raise IndexError unless all positions of `key` are on an axis of `length`."""
    if isinstance(key, slice):
        return
    outside = [position for position in np.atleast_1d(key).tolist() if not -length <= position < length]
    if outside:
        raise IndexError(f"{axis}: index {outside[0]} is out of bounds for {length}")


def positions(key: AxisKey, length: int) -> list[int]:
    """The positions that a checked key names on an axis, from either end."""
    if isinstance(key, slice):
        return list(range(length)[key])
    return list(np.atleast_1d(key).tolist())
