"""The ScanImage generator against tifffile, the format's byte positions, and genuine files where they are at hand."""

from __future__ import annotations

import json
import os
import re
import struct
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import tifffile

from galvo.testing.scanimage import ScanImageRecording, page_pixels

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = Path(os.environ.get("GALVO_SAMPLE_DATA", ROOT / ".." / "shared" / "data")) / "scanimage" / "catalystneuro"

RECORDINGS = {
    "planar": {"frames": 7},
    "two channels": {"frames": 5, "channels": (1, 2)},
    "channels 1 and 4, column": {"frames": 5, "channels": (1, 4), "channel_save_form": "column"},
    "scalar": {"channel_save_form": "scalar", "channels": (3,)},
    "averaged": {"frames": 6, "log_average_factor": 4},
    "fast": {"slices": 3, "volumes": 4},
    "fast with flyback": {"slices": 9, "flyback": 7, "volumes": 3, "channels": (1, 2)},
    "fast, repeats, averaged": {"slices": 3, "repeats": 4, "flyback": 2, "log_average_factor": 2, "volumes": 3},
    "arbitrary, stale": {"zs": (30.0, 10.5, 50.0), "volumes": 2, "stale_header": True},
    "slow": {"slices": 2, "repeats": 2, "volumes": 3, "channels": (1, 4), "stack_mode": "slow"},
    "one slice, repeats": {"slices": 1, "repeats": 3, "volumes": 2},
    "files split a volume": {"slices": 3, "flyback": 1, "volumes": 4, "frames_per_file": 5, "channels": (1, 2)},
    "loop": {"frames": 4, "acquisitions": 3},
    "loop, split": {"frames": 5, "acquisitions": 2, "frames_per_file": 2},
    "file per channel": {"frames": 5, "channels": (1, 2), "file_per_channel": True, "frames_per_file": 3},
    "json": {"frames": 3, "json_header": True, "i2c": {1: [(0.25, b"\x01\xff")]}},
    "strips": {"frames": 3, "strips": 5, "height": 33},
    "version 3, fast": {"version": "2018b", "slices": 3, "flyback": 2, "volumes": 2},
    "version 3, slow": {"version": "2016b", "slices": 3, "repeats": 2, "volumes": 2, "stack_mode": "slow"},
    "2019b": {"version": "2019b"},
    "2023": {"version": "2023", "frame_rate_hz": 29.97002997},
    "galvo, zero flyback": {"scanner_type": "galvo", "slices": 2, "flyback": 1, "volumes": 3, "frame_rate_hz": 3.1},
    "one-directional": {"bidirectional": False},
    "cut inside a frame": {"slices": 3, "volumes": 3, "channels": (1, 2), "drop_pages": 3},
    "more than announced": {"slices": 3, "volumes": 3, "extra_pages": 2},
    **{kind: {"dtype": kind, "frames": 4} for kind in ("uint8", "int8", "uint16", "uint32", "int32")},
}


@pytest.fixture(params=RECORDINGS.values(), ids=RECORDINGS.keys())
def recording(request) -> ScanImageRecording:
    return ScanImageRecording(**request.param)


def read_pages(path):
    """Every page of one file by its own IFD: (P, Y, X) and descriptions."""
    with tifffile.TiffFile(path) as file:
        pages = [(page.asarray(), page.description) for page in file.pages]
    return np.stack([p for p, _ in pages]), [d for _, d in pages]


def read_entries(path):
    """Independent chain walk: [(IFD offset, [(code, type, count, value)])]."""
    data = path.read_bytes()
    (offset,) = struct.unpack_from("<Q", data, 8)
    out = []
    while offset:
        (count,) = struct.unpack_from("<Q", data, offset)
        out.append((offset, [struct.unpack_from("<HHQQ", data, offset + 8 + 20 * k) for k in range(count)]))
        (offset,) = struct.unpack_from("<Q", data, offset + 8 + 20 * count)
    return out


def test_pages_are_the_closed_form_in_every_mode(recording, tmp_path):
    paths = recording.write(tmp_path)
    assert [p.name for p in paths] == recording.file_names()
    found = {p.name: read_pages(p)[0] for p in paths}
    for name, pages in recording._file_pages("rec"):
        np.testing.assert_array_equal(found[name], recording._pixels(pages))
    assert sum(map(len, found.values())) == recording.page_count
    if not recording.file_per_channel:
        np.testing.assert_array_equal(np.concatenate(list(found.values())), recording.expected_pages())


