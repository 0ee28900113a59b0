"""``galvo convert``: a recording in another format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from galvo.cli.ending import FAILED, debug_option, error_line
from galvo.cli.options import (
    channel_positions,
    frame_range,
    number_or_estimate,
    open_options,
    output_options,
    pixel_type,
    require_frames,
    scale_value,
    source_options,
)
from galvo.cli.screen import has_progress, not_written, say, shown_warnings, warning_line
from galvo.text import byte_text, count_text, sizes_text

if TYPE_CHECKING:
    from galvo.conversion import ConvertResult
    from galvo.core.recording import Recording

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  galvo convert rec_00001_00001.tif -o rec.h5 --verify
  galvo convert rec_00001_00001.tif -o rec.h5 --dry-run
  galvo convert rec_00001_00001.tif -o green.h5 --channels GCaMP --frames 0:1000
  galvo convert 'session/*.tif' -o all.h5 --compression gzip
  galvo convert session/ -o converted/ -t hdf5       every recording of a folder
  galvo convert mesoscope_00001.tif -o area.h5 --fields split
  galvo convert rec_00001_00001.tif -o rec -t pzf --quantize sqrt --dry-run

The output appears under its name only when it is complete and on the disk. Ctrl-C leaves an old output as it was.
"""


@click.command("convert", short_help="Write a recording in another format.", epilog=_EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="REC...")
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="File to write; its suffix names the format. For -t pzf a folder, or a file .h5.",
)
@click.option("-t", "--to", "to_format", metavar="FORMAT", help="Format to write, instead of the suffix's.")
@click.option(
    "--channels",
    "--channel",
    "channels",
    multiple=True,
    metavar="1,2|NAMES",
    help="Channels to write: names, or numbers from 1 as `galvo info` shows them (1 is ch1).",
)
@click.option(
    "--frames",
    metavar="a:b[:step]",
    callback=frame_range,
    help="Frames or volumes to write, counted from 0, b left out; -100: is the end.",
)
@click.option(
    "--fields",
    type=click.Choice(["split", "stitch"]),
    help="Multi-ROI: each field to OUT_field1, OUT_field2, ...; or all of a depth on one canvas in µm.",
)
@click.option("--split-channels", is_flag=True, help="One file per channel: OUT_ch1, OUT_ch2, ...")
@click.option(
    "--axes", metavar="LETTERS", help="Axes of the output; without Z or C, planes or channels follow each other in T."
)
@click.option("--dtype", metavar="NAME", help="Type of the pixels, such as uint16; by default every value must fit it.")
@click.option(
    "--scale",
    metavar="clip|wrap|minmax|percentile|LOW:HIGH",
    callback=scale_value,
    help="What to make of pixels that do not fit --dtype.",
)
@click.option(
    "--compression",
    metavar="NAME",
    help="HDF5: none (the default), gzip, lzf, zstd. TIFF: none, zlib, lzw, zstd. PZF: huffman, raw, chunks.",
)
@click.option("--compression-level", type=int, metavar="N", help="How hard to compress, 1 to 9, zstd to 22.")
@click.option(
    "--quantize",
    type=click.Choice(["none", "sqrt"]),
    help="PZF: sqrt stores a byte per pixel, with loss below the noise of photons.",
)
@click.option(
    "--quantize-offset",
    metavar="COUNTS|estimate",
    callback=number_or_estimate,
    help="PZF: value of a pixel without light; by default estimated from the recording's noise.",
)
@click.option(
    "--quantize-scale",
    metavar="STEP|estimate",
    callback=number_or_estimate,
    help="PZF: square roots of counts per level; by default estimated from the recording's noise.",
)
@output_options
@click.option("--dry-run", is_flag=True, help="Show the plan and what would be left out; write nothing.")
@source_options
@debug_option
def command(
    sources: tuple[str, ...],
    output: str,
    to_format: str | None,
    channels: tuple[str, ...],
    frames: slice | None,
    fields: str | None,
    split_channels: bool,
    axes: str | None,
    dtype: str | None,
    scale: Any,
    compression: str | None,
    compression_level: int | None,
    quantize: str | None,
    quantize_offset: float | str | None,
    quantize_scale: float | str | None,
    write_settings: tuple[tuple[str, Any], ...],
    overwrite: bool,
    resume: bool,
    verify: bool,
    dry_run: bool,
    **given: Any,
) -> None:
    """Write a recording in another format.

    One REC is a file, one file of a series (the whole series is converted), a folder or a quoted pattern. Several REC
    follow each other in the given order.
    """
    from galvo.conversion import convert
    from galvo.core.disk import free_bytes
    from galvo.formats.opening import open_recording

    write_options = {
        "compression": compression,
        "compression_level": compression_level,
        "quantize": quantize,
        "quantize_offset": quantize_offset,
        "quantize_scale": quantize_scale,
    }
    write_options = {name: value for name, value in write_options.items() if value is not None} | dict(write_settings)
    source = sources[0] if len(sources) == 1 else list(sources)
    common = {"split_channels": split_channels, "axes": axes, "dtype": pixel_type(dtype), "scale": scale}
    common |= {"overwrite": overwrite, "resume": resume, **write_options}
    if isinstance(source, str) and _is_batch(source, output, to_format):
        if channels or dry_run or fields:
            raise click.UsageError("--channels, --fields and --dry-run are for one recording")
        common |= {"frames": frames, "verify": verify}
        _convert_folder(source, output, to_format, common, open_options(**given))
        return
    with shown_warnings(), open_recording(source, **open_options(**given)) as recording:
        say("source", _source_text(sources, recording))
        require_frames(frames, recording.shape[0])
        arguments: dict[str, Any] = {
            "format": to_format,
            "channels": channel_positions(channels, recording.channel_names, recording.shape[1]),
            "frames": frames,
            **common,
        }
        if fields == "split":
            _convert_fields(recording, output, verify, dry_run, arguments)
            return
        arguments["fields"] = fields
        plan = convert(recording, output, dry_run=True, **arguments)
        free = free_bytes(plan.path)
        say("plan", _plan_text(plan, free))
        if free is not None and free < plan.estimated_bytes:
            warning_line(f"{plan.path}: the output may not fit on the disk")
        if not dry_run:
            before = _identity(plan.path)
            try:
                result = convert(recording, output, verify=verify, progress=has_progress(), **arguments)
            except KeyboardInterrupt:
                complete = _identity(plan.path) != before
                say("stopped", f"{plan.path}: " + ("complete, not verified" if complete else not_written(plan.path)))
                raise
            say("wrote", _result_text(result))
            plan = result
        for note in plan.notes:
            say("note", note)
        left_out = list(_left_out(recording, plan, frames))
        for line in left_out or ["nothing"]:
            say("left out", line)
        if dry_run:
            say("dry run", "nothing was written")


