"""A format in a package of its own needs nothing from galvo but to be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import galvo

HERE = Path(__file__).parent
ENTRY_POINTS = """[galvo.formats]
dummy = galvo_dummy:FORMAT
"""

BOTH_WAYS = """
import sys
import numpy as np
import galvo
from galvo.errors import OptionError
array = np.random.default_rng(0).integers(0, 99, (6, 2, 3, 5, 4)).astype("int16")
galvo.save(array, "a.dummy", verify=True)
with galvo.open("a.dummy", shout=True) as recording:
    assert recording.metadata.format == "dummy" and recording.metadata.version == "LOUD"
    assert (recording[...] == array).all()
    assert recording.files[0].name == "a.dummy"
result = galvo.convert("a.dummy", "b.h5", verify=True)
assert result.format == "hdf5", result
result = galvo.convert("b.h5", "c.bin", format="dummy", verify=True, pad=1)
assert result.format == "dummy" and result.verification.ok, result
assert open("a.dummy", "rb").read() == open("c.bin", "rb").read()
assert (galvo.load("c.bin") == array).all()
assert galvo.verify("a.dummy", "b.h5").ok
for call in (lambda: galvo.open("a.dummy", walk=True), lambda: galvo.save(array, "d.dummy", compression="gzip")):
    try:
        call()
    except OptionError as error:
        assert "dummy takes no" in str(error), error
    else:
        sys.exit("an option was taken that the format does not have")
print("both ways")
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder on the path with the package as pip leaves it: the module and its `.dist-info`."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(HERE / "src" / "galvo_dummy.py", folder)
    info = folder / "galvo_dummy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: galvo-dummy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def run(arguments, installed, cwd):
    package = str(Path(galvo.__file__).parents[1])
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), package, *filter(None, known)])}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=240
    )


def test_the_package_declares_what_is_installed_here():
    import tomllib

    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"galvo.formats": {"dummy": "galvo_dummy:FORMAT"}}


def test_open_and_convert_both_ways(installed, tmp_path):
    done = run(["-W", "error", "-c", BOTH_WAYS], installed, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "both ways\n"


def test_conformance(installed, tmp_path):
    shutil.copy(HERE / "conformance_dummy.py", tmp_path / "test_dummy.py")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = harden\nfilterwarnings = error\n")
    options = ["-q", "-p", "no:cacheprovider", "-m", "not harden", "--basetemp", "work"]
    done = run(["-m", "pytest", *options, "test_dummy.py"], installed, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_without_the_package_galvo_does_not_know_it(tmp_path):
    with pytest.raises(galvo.errors.OptionError, match="no such format"):
        galvo.save(__import__("numpy").zeros((2, 3, 4)), tmp_path / "a.dummy", format="dummy")
