"""Where the frames of an extractor lie: one row per frame, every column wide enough for any recording."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording

__all__ = ["page_counts", "place_table", "regular_table"]

_ROW = np.dtype(
    [
        (name, np.int64)
        for name in (
            "file_index",
            "IFD_index",
            "channel_index",
            "depth_index",
            "slice_sample_index",
            "acquisition_cycle_index",
        )
    ]
)


def page_counts(recording: Recording) -> list[int]:
    """Pages of each file."""
    bounds: list[int] = recording._reader.index.first_page.tolist()  # type: ignore[attr-defined]
    return [end - start for start, end in pairwise(bounds)]


def place_table(recording: Recording, channel: int, *, repeats: int, repeat: int) -> NDArray[np.void]:
    """File and page of each (T, Z) of a recording of one channel; nothing is read.

    Parameters
    ----------
    recording : Recording
    channel : int
    repeats : int
        T that one cycle takes.
    repeat : int
        The frame of each slice that is shown, where a cycle is one T.

    Returns
    -------
    structured ndarray, (T * Z,)
    """
    t, c, z = (np.asarray(axis, np.int64) for axis in recording._selection.axes[:3])
    times, planes = np.repeat(t, z.size), np.tile(z, t.size)
    found = recording._reader.place(times, np.repeat(c, times.size), planes)
    table = np.empty(times.size, _ROW)
    table["file_index"], table["IFD_index"] = found["file"], found["page"]
    table["channel_index"], table["depth_index"] = channel, planes
    table["acquisition_cycle_index"] = times // repeats
    table["slice_sample_index"] = times % repeats if repeats > 1 else repeat
    return table


def regular_table(lengths: tuple[int, int, int, int], flyback: int, page_counts: list[int]) -> NDArray[np.void]:
    """Where the pages of a regular series lie.

    Parameters
    ----------
    lengths : (cycles, planes, repeats, channels)
    flyback : int
        Frames that end each cycle and have no row.
    page_counts : list of int
        Pages of each file.

    Returns
    -------
    structured ndarray, (product of `lengths`,)
    """
    t, z, repeat, channel = (grid.ravel() for grid in np.indices(lengths, np.int64))
    _, planes, repeats, channels = lengths
    frame = t * (planes * repeats + flyback) + z * repeats + repeat
    page = frame * channels + channel
    bounds = np.cumsum([0, *page_counts], dtype=np.int64)
    table = np.empty(page.size, _ROW)
    table["file_index"] = np.searchsorted(bounds, page, side="right") - 1
    table["IFD_index"] = page - bounds[table["file_index"]]
    table["channel_index"], table["depth_index"] = channel, z
    table["slice_sample_index"], table["acquisition_cycle_index"] = repeat, t
    return table
