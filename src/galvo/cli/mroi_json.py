"""``galvo mroi-json``: what suite2p needs to read a multi-ROI recording."""

from __future__ import annotations

import json
from typing import Any, Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.options import open_options, source_options
from galvo.cli.screen import say, shown_warnings
from galvo.text import count_text

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo mroi-json rec_00001_00001.tif                 print the settings
  galvo mroi-json rec_00001_00001.tif -o ops.json     write them to a file
"""


@click.command("mroi-json", short_help="Settings for suite2p's mesoscope input.", epilog=_EPILOG)
@click.argument("source", metavar="REC")
@click.option("-o", "--output", metavar="OUT", help="File to write; by default they are printed.")
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@source_options
@debug_option
def command(source: str, output: str | None, overwrite: bool, **given: Any) -> None:
    """Write the settings with which suite2p reads a multi-ROI ScanImage recording: planes, ROIs, their rows and places.

    suite2p 1 takes them as its db, but for fs, which is one of its settings; older versions take all as ops. Those of
    the analysis, such as tau and diameter, are yours to add.
    """
    from galvo.core.atomic import write_file
    from galvo.formats.opening import open_recording
    from galvo.formats.scanimage.mesoscope import mesoscope_settings

    with shown_warnings(), open_recording(source, **open_options(**given)) as recording:
        settings = mesoscope_settings(recording)
        text = json.dumps(settings) + "\n"
        if output is None:
            click.echo(text, nl=False)
            return
        write_file(output, text.encode(), sources=[str(path) for path in recording.files], overwrite=overwrite)
    planes, rois = settings["nplanes"], settings["nrois"]
    say("wrote", f"{output}: {count_text(rois, 'ROI')}, {count_text(planes, 'plane')}")
