"""Names, arguments and defaults of CalSciPy 0.8.3, under its own import names."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.compat import calscipy
from galvo.compat.calscipy import dummies, io_tools

SIGNATURES = {
    "load_images": {"path": ...},
    "save_images": {"path": ..., "images": ..., "name": None, "size_cap": 3.9},
    "load_binary": {"path": ..., "mapped": False, "mode": "r+", "missing_metadata": None},
    "save_binary": {"path": ..., "images": ..., "name": None},
    "load_video": {"path": ...},
    "save_video": {"path": ..., "images": ..., "frame_rate": 30, "name": None},
    "load_gif": {"path": ...},
    "save_gif": {"path": ..., "images": ..., "frame_rate": 30, "name": None},
    "_load_single_tif": {"file": ...},
    "_load_many_tif": {"folder": ...},
    "_save_single_tif": {"path": ..., "images": ...},
    "_save_many_tif": {"path": ..., "images": ..., "size_cap": 3.9},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    found = inspect.signature(getattr(io_tools, name)).parameters.values()
    positional = [one for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
    defaults = {one.name: ... if one.default is one.empty else one.default for one in positional}
    assert list(defaults.items()) == list(SIGNATURES[name].items())
    assert name in io_tools.__all__
    assert {one.name for one in found} - set(defaults) <= {"wrap"}


def test_installed():
    """In a process of its own: everything under its import name, nothing else, and pickles that need no install."""
    code = """
import pickle, galvo
galvo.compat.install("calscipy")
import CalSciPy
from CalSciPy.io_tools import load_images, save_images, load_binary, save_binary
from CalSciPy.io_tools import load_video, save_video, load_gif, save_gif
from CalSciPy.io_tools import _load_single_tif, _load_many_tif, _save_single_tif, _save_many_tif
from CalSciPy._helpers import (read_descriptions, generate_dummy_file_name, generate_dummy_output_folder,
    BlockPrinting, copy_dummies, purge_dummies, identify_dummy_source)
assert CalSciPy.load_images is CalSciPy.io_tools.load_images is load_images
assert b"CalSciPy" not in pickle.dumps([load_images, save_gif, _save_many_tif])
try:
    import CalSciPy.bruker
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("there is one")
galvo.compat.uninstall()
try:
    import CalSciPy
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("still there")
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(galvo.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_package_has_the_functions():
    for name in calscipy.__all__:
        assert getattr(calscipy, name) is getattr(io_tools, name)


def test_helpers(tmp_path, monkeypatch, capsys):
    source = tmp_path / "tests" / "testing_samples"
    (source / "deep").mkdir(parents=True)
    (source / "deep" / "a.txt").write_text("100, 512,256\n")
    monkeypatch.chdir(tmp_path)
    assert dummies.identify_dummy_source() == source
    monkeypatch.chdir(tmp_path / "tests")
    assert dummies.identify_dummy_source() == source
    for _ in range(2):
        dummies.copy_dummies(source, tmp_path / "copy")
    file = dummies.generate_dummy_file_name("a.txt", tmp_path / "copy", "deep")
    assert file.read_text() == "100, 512,256\n"
    np.testing.assert_array_equal(dummies.read_descriptions(file), [100, 512, 256])
    file.write_text("1\n2\n")
    np.testing.assert_array_equal(dummies.read_descriptions(file), [1, 2])
    file.write_text("1,2\n3,4\n")
    np.testing.assert_array_equal(dummies.read_descriptions(file), [[1, 2], [3, 4]])
    for text in ("frames,y\n1,2\n", "1,2\n3\n"):
        file.write_text(text)
        with pytest.raises(ValueError, match="whole numbers"):
            dummies.read_descriptions(file)
    assert dummies.generate_dummy_output_folder("x", tmp_path / "copy") == tmp_path / "copy" / "output_x"
    assert dummies.generate_dummy_output_folder("x", tmp_path / "copy").is_dir()
    dummies.purge_dummies(tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    with pytest.raises(FileNotFoundError):
        dummies.read_descriptions(file)
    with dummies.BlockPrinting():
        print("hidden")
    print("shown")
    assert capsys.readouterr().out == "shown\n"
