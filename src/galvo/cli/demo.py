"""``galvo demo``: the first five minutes, with a recording made on the spot."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import click

from galvo.cli import convert as convert_verb
from galvo.cli import correct as correct_verb
from galvo.cli import info as info_verb
from galvo.cli import preview as preview_verb
from galvo.cli import verify as verify_verb
from galvo.cli.ending import debug_option
from galvo.cli.options import quoted
from galvo.cli.screen import has_progress
from galvo.errors import WriteError

__all__ = ["command"]

_STEM: Final = "galvo_demo"

_EPILOG: Final = """\b
Examples:
  galvo demo
  galvo demo /tmp/try --frames 1000
"""


@click.command("demo", short_help="Make a recording, convert, verify and correct it.", epilog=_EPILOG)
@click.argument("folder", default="demo", metavar="[FOLDER]")
@click.option("--frames", type=click.IntRange(min=2), default=300, show_default=True, help="Length of the recording.")
@debug_option
@click.pass_context
def command(context: click.Context, folder: str, frames: int) -> None:
    """Make a two-channel ScanImage recording in FOLDER (default ./demo), convert, verify and correct it.

    The recording is simulated: neurons that fire, shot noise, a brain that moves. Only files called galvo_demo* are
    written, and replaced when the demo is run again.
    """
    click.echo(f"Simulating a two-photon recording: {frames} frames of 256 x 256 pixels, two channels ...")
    raw = _generate(Path(folder), frames)
    first = str(raw[0])
    out, still, picture, report = (
        str(Path(folder) / f"{_STEM}{end}") for end in (".h5", "_still.h5", "_still.png", "_still_report.html")
    )
    for path in raw:
        click.echo(f"  wrote {path}")
    _step("What is in it? One file of a series opens the whole series.", "info", first)
    context.invoke(info_verb.command, sources=(first,))
    _step("Convert it to HDF5, one dataset per channel.", "convert", first, "-o", out, "--overwrite")
    context.invoke(convert_verb.command, sources=(first,), output=out, overwrite=True)
    _step("Is the file intact? It carries a checksum for each block.", "verify", out)
    context.invoke(verify_verb.command, path=out)
    _step("Does it hold what the raw files hold? Pixels and metadata are compared.", "verify", first, out)
    context.invoke(verify_verb.command, path=first, against=out)
    _step("Take its motion out.", "correct", first, "-o", still, "--overwrite")
    context.invoke(correct_verb.command, sources=(first,), output=still, overwrite=True)
    _step("What does it look like now?", "preview", still, "-o", picture, "--overwrite")
    context.invoke(preview_verb.command, sources=(still,), output=picture, overwrite=True)
    click.echo(f"\nEverything is in {os.path.abspath(folder)}. Look at")
    for shown in (report, picture):
        click.echo(f"  {Path(shown).resolve().as_uri()}")
    click.echo("Go on with")
    for command_line in _next(first, still):
        click.echo(f"  {command_line}")


def _step(why: str, *words: str) -> None:
    click.echo(f"\n{why}")
    click.secho(f"$ {quoted(_program('galvo'), *words)}", bold=True)


def _next(first: str, still: str) -> tuple[str, ...]:
    code = f'import galvo; rec = galvo.open({json.dumps(still)}); print(rec, rec[:100, "GCaMP"].mean(axis=0))'
    small, movie = (str(Path(still).with_name(name)) for name in (f"{_STEM}_small.tif", f"{_STEM}_still.gif"))
    galvo = _program("galvo")
    return (
        quoted(_program("python"), "-c", code),
        quoted(galvo, "preview", still, "-o", movie, "--average", "4"),
        quoted(galvo, "convert", first, "-o", small, "--frames", "0:100", "--channels", "GCaMP", "--verify"),
        quoted(galvo, "correct", "YOUR_RECORDING.tif", "-o", "your_recording.h5"),
        quoted(galvo, "--help"),
    )


def _program(name: str) -> str:
    """What to type for a program of this environment, which may not be on the PATH."""
    beside = shutil.which(name, path=os.path.dirname(sys.executable))
    found = shutil.which(name)
    if beside is None or (found is not None and os.path.abspath(found) == os.path.abspath(beside)):
        return name
    folder = os.path.join(os.getcwd(), "")
    return os.path.abspath(beside).removeprefix(folder)


def _generate(folder: Path, frames: int) -> list[Path]:
    from galvo.testing.movie import TwoPhotonMovie, write_demo_recording

    bar = click.progressbar(length=frames, label="  simulating", file=sys.stderr, hidden=not has_progress())

    class Watched(TwoPhotonMovie):
        def read(self, first: int, stop: int) -> Any:
            pixels = super().read(first, stop)
            bar.update(stop - bar.pos)
            return pixels

    try:
        with bar:
            return write_demo_recording(folder, Watched(frames=frames), _STEM)
    except OSError as error:
        raise WriteError(
            "the demo cannot be written there", path=error.filename or str(folder), found=error.strerror or str(error)
        ) from error
