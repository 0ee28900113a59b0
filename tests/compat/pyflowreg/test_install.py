"""The import names of PyFlowReg, and the signatures that its scripts rely on."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from importlib import import_module

import pytest

import galvo
from galvo.compat.pyflowreg.util import io

NAMES = [
    "ArrayReader",
    "ArrayWriter",
    "HDF5FileReader",
    "HDF5FileWriter",
    "MATFileReader",
    "MATFileWriter",
    "MDFFileReader",
    "MULTICHANNELFileReader",
    "MULTIFILEFileWriter",
    "NullVideoWriter",
    "SUBSETFileReader",
    "TIFFFileReader",
    "TIFFFileWriter",
    "VideoReader",
    "VideoWriter",
    "get_video_file_reader",
    "get_video_file_writer",
]
MODULES = {
    "factory": ["get_video_file_reader", "get_video_file_writer"],
    "hdf5": ["HDF5FileReader", "HDF5FileWriter"],
    "tiff": ["TIFFFileReader", "TIFFFileWriter"],
    "mat": ["MATFileReader", "MATFileWriter"],
    "mdf": ["MDFFileReader"],
    "multifile_wrappers": ["MULTICHANNELFileReader", "MULTIFILEFileWriter", "SUBSETFileReader"],
    "_arr": ["ArrayReader", "ArrayWriter"],
    "_base": ["VideoReader", "VideoWriter"],
    "_null": ["NullVideoWriter"],
}
SIGNATURES = {
    "get_video_file_reader": "input_source, buffer_size=500, bin_size=1, kwargs",
    "get_video_file_writer": "file_path, output_format, kwargs",
    "HDF5FileReader": "file_path, buffer_size=500, bin_size=1, kwargs",
    "TIFFFileReader": "file_path, buffer_size=500, bin_size=1, kwargs",
    "MATFileReader": "file_path, buffer_size=500, bin_size=1, kwargs",
    "MDFFileReader": "file_path, buffer_size=500, bin_size=1, kwargs",
    "MULTICHANNELFileReader": "input_files, buffer_size=500, bin_size=1, kwargs",
    "MULTIFILEFileWriter": "filename, file_type='TIFF', kwargs",
    "SUBSETFileReader": "video_file_reader, indices",
    "ArrayReader": "array, buffer_size=100, bin_size=1, inplace=False",
    "ArrayWriter": "",
    "NullVideoWriter": "",
}


@pytest.fixture
def installed():
    galvo.compat.install("pyflowreg", force=True)
    yield
    galvo.compat.uninstall("pyflowreg")


def test_names(installed):
    module = import_module("pyflowreg.util.io")
    assert sorted(module.__all__) == NAMES
    for name in NAMES:
        assert getattr(module, name) is getattr(io, name)
    for place, names in MODULES.items():
        for name in names:
            assert getattr(import_module(f"pyflowreg.util.io.{place}"), name) is getattr(io, name)
    for place in ("_ds_io", "_scanimage"):
        assert import_module(f"pyflowreg.util.io.{place}").__file__ == import_module(f"{io.__name__}.{place}").__file__


def test_what_is_not_there_cannot_be_imported(installed):
    for name in ("pyflowreg.session", "pyflowreg.z_align", "pyflowreg.util.visualization"):
        with pytest.raises(ImportError):
            import_module(name)


def test_pickles_name_galvo(installed):
    found = import_module("pyflowreg.util.io").ArrayReader
    assert pickle.dumps(found).find(b"galvo.compat.pyflowreg.util.io._arr") > 0


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = inspect.signature(getattr(io, name)).parameters.values()
    bare = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert ", ".join(bare) == SIGNATURES[name]


def test_neither_pytorch_nor_pyflowreg_are_imported():
    script = """
import sys
import galvo
galvo.compat.install("pyflowreg")
import pyflowreg.util.io
assert not {"torch", "scipy", "tifffile", "cv2"} & set(sys.modules), sorted(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True)
