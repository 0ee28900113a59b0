"""The settings that suite2p needs to read multi-ROI pages itself (its mesoscope input).

Names and meaning from suite2p's documentation of inputs and settings: ``lines`` are the rows of each region in the
TIFF pages, counted from 0; ``dx`` and ``dy`` where in space each region is, in pixels; ``nplanes`` planes of
``nchannels`` pages follow each other; ``fs`` is the rate of each plane; ``ignore_flyback`` are planes to leave out.
suite2p multiplies planes by regions: plane ``nrois * z + k`` is region k at depth z. Runs of suite2p 0.14.4 and 1.1.0
read every field right: both know such pages by ``lines``, the older one by ``mesoscan`` too, and take them for
``input_format`` "tif"; the newer one has no "mesoscan" among its formats.
"""

from __future__ import annotations

from typing import Any

from galvo.core.recording import Recording
from galvo.core.scanfield import ScanField
from galvo.errors import OptionError, warn
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.stacks import read_timeline

__all__ = ["mesoscope_settings"]


def mesoscope_settings(recording: Recording) -> dict[str, Any]:
    """The settings with which suite2p reads the pages of a multi-ROI recording.

    Parameters
    ----------
    recording : Recording
        ScanImage, with fields, as it was opened.

    Returns
    -------
    dict
        Plain values for JSON: ``mesoscan``, ``input_format``, ``nplanes`` (with flyback), ``nchannels``, ``nrois``,
        ``fs`` in Hz where it is known, ``lines``, ``dx`` and ``dy``, and ``ignore_flyback`` where there is any.

    Raises
    ------
    OptionError
        No fields; slices of several frames; or regions whose rows differ between depths, which these settings cannot
        say.
    """
    header = recording.metadata.header
    fields = recording.scan_fields
    if recording.metadata.format != "scanimage" or not isinstance(header, Header) or not fields:
        raise OptionError(
            "only multi-ROI recordings of ScanImage have such settings",
            path=next(map(str, recording.files), None),
            found=f"{recording.metadata.format}, {len(fields)} fields",
        )
    path = str(recording.files[0])
    timeline = read_timeline(header, path)
    if timeline.repeats > 1:
        raise OptionError("suite2p reads one frame per slice", path=path, found=f"{timeline.repeats} frames per slice")
    depths: dict[int, list[ScanField]] = {plane: [] for plane in range(timeline.slices)}
    for field in fields:
        depths[field.plane].append(field)
    first = depths[0]
    rows = [[field.rows for field in plane] for plane in depths.values()]
    if any(one != rows[0] for one in rows) or not first:
        raise OptionError(
            "suite2p's settings cannot say that the ROIs of depths have different rows",
            path=path,
            hint="Write each field to a file of its own: galvo convert --fields split",
        )
    if any(_corners(plane) != _corners(first) for plane in depths.values()):
        warn(f"{path}: ROIs lie elsewhere at other depths; dx and dy are those of the first depth")
    if any(field.columns != range(recording.shape[4]) for field in first):
        warn(f"{path}: suite2p reads whole rows, so narrower ROIs are padded at the right")
    count = len(first)
    settings: dict[str, Any] = {
        "mesoscan": True,
        "input_format": "tif",
        "nplanes": timeline.cycle,
        "nchannels": timeline.channel_count,
        "nrois": count,
        "lines": [list(field.rows) for field in first],
        **_places(first),
    }
    rate = timeline.volume_rate_hz if timeline.is_volumetric else timeline.frame_rate_hz
    if rate is not None:
        settings["fs"] = rate
    if timeline.flyback:
        settings["ignore_flyback"] = list(range(timeline.slices * count, timeline.cycle * count))
    return settings


def _corners(fields: list[ScanField]) -> list[tuple[float, float]]:
    return [field.corner_deg for field in fields]


def _places(fields: list[ScanField]) -> dict[str, list[int]]:
    """Upper left corners in pixels of the finest field, from 0."""
    places = {}
    for axis, name in enumerate(("dy", "dx")):
        step = min(field.size_deg[axis] / (field.height, field.width)[axis] for field in fields)
        least = min(field.corner_deg[axis] for field in fields)
        places[name] = [round((field.corner_deg[axis] - least) / step) for field in fields]
    return places
