"""``galvo verify``: is a recording what it was, or what another one is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from galvo.cli.ending import DIFFERS, debug_option, end_with
from galvo.cli.motion_facts import is_motion, verify_motion_file
from galvo.cli.options import open_options, quoted, source_options
from galvo.cli.screen import has_progress, say, shown_warnings
from galvo.errors import Malformed, Truncated
from galvo.text import count_text

if TYPE_CHECKING:
    from galvo.verification import VerifyResult

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo verify rec.h5                            against the checksums in the file
  galvo verify rec_00001_00001.tif rec.h5        pixels and metadata of two recordings

Exit code 0: nothing differs. 3: something differs, or data are damaged. 1: a recording cannot be opened.
"""


@click.command("verify", short_help="Check or compare recordings.", epilog=_EPILOG)
@click.argument("path", metavar="A")
@click.argument("against", required=False, metavar="[B]")
@source_options
@debug_option
def command(path: str, against: str | None, **given: Any) -> None:
    """Check recording A against its own checksums, or compare it with recording B.

    Every frame is read and decoded. The options say how to open A.
    """
    from galvo.verification import verify

    try:
        if against is None and is_motion(path):
            verify_motion_file(path)
            return
        with shown_warnings():
            result = verify(path, against, progress=has_progress(), **open_options(**given))
    except (Malformed, Truncated) as error:
        end_with(error, DIFFERS)
    _report(path, against, result)
    if not result.ok:
        raise click.exceptions.Exit(DIFFERS)


def _report(path: str, against: str | None, result: VerifyResult) -> None:
    for line in result.differences:
        say("differs", line)
    for entry in result.left_out:
        say("unchecked", f"{entry.what}: {count_text(entry.page_count, 'page')}, {entry.reason}")
    read = f"{count_text(result.frame_count, 'frame')} read"
    if result.differences:
        name = path if against is None else f"{path} and {against}"
        say("failed", f"{name}: {count_text(len(result.differences), 'difference')}, {read}")
    elif result.method == "compared":
        say("equal", f"{path} and {against}: pixels and metadata, {read}")
    elif result.method == "checksums":
        say("intact", f"{path}: all checksums match, {read}")
    else:
        say("readable", f"{path}: {read} and decoded without an error")
        say("note", "no checksums are stored in it, so changed pixels cannot be found; compare it with its source:")
        say("", quoted("galvo", "verify", path, "OTHER"))
