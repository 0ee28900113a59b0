"""Options that several verbs share: how to open a source, and which part of it is meant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from galvo.errors import OptionError

__all__ = [
    "channel_positions",
    "frame_range",
    "number_or_estimate",
    "open_options",
    "output_options",
    "pixel_type",
    "quoted",
    "require_frames",
    "scale_value",
    "settings",
    "source_options",
]

_Function = TypeVar("_Function", bound=Callable[..., Any])


def frame_range(_: click.Context, __: click.Parameter, value: str | None) -> slice | None:
    """Option callback: ``a:b``, ``a:b:step`` or one frame, as a Python slice."""
    if value is None:
        return None
    try:
        numbers = [int(part) if part.strip() else None for part in value.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] is not None:
        return slice(numbers[0], numbers[0] + 1 or None)
    if not 2 <= len(numbers) <= 3 or numbers[2:] == [0]:
        raise click.BadParameter(f"{value!r} is no range of frames: a:b or a:b:step, counted from 0, b left out")
    return slice(*numbers)


def require_frames(frames: slice | None, count: int) -> None:
    """Refuse a range that takes nothing of `count` frames."""
    if frames is not None and not range(count)[frames]:
        given = ":".join("" if part is None else str(part) for part in (frames.start, frames.stop, frames.step))
        raise OptionError(
            "--frames takes nothing of this recording",
            found=given.removesuffix(":"),
            expected=f"frames of 0 to {count - 1}" if count else "a recording with frames",
        )


def scale_value(_: click.Context, __: click.Parameter, value: str | None) -> str | tuple[float, float] | None:
    """Option callback: a word, or ``low:high``."""
    if value is None or ":" not in value:
        return value
    low, high = value.split(":", 1)
    try:
        return float(low), float(high)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no pair of numbers: low:high") from None


def pixel_type(name: str | None) -> Any:
    """The NumPy type that a user named."""
    import numpy as np

    try:
        return None if name is None else np.dtype(name)
    except TypeError:
        raise OptionError("no such type", found=repr(name), expected="uint8, int16, uint16, float32, ...") from None


def settings(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[tuple[str, Any], ...]:
    """Option callback: each ``NAME=VALUE``, the value a number or a truth value where it looks like one."""
    pairs = []
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE")
        pairs.append((name, _plain_value(value)))
    return tuple(pairs)


def _plain_value(text: str) -> Any:
    words: dict[str, Any] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _number_or_word(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    return int(value) if value is not None and value.isdecimal() else value


def number_or_estimate(_: click.Context, __: click.Parameter, value: str | None) -> float | str | None:
    """Option callback: a number, or the word "estimate"."""
    if value is None or value == "estimate":
        return value
    try:
        return float(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no number; it may be one, or estimate") from None


_SOURCE_OPTIONS = (
    click.option("--format", "format_name", metavar="FORMAT", help="Format of the source, instead of detecting it."),
    click.option("--no-series", is_flag=True, help="Only the named file, not the series that it belongs to."),
    click.option("--axis", type=click.Choice(["t", "c"]), help="Along which several sources follow each other."),
    click.option(
        "--flyback", type=click.Choice(["drop", "keep"]), help="Keep flyback frames as planes at the end of Z."
    ),
    click.option(
        "--slice-repeats",
        metavar="K|interleave|mean",
        callback=_number_or_word,
        help="Where a stack has several frames per slice: the K-th (from 0), all of them in T, or their mean.",
    ),
    click.option(
        "--damaged", type=click.Choice(["raise", "report"]), help="report: open what is there and list what is not."
    ),
    click.option("--allow-external", is_flag=True, help="Follow links of an HDF5 file into other files."),
    click.option(
        "--open-option",
        "open_settings",
        multiple=True,
        metavar="NAME=VALUE",
        callback=settings,
        help="Any other option of the source's format (`galvo formats` lists them).",
    ),
)


_OUTPUT_OPTIONS = (
    click.option(
        "--write-option",
        "write_settings",
        multiple=True,
        metavar="NAME=VALUE",
        callback=settings,
        help="Any other option of the output's format, such as fletcher32=false (`galvo formats` lists them).",
    ),
    click.option("--overwrite", is_flag=True, help="Replace what has the output's name, once the new one is complete."),
    click.option("--resume", is_flag=True, help="Go on with what an interrupted attempt brought to the disk."),
    click.option(
        "--verify",
        is_flag=True,
        help="Read the output back and compare pixels and metadata with what was to be written.",
    ),
)


def source_options(function: _Function) -> _Function:
    """Give a verb the options that say how to open a source; `open_options` reads them."""
    for option in reversed(_SOURCE_OPTIONS):
        function = option(function)
    return function


def output_options(function: _Function) -> _Function:
    """Give a verb the options that say how its output is written."""
    for option in reversed(_OUTPUT_OPTIONS):
        function = option(function)
    return function


def open_options(
    *,
    format_name: str | None,
    no_series: bool,
    axis: str | None,
    flyback: str | None,
    slice_repeats: int | str | None,
    damaged: str | None,
    allow_external: bool,
    open_settings: Sequence[tuple[str, Any]],
) -> dict[str, Any]:
    """What `galvo.open` gets: only what the user gave, so that a format names the options that it does not take."""
    given: dict[str, Any] = {
        "format": format_name,
        "series": False if no_series else None,
        "axis": axis,
        "flyback": flyback,
        "slice_repeats": slice_repeats,
        "damaged": damaged,
        "allow_external": allow_external or None,
    }
    return {name: value for name, value in given.items() if value is not None} | dict(open_settings)


def channel_positions(wanted: Sequence[str], names: Sequence[str], count: int) -> list[int] | None:
    """Positions on the C axis.

    Parameters
    ----------
    wanted : sequence of str
        Names, numbers from 1, or ``ch1`` and so on; a comma separates several, unless a name has one.
    names : sequence of str, (C,) or empty
    count : int
        Length of C.

    Returns
    -------
    list of int, or None for all of them

    Raises
    ------
    OptionError
        No such channel, a name that several channels have, or one named twice.
    """
    if not wanted:
        return None
    positions = []
    for item in wanted:
        parts = [item] if item in names else [part.strip() for part in item.split(",")]
        positions += [_channel_position(part, names, count) for part in parts]
    for position in positions:
        if positions.count(position) > 1:
            raise OptionError(f"channel {position + 1} is named twice", found=",".join(wanted))
    return positions


def _channel_position(wanted: str, names: Sequence[str], count: int) -> int:
    matches = [position for position, name in enumerate(names) if name == wanted]
    if len(matches) == 1:
        return matches[0]
    digits = wanted.lower().removeprefix("ch")
    if not matches and digits.isdecimal() and 1 <= int(digits) <= count:
        return int(digits) - 1
    known = [f"{number} ({name})" for number, name in enumerate(names, 1)] or [str(n + 1) for n in range(count)]
    raise OptionError(
        "several channels of that name" if matches else "no such channel",
        found=repr(wanted),
        expected=f"one of {', '.join(known)}",
    )


def quoted(*words: str) -> str:
    """Words as they are typed in a shell."""
    import shlex

    return " ".join(shlex.quote(word) for word in words)
