"""Generated files of ScanImage 5.x, 4.x and 3.x and those that were saved again, against tifffile."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
import tifffile

from galvo.testing.scanimage import ScanImageRecording


def pages_of(path) -> tuple[np.ndarray, list[str], list[str]]:
    """Pixels, descriptions and Software of each page, found by walking."""
    with tifffile.TiffFile(path) as file:
        # ScanImage's own shortcut loses pages
        offsets = []
        offset = file.pages.first.offset
        with open(path, "rb") as stream:
            blob = stream.read()
        big = file.is_bigtiff
        while offset:
            offsets.append(offset)
            count = struct.unpack_from("<Q" if big else "<H", blob, offset)[0]
            behind = offset + (8 + 20 * count if big else 2 + 12 * count)
            offset = struct.unpack_from("<Q" if big else "<I", blob, behind)[0]
        pages = []
        for number, offset in enumerate(offsets):
            file.filehandle.seek(offset)
            pages.append(tifffile.TiffPage(file, number))
        return np.stack([page.asarray() for page in pages]), [p.description for p in pages], [p.software for p in pages]


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("strips", [1, 4])
@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_version_5_holds_everything_in_each_description(tmp_path, big, strips, dtype):
    truth = ScanImageRecording(version="5.2", channels=(1, 3), frames=5, big_tiff=big, strips=strips, dtype=dtype)
    (path,) = truth.write(tmp_path)
    pixels, texts, _ = pages_of(path)
    np.testing.assert_array_equal(pixels, truth.expected_pages())
    assert truth.header_text().startswith("scanimage.SI.LINE_FORMAT_VERSION = 1\n")
    assert "\nscanimage.SI.TIFF_FORMAT_VERSION = 2\n" in truth.header_text()
    for number, text in enumerate(texts):
        assert text.rstrip() == (truth.descriptions()[number // 2] + truth.header_text()).rstrip()
    blob = path.read_bytes()
    (size,) = struct.unpack_from("<I", blob, len(blob) - 4)
    rois = blob[-4 - size : -4]
    assert rois == truth.roi_text().encode() + b"\0"
    assert "RoiGroups" in json.loads(rois[:-1])


def test_version_5_0_appends_no_json(tmp_path):
    truth = ScanImageRecording(version="5.0", header_prefix="SI5.")
    assert truth.tiff_format_version == 1
    assert "\nSI5.hChannels.channelSave = 1\n" in truth.header_text()
    blob = truth.write(tmp_path)[0].read_bytes()
    (size,) = struct.unpack_from("<I", blob, len(blob) - 4)
    assert blob[-4 - size : -4].startswith(b"<scanimage.mroi.RoiGroup>")


def test_version_4_has_flat_keys(tmp_path):
    settings = {"slices": 3, "flyback": 2, "volumes": 2, "channels": (1, 2)}
    truth = ScanImageRecording(version="4.2", channel_save_form="column", **settings)
    pixels, texts, _ = pages_of(truth.write(tmp_path)[0])
    np.testing.assert_array_equal(pixels, truth.expected_pages())
    lines = texts[0].splitlines()
    assert lines[0] == "frameNumbers = 1"
    for line in ("channelsSave = [1;2]", "stackNumSlices = 3", "fastZEnable = true", "fastZNumDiscardFrames = 2"):
        assert f"scanimage.SI4.{line}" in lines
    assert truth.roi_text() == ""


def test_version_3_divides_its_lines_by_carriage_returns(tmp_path):
    settings = {"slices": 3, "repeats": 4, "volumes": 1, "stack_mode": "slow", "log_average_factor": 2}
    truth = ScanImageRecording(version="3.8", channels=(1, 4), frames_per_file=4, trailing_bytes=7, **settings)
    paths = truth.write(tmp_path)
    assert [path.name for path in paths] == ["rec_001.tif", "rec_002.tif"]
    parts = [pages_of(path) for path in paths]
    np.testing.assert_array_equal(np.concatenate([part[0] for part in parts]), truth.expected_pages())
    text = parts[0][1][0]
    assert "\n" not in text
    values = dict(line.split("=", 1) for line in text.split("\r") if line)
    assert values["state.software.version"] == "3.8"
    assert values["state.acq.numberOfZSlices"] == "3"
    assert values["state.acq.numberOfFrames"] == "4"
    assert (values["state.acq.averaging"], values["state.acq.numAvgFramesSave"]) == ("1", "2")
    assert [values[f"state.acq.savingChannel{number}"] for number in range(1, 5)] == ["1", "0", "0", "1"]
    assert paths[0].read_bytes().endswith(b"\xa5" * 7)
    assert truth.expected_timestamps(slice_repeats=0) is None
    with tifffile.TiffFile(paths[0]) as file:
        assert file.is_scanimage


def test_a_file_that_was_saved_again_keeps_the_header_alone(tmp_path):
    truth = ScanImageRecording(saved_again=True, frames=4, strips=3, trailing_bytes=50)
    (path,) = truth.write(tmp_path)
    pixels, texts, software = pages_of(path)
    np.testing.assert_array_equal(pixels, truth.expected_pages())
    assert set(texts) == {""}
    assert software[0] == truth.header_text().rstrip()
    assert path.read_bytes()[16:20] != struct.pack("<I", 117637889)
    assert truth.expected_timestamps() is None


def test_blocks_in_their_variants():
    styles = {
        style: ScanImageRecording(frames=2, block_style=style, next_file_markers={1: 0.5}).descriptions()
        for style in ("plain", "commas", "empty", "underscores")
    }
    assert "epoch = [2025,4,24,16,43,57.206]\n" in styles["commas"][0]
    assert "\nacqTriggerTimestamps_sec = \n" in styles["empty"][1]
    assert "\nacqTriggerTimestamps_sec = -0.000078460\n" in styles["empty"][0]
    assert "\nendOfAcquisition =  0\n" in styles["empty"][0]
    assert "\nnextFileMarkerTimestamps_sec = \n" in styles["empty"][0]
    assert all("\nnextFileMarkerTimestamps_sec = 0.5" in texts[1] for name, texts in styles.items() if name[0] != "u")
    assert all(line.split(" = ")[0].endswith("_") for line in styles["underscores"][0].splitlines())
    assert styles["plain"][0].replace(" = ", "_ = ") == styles["underscores"][0]


def test_one_slice_is_no_volume():
    truth = ScanImageRecording(slices=1, repeats=3, volumes=2, log_average_factor=2)
    assert truth.expected().shape == (3, 1, 1, 32, 24)
    assert truth.expected_frame_rate_hz == 15
    flying = ScanImageRecording(slices=1, flyback=1, volumes=2)
    assert flying.expected().shape == (2, 1, 1, 32, 24)
    assert flying.expected_frame_rate_hz == 15
    assert flying.page_table().ravel().tolist() == [0, 2]


def test_events_belong_to_the_volume_that_they_fall_into():
    triggers = {0: {2: [0.0, 0.1]}, 2: {0: [0.2]}, 3: {1: [0.3]}, 5: {3: [0.4]}, 7: {0: [0.5]}}
    packets = {4: [(1.5, b"")]}
    truth = ScanImageRecording(slices=2, flyback=1, volumes=3, drop_pages=1, aux_triggers=triggers, i2c=packets)
    assert truth.expected_events() == [
        (0, 0, "auxTrigger2", 0.0, b""),
        (0, 0, "auxTrigger2", 0.1, b""),
        (0, -1, "auxTrigger0", 0.2, b""),
        (1, 0, "auxTrigger1", 0.3, b""),
        (1, 1, "I2C", 1.5, b""),
        (1, -1, "auxTrigger3", 0.4, b""),
    ]
    assert truth.expected_events(flyback="keep")[2] == (0, 2, "auxTrigger0", 0.2, b"")