def test_stride_and_static_block(recording, tmp_path):
    for path in recording.write(tmp_path):
        data = path.read_bytes()
        mark, magic, version, n0, n1 = data[:8], *struct.unpack_from("<4I", data, 16)
        assert (mark, magic, version) == (b"II+\0\x08\0\0\0", 117637889, recording.tiff_format_version)
        header, rois = data[32 : 32 + n0], data[32 + n0 : 32 + n0 + n1]
        assert header == recording.header_text().encode() + b"\0"
        assert rois == recording.roi_text().encode() + b"\0"
        assert header.endswith(b"\n\0")
        assert rois.endswith(b"}\n\0")
        ifds = read_entries(path)
        first = ifds[0][0]
        assert 1 <= first - (32 + n0 + n1) <= 4
        assert first % 4 == 0
        stride = recording_stride(recording)
        assert [offset for offset, _ in ifds] == [first + k * stride for k in range(len(ifds))]
        assert len(data) == first + len(ifds) * stride
        for offset, entries in ifds:
            values = {code: (kind, count, value) for code, kind, count, value in entries}
            assert [code for code, *_ in entries] == sorted(values)
            assert len(entries) == 18
            assert values[305] == (2, n0, 32)
            assert values[315] == (2, n1, 32 + n0)
            assert values[270] == (2, 2001, offset + 376)
            assert data[offset + 2376 : offset + 2384] == bytes(8)


