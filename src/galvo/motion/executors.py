"""Where frames are worked on: one thread, several, or several processes. The fields are the same bit for bit."""

import atexit
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing import get_context, parent_process
from typing import Literal

import numpy as np

from galvo.errors import Interrupted, OptionError
from galvo.motion.estimator import Fields, Flags, Frames, Plan

__all__ = ["ExecutorName", "Solve", "solving"]

ExecutorName = Literal["threads", "sequential", "processes"]

Solve = Callable[[int, Frames, int, int], tuple[Fields, Flags]]
"""``solve(number, frames, first, count)``: what the plan of that number says of `frames[first : first + count]`."""


@contextmanager
def solving(name: ExecutorName, plans: Sequence[Plan], workers: int) -> Iterator[Solve]:
    """What solves frames by any of some plans, as the executor does that a user named.

    Parameters
    ----------
    name : "threads", "sequential" or "processes"
    plans : sequence of Plan
    workers : int
        Threads or processes.

    Raises
    ------
    OptionError
        There is no such executor, or a plan cannot be sent to other processes.
    """
    if name == "processes":
        pickled = _pickled(tuple(plans))
        # a forked child would inherit threads that hold locks
        context = get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(pickled,)) as pool:
            yield lambda number, *what: _solve_apart(pool, workers, plans[number], number, *what)
    elif name in ("threads", "sequential"):
        threads = 1 if name == "sequential" else workers
        yield lambda number, frames, first, count: plans[number].solve(
            frames, first=first, count=count, threads=threads
        )
    else:
        raise OptionError("no such executor", found=repr(name), expected="threads, sequential or processes")


def _pickled(plans: tuple[Plan, ...]) -> bytes:
    try:
        return pickle.dumps(plans)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise OptionError(
            f"the estimator cannot be sent to other processes: {error}",
            hint='A function must be one that a module defines by name; or use executor="threads"',
        ) from error


def _solve_apart(
    pool: Executor, workers: int, plan: Plan, number: int, frames: Frames, first: int, count: int
) -> tuple[Fields, Flags]:
    """A run of frames, with its context, for each process."""
    bounds = np.linspace(first, first + count, min(workers, count) + 1).round().astype(int).tolist()
    waiting = []
    try:
        for start, stop in pairwise(bounds):
            before, after = max(0, start - plan.halo), min(len(frames), stop + plan.halo)
            waiting.append(pool.submit(_solve_here, number, frames[before:after], start - before, stop - start))
        parts = [future.result() for future in waiting]
    except BrokenProcessPool as error:
        raise Interrupted(
            "a process that works on frames was ended from outside, or could not begin",
            hint="A function of a script has to be defined outside of `if __name__ == '__main__':`; "
            'executor="threads" takes any',
        ) from error
    return np.concatenate([fields for fields, _ in parts]), np.concatenate([flags for _, flags in parts])


# ---- in the other processes -----------------------------------------------------------------------------------------

_plans: tuple[Plan, ...] = ()


def _begin(pickled: bytes) -> None:
    global _plans
    # Ctrl-C goes to all processes of a terminal: the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _plans = pickle.loads(pickled)  # noqa: TID251  bytes of this very run
    atexit.register(_end)


def _end() -> None:
    """Native objects that live when Python ends are reported as leaks."""
    global _plans
    _plans = ()


def _end_with_parent() -> None:
    """A killed process cannot tell its workers to end."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _solve_here(number: int, frames: Frames, first: int, count: int) -> tuple[Fields, Flags]:
    return _plans[number].solve(frames, first=first, count=count, threads=1)
