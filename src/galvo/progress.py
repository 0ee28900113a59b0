"""Progress of long verbs: a bar in a terminal, nothing in a pipe, or the caller's own function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
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
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, ProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    done_and_rate: tuple[ProgressColumn, ...] = (DownloadColumn(), TextColumn("{task.fields[rate]}"))
    if unit == "frames":
        done_and_rate = (MofNCompleteColumn(), TextColumn("frames{task.fields[rate]}"))
    columns = (TextColumn(what), BarColumn(), *done_and_rate, TextColumn("{task.fields[left]}"))
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None, rate="", left="")
        began: list[tuple[float, int]] = []

        def report(done: int, total: int) -> None:
            # of the whole run: blocks are few, and a mean over the last ones would need several
            if not began:
                began.append((monotonic(), done))
            seconds, made = monotonic() - began[0][0], done - began[0][1]
            rate = made / seconds if made > 0 and seconds > 0 else 0.0
            speed = left = ""
            if rate:
                speed = f", {rate:.0f}/s" if unit == "frames" else f"{rate / 1e6:.1f} MB/s"
                left = str(timedelta(seconds=round((total - done) / rate)))
            bar.update(task, completed=done, total=total, rate=speed, left=left)

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
