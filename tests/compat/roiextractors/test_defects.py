"""What the original reads wrongly, against closed-form truth: one test or more for each of R1 to R18."""

from __future__ import annotations

import os
import warnings
from collections import Counter

import numpy as np
import psutil
import pytest
import tifffile

from galvo import native
from galvo.compat.roiextractors import ScanImageImagingExtractor
from galvo.errors import GalvoWarning


def test_r1_frames_beyond_65535(write):
    truth, (path,) = write(height=1, width=2, frames=70_000)
    extractor = ScanImageImagingExtractor(path)
    assert extractor.get_num_samples() == 70_000
    for frame in (0, 4463, 65_535, 65_536, 69_999):
        expected = truth.expected_pages(frame, frame + 1)
        np.testing.assert_array_equal(extractor.get_series(frame, frame + 1), expected)
        np.testing.assert_array_equal(extractor.get_samples([frame]), expected)
    np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(70_000))
    np.testing.assert_array_equal(extractor._frames_to_ifd_table["acquisition_cycle_index"], np.arange(70_000))
    np.testing.assert_array_equal(extractor.get_times(), truth.expected_timestamps())


def test_r1_the_table_is_wide():
    table = ScanImageImagingExtractor._create_frame_to_ifd_table(1, 1, 70_000, [70_000])
    np.testing.assert_array_equal(table["IFD_index"], np.arange(70_000))
    table = ScanImageImagingExtractor._create_frame_to_ifd_table(1, 300, 2, [601], 1, 1)
    assert table[-1].tolist() == (0, 600, 0, 299, 0, 1)
    table = ScanImageImagingExtractor._create_frame_to_ifd_table(1, 1, 70_000, [1] * 70_000)
    np.testing.assert_array_equal(table["file_index"], np.arange(70_000))


def test_r2_three_hundred_slices(write, samples, times):
    truth, (path,) = write(height=2, width=2, slices=300, flyback=3, volumes=3, channels=(1, 2))
    for plane in (10, 266, 280):
        extractor = ScanImageImagingExtractor(path, "Channel 2", plane_index=plane)
        np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1, plane))
        np.testing.assert_array_equal(extractor.get_times(), times(truth, plane))
        np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(3) * 606 + 2 * plane + 1)
        assert (extractor._frames_to_ifd_table["depth_index"] == plane).all()
    extractor = ScanImageImagingExtractor(path, "Channel 1")
    np.testing.assert_array_equal(extractor.get_series(), samples(truth))


def test_r3_the_number_of_slices_is_the_hardwares(write, samples):
    truth, (path,) = write(zs=(30.0, 10.5, 50.0), volumes=4, flyback=1, stale_header=True)
    extractor = ScanImageImagingExtractor(path)
    assert extractor.is_volumetric
    assert extractor.num_flyback_frames_per_channel == 1
    np.testing.assert_array_equal(extractor.get_series(), samples(truth))
    assert ScanImageImagingExtractor.get_available_num_planes(path) == 3


def test_r3_a_stale_number_of_slices_makes_no_volumes(write):
    _, (path,) = write(frames=6, stale_header=True)
    assert ScanImageImagingExtractor.get_available_num_planes(path) == 1
    assert ScanImageImagingExtractor(path).get_sample_shape() == (32, 24)


@pytest.mark.parametrize(
    "request_",
    [
        {"slices": 3, "repeats": 4, "volumes": 2, "stack_mode": "slow"},
        {"slices": 3, "repeats": 4, "flyback": 4, "volumes": 3},
        {"frames": 6},
    ],
    ids=["slow", "fast", "planar"],
)
def test_r4_averaged_frames(write, samples, times, request_):
    truth, (path,) = write(log_average_factor=4, frame_rate_hz=30.25, **request_)
    extractor = ScanImageImagingExtractor(path)
    np.testing.assert_array_equal(extractor.get_series(), samples(truth))
    np.testing.assert_array_equal(extractor.get_times(), times(truth))
    assert extractor.get_sampling_frequency() == pytest.approx(truth.expected_frame_rate_hz, rel=1e-5)
    assert extractor.num_flyback_frames_per_channel == truth.flyback // 4
    if truth.is_volumetric:
        assert ScanImageImagingExtractor.get_frames_per_slice(path) == 1