def _convert_fields(recording: Recording, output: str, verify: bool, dry_run: bool, arguments: dict[str, Any]) -> None:
    from galvo.conversion import convert_fields
    from galvo.core.disk import free_bytes

    plans = convert_fields(recording, output, dry_run=True, **arguments)
    for plan in plans:
        say("plan", _plan_text(plan, None))
    free = free_bytes(output)
    if free is not None and free < sum(plan.estimated_bytes for plan in plans):
        warning_line(f"{output}: the outputs may not fit on the disk")
    results = plans
    if not dry_run:
        results = convert_fields(recording, output, verify=verify, progress=has_progress(), **arguments)
        for result in results:
            say("wrote", _result_text(result))
    for note in dict.fromkeys(note for result in results for note in result.notes):
        say("note", note)
    skipped = len(recording.fields) - len(results)
    if skipped:
        say("skipped", f"{count_text(skipped, 'field')}: there already")
    left_out = [line for result in results[:1] for line in _left_out(recording, result, arguments["frames"])]
    for line in left_out or ["nothing but rows between fields"]:
        say("left out", line)
    if dry_run:
        say("dry run", "nothing was written")


def _is_batch(source: str, output: str, to_format: str | None) -> bool:
    """Whether both names are folders: every recording of the one is written into the other."""
    if not os.path.isdir(source):
        return False
    if output.endswith(("/", os.sep)) or to_format is None or os.path.splitext(output)[1]:
        return output.endswith(("/", os.sep))
    from galvo.formats import REGISTRY

    return not REGISTRY.get(to_format).writes_folders


