"""Blocks: the parts in which a recording is moved, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from galvo.core.axes import Shape
from galvo.errors import OptionError

__all__ = ["DEFAULT_BLOCK_BYTES", "BlockIndex", "block_selections"]

DEFAULT_BLOCK_BYTES = 64 << 20

BlockIndex = tuple[slice, slice, slice, slice, slice]


def block_selections(
    shape: Shape, itemsize: int, max_bytes: int, t_multiple: int = 1, order: str = "TCZ"
) -> Iterator[BlockIndex]:
    """Index tuples that cover `shape` in the given order.

    Each holds at most `max_bytes`, but never less than a frame at `t_multiple` T positions; blocks begin at multiples
    of `t_multiple`.

    Parameters
    ----------
    shape : (T, C, Z, Y, X)
    itemsize : int
    max_bytes : int
    t_multiple : int
    order : str
        Letters of T C Z, outermost first: a block that holds only part of an axis holds one position of those before.
    """
    if max_bytes <= 0:
        raise OptionError("max_bytes must be positive", found=max_bytes)
    if sorted(order) != ["C", "T", "Z"]:
        raise OptionError("blocks follow each other along T, C and Z", found=repr(order), expected="TCZ, TZC, ...")
    if 0 in shape:
        return
    lengths = dict(zip("TCZ", shape, strict=False))
    room = max(1, max_bytes // (shape[3] * shape[4] * itemsize * t_multiple))
    steps: dict[str, int] = {}
    for letter in reversed(order):
        multiple = t_multiple if letter == "T" else 1
        steps[letter] = room * multiple
        room = max(1, room // -(-lengths[letter] // multiple))
    whole = (slice(0, shape[3]), slice(0, shape[4]))
    for starts in product(*(range(0, lengths[letter], steps[letter]) for letter in order)):
        start = dict(zip(order, starts, strict=True))
        t, c, z = (slice(start[axis], min(lengths[axis], start[axis] + steps[axis])) for axis in "TCZ")
        yield (t, c, z, *whole)
