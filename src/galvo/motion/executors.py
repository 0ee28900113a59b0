"""Where frames are worked on: one thread, several, or several processes. The fields are the same bit for bit."""

import os
import pickle
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from multiprocessing import get_context, parent_process
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np

from galvo.errors import Interrupted, OptionError
from galvo.motion.estimator import Fields, Flags, Frames, Plan
from galvo.motion.threads import thread_count

__all__ = ["Executor", "ExecutorName", "executor_of"]

ExecutorName = Literal["threads", "sequential", "processes"]


class Executor(Protocol):
    """Solves frames by a plan; a context manager that gives its workers back."""

    def solve(self, frames: Frames, first: int, count: int) -> tuple[Fields, Flags]:
        """Solver fields (T, h, w, 2) and flags uint32 (T,) of `frames[first : first + count]`."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def executor_of(name: ExecutorName, plan: Plan, workers: int | None) -> Executor:
    """The executor that a user named.

    Raises
    ------
    OptionError
        There is none of that name.
    """
    count = thread_count(workers)
    if name == "threads":
        return _Threads(plan, count)
    if name == "sequential":
        return _Threads(plan, 1)
    if name == "processes":
        return _Processes(plan, count)
    raise OptionError("no such executor", found=repr(name), expected="threads, sequential or processes")


class _Threads:
    """Frames are shared out among threads by the kernels."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = plan
        self._count = count

    def solve(self, frames: Frames, first: int, count: int) -> tuple[Fields, Flags]:
        return self._plan.solve(frames, first=first, count=count, threads=self._count)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


_plan_here: Plan | None = None


def _take_plan(plan: Plan) -> None:
    global _plan_here
    _plan_here = plan
    # Ctrl-C goes to all processes of a terminal: the first one ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed process cannot tell its workers to end."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _solve_here(frames: Frames, first: int, count: int) -> tuple[Fields, Flags]:
    if _plan_here is None:
        raise RuntimeError("the process was not given a plan")
    return _plan_here.solve(frames, first=first, count=count, threads=1)


class _Processes:
    """Each process works on a run of frames; the plan goes there once."""

    def __init__(self, plan: Plan, count: int) -> None:
        self._plan = plan
        self._count = count
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            pickle.dumps(self._plan)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise OptionError(
                f"the estimator cannot be sent to other processes: {error}",
                hint='A function must be one that a module defines by name; or use executor="threads"',
            ) from error
        # a forked child would inherit threads that hold locks
        pool = ProcessPoolExecutor(
            self._count, mp_context=get_context("spawn"), initializer=_take_plan, initargs=(self._plan,)
        )
        self._pool = self._stack.enter_context(pool)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def solve(self, frames: Frames, first: int, count: int) -> tuple[Fields, Flags]:
        bounds = np.linspace(first, first + count, min(self._count, count) + 1).round().astype(int)
        waiting = []
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            before, after = max(0, start - self._plan.halo), min(len(frames), stop + self._plan.halo)
            waiting.append(self._pool.submit(_solve_here, frames[before:after], start - before, stop - start))
        try:
            parts = [future.result() for future in waiting]
        except BrokenProcessPool as error:
            raise Interrupted("a process that works on frames was ended from outside, or ran out of memory") from error
        return np.concatenate([fields for fields, _ in parts]), np.concatenate([flags for _, flags in parts])
