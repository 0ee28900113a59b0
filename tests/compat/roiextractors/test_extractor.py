"""ScanImageImagingExtractor: names, arguments, attributes, results and messages as the original's were observed."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import galvo
from galvo.compat.roiextractors import (
    ImagingExtractor,
    ScanImageImagingExtractor,
    ScanImageLegacyImagingExtractor,
)
from galvo.errors import GalvoWarning

VOLUMES = {"slices": 3, "flyback": 1, "volumes": 5, "channels": (1, 2), "frame_rate_hz": 30.25}
REPEATS = {"slices": 3, "repeats": 2, "flyback": 1, "volumes": 4, "frame_rate_hz": 30.25}

SIGNATURES = {
    "__init__": "self, file_path=None, channel_name=None, file_paths=None, slice_sample=None, plane_index=None, "
    "interleave_slice_samples=False",
    "get_series": "self, start_sample=None, end_sample=None",
    "get_samples": "self, sample_indices",
    "get_native_timestamps": "self, start_sample=None, end_sample=None",
    "get_timestamps": "self, start_sample=None, end_sample=None",
    "get_original_frame_indices": "self, plane_index=None",
    "get_available_channel_names": "file_path",
    "get_available_num_planes": "file_path",
    "get_frames_per_slice": "file_path",
    "extract_timestamp_from_page": "page",
    "slice_field_of_view": "self, row_start=None, row_end=None, column_start=None, column_end=None",
    "slice_samples": "self, start_sample=None, end_sample=None",
    "select_plane": "self, plane_index",
    "time_to_sample_indices": "self, times",
    "set_times": "self, times",
    "copy_times": "self, extractor",
    "_create_frame_to_ifd_table": "num_channels, num_planes, num_acquisition_cycles, ifds_per_file, "
    "num_frames_per_slice=1, num_flyback_frames_per_channel=0",
    **dict.fromkeys(
        ("get_times", "get_dtype", "get_image_shape", "get_frame_shape", "get_sample_shape", "get_volume_shape",
         "get_num_planes", "get_num_samples", "get_sampling_frequency", "has_time_vector", "_find_data_files"),
        "self",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = inspect.signature(getattr(ScanImageImagingExtractor, name)).parameters.values()
    bare = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert ", ".join(bare) == SIGNATURES[name]


def test_planar_facts(write):
    _, (path,) = write(frames=20, channels=(1, 2), frame_rate_hz=30.25)
    extractor = ScanImageImagingExtractor(str(path), channel_name="Channel 2")
    assert extractor.name == extractor.extractor_name == "ScanImageImagingExtractor"
    assert isinstance(extractor, ImagingExtractor)
    assert (extractor.file_path, extractor.file_paths) == (path, [path])
    assert extractor._find_data_files() == [path]
    assert (extractor.channel_name, extractor.channel_names) == ("Channel 2", ["Channel 1", "Channel 2"])
    assert (extractor._channel_index, extractor._num_channels, extractor._is_multi_channel_data) == (1, 2, True)
    assert extractor.is_volumetric is False
    assert extractor.num_flyback_frames_per_channel == 0
    assert (extractor._num_planes, extractor._frames_per_slice, extractor._slice_sample) == (1, 1, None)
    assert (extractor._ifds_per_file, extractor._num_frames_in_dataset, extractor._num_samples) == ([40], 40, 20)
    assert (extractor._num_rows, extractor._num_columns, extractor._dtype) == (32, 24, np.dtype("int16"))
    assert extractor.get_image_shape() == extractor.get_frame_shape() == extractor.get_sample_shape() == (32, 24)
    assert extractor.get_volume_shape() == (32, 24, 1)
    assert extractor.get_num_planes() == 1
    assert extractor.get_dtype() == np.dtype("int16")
    assert extractor.get_sampling_frequency() == extractor._sampling_frequency == 30.25
    np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(1, 40, 2))
    assert extractor.get_original_frame_indices(0).dtype == np.int64
    for plane in (1, -1):
        with pytest.raises(AssertionError, match=f"Plane index {plane} exceeds number of planes 1."):
            extractor.get_original_frame_indices(plane)
    with pytest.raises(ValueError, match="select_plane is only valid for volumetric extractors"):
        extractor.select_plane(0)
    assert ScanImageImagingExtractor.get_available_channel_names(path) == ["Channel 1", "Channel 2"]
    assert ScanImageImagingExtractor.get_available_num_planes(str(path)) == 1
    assert ScanImageImagingExtractor.get_frames_per_slice(path) == 20


def test_volumetric_facts(write, samples, times):
    truth, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 1")
    assert extractor.is_volumetric is True
    assert extractor.get_sample_shape() == extractor.get_volume_shape() == (32, 24, 3)
    assert extractor.get_image_shape() == (32, 24)
    assert (extractor.get_num_planes(), extractor.num_flyback_frames_per_channel) == (3, 1)
    assert (extractor._frames_per_volume_per_channel, extractor._frames_per_volume_with_flyback) == (3, 4)
    assert extractor.get_sampling_frequency() == 7.5625
    series = extractor.get_series(1, 4)
    np.testing.assert_array_equal(series, samples(truth)[1:4])
    assert series.flags.c_contiguous
    np.testing.assert_array_equal(extractor.get_times(), times(truth))
    np.testing.assert_array_equal(extractor.get_original_frame_indices(), [4, 12, 20, 28, 36])
    np.testing.assert_array_equal(extractor.get_original_frame_indices(1), [2, 10, 18, 26, 34])
    with pytest.raises(AssertionError, match=r"^Plane index 3 exceeds number of planes 3\.$"):
        extractor.get_original_frame_indices(3)
    assert extractor._frames_to_ifd_table[:4].tolist() == [
        (0, 0, 0, 0, 0, 0), (0, 2, 0, 1, 0, 0), (0, 4, 0, 2, 0, 0), (0, 8, 0, 0, 0, 1)
    ]  # fmt: skip


def test_large_volumes_are_turned_block_by_block(write, samples, monkeypatch):
    truth, (path,) = write(**VOLUMES)
    module = sys.modules[ScanImageImagingExtractor.__module__]
    monkeypatch.setattr(module, "_BLOCK_BYTES", 2 * 32 * 24 * 3 * 2)
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1))
    np.testing.assert_array_equal(extractor.get_samples([4, 0, 3, 3, 1]), samples(truth, 1)[[4, 0, 3, 3, 1]])


def test_one_plane(write, samples, times):
    truth, (path,) = write(**VOLUMES)
    for plane in range(3):
        extractor = ScanImageImagingExtractor(path, "Channel 2", plane_index=plane)
        assert extractor.is_volumetric is False
        assert extractor.get_sample_shape() == (32, 24)
        assert extractor.get_volume_shape() == (32, 24, 1)
        assert extractor.get_num_planes() == 1
        assert extractor.get_sampling_frequency() == 7.5625
        np.testing.assert_array_equal(extractor.get_series(), samples(truth, 1, plane))
        np.testing.assert_array_equal(extractor.get_times(), times(truth, plane))
        np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(5) * 8 + 2 * plane + 1)
    for plane in (3, -1):
        with pytest.raises(ValueError, match=rf"plane_index \({plane}\) must be between 0 and 2"):
            ScanImageImagingExtractor(path, "Channel 1", plane_index=plane)
    _, (path,) = write(frames=3)
    assert ScanImageImagingExtractor(path, plane_index=7).get_num_samples() == 3


def test_frames_per_slice(write, samples, times):
    truth, (path,) = write(**REPEATS)
    assert ScanImageImagingExtractor.get_frames_per_slice(path) == 2
    with pytest.raises(
        ValueError,
        match=r"^Multiple frames per slice detected \(2\), but no slice_sample specified\. Either provide a specific "
        r"slice_sample \(0 to 1\) or set interleave_slice_samples=True to explicitly opt into interleaving all slice "
        r"samples as separate time points\.$",
    ):
        ScanImageImagingExtractor(path)
    for wrong in (2, -1):
        with pytest.raises(
            ValueError,
            match=rf"^slice_sample must be between 0 and 1 \(frames_per_slice - 1\), but got {wrong}\.$",
        ):
            ScanImageImagingExtractor(path, slice_sample=wrong)
    for repeat in (0, 1):
        extractor = ScanImageImagingExtractor(path, slice_sample=repeat)
        assert (extractor._slice_sample, extractor._frames_per_slice) == (repeat, 2)
        np.testing.assert_array_equal(extractor.get_series(), samples(truth, repeat=repeat))
        np.testing.assert_array_equal(extractor.get_times(), times(truth, repeat=repeat))
    # no effect where there is nothing to choose
    _, (path,) = write(slices=3, volumes=2)
    extractor = ScanImageImagingExtractor(path, slice_sample=7, interleave_slice_samples=True)
    assert extractor.get_num_samples() == 2


def test_channels(write, samples):
    truth, (path,) = write(frames=4, channels=(1, 4))
    with pytest.raises(
        ValueError,
        match=r"^Multiple channels available in the data \['Channel 1', 'Channel 4'\]"
        r"Please specify a channel name to extract data from\.$",
    ):
        ScanImageImagingExtractor(path)
    with pytest.raises(
        ValueError,
        match=r"^Channel name \(X\) not found in available channels \(\['Channel 1', 'Channel 4'\]\)\. "
        r"Please specify a valid channel name\.$",
    ):
        ScanImageImagingExtractor(path, channel_name="X")
    for number, name in enumerate(("Channel 1", "Channel 4")):
        np.testing.assert_array_equal(ScanImageImagingExtractor(path, name).get_series(), samples(truth, number))
    _, (path,) = write(frames=4, omit_header=("SI.hChannels.channelSave", "SI.hChannels.channelsActive"))
    message = r"^Could not find any of \['SI.hChannels.channelSave', 'SI.hChannels.channelsActive'\] in metadata\.$"
    for call in (ScanImageImagingExtractor.get_available_channel_names, ScanImageImagingExtractor):
        with pytest.raises(ValueError, match=message):
            call(path)


# ---- files ---------------------------------------------------------------------------------------------------------


def test_any_file_names_the_series(write, samples):
    truth, paths = write(frames=10, frames_per_file=4)
    for path in paths:
        extractor = ScanImageImagingExtractor(path)
        assert extractor.file_path == path
        assert extractor.file_paths == paths
        assert extractor._ifds_per_file == [4, 4, 2]
        np.testing.assert_array_equal(extractor.get_series(), samples(truth))
        np.testing.assert_array_equal(extractor.get_original_frame_indices(), np.arange(10))


def test_files_in_the_order_given(write, samples):
    truth, paths = write(frames=10, frames_per_file=4)
    chosen = [str(paths[2]), paths[0]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        extractor = ScanImageImagingExtractor(file_paths=chosen)
    assert extractor.file_path == paths[2]
    assert extractor.file_paths == chosen
    np.testing.assert_array_equal(extractor.get_series(), samples(truth)[[8, 9, 0, 1, 2, 3]])
    np.testing.assert_array_equal(extractor._frames_to_ifd_table["file_index"], [0, 0, 1, 1, 1, 1])


def test_files_that_are_not_of_the_sequence(write, samples):
    truth, paths = write(frames=10, frames_per_file=4)
    folder = paths[0].parent
    for name in ("rec_00001_notes.tif", "rec_00001_00004_copy.tif", "rec_00001_00002.txt", "rec_00002_b.tif"):
        (folder / name).write_bytes(b"x")
    with pytest.warns(
        UserWarning,
        match=r"^Non-sequence files detected: rec_00001_00004_copy.tif, rec_00001_notes.tif\. These files will be "
        r"excluded from the dataset\. If you need to include these files, use the file_paths parameter\.$",
    ):
        extractor = ScanImageImagingExtractor(paths[1])
    np.testing.assert_array_equal(extractor.get_series(), samples(truth))
    _, paths = write(frames=4, acquisitions=3)
    (paths[0].parent / "rec_copy.tif").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"^Non-sequence files detected: rec_copy.tif\."):
        assert ScanImageImagingExtractor(paths[0]).file_paths == paths


def test_missing_files(write):
    _, paths = write(frames=12, frames_per_file=1)
    for number in (3, 9):
        os.remove(paths[number])
    with (
        pytest.warns(GalvoWarning, match="files of the series are missing"),
        pytest.warns(GalvoWarning, match="10 frames are in the files, the header announces 12"),
        pytest.warns(
            UserWarning,
            match=r"^Missing files detected in the sequence: rec_00001_00004.tif, rec_00001_00010.tif\. "
            r"This may affect data integrity and analysis results\.$",
        ),
    ):
        extractor = ScanImageImagingExtractor(paths[0])
    assert extractor.get_num_samples() == 10


def test_what_cannot_be_opened(write, tmp_path):
    with pytest.raises(AssertionError, match=r"^file_path or file_paths must be provided$"):
        ScanImageImagingExtractor(channel_name="Channel 1")
    _, (path,) = write(frames=4)
    with pytest.raises(TypeError):
        ScanImageImagingExtractor(file_paths=path)
    with pytest.raises(FileNotFoundError):
        ScanImageImagingExtractor(tmp_path / "missing.tif")
    (tmp_path / "junk.tif").write_bytes(b"hello world")
    with pytest.raises(ValueError, match="junk"):
        ScanImageImagingExtractor(tmp_path / "junk.tif")
    for other in ("missing.tif", "junk.tif"):
        with pytest.raises(RuntimeError, match=f"^Error opening TIFF file .*{other}: "):
            ScanImageImagingExtractor(file_paths=[path, tmp_path / other])
    _, (old,) = write(version="3.8")
    with pytest.raises(ValueError, match=r"^Invalid metadata: The metadata is either None or empty\.$"):
        ScanImageImagingExtractor(old)


def test_a_file_that_is_cut_shows_what_is_there(write, samples):
    truth, (path,) = write(frames=4)
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.warns(GalvoWarning, match="cut|end"):
        extractor = ScanImageImagingExtractor(path)
    np.testing.assert_array_equal(extractor.get_series(), samples(truth)[:3])


@pytest.mark.parametrize(
    ("extractor", "arguments", "text"),
    [
        (ScanImageImagingExtractor, (), "ScanImageImagingExtractor Extractor"),
        (ScanImageLegacyImagingExtractor, (10.0,), "ScanImageLegacyImagingExtractor"),
    ],
)
def test_odd_suffixes(write, extractor, arguments, text):
    _, (path,) = write(frames=4)
    for suffix in (".dat", ".Tif"):
        odd = Path(shutil.copy(path, path.with_suffix(suffix)))
        with pytest.warns(
            UserWarning,
            match=rf"^Suffix \({suffix}\) is not of type \.tiff, \.tif, \.TIFF, or \.TIF! The {text} may not be "
            r"appropriate for the file\.$",
        ):
            assert extractor(odd, *arguments).get_num_samples() == 4
    for suffix in (".TIF", ".tiff", ".TIFF"):
        extractor(shutil.copy(path, path.with_suffix(suffix)), *arguments)


# ---- times ---------------------------------------------------------------------------------------------------------


def test_times(write, times):
    truth, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 1")
    stated = times(truth)
    assert not extractor.has_time_vector()
    assert extractor._times is None
    np.testing.assert_array_equal(extractor.get_native_timestamps(1, 3), stated[1:3])
    assert extractor.has_time_vector()
    np.testing.assert_array_equal(extractor.get_timestamps(-2), stated[-2:])
    found = extractor.time_to_sample_indices(stated[3] + 0.001)
    assert isinstance(found, np.int64)
    assert found == 3
    np.testing.assert_array_equal(extractor.time_to_sample_indices([-1.0, stated[2], 99.0]), [-1, 2, 4])
    with pytest.raises(
        ValueError,
        match=r"^Mismatch between the number of samples and timestamps: 5 samples, but 2 timestamps provided\. "
        r"Ensure the length of 'times' matches the number of samples\.$",
    ):
        extractor.set_times([1, 2])
    with pytest.raises(ValueError, match="Mismatch"):
        extractor.set_times([[1, 2, 3, 4, 5]])
    extractor.set_times([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(extractor.get_times(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(extractor.get_timestamps(1, 3), [2, 3])
    assert extractor.time_to_sample_indices(2.2) == 1
    # what the files state stays what it is
    native = extractor.get_native_timestamps()
    np.testing.assert_array_equal(native, stated)
    native[:] = 0
    np.testing.assert_array_equal(extractor.get_native_timestamps(), stated)
    other = ScanImageImagingExtractor(path, "Channel 2")
    other.copy_times(extractor)
    np.testing.assert_array_equal(other.get_timestamps(), [1, 2, 3, 4, 5])
    other.copy_times(ScanImageImagingExtractor(path, "Channel 2"))
    np.testing.assert_array_equal(other.get_timestamps(), [1, 2, 3, 4, 5])


def test_pages_without_times(write):
    _, (path,) = write(frames=3, saved_again=True, frame_rate_hz=30.25)
    extractor = ScanImageImagingExtractor(path)
    with pytest.warns(UserWarning, match="Using calculated timestamp") as caught:
        found = extractor.get_times()
    assert [str(warning.message) for warning in caught] == [
        f"No frameTimestamps_sec found for sample {sample}. Using calculated timestamp instead." for sample in range(3)
    ]
    np.testing.assert_allclose(found, np.arange(3) / 30.25)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("x", None),
        ("frameTimestamps_sec = 1.5\n", 1.5),
        ("a = 2\nframeTimestamps_sec_ = 1.25\n", 1.25),
        ("frameTimestamps_sec=7", 7.0),
        ("frameTimestamps_sec = \n", None),
        ("frameTimestamps_sec = abc\n", None),
        ('{"frameTimestamps_sec": 2.5}', 2.5),
        ('{"frameNumbers": 2}', None),
    ],
)
def test_the_time_of_a_page(text, expected):
    tags = {} if text is None else {"ImageDescription": SimpleNamespace(value=text)}
    assert ScanImageImagingExtractor.extract_timestamp_from_page(SimpleNamespace(tags=tags)) == expected


def test_the_time_of_tifffiles_pages(write, times):
    truth, (path,) = write(frames=5)
    extractor = ScanImageImagingExtractor(path)
    pages = extractor._tiff_readers[0].pages
    found = [extractor.extract_timestamp_from_page(pages[number]) for number in range(5)]
    np.testing.assert_array_equal(found, times(truth))


# ---- parts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("plane", [None, 1])
def test_a_rectangle(write, samples, times, plane):
    truth, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 2", plane_index=plane)
    expected = samples(truth, 1, plane)
    view = extractor.slice_field_of_view(2, 10, 3, 20)
    assert type(view) is ScanImageImagingExtractor
    assert view._fov_root is extractor
    assert view.get_image_shape() == view.get_frame_shape() == (8, 17)
    assert view.get_sample_shape() == (8, 17) if plane is not None else (8, 17, 3)
    np.testing.assert_array_equal(view.get_series(), expected[:, 2:10, 3:20])
    np.testing.assert_array_equal(view.get_samples([3, 0]), expected[[3, 0], 2:10, 3:20])
    np.testing.assert_array_equal(view.get_times(), times(truth, -1 if plane is None else plane))
    inner = view.slice_field_of_view(1, 3, column_end=4)
    assert (inner._row_slice, inner._column_slice) == (slice(3, 5), slice(3, 7))
    assert inner._fov_root is extractor
    np.testing.assert_array_equal(inner.get_series(1, 3), expected[1:3, 3:5, 3:7])
    assert extractor.get_image_shape() == (32, 24)
    np.testing.assert_array_equal(view.slice_samples(1, 3).get_series(), expected[1:3, 2:10, 3:20])
    np.testing.assert_array_equal(extractor.slice_field_of_view().get_series(), expected)


@pytest.mark.parametrize("rows", [(-1, 3), (0, 33), (5, 5), (40, 41)])
def test_rectangles_that_are_not_there(write, rows):
    _, (path,) = write(frames=3)
    extractor = ScanImageImagingExtractor(path)
    with pytest.raises(
        ValueError,
        match=rf"^Invalid row range: require 0 <= row_start \({rows[0]}\) < row_end \({rows[1]}\) "
        r"<= current height \(32\)\.$",
    ):
        extractor.slice_field_of_view(*rows)
    with pytest.raises(ValueError, match=r"^Invalid column range: require 0 <= column_start \(20\) < column_end"):
        extractor.slice_field_of_view(0, 3, 20, 10)
    with pytest.raises(ValueError, match=r"current height \(4\)"):
        extractor.slice_field_of_view(0, 4).slice_field_of_view(0, 5)


def test_a_plane_of_volumes(write, samples):
    truth, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    plane = extractor.select_plane(2)
    assert plane.is_volumetric is False
    assert plane.get_sample_shape() == (32, 24)
    np.testing.assert_array_equal(plane.get_series(1, 4), samples(truth, 1, 2)[1:4])
    np.testing.assert_array_equal(plane.get_samples([3, 0]), samples(truth, 1, 2)[[3, 0]])
    np.testing.assert_array_equal(extractor.slice_samples(1, 4).select_plane(0).get_series(), samples(truth, 1, 0)[1:4])
    part = extractor.slice_samples(1, 4).slice_field_of_view(2, 10).select_plane(1)
    np.testing.assert_array_equal(part.get_series(0, 2), samples(truth, 1, 1)[1:3, 2:10])
    np.testing.assert_array_equal(part.get_samples([-1, 0]), samples(truth, 1, 1)[[3, 1], 2:10])
    np.testing.assert_array_equal(plane.get_series(-2), samples(truth, 1, 2)[3:])
    with pytest.raises(AssertionError, match="greater than or equal to zero"):
        part.get_series(-1)
    for call in (plane.get_num_planes, plane.get_volume_shape):
        with pytest.raises(NotImplementedError, match="This extractor is not volumetric"):
            call()
    for wrong in (3, -1):
        with pytest.raises(ValueError, match=rf"plane_index \({wrong}\) must satisfy 0 <= plane_index < num_planes"):
            extractor.select_plane(wrong)


def test_a_plane_reads_no_other_planes(write, monkeypatch):
    _, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 2")
    read = []
    reader = extractor._recording._reader
    original = reader.read

    def watched(selection, out):
        read.append(list(selection.z))
        original(selection, out)

    monkeypatch.setattr(reader, "read", watched)
    plane = extractor.select_plane(2)
    plane.get_series(1, 4)
    plane.get_samples([3, 0])
    extractor.slice_samples(1, 4).select_plane(2).get_series()
    assert read == [[2], [2], [2]]


# ---- texts ---------------------------------------------------------------------------------------------------------


def test_metadata(write):
    _, (path,) = write(frames=3, channels=(1, 2), version="2019b")
    extractor = ScanImageImagingExtractor(path, "Channel 1")
    general = extractor._general_metadata
    assert list(general) == ["version", "FrameData", "RoiGroups"]
    assert general["version"] == 4
    assert extractor._metadata is general["FrameData"]
    assert extractor._metadata["SI.hChannels.channelSave"] == [1, 2]
    assert extractor._metadata["SI.VERSION_MAJOR"] == "2019b"
    # 'it''s ours' and zeros(1,0)
    assert extractor._metadata["SI.hUserFunctions.userFunctionsCfg__1.UserFcnName"] == "it's ours"
    assert extractor._metadata["SI.hPmts.gains"] == []
    assert set(general["RoiGroups"]) == {"imagingRoiGroup", "photostimRoiGroups", "integrationRoiGroup"}
    assert general["RoiGroups"]["imagingRoiGroup"]["rois"]["scanfields"]["pixelResolutionXY"] == [24, 32]


def test_description(write):
    _, (path,) = write(**VOLUMES)
    expected = (
        "ScanImageImagingExtractor\n  Number of samples: 5 \n  Sample shape: 32 rows x 24 columns x 3 planes \n"
        "  Sampling rate: 7.562500 Hz\n  Duration: 0.7s\n  Imaging data memory: 22.5KiB (int16 dtype)"
    )
    assert repr(ScanImageImagingExtractor(path, "Channel 1")) == expected
    _, (path,) = write(frames=4000, height=1, width=1)
    assert repr(ScanImageImagingExtractor(path)) == (
        "ScanImageImagingExtractor\n  Number of samples: 4,000 \n  Sample shape: 1 rows x 1 columns  \n"
        "  Sampling rate: 30.0Hz\n  Duration: 2.2min\n  Imaging data memory: 7.8KiB (int16 dtype)"
    )


def test_pickles(write, samples):
    truth, (path,) = write(**VOLUMES)
    extractor = ScanImageImagingExtractor(path, "Channel 2", plane_index=1)
    assert len(extractor._tiff_readers) == 1
    again = pickle.loads(pickle.dumps(extractor.slice_field_of_view(2, 9)))
    np.testing.assert_array_equal(again.get_series(), samples(truth, 1, 1)[:, 2:9])


# ---- import names --------------------------------------------------------------------------------------------------

NAMES = """
import sys
# as if the original were not installed
sys.modules["roiextractors"] = None
import galvo
galvo.compat.install("roiextractors")
import roiextractors
from roiextractors import ImagingExtractor, ScanImageImagingExtractor, ScanImageLegacyImagingExtractor
from roiextractors.extractors.tiffimagingextractors import ScanImageImagingExtractor as second
from roiextractors.extractors.tiffimagingextractors.scanimagetiffimagingextractor import (
    ScanImageImagingExtractor as third, ScanImageLegacyImagingExtractor as legacy,
)
from roiextractors.extractors.tiffimagingextractors.scanimagetiff_utils import (
    _get_scanimage_reader, extract_extra_metadata, extract_timestamps_from_file, parse_matlab_vector, parse_metadata,
    parse_metadata_v3_8, read_scanimage_metadata,
)
from roiextractors.imagingextractor import ImagingExtractor as base, SampleSlicedImagingExtractor
from roiextractors.extraction_tools import PathType, get_package
assert second is third is ScanImageImagingExtractor and legacy is ScanImageLegacyImagingExtractor
assert base is ImagingExtractor and issubclass(third, base) and issubclass(legacy, base)
assert issubclass(SampleSlicedImagingExtractor, base)
assert third.__module__.startswith("galvo.compat.roiextractors.")
galvo.compat.uninstall("roiextractors")
assert not [name for name in sys.modules if name.startswith("roiextractors.")]
"""


def test_import_names(tmp_path):
    source = Path(galvo.__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NAMES],
        env={**os.environ, "PYTHONPATH": str(source)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_genuine_volumes(sample_data):
    folder = sample_data / "scanimage" / "catalystneuro" / "volumetric_single_channel_multi_file"
    paths = sorted(folder.glob("*.tif"))
    if not paths:
        pytest.skip("no genuine series of volumes")
    with pytest.warns(GalvoWarning, match="40 volumes are in the files, the header announces 100"):
        extractor = ScanImageImagingExtractor(paths[2])
    assert extractor.file_paths == paths
    assert extractor.get_sample_shape() == (20, 20, 9)
    assert (extractor.get_num_samples(), extractor.num_flyback_frames_per_channel) == (40, 7)
    series = extractor.get_series()
    readers = [tifffile.TiffFile(path) for path in paths]
    pages = [page for reader in readers for page in reader.pages]
    assert len(pages) == sum(extractor._ifds_per_file)
    for sample in (0, 9, 10, 39):
        for plane in (0, 8):
            page = pages[sample * 16 + plane]
            np.testing.assert_array_equal(series[sample, ..., plane], page.asarray())
    assert extractor.get_times()[11] == extractor.extract_timestamp_from_page(pages[11 * 16 + 8])
    for reader in readers:
        reader.close()
