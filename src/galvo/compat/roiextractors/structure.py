"""What ScanImage files say of their structure, in the words of the facade."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from galvo.core.detect import Probe
from galvo.core.source import FileSource
from galvo.errors import warn
from galvo.formats.scanimage import FORMAT
from galvo.formats.scanimage.facts import parse_json
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.series import missing_files, parse_name
from galvo.formats.scanimage.stacks import read_timeline
from galvo.formats.scanimage.static import StaticTexts, read_static
from galvo.formats.scanimage.timeline import Timeline
from galvo.formats.tiff.ifd import read_header, read_ifd
from galvo.limits import DEFAULT_LIMITS

__all__ = [
    "as_dictionary",
    "frames_per_slice",
    "read_structure",
    "read_texts",
    "roi_groups",
    "time_of_page",
    "warn_of_neighbours",
    "warn_of_suffix",
]

_CHANNEL_KEYS = ["SI.hChannels.channelSave", "SI.hChannels.channelsActive"]
_SUFFIXES = (".tiff", ".tif", ".TIFF", ".TIF")


def warn_of_suffix(path: Path, extractor: str) -> None:
    """Warn of a name that is not a TIFF file's."""
    if path.suffix not in _SUFFIXES:
        warn(
            f"Suffix ({path.suffix}) is not of type .tiff, .tif, .TIFF, or .TIF! "
            f"The {extractor} may not be appropriate for the file."
        )


def read_texts(path: str) -> tuple[StaticTexts, str] | None:
    """Header and ROI texts of a TIFF file, and its first page's own; None where it has no ScanImage header.

    Raises
    ------
    FormatError
        No TIFF, or a header that is cut off.
    """
    source, probe = FileSource([path]), Probe(path)
    try:
        first = read_ifd(source, 0, (tiff := read_header(source)), tiff.first_ifd, DEFAULT_LIMITS)
        if not FORMAT.detect(probe):
            return None
        return read_static(source, 0, first, DEFAULT_LIMITS), first.description
    finally:
        source.close()
        probe.close()


def read_structure(path: str) -> tuple[Header, Timeline]:
    """Header of a file, and the cycle in which its pages repeat.

    Raises
    ------
    ValueError
        No ScanImage header, one of 3.x, or one without channels.
    """
    texts = read_texts(path)
    # 3.x states neither rates of volumes nor times of frames
    if texts is None or texts[0].header.flavour == "state":
        raise ValueError("Invalid metadata: The metadata is either None or empty.")
    header = texts[0].header
    if not any(key in header for key in (*_CHANNEL_KEYS, "SI.channelsSave")):
        raise ValueError(f"Could not find any of {_CHANNEL_KEYS} in metadata.")
    return header, read_timeline(header, path)


def frames_per_slice(header: Header, timeline: Timeline) -> int:
    """Logged frames of each slice; in planar recordings what the header states."""
    if timeline.slices > 1:
        return timeline.repeats
    return header.count("SI.hStackManager.framesPerSlice") or 1


def as_dictionary(header: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and parsed values; a cell of one text is that text, as tifffile has it."""
    return {
        key: value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str) else value
        for key, value in header.items()
    }


def roi_groups(text: str) -> dict[str, Any]:
    """The ROI groups of their JSON text; empty where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    groups = found.get("RoiGroups") if isinstance(found, dict) else None
    return groups if isinstance(groups, dict) else {}


def warn_of_neighbours(path: Path, header: Header, files: list[Path]) -> None:
    """Warn of files between those of a series that are not of it, and of those that are missing."""
    name = parse_name(str(path))
    looped = header.word("SI.acqState") == "loop"
    if name is None or not (looped or name.part is not None):
        return
    prefix = f"{name.stem}_" if looped else f"{name.stem}_{path.stem[len(name.stem) + 1 :].partition('_')[0]}_"
    strangers = [
        entry
        for entry in sorted(os.listdir(path.parent))
        if entry.startswith(prefix)
        and Path(entry).suffix == path.suffix
        and not re.fullmatch(r"\d+(_\d+)?(_chn?\d+)?", Path(entry).stem[len(prefix) :])
    ]
    if strangers:
        warn(
            f"Non-sequence files detected: {', '.join(strangers)}. These files will be excluded from the dataset. "
            "If you need to include these files, use the file_paths parameter."
        )
    missing, _ = missing_files([str(file) for file in files], most=1000)
    if missing:
        warn(
            f"Missing files detected in the sequence: {', '.join(missing)}. "
            "This may affect data integrity and analysis results."
        )


def time_of_page(page: Any) -> float | None:
    """Time in s that a ``tifffile.TiffPage`` states, None where it states none."""
    tag = page.tags.get("ImageDescription")
    text = "" if tag is None else str(tag.value)
    if text.startswith("{"):
        value = parse_json(text.encode()).get("frameTimestamps_sec")
        return value if isinstance(value, float) else None
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and "frameTimestamps_sec" in key:
            try:
                return float(value)
            except ValueError:
                return None
    return None
