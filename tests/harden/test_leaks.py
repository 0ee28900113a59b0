"""Opening, reading and closing again and again, and failing to: descriptors, threads and memory stay as they are."""

from __future__ import annotations

import gc
import os
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.errors import GalvoError
from galvo.testing.sandbox import run_case
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import TiffBuilder

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")

PIXELS = np.random.default_rng(3).integers(0, 900, (12, 16, 16)).astype("<u2")


def made(kind, folder):
    if kind == "tiff":
        builder = TiffBuilder()
        for frame in PIXELS:
            builder.image(16, 16, [frame.tobytes()], bits=16)
        (folder / "a.tif").write_bytes(builder.build())
        return folder / "a.tif"
    if kind == "scanimage":
        return ScanImageRecording(height=16, width=16, frames=12).write(folder)[0]
    galvo.save(PIXELS, folder / "a.h5", compression="gzip")
    return folder / "a.h5"


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def state():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), threading.active_count(), resident()


def cycle(path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", galvo.errors.GalvoWarning)
            with galvo.open(path) as rec:
                rec[:]
                rec.frame_table()
    except GalvoError:
        return False
    return True


def growth(path, works, count):
    """Descriptors, threads and bytes more after `count` cycles, the first ones not counted."""

    def work():
        for _ in range(count // 2 + 20):
            assert cycle(path) == works
        first = state()
        for _ in range(count):
            cycle(path)
        return [late - early for early, late in zip(first, state(), strict=True)]

    verdict = run_case(work, seconds=60)
    assert verdict.kind == "value", verdict
    return verdict.value


def check(path, works, count, slack):
    descriptors, threads, nbytes = growth(path, works, count)
    assert descriptors == 0
    assert threads == 0
    assert nbytes < 1000 * count + slack


@pytest.mark.parametrize("kind", ["tiff", "scanimage", "hdf5"])
def test_a_few_cycles(tmp_path, kind):
    check(made(kind, tmp_path), True, 20, 1 << 20)


@pytest.mark.harden
@pytest.mark.parametrize("kind", ["tiff", "scanimage", "hdf5"])
def test_many_cycles(tmp_path, kind):
    check(made(kind, tmp_path), True, 300, 0)


@pytest.mark.harden
@pytest.mark.parametrize("kind", ["tiff", "scanimage", "hdf5"])
@pytest.mark.parametrize("part", [0.1, 0.9])
def test_many_failing_cycles(tmp_path, kind, part):
    path = made(kind, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    check(path, False, 300, 0)
