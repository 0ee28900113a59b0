"""`_ds_io` and `_scanimage`: which datasets are channels, what they are called, what ScanImage noted."""

import numpy as np
import pytest

import galvo
from galvo.compat.pyflowreg.util.io._ds_io import DSFileReader, DSFileWriter
from galvo.compat.pyflowreg.util.io._scanimage import (
    format_scanimage_metadata_report,
    interpret_scanimage_dimensions,
    parse_scanimage_metadata,
)
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileWriter
from galvo.compat.pyflowreg.util.io.mat import MATFileWriter
from galvo.testing.scanimage import ScanImageRecording


# names as PyFlowReg 0.1.0a9 gives them
@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["ch1", "ch1", "ch2"]),
        ("a", ["a", "a1", "a2"]),
        ("ch*", ["ch1", "ch1", "ch2"]),
        ("/d/*_x", ["d/1_x", "d/1_x", "d/2_x"]),
    ],
)
def test_names(tmp_path, names, expected):
    writers = [DSFileWriter(dataset_names=names)]
    for kind in (HDF5FileWriter, MATFileWriter):
        writers.append(kind(tmp_path / "out", dataset_names=names))
    for writer in writers:
        assert [writer.get_ds_name(*place) for place in ((1, 1), (1, 2), (2, 2))] == expected


def test_a_name_for_each_channel():
    writer = DSFileWriter(dataset_names=["x", "y"])
    assert [writer.get_ds_name(number, 2) for number in (1, 2)] == ["x", "y"]
    with pytest.raises(ValueError, match="2 dataset names for 1 channels"):
        writer.get_ds_name(1, 1)


@pytest.mark.parametrize(
    ("datasets", "expected"),
    [
        ([("ch2", (10, 5, 4)), ("ch1", (10, 5, 4))], ["ch1", "ch2"]),
        ([("mov", (10, 5, 4)), ("other", (10, 5, 4))], ["mov"]),
        ([("a", (3,)), ("b", (10, 5, 4))], ["b"]),
        ([("buffer/x", (4, 5, 6)), ("meta", (2, 2))], ["buffer/x"]),
        ([("u", (4, 5, 6)), ("v", (4, 5, 6))], ["u", "v"]),
        ([("a", (4, 5, 6)), ("b", (4, 5, 7))], []),
        ([], []),
    ],
)
def test_datasets(datasets, expected):
    assert DSFileReader()._find_datasets(datasets) == expected


def test_a_scanimage_file(tmp_path):
    path = ScanImageRecording(slices=4, volumes=3, frames=12, channels=(1, 2)).write(tmp_path)[0]
    found = parse_scanimage_metadata(str(path))
    with galvo.open(path) as recording:
        t, c, z = recording.shape[:3]
        assert (found["volumes"], found["channels"], found["slices_per_volume"]) == (t, c, z)
        assert found["z_step"] == pytest.approx(np.diff(recording.metadata.z_um)[0])
        assert found["frame_rate"] == recording.frame_rate_hz
    assert found["is_scanimage"]
    assert found["total_frames"] == t * z
    assert found["raw_metadata"]["SI.hStackManager.numSlices"] == z
    assert f"Volumes/Stacks: {t}\n" in format_scanimage_metadata_report(found)


@pytest.mark.parametrize(
    ("shape", "axes", "expected"),
    [
        ((300, 2, 256, 250), "TCYX", (300, 2, 1, "pure_time_series")),
        ((10, 4, 256, 250), "TZYX", (10, 7, 4, "time_series_of_volumes")),
        ((256, 250), "YX", (1, 7, 1, "unknown")),
    ],
)
def test_dimensions(shape, axes, expected):
    found = interpret_scanimage_dimensions(shape, axes, {"channels": 7})
    assert (found["volumes"], found["channels"], found["z_planes"], found["interpretation"]) == expected
    assert (found["height"], found["width"]) == (256, 250)
    assert found["total_frames"] == expected[0] * expected[2]


def test_files_that_scanimage_did_not_write(tmp_path):
    galvo.save(np.zeros((3, 8, 8), np.uint8), tmp_path / "plain.tif")
    for name in ("plain.tif", "missing.tif"):
        found = parse_scanimage_metadata(str(tmp_path / name))
        assert not found["is_scanimage"]
        assert found["total_frames"] is None
