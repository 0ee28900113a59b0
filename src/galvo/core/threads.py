"""How many threads work at once."""

from __future__ import annotations

import os

from galvo.errors import OptionError

__all__ = ["SMALL_READ_BYTES", "thread_count", "usable_cores", "worker_count"]

_PARALLEL_BYTES = 4 << 20
_MOST_WORKERS = 16
# what a small read costs, expressed in bytes of a large one
SMALL_READ_BYTES = 8 << 10


def usable_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(nbytes: int) -> int:
    """Threads that pay for moving `nbytes`."""
    return max(1, min(usable_cores(), _MOST_WORKERS, nbytes // _PARALLEL_BYTES))


def thread_count(threads: int | None) -> int:
    """`threads`, or one per usable core; `OptionError` below 1."""
    if threads is None:
        return usable_cores()
    if threads < 1:
        raise OptionError("threads must be at least 1", found=threads)
    return threads
