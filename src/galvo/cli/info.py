"""``galvo info``: what a recording is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import click

from galvo.cli.ending import FAILED, debug_option, end_with, error_line
from galvo.cli.motion_facts import describe_motion, is_motion, motion_rows
from galvo.cli.options import open_options, source_options
from galvo.cli.screen import Row, collected_warnings, show_facts, shown_warnings
from galvo.errors import GalvoError
from galvo.text import byte_text, count_text, duration_text, number_text, shape_text

if TYPE_CHECKING:
    from galvo.core.recording import Recording

__all__ = ["command"]

_SHOWN_LINES: Final = 10
_TABLE_BLOCK: Final = 4096

_EPILOG: Final = """\b
Examples:
  galvo info rec_00001_00001.tif          the whole series that the file belongs to
  galvo info --json rec.h5 | jq .shape    one JSON object per source, one per line
  galvo info --frame-table rec.h5 > frames.tsv
"""


@click.command("info", short_help="Show what recordings are.", epilog=_EPILOG)
@click.argument("sources", nargs=-1, required=True, metavar="REC...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per source; unknown is null.")
@click.option("--frame-table", is_flag=True, help="All that is known of each frame, as tab-separated text.")
@source_options
@debug_option
def command(sources: tuple[str, ...], as_json: bool, frame_table: bool, **given: Any) -> None:
    """Show what recordings are: axes, rates, sizes, files, and what is wrong with them.

    REC is a file, one file of a series, a folder or a quoted pattern. Pixels are not read.
    """
    if as_json and frame_table:
        raise click.UsageError("--json and --frame-table exclude each other")
    options = open_options(**given)
    shown: set[str] = set()
    failures: list[GalvoError] = []
    for source in sources:
        if not as_json and not frame_table and os.path.abspath(source) in shown:
            continue
        try:
            if frame_table:
                _print_frame_table(source, options)
            else:
                shown |= _print_facts(source, options, as_json)
        except GalvoError as error:
            if len(sources) == 1:
                end_with(error)
            sys.stdout.flush()
            error_line(str(error))
            failures.append(error)
    if failures:
        raise click.exceptions.Exit(FAILED)


def _print_facts(source: str, options: dict[str, Any], as_json: bool) -> set[str]:
    """Print one recording and say which files it is made of."""
    if is_motion(source):
        found = describe_motion(source)
        if as_json:
            import json

            click.echo(json.dumps(found))
        else:
            show_facts(_title(found), list(motion_rows(found)))
        return {os.path.abspath(source)}
    from galvo.cli.describe import describe
    from galvo.formats.opening import open_recording

    with collected_warnings() as warnings, open_recording(source, **options) as recording:
        facts = {"source": source, **describe(recording), "warnings": warnings}
    if as_json:
        import json

        click.echo(json.dumps(facts))
    else:
        show_facts(_title(facts), list(_rows(facts)))
    return {os.path.abspath(path) for path in facts["files"]}


def _title(facts: dict[str, Any]) -> str:
    return os.path.basename(os.path.normpath(facts["source"])) or str(facts["source"])


def _rows(facts: dict[str, Any]) -> Iterator[Row]:
    yield Row("format", (" ".join(filter(None, (facts["format"], facts["format_version"]))),))
    if "stored" in facts["attributes"]:
        yield Row("stored", (facts["attributes"]["stored"],))
    yield Row("shape", (shape_text(facts["shape"]),))
    yield Row("pixels", (f"{facts['dtype']}, {byte_text(facts['pixel_bytes'])}",))
    if facts["channel_names"]:
        yield Row("channels", (", ".join(f"{number} {name}" for number, name in enumerate(facts["channel_names"], 1)),))
    yield from _time_rows(facts)
    yield from _space_rows(facts)
    yield from _file_rows(facts)
    left_out = [
        f"{entry['what']}: {count_text(entry['page_count'], 'page')}, {entry['reason']}" for entry in facts["left_out"]
    ]
    if left_out:
        yield Row("left out", _shortened(left_out), alarming=True)
    damage = [
        entry["path"]
        + ("" if entry["offset_bytes"] is None else f" at byte {entry['offset_bytes']}")
        + f": {entry['message']}"
        for entry in facts["damage"]
    ]
    if damage:
        yield Row("damage", _shortened(damage), alarming=True)
    if facts["warnings"]:
        yield Row(
            "warnings",
            _shortened([_with_short_names(text, facts["files"]) for text in facts["warnings"]]),
            alarming=True,
        )


def _time_rows(facts: dict[str, Any]) -> Iterator[Row]:
    rate, seconds, times = facts["frame_rate_hz"], facts["duration_s"], facts["timestamps"]
    if rate is not None:
        yield Row("rate", (f"{number_text(rate)} {'volumes' if facts['shape'][2] > 1 else 'frames'} per second",))
    if seconds is not None:
        origin = "by the timestamps" if facts["duration_from"] == "timestamps" else "by the rate"
        yield Row("duration", (f"{duration_text(seconds)}, {origin}",))
    if facts["start_time"] is not None:
        yield Row("started", (facts["start_time"].replace("T", " "),))
    if times is not None:
        yield Row("timestamps", (_timestamp_text(times, facts["shape"][0]),))


def _timestamp_text(times: dict[str, Any], count: int) -> str:
    ends = ["unknown" if times[key] is None else f"{times[key]:.6g} s" for key in ("first_s", "last_s")]
    text = " to ".join(ends)
    if times["interval_median_s"] is None:
        return text
    spread = duration_text(times["interval_median_s"])
    if times["evenly_spaced"]:
        text += f", evenly spaced by {spread}"
    else:
        limits = [duration_text(times[key]) for key in ("interval_min_s", "interval_max_s")]
        text += f", uneven: {' to '.join(limits)} apart, mostly {spread}"
    if times["checked_count"] < count:
        text += f" (first and last {times['checked_count'] // 2:,} of {count:,} checked)"
    return text


def _space_rows(facts: dict[str, Any]) -> Iterator[Row]:
    if facts["pixel_size_um"] is not None:
        pixel, field = ([number_text(length) for length in facts[key]] for key in ("pixel_size_um", "field_size_um"))
        yield Row("pixel size", (f"{' x '.join(pixel)} µm (Y x X), field {' x '.join(field)} µm",))
    depths = [depth for depth in facts["z_um"] or () if depth is not None]
    if depths:
        text = f"{number_text(depths[0])} µm"
        if len(depths) > 1:
            step = facts["z_step_um"]
            spacing = "uneven steps" if step is None else f"steps of {number_text(step)} µm"
            text = f"{number_text(depths[0])} to {number_text(depths[-1])} µm, {spacing}"
        yield Row("depth", (text,))
    if facts["fields"]:
        texts = [_field_text(field) for field in facts["fields"]]
        yield Row("fields", _shortened([f"{number} {text}" for number, text in enumerate(texts, 1)]))


def _field_text(field: dict[str, Any]) -> str:
    """Name, depth, pixels and place of a scan field."""
    parts = [field["name"]]
    if field["z_um"]:
        parts.append(f"at {number_text(field['z_um'][0])} µm")
    text = f"{' '.join(parts)}: {field['shape'][3]} x {field['shape'][4]} pixels"
    if field["size_um"] is not None:
        size, center = (" x ".join(map(number_text, field[key])) for key in ("size_um", "center_um"))
        text += f", {size} µm around {center} µm (Y x X)"
    return text


def _file_rows(facts: dict[str, Any]) -> Iterator[Row]:
    names = [os.path.basename(path) for path in facts["files"]]
    if len(names) == 1:
        yield Row("file", (f"{facts['files'][0]}, {byte_text(facts['file_bytes'][0])}",))
    elif names:
        total = f"{len(names):,} files, {byte_text(sum(facts['file_bytes']))}"
        yield Row("files", (total, f"{names[0]} to {names[-1]}", f"in {os.path.dirname(facts['files'][0]) or '.'}"))


def _with_short_names(text: str, paths: list[str]) -> str:
    """`text` that starts with the name of a file, without the folders of that file."""
    for path in paths:
        if text.startswith(f"{path}:"):
            return os.path.basename(path) + text.removeprefix(path)
    return text


def _shortened(lines: list[str]) -> tuple[str, ...]:
    if len(lines) <= _SHOWN_LINES:
        return tuple(lines)
    return (*lines[: _SHOWN_LINES - 1], f"and {len(lines) - _SHOWN_LINES + 1:,} more (--json lists all)")


def _print_frame_table(source: str, options: dict[str, Any]) -> None:
    from galvo.formats.opening import open_recording

    with shown_warnings(), open_recording(source, **options) as recording:
        _print_table(recording)


def _print_table(recording: Recording) -> None:
    table = recording.frame_table()
    click.echo("\t".join(table.dtype.names or ()))
    for first in range(0, len(table), _TABLE_BLOCK):
        rows = table[first : first + _TABLE_BLOCK].tolist()
        click.echo("\n".join("\t".join(map(str, row)) for row in rows))