def test_r5_saved_channels_as_a_column(write, samples):
    truth, (path,) = write(channels=(1, 4), channel_save_form="column", frames=5)
    assert ScanImageImagingExtractor.get_available_channel_names(path) == ["Channel 1", "Channel 4"]
    extractor = ScanImageImagingExtractor(path, "Channel 4")
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1))


def test_r6_a_rig_with_one_channel(write):
    _, (path,) = write(channel_names=("Channel 1",), frames=3)
    extractor = ScanImageImagingExtractor(path)
    assert (extractor.channel_name, extractor.channel_names) == ("Channel 1", ["Channel 1"])
    assert ScanImageImagingExtractor.get_available_channel_names(path) == ["Channel 1"]


@pytest.mark.parametrize("request_", [{"frames": 8}, {"slices": 3, "flyback": 1, "volumes": 2}])
def test_r7_a_loop_in_parts(write, samples, times, request_):
    truth, paths = write(acquisitions=2, frames_per_file=3, **request_)
    for path in (paths[0], paths[-1]):
        extractor = ScanImageImagingExtractor(path)
        assert extractor.file_paths == paths
        np.testing.assert_array_equal(extractor.get_series(), samples(truth))
        np.testing.assert_array_equal(extractor.get_times(), times(truth))


def test_r8_two_grabs_in_one_folder(write, samples):
    stack = {"slices": 4, "volumes": 1, "stack_mode": "slow"}
    truth, (first,) = write("both", **stack)
    _, (other,) = write("elsewhere", epoch=(2025, 4, 24, 17, 0, 1.5), **stack)
    other.rename(first.with_name("rec_00002.tif"))
    extractor = ScanImageImagingExtractor(first)
    assert extractor.file_paths == [first]
    np.testing.assert_array_equal(extractor.get_series(), samples(truth))


@pytest.mark.parametrize("per_file", [None, 3])
def test_r9_a_file_per_channel(write, samples, times, per_file):
    truth, paths = write(frames=5, channels=(1, 4), file_per_channel=True, frames_per_file=per_file)
    for number, name in enumerate(("Channel 1", "Channel 4")):
        extractor = ScanImageImagingExtractor(paths[0], name)
        assert extractor.get_num_samples() == 5
        np.testing.assert_array_equal(extractor.get_series(), samples(truth, number))
        np.testing.assert_array_equal(extractor.get_times(), times(truth))
        pages = extractor._frames_to_ifd_table
        files = [extractor.file_paths[file].name for file in pages["file_index"].tolist()]
        assert all(name.endswith(f"_chn{truth.channels[number]}.tif") for name in files)


@pytest.mark.parametrize(
    "request_",
    [
        {"version": "2016b", "frames": 6, "channels": (1, 2)},
        {"version": "2018b", "slices": 3, "flyback": 2, "volumes": 2, "channels": (1, 2)},
        {"version": "2019a", "slices": 3, "volumes": 2, "stack_mode": "slow", "channels": (1, 2)},
        {"version": "2017b", "slices": 3, "flyback": 2, "volumes": 2, "stale_header": True, "channels": (1, 2)},
        {"version": "5.2", "slices": 3, "flyback": 2, "volumes": 2, "channels": (1, 2)},
        {"version": "4.2", "slices": 3, "flyback": 2, "volumes": 2, "channels": (1, 2)},
    ],
    ids=lambda request_: "-".join(map(str, request_.values())),
)
def test_r10_earlier_headers(write, samples, times, request_):
    truth, (path,) = write(**request_)
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1))
    np.testing.assert_array_equal(extractor.get_times(), times(truth))
    assert extractor.get_sampling_frequency() == pytest.approx(truth.expected_frame_rate_hz, rel=1e-5)
    assert ScanImageImagingExtractor.get_available_num_planes(path) == len(truth.slice_z_um)


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_r11_a_file_that_is_not_scanimages(tmp_path, kind):
    tifffile.imwrite(tmp_path / "plain.tif", np.zeros((3, 8, 9), "int16"), photometric="minisblack")
    path = kind(tmp_path / "plain.tif")
    message = "^Invalid metadata: The metadata is either None or empty.$"
    for call in (
        ScanImageImagingExtractor,
        ScanImageImagingExtractor.get_available_channel_names,
        ScanImageImagingExtractor.get_available_num_planes,
        ScanImageImagingExtractor.get_frames_per_slice,
    ):
        with pytest.raises(ValueError, match=message):
            call(path)
    with pytest.raises(ValueError, match=message):
        ScanImageImagingExtractor(file_paths=[path])


