"""pyflowreg.util.io._scanimage: what ScanImage noted, as PyFlowReg's dictionary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from galvo.errors import GalvoError
from galvo.formats.opening import open_recording

__all__ = ["format_scanimage_metadata_report", "interpret_scanimage_dimensions", "parse_scanimage_metadata"]

_LABELS = {
    "channels": "Channels",
    "volumes": "Volumes/Stacks",
    "slices_per_volume": "Slices per volume",
    "frames_per_slice": "Frames per slice",
    "total_frames": "Total 2D frames",
    "z_step": "Z step (um)",
    "frame_rate": "Frame rate (Hz)",
}


def parse_scanimage_metadata(file_path: str) -> dict[str, Any]:
    """What ScanImage noted in a file, or that it did not.

    Parameters
    ----------
    file_path : str
        The file; others of its series do not count.

    Returns
    -------
    dict
        ``is_scanimage``, ``version``, ``channels``, ``volumes``, ``slices_per_volume``, ``frames_per_slice``,
        ``total_frames`` (volumes times slices), ``z_step`` in um, ``frame_rate`` in Hz, ``roi_data`` (text) and
        ``raw_metadata`` (the header by key). Unknown is None.
    """
    found: dict[str, Any] = {"is_scanimage": False, "version": None, "channels": 1, "volumes": 1}
    found |= {"slices_per_volume": 1, "frames_per_slice": 1, "total_frames": None, "z_step": None}
    found |= {"frame_rate": None, "roi_data": None, "raw_metadata": {}}
    try:
        recording = open_recording(file_path, series=False)
    except GalvoError:
        return found
    with recording:
        metadata = recording.metadata
        if metadata.format != "scanimage":
            return found
        t, c, z = recording.shape[:3]
        depths = metadata.z_um or ()
        header = dict(metadata.header)
        return {
            "is_scanimage": True,
            "version": metadata.version,
            "channels": c,
            "volumes": t,
            "slices_per_volume": z,
            "frames_per_slice": header.get("SI.hStackManager.framesPerSlice", 1) if z > 1 else 1,
            "total_frames": t * z,
            "z_step": depths[1] - depths[0] if len(depths) > 1 else None,
            "frame_rate": metadata.frame_rate_hz,
            "roi_data": metadata.texts.get("roi"),
            "raw_metadata": header,
        }


def interpret_scanimage_dimensions(
    tif_shape: Sequence[int], tif_axes: str, si_metadata: Mapping[str, Any]
) -> dict[str, Any]:
    """What the axes of an array of a ScanImage file are.

    Parameters
    ----------
    tif_shape : sequence of int
    tif_axes : str
        Letters of the axes: T, C, Z, Y, X.
    si_metadata : mapping
        Of `parse_scanimage_metadata`.

    Returns
    -------
    dict
        ``total_frames``, ``height``, ``width``, ``channels``, ``volumes``, ``z_planes``, ``true_time_frames`` and
        ``interpretation``: "time_series_of_volumes", "pure_time_series", "single_volume" or "unknown".
    """
    lengths = dict(zip(tif_axes.upper(), tif_shape, strict=True))
    volumes, planes = lengths.get("T", 1), lengths.get("Z", 1)
    if "T" in lengths:
        kind = "time_series_of_volumes" if planes > 1 else "pure_time_series"
    else:
        kind = "single_volume" if planes > 1 else "unknown"
    return {
        "total_frames": volumes * planes,
        "height": lengths.get("Y", 1),
        "width": lengths.get("X", 1),
        "channels": lengths.get("C", si_metadata.get("channels", 1)),
        "volumes": volumes,
        "z_planes": planes,
        "true_time_frames": volumes,
        "interpretation": kind,
    }


def format_scanimage_metadata_report(metadata: Mapping[str, Any]) -> str:
    """The dictionary as lines for people; what is unknown is left out."""
    lines = ["=== ScanImage File Metadata ===", f"Version: {metadata.get('version')}", "", "Acquisition Parameters:"]
    known = ((label, metadata.get(name)) for name, label in _LABELS.items())
    return "\n".join([*lines, *(f"  {label}: {value}" for label, value in known if value is not None)])
