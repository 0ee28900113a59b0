"""What a preview shows: one channel of one plane or scan field each, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeVar

from galvo.core.recording import Recording
from galvo.core.selection import parse_axis
from galvo.errors import OptionError
from galvo.text import count_text

__all__ = ["View", "chosen_views", "sampled_text", "spread", "spread_views", "title_of"]

_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class View:
    """One channel at one depth.

    Attributes
    ----------
    recording : Recording
        The whole, or a scan field of it.
    channel, plane : int
        Positions in `recording`.
    label : str
        For people; channels, planes and fields count from 1.
    """

    recording: Recording
    channel: int
    plane: int
    label: str


def chosen_views(recording: Recording, channels: Any = None, planes: Any = None, fields: Any = None) -> list[View]:
    """Views of a recording: depths outermost, channels innermost.

    Parameters
    ----------
    recording : Recording
    channels, planes : int, name, slice, list of them, optional
        As in `Recording.isel`; all by default.
    fields : int, slice, list of int, optional
        Positions among `Recording.fields`; all by default. A recording with fields has a view for each of them.

    Raises
    ------
    OptionError
        Fields of a recording that has none, or nothing is left.
    SelectionError
        No such channel, plane or field.
    """
    length = recording.shape
    names = recording.channel_names
    shown_channels = parse_axis(slice(None) if channels is None else channels, length[1], "C", names)[0]
    shown_planes = parse_axis(slice(None) if planes is None else planes, length[2], "Z", ())[0]
    parts: list[tuple[Recording, int, list[str]]]
    if recording.fields:
        places = recording.scan_fields
        shown_fields = parse_axis(slice(None) if fields is None else fields, len(places), "field", ())[0]
        parts = [
            (recording.fields[number], 0, _words(f"field {number + 1}", places[number].name, places[number].z_um))
            for number in map(int, shown_fields)
            if places[number].plane in shown_planes
        ]
    elif fields is not None:
        raise OptionError("the recording has no fields", hint="Only multi-ROI recordings have them")
    else:
        depths = recording.metadata.z_um
        parts = [
            (recording, plane, _words(f"plane {plane + 1}", "", depths[plane] if depths else None))
            for plane in map(int, shown_planes)
        ]
    if length[2] == 1 and not recording.fields:
        parts = [(recording, 0, [])]
    views = [
        View(part, channel, plane, " · ".join([*words, *_words(f"channel {channel + 1}", names and names[channel])]))
        for (part, plane, words), channel in product(parts, map(int, shown_channels))
    ]
    if not views:
        raise OptionError("nothing to show: the selection is empty", found=f"shape {length}")
    return views


def _words(number: str, name: Any = "", depth_um: float | None = None) -> list[str]:
    # "channel 1 Channel 1" says it twice
    same = "".join(str(name).lower().split()) in (number.replace(" ", ""), number.split()[-1])
    text = f"{number} {name}" if name and not same else number
    return [text if depth_um is None or depth_um != depth_um else f"{text} at {depth_um:.4g} µm"]


def title_of(recording: Recording) -> str:
    """What a recording is called: its file, and how many more there are."""
    files = recording.files
    if not files:
        return "recording in memory"
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1:,} more"


def spread(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most `most` of them, evenly spread."""
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / max(1, most - 1))] for number in range(most)]


def spread_views(views: Sequence[View], most: int) -> list[View]:
    """At most `most` of the views: all channels of depths that are evenly spread."""
    if len(views) <= most:
        return list(views)
    channels = len({view.channel for view in views})
    depths = [views[first : first + channels] for first in range(0, len(views), channels)]
    return [view for depth in spread(depths, max(1, most // channels)) for view in depth][:most]


def sampled_text(count: int, recording: Recording) -> str:
    """How many frames, or volumes, of how many were looked at."""
    length = recording.shape[0]
    moments = count_text(length, "frame" if recording.shape[2] == 1 else "volume")
    if length == 1:
        return moments
    return f"all {moments}" if count == length else f"{count:,} of {moments} sampled"
