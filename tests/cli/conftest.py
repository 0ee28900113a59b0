import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import galvo
from galvo.cli.group import group
from galvo.testing.scanimage import ScanImageRecording


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """First of two files: 12 frames, 2 channels."""
    recording = ScanImageRecording(
        height=16, width=24, frames=12, channels=(1, 2), channel_names=("GCaMP", "tdTomato"), frames_per_file=6
    )
    return recording.write(tmp_path / "raw")[0]


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """5 volumes of 3 slices and 1 flyback frame, 1 channel."""
    recording = ScanImageRecording(height=16, width=24, slices=3, flyback=1, volumes=5, z_step_um=4.0)
    return recording.write(tmp_path / "volumes")[0]


@pytest.fixture
def run():
    """Call the command line in this process."""

    def call(*arguments: object, **environment: str) -> Result:
        return CliRunner(env=environment).invoke(group, [str(argument) for argument in arguments])

    return call


@pytest.fixture
def environment() -> dict[str, str]:
    """Of a child process that imports this galvo."""
    source = str(Path(galvo.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))}


@pytest.fixture
def spawn(environment):
    """Run the command line as a process of its own, after `before` (Python source)."""

    def call(*arguments: object, before: str = "") -> subprocess.CompletedProcess[str]:
        code = f"import sys\n{before}\nfrom galvo.cli import main\nmain()"
        command = [sys.executable, "-c", code, *map(str, arguments)]
        return subprocess.run(command, capture_output=True, encoding="utf-8", env=environment, timeout=120, check=False)

    return call
