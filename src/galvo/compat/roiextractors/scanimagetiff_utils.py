"""Functions of scanimagetiff_utils: what a ScanImage file says of itself, as dictionaries."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.roiextractors.extraction_tools import PathType, get_package
from galvo.compat.roiextractors.structure import as_dictionary, read_structure, read_texts, roi_groups
from galvo.core.index import PageOrder
from galvo.core.read import IndexedReader
from galvo.core.source import FileSource
from galvo.errors import Unsupported
from galvo.formats.scanimage.facts import scan_pages
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.stacks import read_timeline
from galvo.formats.scanimage.timeline import Timeline
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.pages import find_pages
from galvo.limits import DEFAULT_LIMITS

__all__ = [
    "_get_scanimage_reader",
    "extract_extra_metadata",
    "extract_timestamps_from_file",
    "parse_matlab_vector",
    "parse_metadata",
    "parse_metadata_v3_8",
    "read_scanimage_metadata",
]


def _get_scanimage_reader() -> type:
    """The class ScanImageTiffReader of the package of that name; galvo does not use it."""
    reader: type = get_package(
        "ScanImageTiffReader", installation_instructions="pip install scanimage-tiff-reader"
    ).ScanImageTiffReader
    return reader


def extract_extra_metadata(file_path: PathType) -> dict[str, Any]:
    """The lines of a file's first page and of its header, by key, as text; ROI groups parsed, as ``RoiGroups``.

    Returns
    -------
    dict
        Empty for JSON headers and where the file has none.
    """
    found: dict[str, Any] = {}
    read = read_texts(os.fspath(file_path))
    if read is None or read[0].header.flavour == "json":
        return found
    texts, description = read
    for text in dict.fromkeys((description, texts.header.text)):
        for line in re.split(r"[\r\n]+", text):
            key, equals, value = line.partition("=")
            if equals:
                found[key.strip()] = value.strip()
    groups = roi_groups(texts.roi)
    if groups:
        found["RoiGroups"] = groups
    return found


def parse_matlab_vector(matlab_vector: str) -> list[int]:
    """The whole numbers of ``[1 2 3]``, ``[1,2,3]`` or ``[1;2;3]``; ValueError where there are none."""
    inside = matlab_vector.strip().removeprefix("[").removesuffix("]")
    items = re.split(r"[\s,;]+", inside.strip())
    if items == [""] or ":" in inside:
        raise ValueError(f"Could not parse vector from {matlab_vector}.")
    return [int(item) for item in items]


def read_scanimage_metadata(file_path: PathType) -> dict[str, Any]:
    """Header and ROI groups of a file, parsed, and what extractors need of them.

    Returns
    -------
    dict
        ``scan_image_non_varying_frame_metadata``, ``scan_image_roi_group_metadata`` and
        ``roiextractors_parsed_metadata``: sampling_frequency in Hz (of volumes, or of frames when planar),
        num_channels, num_planes, frames_per_slice, channel_names and, where there are ROI groups, roi_metadata.

    Raises
    ------
    ValueError
        No ScanImage header.
    """
    path = os.fspath(file_path)
    header, timeline = read_structure(path)
    texts = read_texts(path)
    groups = roi_groups(texts[0].roi) if texts is not None else {}
    rate = timeline.volume_rate_hz if timeline.is_volumetric else timeline.frame_rate_hz
    return {
        "scan_image_non_varying_frame_metadata": as_dictionary(header),
        "scan_image_roi_group_metadata": {"RoiGroups": groups} if groups else {},
        "roiextractors_parsed_metadata": _parsed(rate, timeline, groups),
    }


def parse_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What extractors need of the texts that `extract_extra_metadata` gives: as there, but the rate of frames.

    Raises
    ------
    KeyError
        No frame rate: a header of 3.x or earlier.
    """
    metadata["SI.hRoiManager.scanFrameRate"]
    groups = metadata.get("RoiGroups") or {}
    header = Header("".join(f"{key} = {value}\n" for key, value in metadata.items() if isinstance(value, str)))
    timeline = read_timeline(header, "metadata")
    return _parsed(timeline.frame_rate_hz, timeline, groups)


def _parsed(rate: float | None, timeline: Timeline, groups: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "sampling_frequency": rate,
        "num_channels": timeline.channel_count,
        "num_planes": timeline.slices,
        "frames_per_slice": timeline.repeats,
        "channel_names": list(timeline.channel_names),
        **({"roi_metadata": groups} if groups else {}),
    }


def parse_metadata_v3_8(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Frame rate in Hz, channels and planes of a header of 3.x; KeyError for others."""
    return {
        "sampling_frequency": float(metadata["state.acq.frameRate"]),
        "num_channels": int(metadata["state.acq.numberOfChannelsSave"]),
        "num_planes": int(metadata["state.acq.numberOfZSlices"]),
    }


def extract_timestamps_from_file(file_path: PathType) -> NDArray[np.float64]:
    """Time of every page of a file in s, (P,), those of all channels and of flyback too.

    Raises
    ------
    AssertionError
        Its pages state none.
    """
    source = FileSource([os.fspath(file_path)])
    try:
        pages = find_pages(source, 0, DEFAULT_LIMITS)
        if pages.layout is None:
            raise Unsupported("pages that galvo does not decode itself", path=source.paths[0])
        count = pages.run.count
        index = frame_index([pages.run], pages.layout, (count, 1, 1), PageOrder(), source.paths[0])
        reader = IndexedReader(source, index)
        times: NDArray[np.float64] = scan_pages(reader, np.arange(count, dtype=np.int64), ("timestamp_s",))[
            "timestamp_s"
        ]
    finally:
        source.close()
    if np.isnan(times).any():
        raise AssertionError("frameTimestamps_sec not found in TIFF file")
    return times
