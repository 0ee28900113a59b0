"""The frame table and the events of `/galvo`: what is known of single frames, as columns.

`/galvo/frames/*` has one row per (t, c, z); `/galvo/events/*` one per event, its payloads behind each other in `data`.
"""

from __future__ import annotations

import h5py
import numpy as np

from galvo.core.blocks import BlockIndex
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.formats.hdf5.access import opened
from galvo.formats.hdf5.schema import GROUP, create_subgroup, member_names, read_array
from galvo.formats.kept import Columns, KeptFacts, event_columns, frame_columns
from galvo.limits import Limits

__all__ = ["create_frames", "stored_facts", "write_events", "write_frames"]

_EVENT_KINDS = {"t": "i", "z": "i", "kind": "S", "time_s": "f", "data_nbytes": "i", "data": "u"}


def create_frames(group: h5py.Group, plan: WritePlan) -> None:
    """Empty columns of the frame table, one row per (t, c, z), a chunk for the rows that a block writes at once."""
    recording = plan.recording
    sample = frame_columns(recording.isel(t=slice(0, 1), c=slice(0, 1), z=slice(0, 1)))
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


def write_frames(group: h5py.Group, recording: Recording, index: BlockIndex) -> None:
    """Fill the rows of the frame table that belong to a block."""
    if "frames" not in group:
        return
    t, c, z = index[:3]
    columns = frame_columns(recording.isel(t=t, c=c, z=z))
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
    columns = event_columns(recording)
    if columns is not None:
        made = create_subgroup(group, "events")
        for name, column in columns.items():
            made[name] = column


def stored_facts(path: str, lengths: tuple[int, int, int], limits: Limits) -> KeptFacts:
    """The frame table and the events of a file of lengths (T, C, Z), read when they are first asked for."""

    def load() -> Columns:
        with opened(path) as file:
            group = file[GROUP]
            names = [name for name in member_names(group, path) if name.startswith("frames/")]
            return {name[7:]: read_array(group, name, "iuf", path, limits) for name in names}

    def load_events() -> Columns | None:
        with opened(path) as file:
            group = file[GROUP]
            if not any(name.startswith("events/") for name in member_names(group, path)):
                return None
            return {
                name: read_array(group, f"events/{name}", kinds, path, limits) for name, kinds in _EVENT_KINDS.items()
            }

    return KeptFacts(path, lengths, load, load_events, limits)
