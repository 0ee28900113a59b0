"""``galvo correct``: a recording without motion."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from galvo.cli.ending import debug_option
from galvo.cli.options import (
    channel_positions,
    frame_range,
    open_options,
    output_options,
    quoted,
    require_frames,
    source_options,
)
from galvo.cli.screen import has_progress, not_written, say, shown_warnings, warning_line
from galvo.text import byte_text, count_text, sizes_text

if TYPE_CHECKING:
    from galvo.motion import Correction, MotionParams

__all__ = ["command"]

_MOST_PARAMS_BYTES: Final = 1 << 20

_EPILOG: Final = """\b
Examples:
  galvo correct rec_00001_00001.tif -o corrected.h5
  galvo correct rec_00001_00001.tif -o corrected.tif --preset fast --channel red
  galvo correct rec_00001_00001.tif -o corrected.h5 --reference 0:200
  galvo correct denoised.h5 -o corrected.h5 --apply-to rec_00001_00001.tif
  galvo correct rec_00001_00001.tif --motion motion.h5          no movie, only its motion

The motion is kept beside the movie, in OUT_motion.h5, with the quality of every frame; from it any part can be
corrected again without estimating. Both appear under their names only when they are complete and on the disk.
OUT_report.html shows how it went; `galvo report` makes it again.
"""


@click.command("correct", short_help="Estimate motion and write a corrected recording.", epilog=_EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="REC...")
@click.option("-o", "--output", metavar="OUT", help="Corrected movie to write; its suffix names the format.")
@click.option("-t", "--to", "to_format", metavar="FORMAT", help="Format to write, instead of the suffix's.")
@click.option("--motion", metavar="FILE", help="Where the motion is kept, instead of OUT_motion.h5.")
@click.option(
    "--preset",
    type=click.Choice(["fast", "balanced", "quality"]),
    help="How much work a frame is worth; balanced is the default.",
)
@click.option(
    "--estimator",
    type=click.Choice(["bayes", "variational", "rigid"]),
    help="bayes, the default, learns what it needs from the recording; rigid estimates shifts only.",
)
@click.option("--params", "params_file", metavar="FILE", help="Parameters of the estimators, as JSON.")
@click.option(
    "--channels",
    "--channel",
    "channels",
    multiple=True,
    metavar="1,2|NAMES",
    help="Channels to estimate on; all by default. All channels are corrected.",
)
@click.option(
    "--reference",
    metavar="a:b|FILE",
    help="Frames whose mean is the reference, or an image; by default the frames most alike.",
)
@click.option(
    "--update-reference",
    type=click.IntRange(min=1),
    metavar="N",
    help="A reference of their own for every N frames, for recordings that change slowly.",
)
@click.option("--apply-to", metavar="REC", help="Correct this recording instead of the one that is estimated on.")
@click.option(
    "--fields",
    type=click.Choice(["split"]),
    help="Multi-ROI: each field for itself, to OUT_field1, OUT_field2, ...",
)
@click.option("--split-channels", is_flag=True, help="One movie per channel: OUT_ch1, OUT_ch2, ...")
@click.option("--frames", metavar="a:b[:step]", callback=frame_range, help="Frames or volumes to correct.")
@click.option("--no-report", is_flag=True, help="Do not write OUT_report.html.")
@click.option(
    "--executor",
    type=click.Choice(["threads", "sequential", "processes"]),
    default="threads",
    show_default=True,
    help="Where frames are worked on; the result is the same.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads or processes; all cores by default.")
@output_options
@source_options
@debug_option
def command(
    sources: tuple[str, ...],
    output: str | None,
    to_format: str | None,
    motion: str | None,
    preset: str | None,
    estimator: str | None,
    params_file: str | None,
    channels: tuple[str, ...],
    reference: str | None,
    update_reference: int | None,
    apply_to: str | None,
    fields: str | None,
    split_channels: bool,
    frames: slice | None,
    no_report: bool,
    executor: Any,
    workers: int | None,
    write_settings: tuple[tuple[str, Any], ...],
    overwrite: bool,
    resume: bool,
    verify: bool,
    **given: Any,
) -> None:
    """Estimate the motion of a recording and write it corrected.

    Several REC follow each other in the given order.
    """
    from galvo.core.atomic import journal_path
    from galvo.formats.opening import open_recording
    from galvo.motion import correct, correct_fields
    from galvo.motion.pipeline import motion_path

    if output is None and (motion is None or fields):
        raise click.UsageError("nothing to write: name a movie with -o, or a file for the motion with --motion")
    if fields and (motion or apply_to):
        raise click.UsageError("--motion and --apply-to are for one field")
    source = sources[0] if len(sources) == 1 else list(sources)
    opening = open_options(**given)
    with shown_warnings(), ExitStack() as stack:
        recording = stack.enter_context(open_recording(source, **opening))
        require_frames(frames, recording.shape[0])
        shown = recording.isel(t=frames)
        name = sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
        say("source", f"{name}: {sizes_text(shown.shape, shown.dtype)}")
        params = _params(params_file, preset, estimator)
        common: dict[str, Any] = {
            "channels": channel_positions(channels, recording.channel_names, recording.shape[1]),
            "reference": _reference(reference),
            "update_reference": update_reference,
            "executor": executor,
            "workers": workers,
            "overwrite": overwrite,
            "resume": resume,
            "verify": verify,
            "format": to_format,
            "split_channels": split_channels,
            "progress": has_progress(),
            **dict(write_settings),
        }
        if fields and output is not None:
            for correction in correct_fields(shown, output, params, **common):
                _tell(correction)
                if not no_report:
                    _report(correction, overwrite)
            return
        if apply_to is not None:
            common["apply_to"] = stack.enter_context(open_recording(apply_to, **opening)).isel(t=frames)
        try:
            correction = correct(shown, output, params, motion=motion, **common)
        except KeyboardInterrupt:
            for path in (motion or motion_path(output or ""), output):
                if path and os.path.exists(journal_path(path)):
                    say("stopped", f"{path}: {not_written(path)}")
            raise
        _tell(correction)
        if not no_report:
            _report(correction, overwrite)


def _params(path: str | None, preset: str | None, estimator: str | None) -> MotionParams:
    """Those of the file, with what was said on the command line."""
    from galvo.core.source import read_file
    from galvo.motion.params import checked_params

    said = {name: value for name, value in (("preset", preset), ("estimator", estimator)) if value is not None}
    if path is None:
        return checked_params(said)
    found = checked_params(read_file(path, _MOST_PARAMS_BYTES), path)
    return checked_params(found.model_dump(exclude_unset=True) | said, path)


def _reference(text: str | None) -> Any:
    """Frames, or the image of a file."""
    if text is None:
        return None
    if ":" in text and set(text) <= set("0123456789:-"):
        return frame_range(None, None, text)  # type: ignore[arg-type]
    import numpy as np

    from galvo.formats.opening import open_recording

    with open_recording(text) as image:
        # (Z, Y, X, C)
        return np.moveaxis(image[:].mean(axis=0), 0, -1)


def _tell(correction: Correction) -> None:
    """What came out, in a few lines."""
    import numpy as np

    count, planes = correction.flags.shape
    what = count_text(count, "frame") if planes == 1 else f"{count_text(count, 'volume')} of {planes} planes"
    lengths, correlation = correction.quality["max_px"], correction.quality["correlation"]
    say("motion", f"{correction.path}: {what}, median of greatest displacements {np.median(lengths):.2f} px, "
        f"greatest {lengths.max():.2f} px")  # fmt: skip
    say(
        "quality",
        f"correlation with the reference: median {np.median(correlation):.3f}, lowest {correlation.min():.3f}",
    )
    for line in correction.remarks():
        say("note", line)
    movie = correction.movie
    if movie is not None:
        checked = "verified" if movie.verification is not None else "not verified (--verify)"
        rate = count / max(movie.seconds, 1e-9)
        say("wrote", f"{movie.path}: {byte_text(movie.file_bytes or 0)} in {movie.seconds:.2f} s "
            f"({rate:.0f} frames/s), {checked}")  # fmt: skip


def _report(correction: Correction, overwrite: bool) -> None:
    """Write the report; movie and motion are on the disk, and stay what they are if it fails."""
    import galvo

    try:
        path = galvo.report(correction, overwrite=overwrite)
    except Exception as error:  # noqa: BLE001 - whatever went wrong, the correction did not
        warning_line(f"the report was not written: {error}")
        say("", quoted("galvo", "report", correction.movie.path if correction.movie else str(correction.path)))
    else:
        say("report", f"{path}: {byte_text(os.path.getsize(path))}")
