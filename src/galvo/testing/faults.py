"""Faults that a format must survive: bytes that are missing or wrong, and writing that fails half way.

The one place for them: a new entry in `WRITE_FAULTS`, or a new kind of damage in `mutations`, is met by every format's
conformance suite.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest import mock

import numpy as np

from galvo.core.write import Progress
from galvo.errors import NoSpace

__all__ = ["WRITE_FAULTS", "Mutation", "WriteFault", "bounded", "cuts", "mutations"]

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


# ---- writing --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriteFault:
    """A way in which writing fails.

    Attributes
    ----------
    error : type of exception
        What the caller sees.
    inject : callable
        Given how far writing comes (0 to 1) and the bytes of the complete output, a context in which writing fails; it
        gives the progress callback to pass.
    """

    error: type[BaseException]
    inject: Callable[[float, int], AbstractContextManager[Progress]]


def _raising(error: BaseException) -> Callable[[float, int], AbstractContextManager[Progress]]:
    @contextmanager
    def inject(part: float, nbytes: int) -> Iterator[Progress]:
        def progress(done: int, total: int) -> None:
            if done >= part * total:
                raise error

        yield progress

    return inject


def _failing_write(number: int) -> Callable[[float, int], AbstractContextManager[Progress]]:
    @contextmanager
    def inject(part: float, nbytes: int) -> Iterator[Progress]:
        real, left = os.write, int(part * nbytes * 0.9)

        def write(descriptor: int, data: Any) -> int:
            nonlocal left
            if left <= 0:
                raise OSError(number, os.strerror(number))
            done = real(descriptor, memoryview(data)[:left])
            left -= done
            return done

        with mock.patch("galvo.core.atomic.os.write", write):
            yield lambda done, total: None

    return inject


@contextmanager
def _failing_sync(part: float, nbytes: int) -> Iterator[Progress]:
    def fsync(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with mock.patch("galvo.core.atomic._sync_file", fsync):
        yield lambda done, total: None


@contextmanager
def _failing_rename(part: float, nbytes: int) -> Iterator[Progress]:
    def replace(source: str, destination: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with mock.patch("galvo.core.atomic.os.replace", replace):
        yield lambda done, total: None


class _CallbackError(Exception):
    """Raised by a caller's own function."""


WRITE_FAULTS: dict[str, WriteFault] = {
    "the callback raises": WriteFault(_CallbackError, _raising(_CallbackError("the caller's own"))),
    "interrupted": WriteFault(KeyboardInterrupt, _raising(KeyboardInterrupt())),
    "disk full": WriteFault(NoSpace, _failing_write(errno.ENOSPC)),
    "device fails": WriteFault(OSError, _failing_write(errno.EIO)),
    "sync fails": WriteFault(OSError, _failing_sync),
    "rename fails": WriteFault(OSError, _failing_rename),
}
