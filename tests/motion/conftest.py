"""What tests of motion share: outputs of the original, and scripts run on another instruction set."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from galvo.testing.movie import TwoPhotonMovie


@pytest.fixture(scope="session")
def golden(sample_data):
    """Arrays that the original of PyFlowReg computed, by name."""
    path = sample_data.parent / "golden" / "pyflowreg" / "pyflowreg_golden.npz"
    if not path.is_file():
        pytest.skip("no outputs of the original: golden/pyflowreg beside the genuine recordings is absent")
    with np.load(path) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def digests_of():
    """Words that a script prints in a process of its own, on the instruction set that is named."""

    def run(script: str, wish: str | None) -> list[str]:
        environment = {key: value for key, value in os.environ.items() if key != "GALVO_ISA"}
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
        if wish is not None:
            environment["GALVO_ISA"] = wish
        command = [sys.executable, "-c", script]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()

    return run


@pytest.fixture(scope="session")
def moving():
    """A two-channel movie whose motion is known: `.pixels` (T, C, Z, Y, X), `.reference` (Y, X, C), `.displacements`."""
    movie = TwoPhotonMovie(frames=40, height=48, width=64, elastic=0.7, seed=3)
    return SimpleNamespace(
        pixels=movie.read(0, movie.frames)[:, :, np.newaxis],
        reference=np.moveaxis(movie.reference(), 0, -1) * movie.gain,
        displacements=movie.displacement(),
    )


def swaying(frames, reference):
    """Displacements that depend on each frame's pixels and on the reference, and on nothing else."""
    height, width = frames.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    fields = np.empty((*frames.shape[:3], 2), np.float32)
    for field, frame in zip(fields, frames, strict=True):
        phase = float(np.abs(frame).mean(dtype=np.float64) / (1 + np.abs(reference).max()))
        field[..., 0] = 2 * np.sin(9 * phase + x / 17) + phase
        field[..., 1] = np.cos(7 * phase + y / 11) - 0.75
    return fields


@pytest.fixture(scope="session")
def sway():
    """A flow function without an estimator's cost."""
    return swaying
