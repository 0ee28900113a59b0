"""Files between galvo and PyFlowReg itself, which runs in a Python of its own that GALVO_PYFLOWREG_PYTHON names."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo.compat.pyflowreg.util.io import (
    HDF5FileWriter,
    MATFileWriter,
    get_video_file_reader,
    get_video_file_writer,
)
from galvo.core.recording import Recording

PYTHON = os.environ.get("GALVO_PYFLOWREG_PYTHON")
if not PYTHON:
    pytest.skip("no PyFlowReg: GALVO_PYFLOWREG_PYTHON names no Python that has it", allow_module_level=True)
# .mat files of PyFlowReg do not name their axes
pytestmark = pytest.mark.filterwarnings("ignore:.*does not name its axes")

FILES = {"HDF5": "hdf5", "TIFF": "tiff", "SUITE2P_TIFF": "tiff", "MAT": "matlab"}
FOLDERS = {"MULTIFILE_HDF5": "hdf5", "CAIMAN_HDF5": "hdf5", "MULTIFILE_TIFF": "tiff", "MULTIFILE_MAT": "matlab"}
CASES = [(dtype, channels) for dtype in ("u1", "u2", "i2", "f4", "f8") for channels in (1, 2, 3)]

WRITE = """
import os, warnings
warnings.simplefilter("ignore")
import numpy as np
from pyflowreg.util.io import get_video_file_writer, HDF5FileWriter, MATFileWriter
for name in sorted(os.listdir(".")):
    if not name.endswith(".npy"):
        continue
    pixels = np.load(name)
    for kind in FILES + FOLDERS:
        folder = name[:-4] + "_" + kind
        os.mkdir(folder)
        writer = get_video_file_writer(folder if kind in FOLDERS else folder + "/compensated." + kind, kind)
        writer.write_frames(pixels[:4])
        writer.write_frames(pixels[4:])
        writer.close()
pixels = np.load("f4_2.npy")
for writer in (
    HDF5FileWriter("w.h5", dataset_names=["u", "v"]),
    HDF5FileWriter("named.h5", dataset_names=["green", "red"]),
    HDF5FileWriter("hwt.h5", dimension_ordering=(0, 1, 2), compression="gzip"),
    MATFileWriter("v73.mat", use_v73=True),
):
    writer.write_frames(pixels)
    writer.close()
"""

READ = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
import numpy as np
from pyflowreg.util.io import get_video_file_reader
found = {}
for folder in sorted(os.listdir(".")):
    if not os.path.isdir(folder):
        continue
    dtype, channels, kind = folder.split("_", 2)
    pixels = np.load(dtype + "_" + channels + ".npy")
    files = sorted(os.path.join(folder, name) for name in os.listdir(folder))
    options = {"deinterleave": int(channels)} if kind == "SUITE2P_TIFF" else {}
    if kind == "SUITE2P_TIFF":
        # it does not know the suffix that it writes
        os.rename(files[0], files[0] + ".tif")
        files[0] += ".tif"
    reader = get_video_file_reader(files if kind in FOLDERS else files[0], buffer_size=3, **options)
    found[folder] = bool(np.array_equal(reader[:], pixels))
    reader.close()
sys.stderr.write(json.dumps(found))
"""


