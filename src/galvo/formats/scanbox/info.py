"""What the .mat of a Scanbox recording says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from galvo.errors import Malformed, OptionError, warn
from galvo.formats.matlab.structure import Structure, read_structure
from galvo.limits import Limits

__all__ = ["Info", "parse_header", "read_info"]

_CHANNELS = {1: ("green", "red"), 2: ("green",), 3: ("red",)}
_MOST_CHANNELS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Info:
    """The facts of a recording.

    Attributes
    ----------
    rows, columns, channel_count : int
    planes : int
        Frames of one volume; 1 where the lens does not move.
    channel_names : tuple of str
        Empty where it is not known which channels they are.
    frame_rate_hz : float or None
    z_um : tuple of float or None
        Depth of each plane.
    version : str or None
        Scanbox's own.
    announced : int or None
        Frames that there should be.
    text : str
        All of it, as JSON.
    """

    rows: int
    columns: int
    channel_count: int
    planes: int
    channel_names: tuple[str, ...]
    frame_rate_hz: float | None
    z_um: tuple[float, ...] | None
    version: str | None
    announced: int | None
    text: str

    @property
    def frame_nbytes(self) -> int:
        """Bytes of one frame of all channels."""
        return self.rows * self.columns * self.channel_count * 2


def parse_header(text: str) -> Mapping[str, Any]:
    """The header from its text."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_info(path: str, planes: int | None, limits: Limits) -> Info:
    """The facts of a .mat file.

    Parameters
    ----------
    path : str
    planes : int, optional
        Frames of one volume, instead of what the file says.
    limits : Limits

    Raises
    ------
    Malformed
        It has no `info`, or one without the sizes of the frames.
    """
    raw = read_structure(path, "info", limits)
    facts = _Facts(raw, path)
    size = facts.numbers("sz")
    if len(size) < 2:
        raise Malformed("info.sz does not give rows and columns", path=path, found=size or "nothing")
    rows, columns = (facts.whole("sz", value) for value in size[:2])
    count, names = _channels(facts, path)
    mode = facts.number("scanmode")
    records = facts.number("recordsPerBuffer")
    lines = None if records is None else records * (2 if mode == 0 else 1)
    if lines is not None and mode is not None and lines != rows:
        warn(f"{path}: info.sz says {rows} rows, recordsPerBuffer and scanmode {lines:g}; taken as {rows}")
    if facts.number("mesoscope", "enabled"):
        warn(f"{path}: a recording of several fields: they are not taken apart, frames are as they are stored")
    wave = facts.numbers("otwave")
    told = planes
    if planes is not None and (type(planes) is not int or planes < 1):
        raise OptionError("planes is the number of frames of one volume", found=repr(planes), expected="1 or more")
    if told is None:
        told = len(wave) if facts.number("volscan") and wave else 1
    depths = facts.numbers("otwave_um")
    resonance = facts.number("resfreq")
    rate = None
    if resonance and resonance > 0 and mode in (0, 1):
        rate = resonance * (2 if mode == 0 else 1) / rows / told
    version, last = facts.number("scanbox_version"), facts.number("max_idx")
    return Info(
        rows=rows,
        columns=columns,
        channel_count=count,
        planes=told,
        channel_names=names,
        frame_rate_hz=rate,
        z_um=tuple(depths) if told > 1 and len(depths) == told else None,
        version=None if version is None else f"{version:g}",
        announced=None if last is None or last < 0 else int(last) + 1,
        text=json.dumps(_plain(raw)),
    )


def _channels(facts: _Facts, path: str) -> tuple[int, tuple[str, ...]]:
    """How many channels a frame has, and their names where they are known."""
    stated = facts.number("channels")
    names = _CHANNELS.get(int(stated) if stated is not None else 0, ())
    for place in (("chan", "nchan"), ("nchan",), ("nChan",)):
        value = facts.number(*place)
        if value is not None:
            count = facts.whole("info." + ".".join(place), value, _MOST_CHANNELS)
            both = _CHANNELS[1]
            return count, names if len(names) == count else both if count == len(both) else ()
    if not names:
        raise Malformed(
            "info does not say which channels were recorded",
            path=path,
            found=f"channels {stated}",
            expected="chan.nchan, or channels 1 (both), 2 (green) or 3 (red)",
        )
    return len(names), names


class _Facts:
    """Numbers of `info`."""

    def __init__(self, raw: Structure, path: str) -> None:
        self._raw = raw
        self._path = path

    def numbers(self, *place: str) -> list[float]:
        """The values of an array, in MATLAB's order; none where there is no array of numbers."""
        value: Any = self._raw
        for name in place:
            value = value.get(name) if isinstance(value, dict) else None
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            return []
        found: list[float] = value.ravel(order="F").astype(np.float64).tolist()
        return found

    def number(self, *place: str) -> float | None:
        """One finite number."""
        found = self.numbers(*place)
        return found[0] if len(found) == 1 and np.isfinite(found[0]) else None

    def whole(self, what: str, value: float, most: int = 1 << 20) -> int:
        """A count."""
        if not 1 <= value <= most or value != int(value):
            raise Malformed(f"{what} is no count", path=self._path, found=value, expected=f"from 1 to {most}")
        return int(value)


def _plain(value: Any) -> Any:
    """What JSON has: numbers alone, or lists of them."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        shown = [value.real.tolist(), value.imag.tolist()] if value.dtype.kind == "c" else value.tolist()
        return value.item() if value.size == 1 and value.dtype.kind != "c" else shown
    return value
