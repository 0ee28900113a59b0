"""MDFFileReader over the double of Sutter's server."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from galvo.compat.pyflowreg.util.io import MDFFileReader, get_video_file_reader
from galvo.testing.mdf import installed_double, write_mdf

PIXELS = np.random.default_rng(8).integers(0, 60000, (10, 2, 5, 7)).astype(np.uint16)


@pytest.fixture(autouse=True)
def double(tmp_path_factory):
    with installed_double(tmp_path_factory.mktemp("double")):
        yield
        gc.collect()


def test_frames_and_metadata(tmp_path):
    told = {
        "Frame Duration (s)": "0,03",
        "Microns per Pixel": "0.5 µm",
        "Magnification": "2x",
        "Created On": "1/2/2010",
    }
    pixels = np.stack([PIXELS[:, 0], PIXELS[:, 1]], axis=3)
    write_mdf(tmp_path / "a.mdf", np.insert(PIXELS, 1, 0, axis=1), {**told, "Scanning Ch 1 Name": ""})
    with get_video_file_reader(tmp_path / "a.mdf", buffer_size=4) as reader:
        assert isinstance(reader, MDFFileReader)
        np.testing.assert_array_equal(reader[:], pixels)
        np.testing.assert_array_equal(np.concatenate(list(reader)), pixels)
        assert reader.get_metadata() == {
            "file_name": "a.mdf",
            "frame_count": 10,
            "shape": (10, 5, 7, 2),
            "unbinned_shape": (10, 5, 7, 2),
            "dtype": "uint16",
            "channels": ["channel 0", "channel 2"],
            "dt_seconds": pytest.approx(0.03),
            "pixel_size_um": 0.5,
            "magnification": 2.0,
            "created_on": "1/2/2010",
        }
    with MDFFileReader(tmp_path / "a.mdf", bin_size=5, channel_idx=3) as reader:
        means = pixels[..., 1:].reshape(2, 5, 5, 7, 1).mean(1).astype(np.uint16)
        np.testing.assert_array_equal(reader[:], means)
        assert reader.get_metadata()["dt_seconds"] == pytest.approx(0.15)
        assert reader.get_metadata()["channels"] == ["channel 2"]
    with MDFFileReader(tmp_path / "a.mdf", channel_idx=[3, 1]) as reader:
        np.testing.assert_array_equal(reader[2:4], pixels[2:4, ..., ::-1])
    for number in (2, 0, "green"):
        with (
            MDFFileReader(tmp_path / "a.mdf", channel_idx=number) as reader,
            pytest.raises(ValueError, match="channel"),
        ):
            reader[0]


def test_values_beyond_the_type(tmp_path):
    pixels = PIXELS[:, :1].astype(np.int32) - 5000
    write_mdf(tmp_path / "a.mdf", pixels, {"Frame Bit Depth": "16-bit"})
    with MDFFileReader(tmp_path / "a.mdf") as reader, pytest.raises(ValueError, match=r'dtype="int32"'):
        reader[:]
    with MDFFileReader(tmp_path / "a.mdf", dtype="int32") as reader:
        np.testing.assert_array_equal(reader[:], pixels.transpose(0, 2, 3, 1))
        assert reader.get_metadata()["dt_seconds"] is None


def test_files_that_are_none(tmp_path):
    (tmp_path / "a.mdf").write_bytes(b"hello")
    for error in (ConnectionError, ValueError):
        with MDFFileReader(tmp_path / "a.mdf") as reader, pytest.raises(error, match=r"^Cannot open MDF file: "):
            len(reader)
    with pytest.raises(FileNotFoundError):
        MDFFileReader(tmp_path / "nothing.mdf")
