"""What each ScanImage page says of its own frame: numbers, times, triggers.

The text block of a page (scanimage spec 1.6) is scanned in native code for the pages that are asked for; the channels
of a frame share its values, and an averaged page carries those of its last acquired frame.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.index import Int64
from galvo.core.read import IndexedReader
from galvo.core.threads import SMALL_READ_BYTES, worker_count
from galvo.errors import ReadError, Truncated

__all__ = ["TEXT_BYTES", "parse_json", "scan_pages"]

# column: key in the text; counters are whole numbers, -1 where the page has none
_COUNTERS = {
    "frame_number": b"frameNumbers",
    "acquisition_number": b"acquisitionNumbers",
    "frame_number_in_acquisition": b"frameNumberAcquisition",
}
_TIMES = {
    "timestamp_s": b"frameTimestamps_sec",
    "acquisition_trigger_s": b"acqTriggerTimestamps_sec",
    "next_file_marker_s": b"nextFileMarkerTimestamps_sec",
}
_FLAGS = {
    "end_of_acquisition": b"endOfAcquisition",
    "end_of_acquisition_mode": b"endOfAcquisitionMode",
    "dc_overvoltage": b"dcOverVoltage",
}
_KEYS = _COUNTERS | _TIMES | _FLAGS
TEXT_BYTES = 65536
"""A page's text is looked at as far as this."""


def scan_pages(reader: IndexedReader, page: Int64, names: tuple[str, ...] = tuple(_KEYS)) -> dict[str, NDArray[Any]]:
    """Columns of the text blocks of pages.

    Parameters
    ----------
    reader : IndexedReader
    page : ndarray of int64, (N,)
        Counted through all files.
    names : tuple of str
        Columns wanted.

    Returns
    -------
    dict of str to ndarray, (N,)
        int64 counters (-1 where absent), float64 times in s (NaN where absent), int8 flags (-1 where absent).
    """
    keys = [_KEYS[name] for name in names]
    values = np.empty((page.size, len(keys)), np.float64)
    for file, where, local in reader.index.split_by_file(page):
        reader.prove_pages(file, local)
        offset, nbytes = reader.index.runs[file].text(local)
        start = reader.source.read_upto(file, int(offset[0]), min(int(nbytes[0]), TEXT_BYTES)) if nbytes.any() else b""
        if start.startswith(b"{"):
            values[where] = _scan_json(reader, file, offset, nbytes, keys)
            continue
        with reader.source.lease((file,)) as descriptors:
            descriptor = np.full(local.shape, descriptors[file], np.int64)
            sizes = np.minimum(nbytes, TEXT_BYTES)
            workers = worker_count(SMALL_READ_BYTES * local.size)
            spelled = _as_spelled(keys, start)
            found, (failed, kind, value) = native.scan_text(descriptor, offset, sizes, spelled, workers)
        if failed >= 0:
            path = reader.source.paths[file]
            if kind == 1:
                raise Truncated(f"the text of page {int(local[failed])} is cut off", path=path, offset=value)
            raise ReadError(os.strerror(value), path=path)
        values[where] = found
    columns: dict[str, NDArray[Any]] = {}
    for name, column in zip(names, values.T, strict=True):
        if name in _TIMES:
            columns[name] = column.copy()
        else:
            whole = np.where(np.isfinite(column), column, -1)
            columns[name] = whole.astype(np.int8 if name in _FLAGS else np.int64)
    return columns


def _as_spelled(keys: list[bytes], text: bytes) -> list[bytes]:
    """Keys as the page's text writes them: some old versions end each name with an underscore."""
    spelled = set(re.findall(rb"^(\w+_)[ \t]*=", text, re.MULTILINE))
    return [key + b"_" if key + b"_" in spelled else key for key in keys]


def _scan_json(
    reader: IndexedReader, file: int, offset: Int64, nbytes: Int64, keys: Sequence[bytes]
) -> NDArray[np.float64]:
    """Texts of ``useJsonHeaderFormat``, (N, K); NaN where a key is absent or no number."""
    names = [key.decode() for key in keys]
    values = np.full((offset.size, len(names)), np.nan)
    for row, (at, size) in enumerate(zip(offset.tolist(), nbytes.tolist(), strict=True)):
        block = parse_json(reader.source.read(file, at, min(size, TEXT_BYTES)))
        for column, name in enumerate(names):
            value = block.get(name, block.get(f"{name}_"))
            if isinstance(value, int | float):
                values[row, column] = value
    return values


def parse_json(text: bytes) -> dict[str, Any]:
    """A page's text in JSON; empty where it is none."""
    try:
        block = json.loads(text.rstrip(b" \0\n"), parse_int=float)
    except (ValueError, RecursionError):
        return {}
    return block if isinstance(block, dict) else {}
