"""The frame table and the events of `/galvo`: what is known of single frames, as columns.

`/galvo/frames/*` has one row per (t, c, z); `/galvo/events/*` one per event, its payloads behind each other in `data`.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.events import event_dtype
from galvo.core.index import Int64
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import Malformed
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.schema import GROUP, create_subgroup, member_names, read_array
from galvo.limits import Limits

__all__ = ["StoredFacts", "create_frames", "write_events", "write_frames"]

_EVENT_KINDS = {"t": "i", "z": "i", "kind": "S", "time_s": "f", "data_nbytes": "i", "data": "u"}


def create_frames(group: h5py.Group, plan: WritePlan) -> None:
    """Empty columns of the frame table, one row per (t, c, z), a chunk for the rows that a block writes at once."""
    recording = plan.recording
    sample = _frame_columns(recording.isel(t=slice(0, 1), c=slice(0, 1), z=slice(0, 1)))
    rows = recording.shape[0] * recording.shape[1] * recording.shape[2]
    together = _rows_together(recording, plan.blocks[0])
    if sample:
        create_subgroup(group, "frames")
    for name, column in sample.items():
        group.create_dataset(
            f"frames/{name}",
            (rows,),
            column.dtype,
            # a chunk that is written twice moves, and leaves a hole that nothing fills again
            chunks=(together,),
            compression="gzip",
            compression_opts=4,
            shuffle=True,
            fletcher32=True,
        )


def _rows_together(recording: Recording, index: BlockIndex) -> int:
    """Rows of the frame table that follow each other in a block."""
    t, c, z = (int(part.stop - part.start) for part in index[:3])
    if z < recording.shape[2]:
        return z
    return c * z if c < recording.shape[1] else t * c * z


def _frame_columns(recording: Recording) -> dict[str, NDArray[Any]]:
    """The frame table without positions; `file` and `page` are those of the source."""
    table = recording.frame_table()
    renamed = {"file": "source_file", "page": "source_page"}
    names = [name for name in table.dtype.names or () if name not in ("t", "c", "z")]
    if "source_page" in names:
        names = [name for name in names if name not in renamed]
    return {renamed.get(name, name): table[name] for name in names}


def write_frames(group: h5py.Group, recording: Recording, index: BlockIndex) -> None:
    """Fill the rows of the frame table that belong to a block."""
    if "frames" not in group:
        return
    t, c, z = index[:3]
    columns = _frame_columns(recording.isel(t=t, c=c, z=z))
    _, channels, planes = recording.shape[:3]
    together = _rows_together(recording, index)
    corners = range(0, (t.stop - t.start) * (c.stop - c.start) * (z.stop - z.start), together)
    starts = [
        ((t.start + i) * channels + c.start + j) * planes + z.start + k
        for i, j, k in (np.unravel_index(corner, [part.stop - part.start for part in index[:3]]) for corner in corners)
    ]
    for name, column in columns.items():
        dataset = group[f"frames/{name}"]
        for corner, start in zip(corners, starts, strict=True):
            dataset[start : start + together] = column[corner : corner + together]


def write_events(group: h5py.Group, recording: Recording) -> None:
    """Write the events of a recording, if it has any."""
    events = recording.events()
    if not events.size:
        return
    made = create_subgroup(group, "events")
    for name in ("t", "z", "time_s", "data_nbytes"):
        made[name] = events[name]
    made["kind"] = np.char.encode(events["kind"], "ascii", "backslashreplace")
    room = np.arange(events["data"].shape[1]) < events["data_nbytes"][:, None]
    made["data"] = events["data"][room]


class StoredFacts:
    """The frame table of a file, read when it is first asked for.

    Parameters
    ----------
    path : str
    lengths : (T, C, Z)
    limits : Limits
    """

    def __init__(self, path: str, lengths: tuple[int, int, int], limits: Limits) -> None:
        self._path = path
        self._lengths = lengths
        self._limits = limits
        self._columns: dict[str, NDArray[Any]] | None = None
        self._events: NDArray[np.void] | None = None

    def _load(self) -> dict[str, NDArray[Any]]:
        rows = self._lengths[0] * self._lengths[1] * self._lengths[2]
        with opened(self._path) as file:
            group = file[GROUP]
            names = [name for name in member_names(group, self._path) if name.startswith("frames/")]
            columns = {name[7:]: read_array(group, name, "iuf", self._path, self._limits) for name in names}
        for name, column in columns.items():
            if column.size != rows or name in ("t", "c", "z"):
                raise Malformed(f"/{GROUP}/frames/{name} is no column of {rows} frames", path=self._path)
        return columns

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns of the frames at (t, c, z)."""
        if self._columns is None:
            self._columns = self._load()
        row = (t * self._lengths[1] + c) * self._lengths[2] + z
        return {name: column[row] for name, column in self._columns.items()}

    def _load_events(self) -> NDArray[np.void]:
        with opened(self._path) as file:
            group = file[GROUP]
            present = {name[7:] for name in member_names(group, self._path) if name.startswith("events/")}
            if not present:
                return np.empty(0, event_dtype())
            columns = {
                name: read_array(group, f"events/{name}", kinds, self._path, self._limits)
                for name, kinds in _EVENT_KINDS.items()
            }
        count, nbytes = columns["t"].size, columns["data_nbytes"]
        wrong = (
            any(columns[name].size != count for name in ("z", "kind", "time_s", "data_nbytes"))
            or bool((np.diff(columns["t"]) < 0).any() or (nbytes < 0).any() or (nbytes > columns["data"].size).any())
            or int(nbytes.sum()) != columns["data"].size
            or bool(((columns["z"] < -1) | (columns["z"] >= self._lengths[2])).any())
        )
        if wrong:
            raise Malformed(f"/{GROUP}/events holds no events", path=self._path)
        self._limits.check("text_bytes", count * int(nbytes.max(initial=1)), path=self._path)
        events = np.zeros(count, event_dtype(int(nbytes.max(initial=1))))
        for name in ("t", "z", "time_s", "data_nbytes"):
            events[name] = columns[name]
        events["kind"] = np.char.decode(columns["kind"], "ascii", "replace")
        room = np.arange(events["data"].shape[1]) < nbytes[:, None]
        events["data"][room] = columns["data"]
        return events

    def events(self, t: Int64) -> NDArray[np.void]:
        """Events of the given T; their `t` counts the entries of the argument."""
        if self._events is None:
            self._events = self._load_events()
        first = np.searchsorted(self._events["t"], t, side="left")
        count = np.searchsorted(self._events["t"], t, side="right") - first
        ends = np.cumsum(count)
        rows = np.arange(int(count.sum())) + np.repeat(first - (ends - count), count)
        found: NDArray[np.void] = self._events[rows]
        found["t"] = np.repeat(np.arange(t.size), count)
        return found
