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
    shape: Shape, itemsize: int, max_bytes: int, t_multiple: int = 1
) -> Iterator[BlockIndex]:
    """Index tuples that cover `shape` in C order.

    Each holds at most `max_bytes`, but never less than a frame at `t_multiple` T positions; blocks begin at multiples
    of `t_multiple`.
    """
    if max_bytes <= 0:
        raise OptionError("max_bytes must be positive", found=max_bytes)
    t, c, z, y, x = shape
    if 0 in shape:
        return
    unit = y * x * itemsize * t_multiple
    if unit * c * z <= max_bytes:
        steps = (max_bytes // (unit * c * z) * t_multiple, c, z)
    elif unit * z <= max_bytes:
        steps = (t_multiple, max_bytes // (unit * z), z)
    else:
        steps = (t_multiple, 1, max(1, max_bytes // unit))
    for t0, c0, z0 in product(range(0, t, steps[0]), range(0, c, steps[1]), range(0, z, steps[2])):
        yield (
            slice(t0, min(t, t0 + steps[0])),
            slice(c0, min(c, c0 + steps[1])),
            slice(z0, min(z, z0 + steps[2])),
            slice(0, y),
            slice(0, x),
        )
