"""What a written TIFF tells other programs: ImageJ's description, OME-XML, resolution.

Sources: the description as ImageJ writes and reads it; OME-XML schema 2016-06 and the OME-TIFF specification.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from hashlib import sha256
from typing import Any
from uuid import UUID
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from galvo.core.metadata import Metadata
from galvo.core.recording import Recording

__all__ = ["OME_TYPES", "imagej_description", "ome_xml", "resolution", "uuid_of"]

OME_TYPES = {
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "f4": "float",
    "f8": "double",
}
_IMAGEJ_VERSION = "1.54f"
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
# every plane is an element of some 60 bytes that OME readers parse while opening
_MOST_PLANES = 10_000
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UM_PER_CM = 10_000
_NO_UNIT, _CENTIMETRE = 1, 3
_MOST_DENOMINATOR = (1 << 32) - 1


def imagej_description(recording: Recording) -> str:
    """The text by which ImageJ knows its hyperstacks.

    Pages are counted with channels fastest and frames slowest. Axes of length 1 are left out, as ImageJ does.
    """
    t, c, z = recording.shape[:3]
    metadata = recording.metadata
    lines = [f"ImageJ={_IMAGEJ_VERSION}", f"images={t * c * z}"]
    lines += [f"{name}={count}" for name, count in (("channels", c), ("slices", z), ("frames", t)) if count > 1]
    if sum(count > 1 for count in (t, c, z)) > 1:
        lines.append("hyperstack=true")
    lines.append("mode=grayscale")
    if _pixel_size_um(metadata) is not None:
        lines.append("unit=micron")
        spacing = _spacing_um(metadata)
        if spacing is not None:
            lines.append(f"spacing={spacing!r}")
    interval = _interval_s(metadata)
    if interval is not None:
        lines.append(f"finterval={interval!r}")
    lines.append("loop=false")
    return "\n".join(lines) + "\n"


def ome_xml(recording: Recording, uuid: str, samples: int = 1) -> str:
    """OME-XML 2016-06 of a single file whose pages are in the order T, Z, C with C fastest; ASCII.

    Parameters
    ----------
    recording : Recording
        Of a type in `OME_TYPES`.
    uuid : str
        36 characters.
    samples : int
        Channels of a page: one, or all. OME has one name for all samples of a page, so these have none.
    """
    t, c, z, y, x = recording.shape
    metadata = recording.metadata
    pixels: dict[str, Any] = {
        "ID": "Pixels:0",
        "DimensionOrder": "XYCZT",
        "Type": OME_TYPES[recording.dtype.str[1:]],
        **dict(zip(("SizeX", "SizeY", "SizeC", "SizeZ", "SizeT"), (x, y, c, z, t), strict=True)),
        "BigEndian": "false",
        "Interleaved": "true" if samples > 1 else "false",
    }
    size, spacing, interval = _pixel_size_um(metadata), _spacing_um(metadata), _interval_s(metadata)
    lengths = {"X": size and size[1], "Y": size and size[0], "Z": spacing}
    for axis, length in lengths.items():
        if length is not None:
            pixels |= {f"PhysicalSize{axis}": repr(length), f"PhysicalSize{axis}Unit": "µm"}
    if interval is not None:
        pixels |= {"TimeIncrement": repr(interval), "TimeIncrementUnit": "s"}
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<OME xmlns="{_SCHEMA}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        f'xsi:schemaLocation="{_SCHEMA} {_SCHEMA}/ome.xsd" UUID="urn:uuid:{uuid}" Creator="galvo">',
        '<Image ID="Image:0">',
    ]
    if metadata.start_time is not None and _DATE_TIME.fullmatch(metadata.start_time):
        parts.append(f"<AcquisitionDate>{metadata.start_time}</AcquisitionDate>")
    parts.append(f"<Pixels{_attributes(pixels)}>")
    for number in range(c // samples):
        name = {"Name": metadata.channel_names[number]} if metadata.channel_names and samples == 1 else {}
        channel = {"ID": f"Channel:0:{number}", **name, "SamplesPerPixel": samples}
        parts.append(f"<Channel{_attributes(channel)}/>")
    parts.append(f'<TiffData IFD="0" PlaneCount="{t * c // samples * z}"/>')
    parts += _planes(recording, c // samples)
    parts.append("</Pixels></Image></OME>")
    return "".join(parts).encode("ascii", "xmlcharrefreplace").decode("ascii")


def resolution(metadata: Metadata, layout: str) -> tuple[tuple[int, int], tuple[int, int], int]:
    """Values of XResolution, YResolution and ResolutionUnit.

    ImageJ takes pixels per unit of its description, everything else pixels per centimetre; 1 without a unit where the
    pixel size is unknown.
    """
    size = _pixel_size_um(metadata)
    if size is None:
        return (1, 1), (1, 1), _NO_UNIT
    unit = _NO_UNIT if layout == "imagej" else _CENTIMETRE
    scale = 1 if layout == "imagej" else _UM_PER_CM
    y, x = (_ratio(scale, length) for length in size)
    return x, y, unit


def _ratio(scale: int, length_um: float) -> tuple[int, int]:
    """Pixels per unit as two numbers of 32 bits."""
    per_pixel = Fraction(length_um) / scale
    # the smaller of the two numbers is the one that needs no bound
    small = (per_pixel if per_pixel < 1 else 1 / per_pixel).limit_denominator(_MOST_DENOMINATOR)
    pair = (small.denominator, max(1, small.numerator))
    return pair if per_pixel < 1 else pair[::-1]


def _attributes(values: dict[str, Any]) -> str:
    return "".join(f" {name}={quoteattr(_NO_XML.sub('�', str(value)))}" for name, value in values.items())


def _planes(recording: Recording, channels: int) -> list[str]:
    """The times of the planes in the order of the pages, where they are known and not too many.

    Of channels that are samples of one plane, the first has its time.
    """
    t, c, z = recording.shape[:3]
    if t * channels * z > _MOST_PLANES:
        return []
    table = recording.frame_table()
    if "timestamp_s" not in (table.dtype.names or ()):
        return []
    times: NDArray[np.float64] = table["timestamp_s"].reshape(t, c, z)
    return [
        f'<Plane TheZ="{k}" TheT="{i}" TheC="{j}" DeltaT="{float(times[i, j, k])!r}" DeltaTUnit="s"/>'
        for i in range(t)
        for k in range(z)
        for j in range(channels)
        if math.isfinite(times[i, j, k])
    ]


def _pixel_size_um(metadata: Metadata) -> tuple[float, float] | None:
    size = metadata.pixel_size_um
    if size is None or not all(math.isfinite(length) and length > 0 for length in size):
        return None
    return float(size[0]), float(size[1])


def _interval_s(metadata: Metadata) -> float | None:
    rate = metadata.frame_rate_hz
    return 1 / rate if rate is not None and math.isfinite(rate) and rate > 0 else None


def _spacing_um(metadata: Metadata) -> float | None:
    """Distance of the planes, where they are evenly spaced."""
    depths = metadata.z_um
    if depths is None or len(depths) < 2:
        return None
    steps = np.diff(np.asarray(depths, np.float64))
    mean = abs(float(steps.mean()))
    even = bool(np.isfinite(steps).all()) and mean > 0 and bool(np.allclose(steps, steps[0], rtol=1e-3, atol=0))
    return mean if even else None


def uuid_of(text: bytes) -> UUID:
    """A name that equal content shares (RFC 9562 version 8)."""
    digest = bytearray(sha256(text).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x80, digest[8] & 0x3F | 0x80
    return UUID(bytes=bytes(digest))
