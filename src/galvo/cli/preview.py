"""``galvo preview``: what a recording looks like."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.options import channel_positions, open_options, source_options
from galvo.cli.screen import has_progress, say, shown_warnings
from galvo.errors import OptionError
from galvo.text import byte_text, sizes_text

if TYPE_CHECKING:
    from galvo.core.recording import Recording

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo preview rec_00001_00001.tif                        to rec_00001_00001.preview.png
  galvo preview rec_00001_00001.tif -o rec.mp4 --average 4
  galvo preview volumes.tif -o planes.png --plane 3,5 --channel GCaMP
  galvo preview mesoscope.tif -o V1.gif --field 2

.png: mean, maximum, standard deviation and local correlation of sampled frames. .mp4, .gif, .webp: a movie of up to 9
images side by side, the whole recording sped up where it is long. Any size takes seconds.
"""


@click.command("preview", short_help="Show what a recording looks like.", epilog=_EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="REC...")
@click.option(
    "-o",
    "--output",
    metavar="OUT",
    help="Picture (.png) or movie (.mp4, .gif, .webp) to write; REC.preview.png beside REC by default.",
)
@click.option(
    "--channel",
    "channels",
    multiple=True,
    metavar="1,2|NAMES",
    help="Channels to show: names, or numbers from 1 as `galvo info` shows them; all by default.",
)
@click.option("--plane", "planes", multiple=True, metavar="1,2", help="Planes to show, from 1; all by default.")
@click.option(
    "--field", "fields", multiple=True, metavar="1,2", help="Multi-ROI: fields to show, from 1; all by default."
)
@click.option("--all", "everything", is_flag=True, help="All four images of everything, not the mean alone of many.")
@click.option(
    "--frame-count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Frames to sample for a picture; by default as many as take seconds.",
)
@click.option(
    "--average", type=click.IntRange(min=1), metavar="N", help="Movies: each frame is the mean of N consecutive ones."
)
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="Movies: X times as fast as recorded; by default the whole recording within 15 s.",
)
@click.option("--size", type=click.IntRange(min=1), metavar="PX", help="Longer side of each image.")
@click.option("--overwrite", is_flag=True, help="Replace an existing output, once the new one is complete.")
@source_options
@debug_option
def command(
    sources: tuple[str, ...],
    output: str | None,
    channels: tuple[str, ...],
    planes: tuple[str, ...],
    fields: tuple[str, ...],
    everything: bool,
    frame_count: int | None,
    average: int | None,
    speed: float | None,
    size: int | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Show what a recording looks like, in a picture or a movie.

    Several REC follow each other in the given order.
    """
    from galvo.formats.opening import open_recording
    from galvo.pictures.show import preview

    source = sources[0] if len(sources) == 1 else list(sources)
    with shown_warnings(), open_recording(source, **open_options(**given)) as recording:
        name = sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
        say("source", f"{name}: {sizes_text(recording.shape, recording.dtype)}")
        made = preview(
            recording,
            _default_output(recording) if output is None else output,
            channels=channel_positions(channels, recording.channel_names, recording.shape[1]),
            planes=_positions("plane", planes, recording.shape[2]),
            fields=_positions("field", fields, len(recording.fields)),
            everything=everything,
            frame_count=frame_count,
            average=average,
            speed=speed,
            size=size,
            overwrite=overwrite,
            progress=has_progress(),
        )
    path = made.path or ""
    height, width = made.picture.shape[:2]
    say("wrote", f"{path}: {width} x {height} pixels, {byte_text(os.path.getsize(path))} in {made.seconds:.2f} s")
    for note in made.notes:
        say("note", note)


def _default_output(recording: Recording) -> str:
    """Beside the recording, whose name it bears."""
    first = recording.files[0]
    return str(first.with_name(f"{first.stem}.preview.png"))


def _positions(what: str, given: tuple[str, ...], count: int) -> list[int] | None:
    """Positions that are counted from 1, None for all of them."""
    words = [word.strip() for item in given for word in item.split(",")]
    for word in words:
        if not word.isdecimal() or not 1 <= int(word) <= count:
            expected = f"1 to {count}" if count else f"none: the recording has no {what}s"
            raise OptionError(f"no such {what}", found=repr(word), expected=expected)
    return [int(word) - 1 for word in words] or None
