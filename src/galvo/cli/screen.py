"""Where the verbs' output goes: tables in a terminal, aligned text in a pipe, galvo's warnings as lines."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os.path import exists
from typing import Final, NamedTuple, TextIO

import click

from galvo.errors import GalvoWarning
from galvo.text import printable

__all__ = [
    "Row",
    "collected_warnings",
    "has_progress",
    "is_terminal",
    "not_written",
    "say",
    "show_facts",
    "show_table",
    "shown_warnings",
    "warning_line",
]

_FLEXIBLE_COLUMN: Final = 1


class Row(NamedTuple):
    """A label and what stands beside it.

    Attributes
    ----------
    label : str
    lines : tuple of str
    alarming : bool
        Users should not miss it.
    """

    label: str
    lines: tuple[str, ...]
    alarming: bool = False


def is_terminal() -> bool:
    """Whether somebody reads along."""
    # None where the program was started without the stream
    return sys.stdout is not None and sys.stdout.isatty()


def has_progress() -> bool:
    """Whether somebody sees a progress bar."""
    return sys.stderr is not None and sys.stderr.isatty()


def say(label: str, text: str) -> None:
    """Print a line that starts with a short label."""
    click.echo(f"{label:<9} {printable(text)}")


def not_written(path: str) -> str:
    """What there is of an output that was stopped."""
    from galvo.core.atomic import journal_path

    return "not written; what is done is kept, go on with --resume" if exists(journal_path(path)) else "not written"


def show_facts(title: str, rows: Sequence[Row]) -> None:
    """Print what is known of one thing: a panel in a terminal, aligned lines in a pipe."""
    if is_terminal():
        _facts_panel(title, rows)
        return
    width = max(len(row.label) for row in rows)
    click.echo(printable(title))
    for row in rows:
        for number, line in enumerate(row.lines):
            click.echo(f"  {'' if number else row.label:<{width}}  {printable(line)}")


def _facts_panel(title: str, rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for row in rows:
        style = "yellow" if row.alarming else "cyan"
        body = Text("\n".join(printable(line) for line in row.lines), style="yellow" if row.alarming else "")
        grid.add_row(Text(row.label, style=style), body)
    heading = Text(printable(title), style="bold")
    Console().print(Panel(grid, title=heading, title_align="left", border_style="dim", expand=False))


def show_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Print rows under column headings; lines of a cell stand below each other only in a terminal."""
    if is_terminal():
        _rich_table(columns, cells)
        return
    lines = [[cell.replace("\n", " ") for cell in row] for row in (columns, *cells)]
    widths = [max(len(row[number]) for row in lines) for number in range(len(columns))]
    for row in lines:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for number, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=number != _FLEXIBLE_COLUMN)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def warning_line(message: str) -> None:
    """Print one line of warning on stderr."""
    click.echo(f"galvo: warning: {printable(message)}", err=True)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Galvo's warnings as texts, each once, instead of on stderr."""
    found: list[str] = []
    with _caught(found.append):
        yield found


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Galvo's warnings as lines on stderr, each once."""
    with _caught(warning_line):
        yield


@contextmanager
def _caught(take: Callable[[str], None]) -> Iterator[None]:
    seen: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", GalvoWarning)
        others = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, GalvoWarning):
                others(message, category, filename, lineno, file, line)
            elif str(message) not in seen:
                seen.add(str(message))
                take(str(message))

        warnings.showwarning = show
        yield
