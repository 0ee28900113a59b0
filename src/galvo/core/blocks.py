"""Blocks: the parts in which a recording is moved, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from galvo.core.axes import Shape
from galvo.errors import OptionError

__all__ = ["DEFAULT_BLOCK_BYTES", "BlockIndex", "block_selections", "runs_of"]

DEFAULT_BLOCK_BYTES = 64 << 20

BlockIndex = tuple[slice, slice, slice, slice, slice]


def block_selections(
    shape: Shape, itemsize: int, max_bytes: int, t_multiple: int = 1, order: str = "TCZ"
) -> Iterator[BlockIndex]:
    """Index tuples that cover `shape`, one after another in an order of its axes.

    Parameters
    ----------
    shape : (T, C, Z, Y, X)
    itemsize : int
        Bytes of a pixel.
    max_bytes : int
        Most of one block, which is never less than a frame at `t_multiple` T positions.
    t_multiple : int
        Blocks begin at multiples of it.
    order : str
        T C Z, the axis that changes last first. A block holds several positions on an axis only where it holds all of
        those behind it, never several on an axis whose letter is small, and all on axes in parentheses: "T(CZ)".
    """
    if max_bytes <= 0:
        raise OptionError("max_bytes must be positive", found=max_bytes)
    whole = order[order.find("(") + 1 : order.find(")")] if "(" in order else ""
    order = order.replace("(", "").replace(")", "")
    if sorted(order.upper()) != ["C", "T", "Z"]:
        raise OptionError("blocks follow each other along T, C and Z", found=repr(order), expected="TCZ, TZC, ...")
    if 0 in shape:
        return
    lengths = dict(zip("TCZ", shape[:3], strict=True))
    together = shape[3] * shape[4] * itemsize * t_multiple
    # positions in units of what must stay together
    steps, counts = {}, {**lengths, "T": -(-lengths["T"] // t_multiple)}
    for axis in reversed(order):
        one = axis.islower()
        fitting = counts[axis] if axis in whole else max_bytes // together
        steps[axis.upper()] = 1 if one else max(1, min(counts[axis], fitting))
        together *= max_bytes + 1 if one else counts[axis]
    steps["T"] *= t_multiple
    order = order.upper()
    for starts in product(*(range(0, lengths[axis], steps[axis]) for axis in order)):
        start = dict(zip(order, starts, strict=True))
        t, c, z = (slice(start[axis], min(lengths[axis], start[axis] + steps[axis])) for axis in "TCZ")
        yield t, c, z, slice(0, shape[3]), slice(0, shape[4])


def runs_of(index: BlockIndex, length: int) -> list[tuple[int, int, int]]:
    """Channel, plane and first frame of each run of `length` frames of a block, relative to it, T fastest."""
    t, c, z = (part.stop - part.start for part in index[:3])
    return list(product(range(c), range(z), range(0, t, length)))
