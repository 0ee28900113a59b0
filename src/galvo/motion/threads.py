"""How many threads work at once."""

import os

from galvo.errors import OptionError


def thread_count(threads: int | None) -> int:
    """`threads`, or one per usable core; `OptionError` below 1."""
    if threads is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if threads < 1:
        raise OptionError("threads must be at least 1", found=threads)
    return threads