def run(script, folder):
    head = f"FILES, FOLDERS = {list(FILES)}, {list(FOLDERS)}\n"
    done = subprocess.run([PYTHON, "-I", "-c", head + script], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """What PyFlowReg wrote, beside the pixels as .npy."""
    folder = tmp_path_factory.mktemp("theirs")
    rng = np.random.default_rng(0)
    for dtype, channels in CASES:
        np.save(folder / f"{dtype}_{channels}.npy", (rng.random((7, 6, 8, channels)) * 200).astype(dtype))
    run(WRITE, folder)
    return folder


@pytest.mark.parametrize("kind", [*FILES, *FOLDERS])
@pytest.mark.parametrize(("dtype", "channels"), CASES)
def test_what_it_writes_is_read(theirs, needs, kind, dtype, channels):
    needs({**FILES, **FOLDERS}[kind])
    pixels = np.load(theirs / f"{dtype}_{channels}.npy")
    files = sorted((theirs / f"{dtype}_{channels}_{kind}").iterdir())
    options = {"deinterleave": channels} if kind == "SUITE2P_TIFF" else {}
    with get_video_file_reader(files if kind in FOLDERS else files[0], buffer_size=3, **options) as reader:
        assert reader.dtype == pixels.dtype
        np.testing.assert_array_equal(np.concatenate(list(reader)), pixels)
    names = [path.name for path in files]
    if kind in FOLDERS:
        suffix = kind.partition("_")[2]
        assert names == [f"compensated_ch{number}.{suffix}" for number in range(1, channels + 1)]


@pytest.mark.parametrize("name", ["w.h5", "named.h5", "hwt.h5", "v73.mat"])
def test_its_options_are_read(theirs, needs, name):
    """The last two are those that it does not read right itself."""
    needs("matlab" if name.endswith(".mat") else "hdf5")
    pixels = np.load(theirs / "f4_2.npy")
    with get_video_file_reader(theirs / name) as reader:
        np.testing.assert_array_equal(reader[:], pixels)


def test_it_reads_what_is_written(tmp_path, needs):
    needs("tiff", "matlab")
    rng = np.random.default_rng(1)
    for dtype, channels in CASES:
        pixels = (rng.random((7, 6, 8, channels)) * 200).astype(dtype)
        np.save(tmp_path / f"{dtype}_{channels}.npy", pixels)
        for kind in (*FILES, *FOLDERS):
            folder = tmp_path / f"{dtype}_{channels}_{kind}"
            folder.mkdir()
            with get_video_file_writer(folder if kind in FOLDERS else folder / f"compensated.{kind}", kind) as writer:
                writer.write_frames(pixels)
    found = json.loads(run(READ, tmp_path).rpartition("\n")[2])
    assert len(found) == len(CASES) * 8
    assert [folder for folder, equal in found.items() if not equal] == []


def test_it_reads_what_the_verbs_write(tmp_path, needs):
    """Files of `galvo.save` in the layouts that it has."""
    needs("tiff", "matlab")
    rng = np.random.default_rng(2)
    options = {
        "TIFF": {"samples": "c", "layout": "plain"},
        # without imagecodecs tifffile undoes no predictor of floats
        "OME_TIFF": {"samples": "c", "compression": "zlib", "predictor": False},
        "HDF5": {"compression": "gzip"},
        "MAT": {"version": "5"},
    }
    for dtype, channels in CASES:
        pixels = (rng.random((7, 6, 8, channels)) * 200).astype(dtype)
        np.save(tmp_path / f"{dtype}_{channels}.npy", pixels)
        for kind, chosen in options.items():
            folder = tmp_path / f"{dtype}_{channels}_{kind}"
            folder.mkdir()
            galvo.save(Recording.from_array(pixels, "TYXC"), folder / f"a.{kind.removeprefix('OME_')}", **chosen)
    found = json.loads(run(READ, tmp_path).rpartition("\n")[2])
    assert len(found) == len(CASES) * len(options)
    assert [folder for folder, equal in found.items() if not equal] == []


def test_names_on_the_disk_are_its_own(theirs, tmp_path, needs):
    """Everything but the suffix of single files, which the caller chooses in both."""
    needs("tiff", "matlab")
    pixels = np.load(theirs / "u2_2.npy")
    for kind in FOLDERS:
        with get_video_file_writer(tmp_path / kind, kind) as writer:
            writer.write_frames(pixels)
        assert sorted(os.listdir(tmp_path / kind)) == sorted(os.listdir(theirs / f"u2_2_{kind}"))


def test_datasets_and_attributes_are_its_own(theirs, tmp_path):
    import h5py

    pixels = np.load(theirs / "u2_2.npy")
    with HDF5FileWriter(tmp_path / "ours.h5") as writer:
        writer.write_frames(pixels)
    with h5py.File(theirs / "u2_2_HDF5" / "compensated.HDF5") as one, h5py.File(tmp_path / "ours.h5") as other:
        assert set(other) - set(one) == {"galvo"}
        for there, here in ((one, other), (one["ch2"], other["ch2"])):
            for name, value in there.attrs.items():
                assert np.array_equal(value, here.attrs[name]), name
        assert (one["ch1"].chunks, one["ch1"].dtype, one["ch1"].shape) == (
            other["ch1"].chunks,
            other["ch1"].dtype,
            other["ch1"].shape,
        )


def test_variables_are_its_own(theirs, tmp_path, needs):
    """Version 7 of MATLAB's format, read by the SciPy that PyFlowReg brings."""
    needs("matlab")
    pixels = np.load(theirs / "u2_2.npy")
    with MATFileWriter(tmp_path / "compensated.MAT") as writer:
        writer.write_frames(pixels)
    script = """
import sys, scipy.io, numpy as np
found = scipy.io.loadmat(sys.argv[1])
np.save(sys.argv[2], np.stack([found["ch1"], found["ch2"]]))
"""
    for path in (tmp_path / "compensated.MAT", theirs / "u2_2_MAT" / "compensated.MAT"):
        out = Path(tmp_path / "found.npy")
        subprocess.run([PYTHON, "-I", "-c", script, str(path), str(out)], check=True)
        np.testing.assert_array_equal(np.load(out), pixels.transpose(3, 1, 2, 0))
