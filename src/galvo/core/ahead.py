"""Work done in threads a little ahead of who takes its results, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

Part = TypeVar("Part")
Result = TypeVar("Result")


def ahead(work: Callable[[Part], Result], parts: Iterable[Part], workers: int) -> Iterator[Result]:
    """Yield ``work(part)`` of each part, in order.

    A list of all results would need the memory of all of them; here there are never more than two for each thread that
    nobody has taken.

    Parameters
    ----------
    work : callable
    parts : iterable
    workers : int
        Threads; with one, the caller does the work.
    """
    if workers <= 1:
        yield from map(work, parts)
        return
    with ThreadPoolExecutor(workers) as pool:
        coming: deque[Future[Result]] = deque()
        for part in parts:
            if len(coming) == 2 * workers:
                yield coming.popleft().result()
            coming.append(pool.submit(work, part))
        while coming:
            yield coming.popleft().result()
