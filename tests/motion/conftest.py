"""What tests of motion share: outputs of the original, and scripts run on another instruction set."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest


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
