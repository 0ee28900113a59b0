"""What ImageJ says in a TIFF: how many channels, slices and frames, how large, and notes per slice.

The description is lines ``key=value`` behind ``ImageJ=version`` (ImageJ's TiffEncoder). ``channels``, ``slices`` and
``frames`` count pages with C fastest, then Z, then T. Lengths are in ``unit`` (``yunit``, ``zunit`` where they differ),
the resolution tags give pixels per unit; ``finterval`` is the time between frames in ``tunit``, seconds by default.

Tags 50838 (LONG, byte counts) and 50839 (BYTE, data) hold texts: the data begin with ``IJIJ`` (``JIJI`` in
little-endian files), then four letters and a count per kind; the first byte count is of this header, the others are of
each entry in turn. Texts (``info``, ``labl``) are UTF-16 in the file's byte order. Regions, overlays and display ranges
are not read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from galvo.errors import FormatError, warn
from galvo.formats.tiff.ifd import Ifd
from galvo.formats.tiff.units import length_um, number, time_s

__all__ = ["imagej_counts", "imagej_facts", "imagej_fields", "looks_like_imagej", "whole_number"]

_LINE = re.compile(r"^images=\d+\n(channels|slices|frames)=\d", re.MULTILINE)
_COUNTS, _DATA = 50838, 50839
_TEXTS = {b"info": "imagej_info", b"labl": "imagej_labels"}


def imagej_fields(description: str) -> dict[str, str]:
    """The fields of a description by ImageJ; empty for any other."""
    if not description.startswith("ImageJ="):
        return {}
    pairs = (line.partition("=") for line in description.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def looks_like_imagej(description: str) -> bool:
    """Whether a text counts images as ImageJ does, though it does not begin as ImageJ's."""
    return _LINE.search(description[:4096]) is not None


def whole_number(text: str | None) -> int:
    """A count of at least 1; what is no number counts 1."""
    return max(1, int(text)) if text and text.isascii() and text.isdigit() and len(text) < 18 else 1


def imagej_counts(fields: Mapping[str, str]) -> tuple[int, int, int]:
    """Lengths of T, C and Z."""
    t, c, z = (whole_number(fields.get(key)) for key in ("frames", "channels", "slices"))
    return t, c, z


def imagej_facts(first: Ifd, fields: Mapping[str, str], z_count: int) -> dict[str, Any]:
    """What `Metadata` takes from ImageJ: rate, sizes, depths, texts.

    Parameters
    ----------
    first : Ifd
        Page 0.
    fields : mapping
        Of `imagej_fields`.
    z_count : int
        Length of Z.
    """
    unit = fields.get("unit") or {2: "inch", 3: "cm"}.get(first.value(296, 1), "")
    spacing, unit_z_um = number(fields.get("spacing")), length_um(fields.get("zunit") or unit)
    interval, fps = number(fields.get("finterval")), number(fields.get("fps"))
    unit_s = time_s(fields.get("tunit") or "s")
    rate = None
    if interval and interval > 0 and unit_s:
        rate = 1 / (interval * unit_s)
    elif fps and fps > 0:
        rate = fps
    depths = None
    if spacing and unit_z_um and z_count > 1:
        depths = tuple(spacing * unit_z_um * plane for plane in range(z_count))
    return {
        "version": "ImageJ",
        "frame_rate_hz": rate,
        "pixel_size_um": _pixel_size(first, length_um(fields.get("yunit") or unit), length_um(unit)),
        "z_um": depths,
        "texts": _texts(first),
    }


def _pixel_size(first: Ifd, unit_y_um: float | None, unit_x_um: float | None) -> tuple[float, float] | None:
    """Height and width of a pixel from the resolution tags, which count pixels per unit."""
    sizes = []
    for tag, unit_um in ((283, unit_y_um), (282, unit_x_um)):
        values = first.values(tag)
        if len(values) != 2 or not all(values) or unit_um is None:
            return None
        sizes.append(values[1] / values[0] * unit_um)
    return sizes[0], sizes[1]


def _texts(first: Ifd) -> dict[str, str]:
    """ImageJ's own texts: "imagej_info", and "imagej_labels" with one line per slice."""
    path = first.source.paths[first.file]
    try:
        counts, data = first.values(_COUNTS), first.values(_DATA)
    except FormatError as error:
        warn(f"{path}: ImageJ's notes are not read: {error.message}")
        return {}
    if not counts or not data or not all(isinstance(value, int) for value in counts + data[:1]):
        return {}
    block = bytes(data)
    order = {b"IJIJ": ">", b"JIJI": "<"}.get(block[:4])
    if order is None or counts[0] > len(block) or counts[0] < 12 or (counts[0] - 4) % 8:
        return {}
    entries = struct.iter_unpack(order + "4sI", block[4 : counts[0]])
    at, number_of = counts[0], 1
    found: dict[str, str] = {}
    for kind, count in entries:
        # the four letters are an integer: turned around in little-endian files
        name = _TEXTS.get(kind if order == ">" else kind[::-1])
        parts = []
        for nbytes in counts[number_of : number_of + count]:
            if name is not None:
                parts.append(block[at : at + nbytes].decode("utf-16-le" if order == "<" else "utf-16-be", "replace"))
            at += nbytes
        number_of += min(count, len(counts))
        if name is not None and any(parts):
            found[name] = "\n".join(parts)
    return found