@pytest.mark.parametrize(
    "request_", [{"frames": 20}, {"slices": 3, "flyback": 1, "volumes": 20}], ids=["planar", "volumes"]
)
def test_r12_ranges_and_indices(write, samples, times, request_):
    truth, (path,) = write(**request_)
    expected, stated = samples(truth), times(truth)
    extractor = ScanImageImagingExtractor(path)
    for start, end in ((-2, None), (None, None), (0, -2), (-5, -2), (3, 3), (20, 20), (np.int64(4), np.uint8(7))):
        np.testing.assert_array_equal(extractor.get_series(start, end), expected[start:end])
    for indices in ([5, 1, 1, 19], [-1], [-20, 0], range(3), np.array([2, 2], "u1"), [1.0]):
        found = extractor.get_samples(indices)
        np.testing.assert_array_equal(found, expected[np.asarray(indices, int)])
        assert found.dtype == expected.dtype
    assert extractor.get_samples([]).shape == (0, *expected.shape[1:])
    for slicing in ((2, None), (None, 7), (None, None), (3, 9)):
        part = extractor.slice_samples(*slicing)
        start, end, _ = slice(*slicing).indices(20)
        assert part.get_num_samples() == end - start
        np.testing.assert_array_equal(part.get_series(), expected[start:end])
        np.testing.assert_array_equal(part.get_samples([-1, 0]), expected[[end - 1, start]])
        np.testing.assert_array_equal(part.get_native_timestamps(-2), stated[start:end][-2:])
        inner = part.slice_samples(1)
        np.testing.assert_array_equal(inner.get_series(0, 2), expected[start + 1 : start + 3])


def test_r12_what_is_not_there_is_refused_unread(write, monkeypatch):
    _, (path,) = write(frames=20)
    extractor = ScanImageImagingExtractor(path)
    monkeypatch.setattr(type(extractor), "_read", lambda *_: pytest.fail("it reads"))
    for start, end, index in ((0, 100, 20), (30, 40, 30), (-21, None, -21), (0, -21, -21)):
        with pytest.raises(IndexError, match=f"index {index} is out of bounds for axis 0 with size 20"):
            extractor.get_series(start, end)
    with pytest.raises(ValueError, match="negative dimensions are not allowed"):
        extractor.get_series(5, 2)
    with pytest.raises(TypeError):
        extractor.get_series(1.5, 3)
    for indices in ([20], [-21], [3, 99]):
        with pytest.raises(AssertionError, match="'sample_indices' range beyond number of available samples!"):
            extractor.get_samples(indices)
    for indices in (3, slice(0, 3), [True, False], [0.5], ["a"]):
        with pytest.raises(TypeError):
            extractor.get_samples(indices)
    with pytest.raises(ValueError, match="one dimension"):
        extractor.get_samples([[1, 2]])
    part = extractor.slice_samples(3, 6)
    with pytest.raises(IndexError):
        part.get_series(0, 10)
    with pytest.raises(AssertionError):
        part.get_samples([3])
    with pytest.raises(AssertionError, match="Received '-1'"):
        part.get_series(-1)


@pytest.mark.parametrize("request_", [{"frames": 5}, {"slices": 3, "flyback": 2, "volumes": 3}])
def test_r13_json(write, samples, times, request_):
    truth, (path,) = write(json_header=True, channels=(1, 2), **request_)
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1))
    np.testing.assert_array_equal(extractor.get_times(), times(truth))
    assert extractor._metadata["SI.hChannels.channelSave"] == [1, 2]
    with tifffile.TiffFile(path) as tif:
        page = tif.pages[2]
        assert ScanImageImagingExtractor.extract_timestamp_from_page(page) == truth.timeline.timestamp_s[1]


