"""Generated recordings, and their truth as samples of an extractor."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.testing.scanimage import ScanImageRecording


@pytest.fixture
def write(tmp_path):
    """Writes a recording into a folder of its own; gives the truth and the paths."""
    count = 0

    def write(folder=None, stem="rec", **request):
        nonlocal count
        count += 1
        truth = ScanImageRecording(**request)
        return truth, truth.write(tmp_path / (folder or str(count)), stem)

    return write


@pytest.fixture(scope="session")
def samples():
    """What an extractor shall show of a recording: (T, Y, X), or (T, Y, X, Z)."""

    def samples(truth, channel=0, plane=None, repeat=None):
        pixels = truth.expected(slice_repeats=repeat)[:, channel]
        if plane is not None:
            return pixels[:, plane]
        return pixels[:, 0] if pixels.shape[1] == 1 else np.moveaxis(pixels, 1, -1)

    return samples


@pytest.fixture(scope="session")
def times():
    """Time of the last plane, or of a given one, of each sample."""

    def times(truth, plane=-1, repeat=None):
        pages = truth.page_table(slice_repeats=repeat)[:, 0, plane]
        return truth.timeline.timestamp_s[pages // len(truth.channels)]

    return times
