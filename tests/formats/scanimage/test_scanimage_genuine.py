"""Genuine recordings: the truth is what their headers and page texts say, parsed here with plain Python."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile

import galvo
from galvo.errors import GalvoWarning

FOLDER = Path("scanimage") / "catalystneuro"
SERIES = FOLDER / "volumetric_single_channel_multi_file"
SINGLE = FOLDER / "volumetric_single_channel_single_file_no_flyback" / "vol_no_flyback_00001_00001.tif"
LEGACY = FOLDER / "sample_scanimage_version_3_8.tiff"


def pages_of(path: Path) -> tuple[np.ndarray, list[dict[str, str]], dict[str, str]]:
    """Pixels, text block of each page, and header of a file."""
    with tifffile.TiffFile(path) as file:
        pixels = np.stack([page.asarray() for page in file.pages])
        blocks = [dict(re.findall(r"^(\w+) = (.*)$", page.description, re.M)) for page in file.pages]
        header = dict(re.findall(r"^(SI[\w.]+) = (.*)$", file.pages[0].software, re.M))
    return pixels, blocks, header


def numbers(blocks: list[dict[str, str]], key: str) -> np.ndarray:
    return np.array([float(block[key]) for block in blocks])


def check_volumes(rec: galvo.Recording, pixels, blocks, header) -> None:
    slices = int(header["SI.hStackManager.numFramesPerVolume"])
    cycle = int(header["SI.hStackManager.numFramesPerVolumeWithFlyback"])
    volumes = len(pixels) // cycle
    cut = pixels.reshape(volumes, cycle, *pixels.shape[1:])[:, :slices]
    assert rec.shape == (volumes, 1, slices, *pixels.shape[1:])
    np.testing.assert_array_equal(rec[:, 0], cut)
    times = numbers(blocks, "frameTimestamps_sec").reshape(volumes, cycle)
    np.testing.assert_array_equal(rec.timestamps, times[:, 0])
    table = rec.frame_table()
    for column, key in (
        ("timestamp_s", "frameTimestamps_sec"),
        ("frame_number", "frameNumbers"),
        ("acquisition_number", "acquisitionNumbers"),
        ("frame_number_in_acquisition", "frameNumberAcquisition"),
        ("acquisition_trigger_s", "acqTriggerTimestamps_sec"),
        ("next_file_marker_s", "nextFileMarkerTimestamps_sec"),
        ("end_of_acquisition", "endOfAcquisition"),
        ("end_of_acquisition_mode", "endOfAcquisitionMode"),
        ("dc_overvoltage", "dcOverVoltage"),
    ):
        want = numbers(blocks, key).reshape(volumes, cycle)[:, :slices].ravel()
        np.testing.assert_array_equal(table[column], want, err_msg=column)
    assert (numbers(blocks, "frameNumbers") == np.arange(1, len(blocks) + 1)).all()
    np.testing.assert_array_equal(rec.z_um, [float(z) for z in header["SI.hStackManager.zs"].strip("[]").split()])
    assert rec.frame_rate_hz == float(header["SI.hRoiManager.scanVolumeRate"])
    assert rec.channel_names == ("Channel 1",)
    corners = np.array(re.findall(r"[-\d.]+", header["SI.hRoiManager.imagingFovUm"]), float).reshape(4, 2)
    assert rec.pixel_size_um == pytest.approx(tuple(np.ptp(corners, axis=0)[::-1] / pixels.shape[1:]))
    assert sum(entry.page_count for entry in rec.left_out) == volumes * (cycle - slices)
    year, month, day, hour, minute, second = (float(part) for part in blocks[0]["epoch"].strip("[]").split())
    stated = f"{year:04.0f}-{month:02.0f}-{day:02.0f}T{hour:02.0f}:{minute:02.0f}:{second:06.3f}"
    assert rec.metadata.start_time == stated


def test_the_series_from_any_of_its_files(sample_data, open_warned):
    files = sorted((sample_data / SERIES).glob("*.tif"))
    parts = [pages_of(path) for path in files]
    pixels = np.concatenate([part[0] for part in parts])
    blocks = [block for part in parts for block in part[1]]
    assert len(files) == 4
    for path in files:
        with open_warned(path, r"\b40 volumes\b.*\b100\b") as rec:
            assert [one.name for one in rec.files] == [one.name for one in files]
            check_volumes(rec, pixels, blocks, parts[0][2])
            assert rec.shape == (40, 1, 9, 20, 20)


def test_every_page_with_flyback_equals_tifffiles(sample_data, open_warned):
    files = sorted((sample_data / SERIES).glob("*.tif"))
    pixels = np.concatenate([pages_of(path)[0] for path in files])
    with open_warned(files[0], "announces 100", flyback="keep") as rec:
        assert rec.shape == (40, 1, 16, 20, 20)
        np.testing.assert_array_equal(rec[...].reshape(pixels.shape), pixels)
        assert np.isnan(rec.z_um[9:]).all()
        table = rec.frame_table()
        np.testing.assert_array_equal(table["file"], np.repeat(np.arange(4), 160))
        np.testing.assert_array_equal(table["page"], np.tile(np.arange(160), 4))


@pytest.mark.parametrize("number", range(4))
def test_one_file_of_the_series_on_demand(sample_data, number):
    path = sorted((sample_data / SERIES).glob("*.tif"))[number]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        rec = galvo.open(path, series=False)
    with rec:
        assert [one.name for one in rec.files] == [path.name]
        check_whole = pages_of(path)[0].reshape(10, 16, 20, 20)[:, :9]
        np.testing.assert_array_equal(rec[:, 0], check_whole)


def test_a_folder_and_a_list_are_the_series(sample_data, open_warned):
    files = sorted((sample_data / SERIES).glob("*.tif"))
    for source in (sample_data / SERIES, files, [str(path) for path in files], str(sample_data / SERIES / "*.tif")):
        with open_warned(source, "announces 100") as rec:
            assert rec.shape == (40, 1, 9, 20, 20)


def test_the_recording_without_flyback(sample_data, open_warned):
    with open_warned(sample_data / SINGLE, r"8.86703 Hz.*58.2\d+ Hz") as rec:
        check_volumes(rec, *pages_of(sample_data / SINGLE))
        assert rec.shape == (10, 1, 9, 20, 20)
        assert rec.left_out == ()


def test_the_file_of_version_3_8(sample_data, open_warned):
    path = sample_data / LEGACY
    with tifffile.TiffFile(path) as file:
        pixels = np.stack([page.asarray() for page in file.pages])
        header = dict(line.split("=", 1) for line in file.pages[0].description.split("\r") if "=" in line)
    with open_warned(path, "10 frames.*1220") as rec:
        assert rec.shape == (10, 1, 1, 256, 256)
        assert rec.dtype == pixels.dtype
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)
        assert rec.metadata.format == "scanimage"
        assert rec.metadata.version == "3.8"
        assert rec.frame_rate_hz == float(header["state.acq.frameRate"])
        assert rec.timestamps is None
        for key in ("state.acq.zoomFactor", "state.acq.linesPerFrame", "state.acq.numberOfZSlices"):
            assert rec.metadata.header[key] == float(header[key])
        assert rec.metadata.header["state.configName"] == header["state.configName"].strip("'")
        assert len(rec.metadata.header) == len(header)


@pytest.mark.parametrize("relative", [SERIES / "vol_one_ch_multi_files_00001_00003.tif", SINGLE, LEGACY])
def test_every_page_as_plain_tiff(sample_data, relative):
    path = sample_data / relative
    for walk in (False, True):
        with tifffile.TiffFile(path) as file, galvo.open(path, format="tiff", walk=walk) as rec:
            assert len(rec) == len(file.pages)
            for number, page in enumerate(file.pages):
                np.testing.assert_array_equal(rec[number, 0, 0], page.asarray())
