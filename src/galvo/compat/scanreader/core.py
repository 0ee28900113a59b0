"""Opening scans."""

from __future__ import annotations

import glob
import os
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from galvo.compat.scanreader.exceptions import PathnameError, ScanImageVersionError
from galvo.compat.scanreader.scans import BaseScan, NewerScan, ScanMultiROI
from galvo.core.recording import Recording
from galvo.errors import UnknownFormat
from galvo.formats import REGISTRY
from galvo.formats.opening import open_recording
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.series import parse_name

__all__ = ["read_scan"]


def read_scan(pathnames: str | list[str], dtype: DTypeLike | None = None, join_contiguous: bool = False) -> BaseScan:
    """A ScanImage scan as a lazy 5-D array (field, y, x, channel, frame).

    Parameters
    ----------
    pathnames : str or list of str
        Paths or patterns. The files follow each other in the order of their names, whatever their folders.
    dtype : dtype, optional
        Of the pixels; by default int16 as most files have it, or the type of the files. Reading raises
        `galvo.errors.OptionError` where values do not fit a type that was asked for.
    join_contiguous : bool
        Fields of a multi-ROI scan that touch along a whole edge become one.

    Returns
    -------
    BaseScan
        `ScanMultiROI` for multi-ROI scans.

    Raises
    ------
    TypeError
        `pathnames` is neither a str nor a list of them.
    PathnameError
        No such file.
    ScanImageVersionError
        Not written by ScanImage 5 or later.
    GalvoError
        The files do not keep what they promise.
    """
    paths = _files(pathnames)
    try:
        format = REGISTRY.detect(paths[0]).name
    except UnknownFormat as error:
        raise ScanImageVersionError("not a ScanImage file", path=paths[0], found=error.message) from error
    if format != "scanimage":
        raise ScanImageVersionError("not a ScanImage file", path=paths[0], found=format)
    recording = open_recording(paths, format="scanimage", slice_repeats="interleave", interrupted="slices")
    try:
        return _scan(recording, paths, dtype, join_contiguous)
    except BaseException:
        recording.close()
        raise


def _scan(recording: Recording, paths: list[str], dtype: DTypeLike | None, join_contiguous: bool) -> BaseScan:
    header = recording.metadata.header
    if not isinstance(header, Header) or header.family in ("state", "SI4") or "SI.VERSION_MAJOR" not in header:
        raise ScanImageVersionError(
            "only ScanImage 5 and later",
            path=paths[0],
            found=recording.metadata.version,
            hint="galvo.open reads older ones",
        )
    if dtype is not None:
        recording = recording.astype(np.dtype(dtype))
    if header.flag("SI.hRoiManager.mroiEnable"):
        return ScanMultiROI(recording, paths, join_contiguous=join_contiguous)
    return NewerScan(recording, paths)


def _files(pathnames: Any) -> list[str]:
    """The files that patterns name, absolute, each once, by base name; by channel where each has files of its own."""
    patterns = pathnames if isinstance(pathnames, list) else [pathnames]
    found: dict[str, None] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"a pathname is a str or a list of str, not {type(pattern).__name__}")
        # a name may look like a pattern
        matches = [pattern] if os.path.isfile(pattern) else glob.glob(pattern)
        found.update(dict.fromkeys(map(os.path.abspath, matches)))
    if not found:
        raise PathnameError("no such file", found=repr(pathnames))
    return sorted(found, key=_order)


def _order(path: str) -> tuple[int, str, str]:
    name = parse_name(path)
    channel = None if name is None else name.channel
    return channel or 0, os.path.basename(path), path
