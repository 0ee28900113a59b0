"""Peak memory does not grow with the recording: each writer from a generated source, each reader into nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.core.metadata import Metadata
from galvo.formats import REGISTRY
from galvo.testing.sandbox import run_case

pytestmark = [
    pytest.mark.harden,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs /proc"),
]

SIDE, BLOCK_BYTES = 256, 4 << 20
FRAME_NBYTES = 2 * SIDE * SIDE
SHORT, LONG = 32 << 20, 160 << 20
# of what a block takes: threads run ahead of each other more or less
SLACK_BYTES = 6 << 20
# deflated arrays are read from states of the decoder, at most some hundred for each array
MORE_TO_READ = {"matlab 7": 8 << 20}

KINDS = {
    "tiff": ("a.tif", {"layout": "plain"}),
    "tiff zlib": ("a.tif", {"compression": "zlib"}),
    "tiff channels": ("a.tif", {"split_channels": True}),
    "hdf5": ("a.h5", {}),
    "hdf5 gzip": ("a.h5", {"compression": "gzip"}),
    "matlab 5": ("a.mat", {"version": "5"}),
    "matlab 7": ("a.mat", {"version": "7", "compression_level": 1}),
    "matlab 7.3": ("a.mat", {"version": "7.3"}),
    "raw": ("a.bin", {}),
    "pzf folder": ("a", {"format": "pzf"}),
    "pzf table": ("a.h5", {"format": "pzf"}),
    "gif": ("a.gif", {"dtype": "u1"}),
}
# whatever else is written, as it is by default
LISTED = ("tiff", "hdf5", "matlab", "bin", "pzf", "gif", "video")
KINDS |= {
    name: (f"a{entry.suffixes[0]}", {"format": name})
    for name, entry in REGISTRY.all().items()
    if entry.sink is not None and name not in LISTED
}


class Generated:
    """Two channels of noise that are in no file; one where that is all that a format takes."""

    def __init__(self, nbytes, channel_count):
        self.shape = (nbytes // FRAME_NBYTES // channel_count, channel_count, 1, SIDE, SIDE)
        self.dtype = np.dtype("u2")
        self.chunks = (1, 1, 1, SIDE, SIDE)
        self._noise = np.random.default_rng(0).poisson(40, 2 * SIDE * SIDE).astype("u2")

    def read(self, selection, out):
        for t, time_point in enumerate(selection.t):
            for c, channel in enumerate(selection.c):
                start = (911 * time_point + 17 * channel) % (SIDE * SIDE)
                out[t, c, 0] = self._noise[start : start + SIDE * SIDE].reshape(SIDE, SIDE)

    def place(self, t, c, z):
        return {}

    def prove(self):
        pass

    def close(self):
        pass


def status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kibibytes) << 10


def peak_of(work):
    """Bytes that `work` needs in a process of its own, beyond what that has before."""

    def measured():
        # the process was forked: its peak begins where it is
        Path("/proc/self/clear_refs").write_text("5")
        before = status("VmRSS")
        work()
        return status("VmHWM") - before

    verdict = run_case(measured, seconds=120)
    assert verdict.kind == "value", verdict
    return verdict.value


def peaks(kind, folder, nbytes):
    name, options = KINDS[kind]
    path = folder / name
    source = Generated(nbytes, 1 if kind == "gif" else 2)

    def write():
        galvo.save(
            galvo.Recording(source, Metadata(format="generated")), path, block_bytes=BLOCK_BYTES, **options
        )

    written = peak_of(write)
    opened = path if path.exists() else min(folder.iterdir())

    def read():
        with galvo.open(opened) as recording:
            for _ in recording.blocks(max_bytes=BLOCK_BYTES):
                pass

    return written, peak_of(read)


@pytest.mark.parametrize("kind", KINDS)
def test_five_times_the_recording(kind, tmp_path):
    """What is five times as long takes hardly a block more; keeping it, or a copy, would take thirty."""
    found = []
    for nbytes in (SHORT, LONG):
        folder = tmp_path / str(nbytes)
        folder.mkdir()
        found.append(peaks(kind, folder, nbytes))
    slack = (SLACK_BYTES, SLACK_BYTES + MORE_TO_READ.get(kind, 0))
    for work, most, short, long in zip(("writing", "reading"), slack, *found, strict=True):
        assert long - short < most, f"{work}: {short / 1e6:.1f} MB, then {long / 1e6:.1f} MB"
