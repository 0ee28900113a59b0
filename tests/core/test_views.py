"""Views of a recording are told apart by what they show: one is never written on where another was begun."""

import numpy as np
import pytest

from galvo.core.recording import Recording
from galvo.core.selection import Selection


@pytest.fixture
def recording():
    return Recording.from_array(np.arange(6 * 2 * 1 * 4 * 4, dtype=np.uint16).reshape(6, 2, 1, 4, 4))


class Negative:
    """A reader of pixels upside down in value."""

    def __init__(self, whole):
        self._whole = whole
        self.shape, self.dtype, self.chunks = whole.shape, whole.dtype, whole.chunks

    def read(self, selection: Selection, out):
        out[...] = 65535 - self._whole[selection.t, selection.c, selection.z, selection.y, selection.x]

    def place(self, t, c, z):
        return {}

    def prove(self):
        pass

    def close(self):
        self._whole.close()


def views(recording):
    yield recording
    yield recording.isel(t=slice(0, 3))
    yield recording.isel(t=slice(3, 6))
    yield recording.isel(t=slice(0, 3)).fold("C")
    yield recording.isel(t=slice(3, 6)).fold("C")
    yield recording.isel(t=slice(0, 3)).fold("C").isel(t=[1])
    yield recording.isel(t=slice(3, 6)).fold("C").isel(t=[1])
    yield recording.astype(np.uint8, (0, 9))
    yield recording.astype(np.uint8, (0, 10))
    yield recording.through(Negative)


def test_told_apart(recording):
    checksums = [view.selection_checksum() for view in views(recording)]
    assert len(set(checksums)) == len(checksums)


def test_the_same_again(recording):
    assert [view.selection_checksum() for view in views(recording)] == [
        view.selection_checksum() for view in views(recording)
    ]


def test_through_a_reader(recording):
    shown = recording.isel(t=slice(1, 5), c=[1])
    made = shown.through(Negative, negative=True)
    np.testing.assert_array_equal(made[...], 65535 - shown[...])
    np.testing.assert_array_equal(made.isel(t=[2, 0])[:, 0, 0, 1:3], 65535 - shown[[2, 0], 0, 0, 1:3])
    assert made.metadata.attributes["negative"] is True
    assert made.channel_names == shown.channel_names
