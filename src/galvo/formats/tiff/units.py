"""Lengths in µm and times in s, whatever unit a file gives them in."""

from __future__ import annotations

import math

__all__ = ["length_um", "number", "time_s"]

# in lower case: OME's symbols (schema 2015-01 and later), and what people write in ImageJ
_LENGTHS_UM = {
    **dict.fromkeys(("µm", "um", "micron", "microns", "micrometer", "micrometers"), 1.0),
    **dict.fromkeys(("nm", "nanometer", "nanometers"), 1e-3),
    **dict.fromkeys(("mm", "millimeter", "millimeters"), 1e3),
    **dict.fromkeys(("cm", "centimeter", "centimeters"), 1e4),
    **dict.fromkeys(("m", "meter", "meters"), 1e6),
    **dict.fromkeys(("in", "inch", "inches", '"'), 25400.0),
    "pm": 1e-6,
    "dm": 1e5,
    "å": 1e-4,
    "angstrom": 1e-4,
}
_TIMES_S = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("µs", "us", "usec", "microsecond", "microseconds"), 1e-6),
    "ns": 1e-9,
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    "d": 86400.0,
}


def _plain(unit: str) -> str:
    # micro sign, Greek letter, the way Java escapes it, angstrom sign
    unit = unit.strip().replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace("\u03bc", "µ").replace("\u212b", "Å")
    return unit.lower()


def number(text: str | None) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None


def length_um(unit: str) -> float | None:
    """The length of a unit in µm; None where it is no length."""
    return _LENGTHS_UM.get(_plain(unit))


def time_s(unit: str) -> float | None:
    """The length of a unit in s; None where it is no time."""
    return _TIMES_S.get(_plain(unit))
