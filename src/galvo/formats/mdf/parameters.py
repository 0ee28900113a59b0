"""What the parameters of an MDF file mean."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

import numpy as np

from galvo.core.metadata import Metadata
from galvo.errors import Malformed

__all__ = ["PARAMETERS", "channels_of", "dtype_of", "length_of", "metadata_of"]

_CHANNELS = 3
_CHANNEL_NAMES = tuple(f"Scanning Ch {number} Name" for number in range(_CHANNELS))
PARAMETERS = (
    "Frame Count",
    "Frame Height",
    "Frame Width",
    "Frame Bit Depth",
    *_CHANNEL_NAMES,
    "Microns per Pixel",
    "Magnification",
    "Frame Duration (s)",
    "Frame Interval (ms)",
    "Created On",
)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)?(?:[eE][-+]?\d+)?")


def length_of(found: Mapping[str, str], name: str, path: str) -> int:
    """A length, above 0."""
    text = found.get(name, "")
    match = re.fullmatch(r"\+?(\d{1,18})(?:[.,]0*)?", text)
    if match is None or not int(match[1]):
        raise Malformed(f"the parameter {name!r} is no length", path=path, found=repr(text))
    return int(match[1])


def dtype_of(found: Mapping[str, str], path: str) -> np.dtype[Any]:
    """Type of the pixels, from a text such as "16-bit"."""
    text = found.get("Frame Bit Depth", "")
    match = re.match(r"\s*(\d{1,4})", text)
    if match is None or not int(match[1]):
        raise Malformed("the parameter 'Frame Bit Depth' is no depth", path=path, found=repr(text))
    bits = int(match[1])
    return np.dtype(np.uint8 if bits <= 8 else np.uint16 if bits <= 16 else np.float64)


def channels_of(found: Mapping[str, str], path: str) -> tuple[int, ...]:
    """Numbers of the channels that were recorded, from 1: those with a name."""
    channels = tuple(number for number, name in enumerate(_CHANNEL_NAMES, 1) if name in found)
    if not channels:
        raise Malformed("no channel has a name", path=path, expected=" or ".join(map(repr, _CHANNEL_NAMES)))
    return channels


def metadata_of(found: Mapping[str, str], channels: tuple[int, ...]) -> Metadata:
    """All that the parameters say."""
    size = _number(found.get("Microns per Pixel"))
    duration = _number(found.get("Frame Duration (s)"))
    interval = _number(found.get("Frame Interval (ms)"))
    period = None if duration is None else duration + (interval or 0) / 1000
    magnification = _number(found.get("Magnification"))
    attributes: dict[str, Any] = {"channel_numbers": channels}
    if magnification:
        attributes["magnification"] = magnification
    start_time = None
    with suppress(ValueError):
        # day and month of other spellings cannot be told apart
        start_time = datetime.fromisoformat(found.get("Created On", "")).replace(tzinfo=None).isoformat()
    return Metadata(
        format="mdf",
        channel_names=tuple(found[_CHANNEL_NAMES[number - 1]] for number in channels),
        frame_rate_hz=1 / period if period else None,
        pixel_size_um=(size, size) if size else None,
        start_time=start_time,
        header=dict(found),
        attributes=attributes,
    )


def _number(text: str | None) -> float | None:
    """The number in a text such as "0,83 µm" or "x2.5"; None where there is none, or one that is not above 0."""
    match = _NUMBER.search(text or "")
    value = float(match[0].replace(",", ".")) if match is not None else 0.0
    return value if math.isfinite(value) and value > 0 else None
