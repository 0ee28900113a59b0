"""What a ScanImage header says of the whole recording, in galvo's names and units."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from galvo.core.metadata import Metadata
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.series import start_of_mode
from galvo.formats.scanimage.static import StaticTexts
from galvo.formats.scanimage.timeline import Timeline
from galvo.formats.tiff.layout import PageLayout

__all__ = ["describe"]

_ATTRIBUTES = {
    "zoom": ("SI.hRoiManager.scanZoomFactor", "SI.scanZoomFactor", "state.acq.zoomFactor"),
    "scanner_type": ("SI.hScan2D.scannerType",),
}


def describe(
    texts: StaticTexts,
    timeline: Timeline,
    layout: PageLayout,
    description: str,
    *,
    keep_flyback: bool,
    interleaved: bool,
) -> Metadata:
    """The metadata of a recording.

    Parameters
    ----------
    texts : StaticTexts
    timeline : Timeline
    layout : PageLayout
    description : str
        ImageDescription of the first page.
    keep_flyback : bool
        Flyback frames are planes, of no depth.
    interleaved : bool
        Each repeat is a T of its own.
    """
    header = texts.header
    rate = timeline.volume_rate_hz if timeline.is_volumetric else timeline.frame_rate_hz
    if interleaved and timeline.is_volumetric:
        rate = rate and rate * timeline.repeats
    depths = timeline.z_um
    if depths is not None and keep_flyback:
        depths = depths + (math.nan,) * timeline.flyback
    kept = {"header": header.text}
    if texts.roi:
        kept["roi"] = texts.roi
    if description and description != header.text:
        kept["description"] = description
    stated = header.count("SI.TIFF_FORMAT_VERSION")
    attributes: dict[str, Any] = {"tiff_format_version": texts.tiff_format_version or stated}
    for name, keys in _ATTRIBUTES.items():
        key = next((key for key in keys if key in header), None)
        if key is not None:
            attributes[name] = header[key]
    return Metadata(
        format="scanimage",
        version=_version(header),
        channel_names=timeline.channel_names,
        frame_rate_hz=rate,
        pixel_size_um=_pixel_size(header, layout),
        z_um=depths,
        start_time=_iso_time(start_of_mode(description)),
        header=header,
        texts=kept,
        attributes=attributes,
    )


def _version(header: Header) -> str | None:
    if header.flavour == "state":
        version = header.get("state.software.version")
        return None if version is None else str(version)
    major, minor = header.get("SI.VERSION_MAJOR"), header.get("SI.VERSION_MINOR")
    if major is None:
        return None
    return f"{major}.{minor}" if minor not in (None, "", []) else str(major)


def _pixel_size(header: Header, layout: PageLayout) -> tuple[float, float] | None:
    """From the corners of the field of view; several ROIs have sizes of their own."""
    if header.flag("SI.hRoiManager.mroiEnable"):
        return None
    corners = header.numbers("SI.hRoiManager.imagingFovUm")
    if len(corners) != 8:
        return None
    points = np.array(corners).reshape(4, 2)
    along_x, along_y = np.linalg.norm(points[1] - points[0]), np.linalg.norm(points[3] - points[0])
    if not along_x > 0 or not along_y > 0:
        return None
    return float(along_y) / layout.height, float(along_x) / layout.width


def _iso_time(epoch: str) -> str | None:
    """``2025 4 24 16 43 57.206`` as ISO 8601."""
    parts = epoch.split()
    try:
        year, month, day, hour, minute = (int(float(part)) for part in parts[:5])
        seconds = float(parts[5])
    except (ValueError, IndexError):
        return None
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{seconds:06.3f}"
