"""A correction takes the same memory whatever the length of the recording."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import numpy as np
import galvo
from galvo.testing.movie import TwoPhotonMovie

movie = TwoPhotonMovie(frames=20, height=512, width=512, seed=2)
frames = np.ascontiguousarray(movie.read(0, 20)[:, :1, None])
count = int(sys.argv[2])
recording = galvo.Recording.from_array(frames).isel(t=(np.arange(count) * 7 % 20).tolist())
del movie, frames
galvo.correct(recording, sys.argv[1] + "/out.h5", {"preset": "fast"})
for line in open("/proc/self/status"):
    if line.startswith("VmHWM:"):
        print(int(line.split()[1]) * 1024 / 1e6)
"""


@pytest.mark.harden
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
def test_memory_stays_below_a_gigabyte(tmp_path):
    peaks = []
    for count in (200, 1000):
        command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(float(done.stdout))
        for path in tmp_path.iterdir():
            path.unlink()
    assert peaks[1] < 1000
    assert peaks[1] < peaks[0] + 200
