"""Faults of bytes that a format must survive: missing or wrong ones.

The one place for them: a new kind of damage in `mutations` is met by every format's conformance suite. Faults of
writing are in `galvo.testing.disk_faults` and `power`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

__all__ = ["Mutation", "bounded", "cuts", "mutations"]

Result = TypeVar("Result")


def bounded(work: Callable[[], Result], seconds: float) -> Result:
    """What `work` returns or raises.

    Raises
    ------
    TimeoutError
        It takes longer than `seconds`; its thread is left behind.
    """
    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  handed to the caller
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True, name="bounded work")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError(f"no end after {seconds} s")
    return results[0]


# ---- bytes ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mutation:
    """Bytes put over those of a file.

    Attributes
    ----------
    offset : int
    data : bytes
    """

    offset: int
    data: bytes

    def apply(self, content: bytes) -> bytes:
        """The changed content."""
        return content[: self.offset] + self.data + content[self.offset + len(self.data) :]


def mutations(content: bytes, count: int, seed: int, focus: Sequence[int] = ()) -> Iterator[Mutation]:
    """`count` changes of `content`: flipped bits, other bytes, extreme integers, zeros.

    Parameters
    ----------
    content : bytes
    count, seed : int
    focus : sequence of int
        Offsets near which every second change lies.
    """
    rng = np.random.default_rng(seed)
    extremes = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 62, (1 << 63) - 1, (1 << 64) - 1]
    made = 0
    while made < count:
        offset = int(rng.integers(len(content)))
        if focus and made % 2:
            offset = min(max(0, int(rng.choice(list(focus))) + int(rng.integers(-16, 64))), len(content) - 1)
        kind, old = int(rng.integers(4)), content[offset]
        if kind == 0:
            data = bytes([old ^ 1 << int(rng.integers(8))])
        elif kind == 1:
            data = bytes([int(rng.integers(256))])
        elif kind == 2:
            value, width = int(rng.choice(len(extremes))), int(rng.choice([1, 2, 4, 8]))
            data = (extremes[value] & (1 << 8 * width) - 1).to_bytes(width, "big" if rng.integers(2) else "little")
        else:
            data = bytes(int(rng.integers(1, 32)))
        data = data[: len(content) - offset]
        if data != content[offset : offset + len(data)]:
            made += 1
            yield Mutation(offset, data)


def cuts(content: bytes, count: int, seed: int, boundaries: Sequence[int] = ()) -> list[int]:
    """Sizes below the whole to which a file is cut: at and beside `boundaries`, and `count` at random."""
    rng = np.random.default_rng(seed)
    near = {boundary + step for boundary in boundaries for step in (-1, 0, 1)}
    sizes = near | {0, 1, len(content) - 1} | set(rng.integers(0, len(content), count).tolist())
    return sorted(size for size in sizes if 0 <= size < len(content))
