"""Times of several contenders, taken in interleaved rounds."""

import functools
import gc
import importlib
import resource
import statistics
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Concatenate, ParamSpec, TypeVar

Name = TypeVar("Name", bound=Hashable)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    """Samples of one contender, in seconds; CPU time counts all threads, and child processes that have ended."""

    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]

    @property
    def minimum_s(self) -> float:
        """Least wall time in s: the figure that the noise of the machine moves least."""
        return min(self.wall_s)

    @property
    def median_s(self) -> float:
        """Median wall time in s."""
        return statistics.median(self.wall_s)

    @property
    def minimum_cpu_s(self) -> float:
        """Least CPU time in s."""
        return min(self.cpu_s)


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def interleave(
    contenders: Mapping[Name, Callable[[], object] | None],
    *,
    rounds: int,
    slot_s: float = 0.05,
    most: int = 100,
    before: Callable[[Name], object] | None = None,
) -> dict[Name, Timing]:
    """Return the times of every contender, all of them in every round (A B C, A B C, ...).

    Parameters
    ----------
    contenders
        What to time, by name; None (a peer that is not installed) is left out of the answer.
    rounds
        Rounds after one that warms up and is thrown away.
    slot_s, most
        In each round a contender repeats until `slot_s` seconds or `most` calls have passed, each call one sample:
        the least of microseconds needs more samples than the least of seconds.
    before
        Called with the name ahead of each call, outside the time.
    """
    present = {name: run for name, run in contenders.items() if run is not None}
    wall: dict[Name, list[float]] = {name: [] for name in present}
    cpu: dict[Name, list[float]] = {name: [] for name in present}
    for name, run in present.items():
        if before is not None:
            before(name)
        run()
    for _ in range(rounds):
        for name, run in present.items():
            gc.collect()
            gc.disable()
            spent_s, calls = 0.0, 0
            while calls == 0 or (spent_s < slot_s and calls < most):
                if before is not None:
                    before(name)
                cpu_start, start = _cpu_s(), time.perf_counter()
                result = run()
                stop, cpu_stop = time.perf_counter(), _cpu_s()
                del result
                wall[name].append(stop - start)
                cpu[name].append(cpu_stop - cpu_start)
                spent_s += stop - start
                calls += 1
            gc.enable()
    return {name: Timing(tuple(wall[name]), tuple(cpu[name])) for name in present}


def timed(run: Callable[[], Result]) -> tuple[Result, Timing]:
    """Result and time of one call, for what takes too long to repeat."""
    cpu_start, start = _cpu_s(), time.perf_counter()
    result = run()
    stop, cpu_stop = time.perf_counter(), _cpu_s()
    return result, Timing((stop - start,), (cpu_stop - cpu_start,))


def with_peer(
    module: str, run: Callable[Concatenate[ModuleType, Arguments], Result]
) -> Callable[Arguments, Result] | None:
    """Bind `run` to the peer that it takes first, or give None where the peer is not installed."""
    try:
        return functools.partial(run, importlib.import_module(module))
    except ImportError:
        return None
