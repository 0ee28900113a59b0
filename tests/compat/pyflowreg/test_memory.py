"""Memory does not grow with the video, reading and writing."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from galvo.compat.pyflowreg.motion_correction import OFOptions, compensate_recording
from galvo.compat.pyflowreg.motion_correction.compensate_recording import RegistrationConfig
from galvo.compat.pyflowreg.util.io import get_video_file_reader, get_video_file_writer
from galvo.testing.sandbox import PeakMemory, run_case

MIB = 1 << 20


def through(folder, kind, total):
    """Peak bytes, above what was there before, of writing and of reading `total` bytes."""
    batch = np.random.default_rng(0).integers(0, 4000, (8, 512, 512, 2)).astype("u2")
    path = folder / "movie" if "_" in kind else folder / f"movie.{kind}"
    peak = PeakMemory()
    with get_video_file_writer(path, kind) as writer:
        for _ in range(total // batch.nbytes):
            writer.write_frames(batch)
    written = peak.peak_bytes()
    peak.restart()
    frames = 0
    with get_video_file_reader(sorted(map(str, path.iterdir())) if path.is_dir() else path, buffer_size=8) as reader:
        for part in reader:
            np.testing.assert_array_equal(part, batch)
            frames += len(part)
    read = peak.peak_bytes()
    peak.restart()
    with get_video_file_reader(sorted(map(str, path.iterdir())) if path.is_dir() else path, bin_size=500) as reader:
        # one bin is more than is read at once
        assert reader.read_batch().shape[0] == -(-frames // 500)
    return {"written": written, "read": read, "binned": peak.peak_bytes(), "frames": frames}


def check(tmp_path, kind, total, most):
    verdict = run_case(lambda: through(tmp_path, kind, total), seconds=600, memory_bytes=8 << 30)
    assert verdict.kind == "value", verdict
    found = verdict.value
    assert found.pop("frames") == total // (8 * MIB) * 8
    assert max(found.values()) < most, {name: f"{nbytes / MIB:.0f} MiB" for name, nbytes in found.items()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_bounded(tmp_path):
    check(tmp_path, "HDF5", 400 * MIB, 180 * MIB)


@pytest.mark.harden
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["TIFF", "SUITE2P_TIFF", "MAT", "MULTIFILE_HDF5"])
def test_memory_is_bounded_for_others(tmp_path, needs, kind):
    needs("tiff" if "TIFF" in kind else "matlab" if "MAT" in kind else "hdf5")
    check(tmp_path, kind, 400 * MIB, 220 * MIB)


def registered(folder, frame_count):
    """Peak bytes, above what was there before, of registering frames of 512 x 512, with their displacements."""
    source = folder / "movie.HDF5"
    rng = np.random.default_rng(0)
    image = rng.integers(0, 4000, (600, 600)).astype("u2")
    with get_video_file_writer(source, "HDF5") as writer:
        for _ in range(frame_count // 50):
            places = rng.integers(0, 9, (50, 2))
            writer.write_frames(np.stack([image[y : y + 512, x : x + 512] for y, x in places])[..., np.newaxis])
    options = OFOptions(
        input_file=source,
        output_path=folder / "results",
        output_format="HDF5",
        quality_setting="fast",
        iterations=5,
        reference_frames=list(range(100)),
        save_w=True,
        sigma=[1, 1, 0.5],
    )
    peak = PeakMemory()
    compensate_recording(options, config=RegistrationConfig(n_jobs=2))
    return {"registered": peak.peak_bytes()}


@pytest.mark.harden
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_of_a_run_is_bounded(tmp_path):
    verdict = run_case(lambda: registered(tmp_path, 500), seconds=900, memory_bytes=8 << 30)
    assert verdict.kind == "value", verdict
    # the movie has 250 MiB, its displacements 1000
    assert verdict.value["registered"] < 400 * MIB, f"{verdict.value['registered'] / MIB:.0f} MiB"