def _convert_folder(
    source: str, output: str, to_format: str | None, options: dict[str, Any], opening: dict[str, Any]
) -> None:
    from galvo.batch import convert_folder

    if to_format is None:
        raise click.UsageError("the format of a folder of outputs is named with -t")
    with shown_warnings():
        result = convert_folder(
            source, output, format=to_format, progress=has_progress(), open_options=opening, **options
        )
    for done in result.converted:
        say("wrote", _result_text(done))
        for note in done.notes:
            say("note", note)
        for entry in done.left_out:
            say("left out", f"{entry.what}: {count_text(entry.page_count, 'page')}, {entry.reason}")
    for path in result.skipped:
        say("skipped", f"{path}: there already")
    for failure in result.failed:
        error_line(str(failure.error))
    say(
        "all",
        f"{count_text(len(result.converted), 'recording')} written, {len(result.skipped)} there already, "
        f"{len(result.failed)} failed",
    )
    if result.failed:
        raise click.exceptions.Exit(FAILED)


def _source_text(sources: tuple[str, ...], recording: Recording) -> str:
    meta = recording.metadata
    name = sources[0] if len(sources) == 1 else f"{sources[0]} and {len(sources) - 1} more"
    size = byte_text(sum(path.stat().st_size for path in recording.files))
    kind = " ".join(filter(None, (meta.format, meta.version)))
    sizes = sizes_text(recording.shape, recording.dtype)
    return f"{name}: {kind}, {sizes}, {size} in {count_text(len(recording.files), 'file')}"


def _plan_text(plan: ConvertResult, free: int | None) -> str:
    sizes = sizes_text(plan.shape, plan.dtype)
    text = f"{plan.path}: {plan.format}, {sizes}, at most {byte_text(plan.estimated_bytes)}"
    return text if free is None else f"{text}, {byte_text(free)} free"


def _result_text(result: ConvertResult) -> str:
    rate = byte_text(result.pixel_bytes / max(result.seconds, 1e-9))
    text = f"{result.path}: {byte_text(result.file_bytes or 0)} in {result.seconds:.2f} s ({rate}/s), "
    if result.verification is None:
        return text + "not verified (--verify)"
    if result.verification.lossy:
        return text + "verified: pixels are what the lossy coding makes of the source, metadata equal it"
    return text + "verified: pixels and metadata equal the source"


def _left_out(recording: Recording, plan: ConvertResult, frames: slice | None) -> Iterator[str]:
    """Everything that the sources hold and the output does not."""
    for entry in plan.left_out:
        yield f"{entry.what}: {count_text(entry.page_count, 'page')}, {entry.reason}"
    whole, part = recording.shape, plan.shape
    if part[0] < whole[0]:
        yield f"{whole[0] - part[0]:,} of {whole[0]:,} in T, by --frames"
    if part[1] < whole[1]:
        yield f"{whole[1] - part[1]:,} of {whole[1]:,} channels, by --channels"
    for damage in recording.damage:
        place = damage.path if damage.offset is None else f"{damage.path} at byte {damage.offset}"
        yield f"damaged: {place}: {damage.message}"


def _identity(path: str) -> tuple[int, int, int] | None:
    """Tells an output from the one that was there before."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
