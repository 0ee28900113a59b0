"""Progress of long verbs: a bar in a terminal, nothing in a pipe, or the caller's own function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from galvo.core.write import Progress

__all__ = ["ProgressOption", "reporting"]

ProgressOption = bool | Progress


@contextmanager
def reporting(progress: ProgressOption, what: str) -> Iterator[Progress]:
    """A function to call with (bytes done, bytes in all)."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report
