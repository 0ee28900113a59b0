"""A lock that a forked child finds open: the thread that held it in the parent does not exist there."""

from __future__ import annotations

import os
import threading
import weakref
from types import TracebackType

__all__ = ["ForkSafeLock"]

_alive: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()


class ForkSafeLock:
    """`threading.Lock` that is new in a forked child.

    Attributes
    ----------
    current : Lock
        The lock of this process, for a ``with`` where each call counts.
    """

    def __init__(self) -> None:
        self.current = threading.Lock()
        _alive.add(self)

    def __enter__(self) -> None:
        self.current.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.current.release()

    def _renew(self) -> None:
        self.current = threading.Lock()


def _renew_all() -> None:
    for lock in list(_alive):
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
