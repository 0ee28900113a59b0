"""Progress of long verbs: a bar in a terminal, nothing in a pipe, or the caller's own function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from galvo.core.write import Progress

__all__ = ["ProgressOption", "one_of_several", "reporting"]

ProgressOption = bool | Progress


@contextmanager
def reporting(progress: ProgressOption, what: str, unit: Literal["bytes", "frames"] = "bytes") -> Iterator[Progress]:
    """A function to call with what is done and what there is in all, of bytes or frames."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    done_and_rate: tuple[ProgressColumn, ...] = (DownloadColumn(), TransferSpeedColumn())
    if unit == "frames":
        done_and_rate = (MofNCompleteColumn(), TextColumn("frames, {task.fields[rate]}/s"))
    columns = (TextColumn(what), BarColumn(), *done_and_rate, TimeRemainingColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, rate="-")

        def report(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=total, rate="-" if speed is None else f"{speed:.0f}")

        yield report


def one_of_several(report: Progress, before: int, nbytes: int, total: int) -> Progress:
    """Takes what is done of one of several recordings, tells what is done of all.

    Parameters
    ----------
    report : callable
        Gets (bytes done, bytes in all).
    before, nbytes, total : int
        Bytes of those before it, of itself, of all.
    """
    return lambda done, own: report(before + round(nbytes * done / max(own, 1)), total)