def recording_stride(recording):
    rows = -(-recording.height // recording.strips)
    strips = -(-recording.height // rows)
    pixels = recording.height * recording.width * np.dtype(recording.dtype).itemsize
    return 2384 + (16 * strips if strips > 1 else 0) + pixels


def test_tifffile_parses_what_was_asked(recording, tmp_path):
    path = recording.write(tmp_path)[0]
    with tifffile.TiffFile(path) as file:
        # tifffile knows the files by the text "SI." and so not the JSON ones.
        assert file.is_scanimage is not recording.json_header
        software = file.pages[0].software
        metadata = file.scanimage_metadata
    if recording.json_header:
        assert json.loads(software)["SI"]["hChannels"]["channelSave"] == 1
        return
    header = metadata["FrameData"]
    assert metadata["RoiGroups"]["imagingRoiGroup"]["rois"]["scanfields"]["pixelResolutionXY"] == [
        recording.width,
        recording.height,
    ]
    saved = np.ravel(header["SI.hChannels.channelSave"])
    assert tuple(saved) == recording.channels
    assert tuple(header["SI.hChannels.channelName"]) == recording.channel_names
    assert header["SI.hRoiManager.scanFrameRate"] == pytest.approx(recording.frame_rate_hz, rel=1e-5)
    assert header["SI.hScan2D.logAverageFactor"] == recording.log_average_factor
    assert tuple(np.ravel(header["SI.hStackManager.zs"])[:: recording.repeats]) == recording.slice_z_um
    rolls = recording.frames_per_file
    assert header["SI.hScan2D.logFramesPerFile"] == (np.inf if rolls is None else rolls)
    year_only = recording.version.isdigit()
    assert header["SI.VERSION_MAJOR"] == (int(recording.version) if year_only else recording.version)
    if recording.tiff_format_version == 4:
        assert header["SI.hStackManager.numFramesPerVolumeWithFlyback"] == recording.raw_frames_per_volume
        assert header["SI.hStackManager.actualNumSlices"] == len(recording.slice_z_um)
        assert header["SI.hStackManager.enable"] is recording.is_stack
    else:
        assert "SI.hStackManager.numFramesPerVolume" not in header
        assert "SI.hStackManager.stackMode" not in header
        assert header["SI.hFastZ.numVolumes"] == recording.volumes
    period, line = header["SI.hRoiManager.scanFramePeriod"], header["SI.hRoiManager.linePeriod"]
    frequency, flyback = header["SI.hScan2D.scannerFrequency"], header["SI.hScan2D.flybackTimePerFrame"]
    lines = 0 if np.isnan(frequency) else int(np.ceil(flyback * frequency)) * (2 if recording.bidirectional else 1)
    assert period / line == pytest.approx(recording.height + lines, rel=1e-4)


def test_frame_blocks_of_one_frame_are_equal_over_channels():
    recording = ScanImageRecording(frames=4, channels=(1, 2, 3), log_average_factor=3)
    blocks = recording.descriptions()
    numbers = [int(re.search(r"^frameNumbers = (\d+)$", b, re.M)[1]) for b in blocks]
    times = [float(re.search(r"^frameTimestamps_sec = (\S+)$", b, re.M)[1]) for b in blocks]
    assert numbers == [3, 6, 9, 12]
    np.testing.assert_allclose(times, (np.array(numbers) - 1) / 30, atol=1e-9)
    np.testing.assert_array_equal(times, recording.expected_timestamps())


def test_descriptions_reach_the_file(tmp_path):
    recording = ScanImageRecording(
        frames=4, channels=(1, 2), aux_triggers={2: {1: (0.05, 0.06)}}, i2c={3: [(0.1, b"\x00\x7f"), (0.11, b"\x02")]}
    )
    _, found = read_pages(recording.write(tmp_path)[0])
    stripped = [text.rstrip() for text in found]
    assert stripped == [text.rstrip() for text in recording.descriptions() for _ in recording.channels]
    assert "auxTrigger1 = [0.050000000 0.060000000]" in stripped[4]
    assert stripped[6].endswith("I2CData = {{0.100000000, [0,127]} {0.110000000, [2]}}")
    assert stripped[0].endswith("auxTrigger3 = []\nI2CData = {}")


def test_json_descriptions_parse():
    recording = ScanImageRecording(frames=2, json_header=True, aux_triggers={1: {0: (0.5,)}})
    first, second = map(json.loads, recording.descriptions())
    assert (first["frameNumbers"], second["frameNumbers"]) == (1, 2)
    assert second["auxTrigger0"] == [0.5]
    assert json.loads(recording.header_text())["SI"]["hRoiManager"]["linesPerFrame"] == recording.height


@pytest.mark.parametrize(
    ("request_", "names"),
    [
        ({}, ["rec_00001.tif"]),
        ({"frames": 5, "frames_per_file": 2}, [f"rec_00001_0000{k}.tif" for k in (1, 2, 3)]),
        ({"acquisitions": 2}, ["rec_00001.tif", "rec_00002.tif"]),
        ({"acquisitions": 2, "frames": 2, "frames_per_file": 2}, ["rec_00001_00001.tif", "rec_00002_00001.tif"]),
        ({"channels": (1, 4), "file_per_channel": True}, ["rec_00001_chn1.tif", "rec_00001_chn4.tif"]),
    ],
)
def test_file_names(request_, names):
    assert ScanImageRecording(**request_).file_names() == names


def test_expected_leaves_out_flyback_and_the_incomplete_volume():
    recording = ScanImageRecording(slices=2, flyback=1, volumes=3, channels=(1, 2), drop_pages=1)
    expected = recording.expected()
    assert expected.shape == (2, 2, 2, 32, 24)
    # page = ((volume * 3 + plane) * 2) + channel
    np.testing.assert_array_equal(expected[1, 1, 1], page_pixels([(1 * 3 + 1) * 2 + 1], 32, 24)[0])
    kept = recording.expected(flyback="keep")
    np.testing.assert_array_equal(kept[:, :, :2], expected)
    assert np.isnan(recording.expected_z_um(flyback="keep")).tolist() == [False, False, True]
    assert recording.expected_frame_numbers().tolist() == [[1, 2], [4, 5]]


def test_repeats_need_a_choice():
    recording = ScanImageRecording(slices=2, repeats=4, log_average_factor=2, volumes=2)
    with pytest.raises(ValueError, match="slice_repeats"):
        recording.expected()
    assert recording.expected(slice_repeats="interleave").shape == (4, 1, 2, 32, 24)
    pages = recording.page_table(slice_repeats="interleave")[:, 0]
    assert pages.tolist() == [[0, 2], [1, 3], [4, 6], [5, 7]]
    mean = recording.expected(slice_repeats="mean")
    pair = recording.expected_pages(0, 2).astype(np.float64).mean(axis=0)
    np.testing.assert_array_equal(mean[0, 0, 0], pair.astype(np.float32))
    with pytest.raises(ValueError, match="straddle"):
        ScanImageRecording(slices=2, flyback=1, log_average_factor=2, volumes=2).page_table()


def test_slow_stack_numbers_as_observed():
    recording = ScanImageRecording(slices=2, repeats=2, volumes=2, stack_mode="slow")
    line = recording.timeline
    assert line.frame_number.tolist() == list(range(1, 9))
    assert line.acquisition_number.tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert line.acquisition_frame_number.tolist() == [1, 2] * 4
    assert line.end_of_acquisition.tolist() == [0, 1] * 4
    assert line.end_of_mode.tolist() == [0] * 7 + [1]
    assert np.all(np.diff(line.timestamp_s) > 0)
    assert re.search(r"^SI\.hStackManager\.zs = \[0 0 2 2\]$", recording.header_text(), re.M)


def test_loop_goes_on_counting_and_restarts_each_acquisition():
    recording = ScanImageRecording(frames=3, acquisitions=2)
    line = recording.timeline
    assert line.frame_number.tolist() == [1, 2, 3, 4, 5, 6]
    assert line.acquisition_frame_number.tolist() == [1, 2, 3] * 2
    assert line.timestamp_s[3] == 10.0
    assert (line.trigger_timestamp_s > -1).tolist() == [True, False, False, True, False, False]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32"])
def test_no_two_pages_of_a_long_recording_start_alike(dtype):
    pages = np.arange(400_000)
    starts = page_pixels(pages, 1, 3, dtype)[:, 0, :]
    assert len(np.unique(starts, axis=0)) == len(pages)
    image = page_pixels([12345], 40, 50, dtype)[0].astype(np.int64)
    assert np.all(np.diff(image, axis=0))
    assert np.all(np.diff(image, axis=1))
    info = np.iinfo(dtype)
    assert image.min() >= info.min
    assert image.max() <= info.max


def test_pixels_follow_the_documented_formula():
    y, x = np.indices((7, 8))
    for page in (0, 3, 65_536, 99_999):
        prime = np.array([65521, 65519, 65497])[x % 3]
        value = (page * 15485863 + 31 * y + 17 * x) % prime - 32760
        np.testing.assert_array_equal(page_pixels([page], 7, 8)[0], value)


def test_seventy_thousand_pages(tmp_path):
    recording = ScanImageRecording(height=4, width=4, frames=70_000)
    (path,) = recording.write(tmp_path)
    stride = 2384 + 32
    assert (path.stat().st_size - stride * 70_000) % 4 == 0
    with path.open("rb") as file:
        file.seek(-stride, os.SEEK_END)
        page = file.read()
    np.testing.assert_array_equal(np.frombuffer(page[-32:], "<i2").reshape(4, 4), recording.expected_pages(69_999)[0])
    assert b"frameNumbers = 70000\n" in page


def test_pixels_from_outside(tmp_path):
    recording = ScanImageRecording(frames=5, channels=(1, 2), frames_per_file=2, file_per_channel=True)
    truth = np.random.default_rng(0).integers(-300, 300, (5, 2, 32, 24), np.int16)
    paths = recording.write(tmp_path, pixels=lambda first, stop: truth[first:stop])
    by_channel = defaultdict(list)
    for path in paths:
        by_channel[path.stem[-1]].append(read_pages(path)[0])
    for channel, parts in by_channel.items():
        np.testing.assert_array_equal(np.concatenate(parts), truth[:, int(channel) - 1])
    with pytest.raises(ValueError, match="shape"):
        recording.write(tmp_path, pixels=lambda first, stop: truth[:1, :1])
    with pytest.raises(ValueError, match="wanted int16"):
        recording.write(tmp_path, pixels=lambda first, stop: truth[first:stop].astype(np.int32))


def test_header_lines_can_be_replaced_and_left_out():
    recording = ScanImageRecording(
        extra_header={"SI.hScan2D.logAverageFactor": "7", "SI.hZzz.added": "{'a' 'b'}"},
        omit_header=("SI.hRoiManager.linePeriod",),
    )
    lines = recording.header_text().splitlines()
    assert "SI.hScan2D.logAverageFactor = 7" in lines
    assert "SI.hZzz.added = {'a' 'b'}" in lines
    assert lines == sorted(lines, key=lambda line: line.split(" = ")[0])
    assert not any(line.startswith("SI.hRoiManager.linePeriod") for line in lines)


@pytest.mark.parametrize(
    "wrong",
    [
        {"height": 0},
        {"width": 70_000},
        {"channels": ()},
        {"channels": (2, 1)},
        {"channels": (0,)},
        {"channels": (5,)},
        {"dtype": "float32"},
        {"slices": 3},
        {"flyback": 2},
        {"repeats": 2},
        {"zs": (0.0, np.nan), "volumes": 1},
        {"volumes": 0},
        {"stack_mode": "slow", "flyback": 1, "slices": 2, "volumes": 1},
        {"channel_save_form": "scalar", "channels": (1, 2)},
        {"frame_rate_hz": 0.0},
        {"frame_rate_hz": np.inf},
        {"version": "2.1"},
        {"version": "2014"},
        {"version": "3.8", "acquisitions": 2},
        {"version": "3.8", "slices": 2, "volumes": 1},
        {"version": "4.2", "slices": 2, "volumes": 2, "stack_mode": "slow"},
        {"version": "4.2", "slices": 2, "volumes": 2, "repeats": 2},
        {"version": "5.1", "json_header": True},
        {"next_file_markers": {10: 1.0}},
        {"trailing_bytes": -1},
        {"block_style": "fancy"},
        {"strips": 33},
        {"frames_per_file": 0},
        {"drop_pages": 10},
        {"aux_triggers": {10: {}}},
        {"aux_triggers": {0: {4: (1.0,)}}},
        {"slices": 1, "volumes": 2, "log_average_factor": 5},
    ],
)
def test_impossible_requests_are_refused(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        ScanImageRecording(**wrong)


def test_overlong_frame_block_is_refused(tmp_path):
    recording = ScanImageRecording(i2c={0: [(0.1, bytes(2000))]})
    with pytest.raises(ValueError, match="2000 bytes"):
        recording.write(tmp_path)


# Genuine files

GENUINE = {
    "no flyback": (
        "volumetric_single_channel_single_file_no_flyback/vol_no_flyback_00001_00001.tif",
        {"slices": 9, "volumes": 10, "frames_per_file": 22_000, "epoch": (2025, 4, 30, 14, 51, 53.601)},
        0,
    ),
    **{
        f"flyback, file {k}": (
            f"volumetric_single_channel_multi_file/vol_one_ch_multi_files_00001_0000{k}.tif",
            {"slices": 9, "volumes": 100, "flyback": 7, "frames_per_file": 160, "epoch": (2025, 4, 24, 16, 43, 57.206)},
            k - 1,
        )
        for k in (1, 2, 3, 4)
    },
}


@pytest.mark.parametrize(("name", "request_", "part"), GENUINE.values(), ids=GENUINE.keys())
def test_layout_equals_genuine_file(name, request_, part, tmp_path):
    genuine = SAMPLES / name
    if not genuine.exists():
        pytest.skip(f"genuine file {name} is not at hand (GALVO_SAMPLE_DATA)")
    recording = ScanImageRecording(height=20, width=20, fov_deg=(9.0, 9.0), zoom=8.0, z_step_um=2.0, **request_)
    ours_path = recording.write(tmp_path)[part]
    theirs, ours = read_entries(genuine), read_entries(ours_path)
    assert len(theirs) == len(ours)
    raw_theirs, raw_ours = genuine.read_bytes(), ours_path.read_bytes()
    assert raw_theirs[:8] + raw_theirs[16:24] == raw_ours[:8] + raw_ours[16:24]
    for raw, first in ((raw_theirs, theirs[0][0]), (raw_ours, ours[0][0])):
        n0, n1 = struct.unpack_from("<II", raw, 24)
        end = 32 + n0 + n1
        assert first == end + 4 - end % 4
    place = {270, 273}
    static = {305, 315}
    for (a, entries_a), (b, entries_b) in zip(theirs, ours, strict=True):
        for (code, *kind_a, value_a), (code_b, *kind_b, value_b) in zip(entries_a, entries_b, strict=True):
            assert code == code_b
            if code in place:
                assert (kind_a, value_a - a) == (kind_b, value_b - b)
            elif code in static:
                assert kind_a[0] == kind_b[0]
            else:
                assert (code, kind_a, value_a) == (code, kind_b, value_b)
        # Times of a real clock differ; nothing else in the block does, spaces and padding included.
        text_a, text_b = (raw[o + 376 : o + 2384] for raw, o in ((raw_theirs, a), (raw_ours, b)))
        clock = re.compile(rb"(frameTimestamps_sec|acqTriggerTimestamps_sec) = (?:\d+|-0)\.\d{9}$", re.M)
        theirs_text, ours_text = (clock.sub(rb"\1", text).rstrip(b" \0") for text in (text_a, text_b))
        assert theirs_text == ours_text
        assert text_a[-8:] == text_b[-8:] == bytes(8)
        assert text_a[len(text_a.rstrip(b" \0")) : 2000].strip(b" ") == b""
