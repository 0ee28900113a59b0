"""Memory does not grow with the recording, neither in writing nor in reading."""

from __future__ import annotations

import os

import numpy as np
import pytest

import galvo
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.testing.sandbox import PeakMemory, run_case

pytestmark = [pytest.mark.harden, pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]

MIB = 1 << 20
SIDE = 512
PATTERN = (np.arange(SIDE * SIDE, dtype=np.uint32) * 2654435761 >> 20).astype("<u2").reshape(SIDE, SIDE)


class Generated:
    """Frames that are made when they are read."""

    dtype = np.dtype("u2")
    chunks = (1, 1, 1, SIDE, SIDE)

    def __init__(self, frame_count):
        self.shape = (frame_count, 1, 1, SIDE, SIDE)

    def read(self, selection, out):
        for place, t in enumerate(selection.t):
            out[place] = PATTERN[np.ix_(selection.y, selection.x)] + int(t) % 7

    def place(self, t, c, z):
        return {}

    def prove(self):
        pass

    def close(self):
        pass


def peaks(path, frame_count, version):
    """Peak bytes of writing and of reading."""

    def work():
        memory = PeakMemory()
        galvo.save(Recording(Generated(frame_count), Metadata(format="test")), path, version=version)
        writing = memory.peak_bytes()
        memory.restart()
        with galvo.open(path) as rec:
            for index, block in rec.blocks(16 * MIB):
                assert (block[0, 0, 0] == PATTERN + index[0].start % 7).all()
            sequential = memory.peak_bytes()
            memory.restart()
            for t in np.random.default_rng(0).integers(0, frame_count, 40):
                assert (rec[int(t), 0, 0] == PATTERN + t % 7).all()
        return [writing, sequential, memory.peak_bytes()]

    verdict = run_case(work, seconds=300, memory_bytes=2 << 30)
    assert verdict.kind == "value", verdict
    path.unlink()
    return verdict.value


@pytest.mark.parametrize("version", ["5", "7", "7.3"])
def test_an_array_of_250_mb_takes_no_more_than_one_of_100(tmp_path, version):
    path = tmp_path / "x.mat"
    peaks(path, 50, version)
    small, large = (peaks(path, count, version) for count in (200, 500))
    print(f"version {version}: {[[peak // MIB for peak in pair] for pair in (small, large)]} MiB")
    for few, many in zip(small[1:], large[1:], strict=True):
        assert many < 1.1 * few + 12 * MIB
    # four blocks: one is read, one encoded, one written; which of them meet in time differs from run to run
    assert large[0] < 280 * MIB
    assert max(large[1:]) < 100 * MIB
