"""Motion that is undone: there and back again."""

from __future__ import annotations

import numpy as np

from galvo.motion.undoing import Undone


class Known:
    """The fields of a movie whose motion is known."""

    checksum = 7

    def __init__(self, fields):
        self.fields = fields

    def displacements(self, t, z, *, threads=None):
        return self.fields[np.asarray(t)]


def test_there_and_back_again(moving):
    undone = Undone(Known(moving.displacements))
    back = undone.displacements(range(4, 9), 0)
    there = moving.displacements[4:9]
    y, x = np.mgrid[:48, :64]
    rows, columns = y + back[..., 1], x + back[..., 0]
    # by linear interpolation, written here: w(y + v(y)) = -v(y)
    low_y, low_x = np.clip(rows.astype(int), 0, 46), np.clip(columns.astype(int), 0, 62)
    part_y, part_x = (rows - low_y)[..., None], (columns - low_x)[..., None]
    t = np.arange(5)[:, None, None]
    at = [there[t, low_y + down, low_x + right] for down in (0, 1) for right in (0, 1)]
    found = (at[0] * (1 - part_x) + at[1] * part_x) * (1 - part_y) + (at[2] * (1 - part_x) + at[3] * part_x) * part_y
    inside = (slice(None), slice(8, -8), slice(8, -8))
    assert np.abs(there[inside]).max() > 1
    assert np.abs(found + back)[inside].max() < 1e-3
    assert undone.checksum == 7
