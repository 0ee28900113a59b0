"""``galvo recover``: the whole frames of an interrupted output."""

from __future__ import annotations

from typing import Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.options import quoted
from galvo.cli.screen import has_progress, say, shown_warnings
from galvo.text import count_text

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo recover rec.h5.partial
  galvo recover rec.h5 -o saved.h5

Where the source still exists, `galvo convert ... --resume` is better: it gives all frames.
"""


@click.command("recover", short_help="Save the whole frames of an interrupted output.", epilog=_EPILOG)
@click.argument("path", metavar="OUT[.partial]")
@click.option("-o", "--output", metavar="FILE", help="File to write; by default OUT.recovered with OUT's suffix.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@debug_option
def command(path: str, output: str | None, overwrite: bool) -> None:
    """Write the whole frames of an interrupted output as a recording of their own.

    Needs only the .partial file and its .journal, and keeps both.
    """
    from galvo.recovery import recover

    with shown_warnings():
        result = recover(path, output, overwrite=overwrite, progress=has_progress())
    lost = result.announced - result.recovered
    say("recovered", f"{result.path}: {count_text(result.recovered, 'frame')} of {result.announced}, verified")
    if lost:
        say("missing", f"the last {count_text(lost, 'frame')} were not written when it was interrupted")
    say("kept", f"{quoted(result.partial)} and its journal; delete them when you no longer need them")
