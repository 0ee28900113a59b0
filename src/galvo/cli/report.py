"""``galvo report``: how a correction went, as a page to look at and to mail."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.options import open_options, source_options
from galvo.cli.screen import say, shown_warnings
from galvo.text import byte_text

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo report corrected.h5                                     writes corrected_report.html
  galvo report corrected.h5 --source rec_00001_00001.tif        with the pixels before the correction
  galvo report motion.h5 --source rec_00001_00001.tif -o qc.html

Without --source the original is looked for beside the motion; where it is not there, what it looked like is made again
from the corrected frames and their motion.
"""


@click.command("report", short_help="Show how a correction went, as one HTML page.", epilog=_EPILOG)
@click.argument("corrected", metavar="CORRECTED")
@click.option("-o", "--output", metavar="HTML", help="Page to write, instead of CORRECTED_report.html.")
@click.option("--source", metavar="REC", help="The recording before it was corrected.")
@click.option("--motion", metavar="FILE", help="Its motion, where that is not in CORRECTED_motion.h5.")
@click.option("--overwrite", is_flag=True, help="Replace an existing page.")
@source_options
@debug_option
def command(
    corrected: str, output: str | None, source: str | None, motion: str | None, overwrite: bool, **given: Any
) -> None:
    """Write a page that shows how a correction went.

    CORRECTED is a movie that `galvo correct` wrote, or the file of its motion. The page needs no network and is small
    enough to be mailed. Options of opening are for the source.
    """
    from galvo.qc.writing import report

    with shown_warnings():
        path = report(
            corrected, output, source=source, motion=motion, overwrite=overwrite, open_options=open_options(**given)
        )
    say("report", f"{path}: {byte_text(os.path.getsize(path))}")