def test_r14_interleaved_repeats_come_more_often(write, samples, times):
    truth, (path,) = write(slices=3, repeats=2, flyback=1, volumes=4, frame_rate_hz=30.25)
    with pytest.warns(GalvoWarning, match="times are uneven"):
        extractor = ScanImageImagingExtractor(path, interleave_slice_samples=True)
    assert extractor.get_sampling_frequency() == pytest.approx(2 * 30.25 / 7, rel=1e-5)
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, repeat="interleave"))
    np.testing.assert_array_equal(extractor.get_times(), times(truth, repeat="interleave"))
    table = extractor._frames_to_ifd_table
    np.testing.assert_array_equal(table["slice_sample_index"], np.tile([0, 0, 0, 1, 1, 1], 4))
    np.testing.assert_array_equal(table["acquisition_cycle_index"], np.repeat(np.arange(4), 6))
    np.testing.assert_array_equal(table["IFD_index"], truth.page_table(slice_repeats="interleave").ravel())
    assert table["IFD_index"].dtype == np.int64


def test_r15_a_wrong_channel_is_refused(write):
    _, (path,) = write(channels=(3,), frames=3)
    with pytest.raises(ValueError, match=r"Channel name \(zz\) not found in available channels \(\['Channel 3'\]\)"):
        ScanImageImagingExtractor(path, channel_name="zz")


def test_r15_files_close_with_the_extractor(write):
    _, (path,) = write(slices=2, volumes=3, frames_per_file=None)
    process = psutil.Process()
    before = {entry.path for entry in process.open_files()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor = ScanImageImagingExtractor(path)
        view = extractor.slice_field_of_view(1, 9)
        part = view.slice_samples(1)
        assert extractor._tiff_readers[0].pages[0].shape == (32, 24)
        extractor.get_series()
        del extractor
        assert part.get_series().shape == (2, 8, 24, 2)
        assert str(path) in {entry.path for entry in process.open_files()}
        del view, part
        assert {entry.path for entry in process.open_files()} == before


def test_r16_volumes_after_a_gap_begin_anew(write, samples, times):
    truth, paths = write(slices=3, flyback=1, volumes=8, frames_per_file=5)
    os.remove(paths[2])
    with (
        pytest.warns(UserWarning, match="Missing files detected in the sequence: rec_00001_00003.tif"),
        pytest.warns(GalvoWarning, match="files of the series are missing: rec_00001_00003.tif"),
        pytest.warns(GalvoWarning, match="3 pages make no whole volume"),
        pytest.warns(GalvoWarning, match="6 volumes are in the files, the header announces 8"),
    ):
        extractor = ScanImageImagingExtractor(paths[0])
    # files hold frames 0-9 and 15-31: whole volumes of four are 0, 1 and 4 to 7
    whole = [0, 1, 4, 5, 6, 7]
    np.testing.assert_array_equal(extractor.get_series(), samples(truth)[whole])
    np.testing.assert_array_equal(extractor.get_times(), times(truth)[whole])
    np.testing.assert_array_equal(extractor.get_original_frame_indices(), [2, 6, 13, 17, 21, 25])
    assert extractor._ifds_per_file == [5, 5, 5, 5, 5, 2]


def test_r17_no_loop_over_pages(write, samples, times, monkeypatch):
    truth, (path,) = write(frames=400, channels=(1, 2))
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    calls = Counter()

    def counted(name, call):
        return lambda *arguments, **options: calls.update([name]) or call(*arguments, **options)

    for name in ("read_boxes", "scan_text", "read_at"):
        monkeypatch.setattr(native, name, counted(name, getattr(native, name)))
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1))
    assert calls == {"read_boxes": 1}
    np.testing.assert_array_equal(extractor.get_times(), times(truth))
    assert calls["scan_text"] == 1
    assert calls.total() <= 4
    calls.clear()
    extractor.get_times()
    extractor.get_native_timestamps(3, 9)
    np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(1, 800, 2))
    assert not calls


def test_r18_interleaving_has_no_effect_beside_slice_sample(write, samples):
    truth, (path,) = write(slices=3, repeats=2, flyback=1, volumes=4, frame_rate_hz=30.25)
    extractor = ScanImageImagingExtractor(path, slice_sample=1, interleave_slice_samples=True)
    assert extractor.get_num_samples() == 4
    assert extractor.get_sampling_frequency() == pytest.approx(30.25 / 7, rel=1e-5)
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, repeat=1))
    assert (extractor._frames_to_ifd_table["slice_sample_index"] == 1).all()
