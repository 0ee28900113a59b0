"""The legacy extractor, what extractors inherit, their lazy parts, and the functions beside them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import tifffile

from galvo.compat.roiextractors import ScanImageImagingExtractor, ScanImageLegacyImagingExtractor
from galvo.compat.roiextractors import scanimagetiff_utils as utilities
from galvo.compat.roiextractors.base import ImagingExtractor
from galvo.compat.roiextractors.extraction_tools import get_package
from galvo.compat.roiextractors.views import SampleSlicedImagingExtractor
from galvo.errors import FormatError, NotFound

# ---- the legacy extractor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"frames": 8, "channels": (1, 2)},
        {"slices": 3, "flyback": 1, "volumes": 4, "dtype": "uint16"},
        {"version": "3.8", "frames": 8},
        {"version": "5.1", "frames": 8},
        {"frames": 10, "frames_per_file": 8},
    ],
    ids=["channels", "volumes", "3.8", "5.1", "one file of two"],
)
def test_every_page_is_a_frame(write, request_):
    truth, paths = write(**request_)
    extractor = ScanImageLegacyImagingExtractor(str(paths[0]), 10.5)
    count = 8 if len(paths) > 1 else truth.page_count
    expected = truth.expected_pages(0, count)
    assert extractor.name == extractor.extractor_name == "ScanImageLegacyImagingExtractor"
    assert extractor.file_path == paths[0]
    assert extractor.is_volumetric is False
    assert extractor.get_num_samples() == count
    assert extractor.get_image_shape() == extractor.get_sample_shape() == (32, 24)
    assert extractor.get_sampling_frequency() == 10.5
    assert extractor.get_dtype() == expected.dtype
    np.testing.assert_array_equal(extractor.get_series(), expected)
    np.testing.assert_array_equal(extractor.get_series(2, 4), expected[2:4])
    np.testing.assert_array_equal(extractor.get_series(-2), expected[-2:])
    np.testing.assert_array_equal(extractor.get_samples([3, 0, -1]), expected[[3, 0, -1]])
    np.testing.assert_array_equal(extractor._get_single_frame(1), expected[1:2])
    assert extractor.get_series(3, 3).shape == (0, 32, 24)
    with pytest.raises(IndexError):
        extractor.get_series(0, 99)
    with pytest.raises(AssertionError):
        extractor._get_single_frame(99)
    assert extractor.get_native_timestamps() is None
    assert not extractor.has_time_vector()


def test_legacy_needs_one_axis_of_frames(tmp_path):
    path = tmp_path / "colours.tif"
    tifffile.imwrite(path, np.zeros((3, 8, 9, 3), "uint8"), photometric="rgb")
    with pytest.raises(NotImplementedError, match=r"^Extractor cannot handle 4D TIFF data"):
        ScanImageLegacyImagingExtractor(path, 3.0)


# ---- what is inherited ---------------------------------------------------------------------------------------------


class Numbers(ImagingExtractor):
    """An extractor of a user: frames of an array."""

    def __init__(self, frames, rate, volumetric=False):
        super().__init__(frames, rate=rate)
        self.frames, self.rate, self.is_volumetric = frames, rate, volumetric

    def get_image_shape(self):
        return self.frames.shape[1:3]

    def get_num_samples(self):
        return len(self.frames)

    def get_sampling_frequency(self):
        return self.rate

    def get_series(self, start_sample=None, end_sample=None):
        return self.frames[start_sample:end_sample]

    def get_native_timestamps(self, start_sample=None, end_sample=None):
        return None


@pytest.fixture
def numbers():
    return Numbers(np.arange(240, dtype=np.uint8).reshape(10, 4, 6), 10.5)


def test_an_extractor_must_say_what_it_is():
    class Silent(ImagingExtractor):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Silent()


def test_defaults(numbers):
    assert numbers.name == "Numbers"
    assert numbers._kwargs == {"rate": 10.5}
    assert numbers.get_dtype() == np.uint8
    assert numbers.get_frame_shape() == numbers.get_sample_shape() == (4, 6)
    np.testing.assert_array_equal(numbers.get_samples([7, -1, 0, 0]), numbers.frames[[7, -1, 0, 0]])
    assert numbers.get_samples([]).shape == (0, 4, 6)
    assert "Sampling rate: 10.500000 Hz" in repr(numbers)
    for call in (numbers.get_num_planes, numbers.get_volume_shape):
        name = call.__name__
        with pytest.raises(
            NotImplementedError,
            match=rf"^This extractor is not volumetric\. The {name} method is only available for volumetric "
            r"extractors\.$",
        ):
            call()


@pytest.mark.parametrize(
    ("count", "rate", "duration", "memory"),
    [
        (10, 10.0, "1.0s", "240B"),
        (1000, 10.0, "1.7min", "23.4KiB"),
        (100_000, 10.0, "2.8h", "2.3MiB"),
        (50_000_000, 10.0, "1388.9h", "1.1GiB"),
    ],
)
def test_units_of_the_description(count, rate, duration, memory):
    frames = np.broadcast_to(np.zeros((1, 4, 6), np.uint8), (count, 4, 6))
    text = repr(Numbers(frames, rate))
    assert f"Number of samples: {count:,} \n" in text
    assert "Sampling rate: 10.0Hz\n" in text
    assert f"Duration: {duration}\n" in text
    assert f"Imaging data memory: {memory} (uint8 dtype)" in text
    assert repr(Numbers(frames, 10)) == text


def test_times_of_the_rate(numbers):
    regular = np.arange(10) / 10.5
    np.testing.assert_allclose(numbers.get_timestamps(), regular)
    np.testing.assert_allclose(numbers.get_timestamps(2, 5), regular[2:5])
    np.testing.assert_allclose(numbers.get_timestamps(-2), regular[-2:])
    np.testing.assert_allclose(numbers.get_timestamps(8, 99), regular[8:])
    assert not numbers.has_time_vector()
    assert isinstance(numbers.time_to_sample_indices(0.15), np.int64)
    np.testing.assert_array_equal(numbers.time_to_sample_indices([0.15, 0.04, 99.0, -1.0]), [2, 0, 1040, -10])
    numbers.set_times(np.arange(10) + 0.5)
    assert numbers.has_time_vector()
    np.testing.assert_array_equal(numbers.time_to_sample_indices([3.5, 4.4, 0.0]), [3, 3, -1])
    np.testing.assert_array_equal(numbers.get_timestamps(1, 3), [1.5, 2.5])


def test_a_range_of_samples(numbers):
    part = numbers.slice_samples(3, 8)
    assert isinstance(part, SampleSlicedImagingExtractor)
    assert part.name == "SampleSlicedImagingExtractor"
    assert (part._start_sample, part._end_sample, part.get_num_samples()) == (3, 8, 5)
    assert part.get_sampling_frequency() == 10.5
    assert part.get_dtype() == np.uint8
    np.testing.assert_array_equal(part.get_series(1, 3), numbers.frames[4:6])
    np.testing.assert_array_equal(part.get_samples([4, 0]), numbers.frames[[7, 3]])
    np.testing.assert_allclose(part.get_timestamps(), np.arange(5) / 10.5)
    assert part.get_native_timestamps() is None
    numbers.set_times(np.arange(10.0))
    np.testing.assert_array_equal(numbers.slice_samples(3, 8).get_timestamps(1, 3), [4, 5])
    part.set_times([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(numbers.get_timestamps(), np.arange(10))
    for start, end in ((-1, 2), (0, 11), (11, 12), (0, -1)):
        with pytest.raises(AssertionError):
            numbers.slice_samples(start, end)
    for start, end in ((4, 2), (2, 2)):
        with pytest.raises(AssertionError, match=r"^'start_sample' must be smaller than 'end_sample'!$"):
            numbers.slice_samples(start, end)


def test_a_rectangle_of_frames(numbers):
    view = numbers.slice_field_of_view(1, 3, 2, 5)
    assert view.extractor_name == "FieldOfViewSlicedImagingExtractor"
    assert view.get_image_shape() == (2, 3)
    assert view._row_slice == slice(1, 3)
    np.testing.assert_array_equal(view.get_series(), numbers.frames[:, 1:3, 2:5])
    np.testing.assert_array_equal(view.get_samples([2, 1]), numbers.frames[[2, 1], 1:3, 2:5])
    np.testing.assert_array_equal(view.slice_field_of_view(1).get_series(), numbers.frames[:, 2:3, 2:5])
    for arguments, message in (
        ((3, 2), r"'row_end' \(2\) must be greater than 'row_start' \(3\)"),
        ((0, 9), r"'row_end' \(9\) must be > 0 and <= parent height \(4\)"),
        ((-1, 3), r"'row_start' \(-1\) must be >= 0 and < parent height \(4\)"),
        ((0, 3, 5, 4), r"'column_end' \(4\) must be greater than 'column_start' \(5\)"),
        ((0, 3, 0, 7), r"'column_end' \(7\) must be > 0 and <= parent width \(6\)"),
    ):
        with pytest.raises(AssertionError, match=f"^{message}$"):
            numbers.slice_field_of_view(*arguments)


# ---- the functions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [("[1 2 3]", [1, 2, 3]), ("[1,2,3]", [1, 2, 3]), ("[1;2;3]", [1, 2, 3]), ("[1, 2,  3]", [1, 2, 3]),
     ("3", [3]), ("[3]", [3]), ("[ 1  2 ]", [1, 2])],
)  # fmt: skip
def test_matlab_vectors(text, expected):
    assert utilities.parse_matlab_vector(text) == expected


@pytest.mark.parametrize("text", ["[]", "", "[1:3]", "x", "[1.5 2]", "[1 x]"])
def test_what_is_no_vector(text):
    with pytest.raises(ValueError, match=r"Could not parse vector from|invalid literal for int"):
        utilities.parse_matlab_vector(text)


def test_metadata_of_a_file(write):
    _, (path,) = write(slices=3, repeats=2, flyback=1, volumes=4, channels=(1, 4), frame_rate_hz=30.25)
    extra = utilities.extract_extra_metadata(path)
    assert extra["frameNumbers"] == "1"
    assert extra["SI.hChannels.channelSave"] == "[1 4]"
    assert extra["SI.hChannels.channelName"] == "{'Channel 1' 'Channel 2' 'Channel 3' 'Channel 4'}"
    parsed = {
        "sampling_frequency": 30.25,
        "num_channels": 2,
        "num_planes": 3,
        "frames_per_slice": 2,
        "channel_names": ["Channel 1", "Channel 4"],
        "roi_metadata": extra["RoiGroups"],
    }
    assert utilities.parse_metadata(extra) == parsed
    read = utilities.read_scanimage_metadata(str(path))
    assert list(read) == [
        "scan_image_non_varying_frame_metadata", "scan_image_roi_group_metadata", "roiextractors_parsed_metadata",
    ]  # fmt: skip
    assert read["roiextractors_parsed_metadata"] == {**parsed, "sampling_frequency": pytest.approx(30.25 / 7, rel=1e-5)}
    assert read["scan_image_non_varying_frame_metadata"]["SI.hChannels.channelSave"] == [1, 4]
    assert read["scan_image_roi_group_metadata"] == {"RoiGroups": extra["RoiGroups"]}
    with pytest.raises(KeyError):
        utilities.parse_metadata_v3_8(extra)


def test_metadata_of_a_file_of_version_3(write, tmp_path):
    _, (path,) = write(version="3.8", frames=5, channels=(1, 2), frame_rate_hz=30.25)
    extra = utilities.extract_extra_metadata(path)
    assert extra["state.acq.frameRate"] == "30.25"
    parsed = utilities.parse_metadata_v3_8(extra)
    assert parsed == {"sampling_frequency": 30.25, "num_channels": 2, "num_planes": 1}
    with pytest.raises(KeyError, match=r"SI\.hRoiManager\.scanFrameRate"):
        utilities.parse_metadata(extra)
    with pytest.raises(ValueError, match="Invalid metadata"):
        utilities.read_scanimage_metadata(path)
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((8, 9), "int16"))
    assert utilities.extract_extra_metadata(plain) == {}
    with pytest.raises(NotFound):
        utilities.extract_extra_metadata(tmp_path / "missing.tif")
    (tmp_path / "junk.tif").write_bytes(b"hello world")
    with pytest.raises(FormatError):
        utilities.extract_extra_metadata(tmp_path / "junk.tif")


@pytest.mark.parametrize("json_header", [False, True])
def test_times_of_all_pages(write, json_header):
    truth, (path,) = write(slices=2, flyback=1, volumes=3, channels=(1, 2), json_header=json_header)
    expected = np.repeat(truth.timeline.timestamp_s, 2)
    np.testing.assert_array_equal(utilities.extract_timestamps_from_file(str(path)), expected)
    _, (path,) = write(version="3.8", frames=3)
    with pytest.raises(AssertionError, match=r"^frameTimestamps_sec not found in TIFF file$"):
        utilities.extract_timestamps_from_file(path)


def test_packages():
    assert get_package("numpy") is np
    message = r"(?s)'no_such_package' is not installed!.*pip install no_such_package"
    with pytest.raises(ModuleNotFoundError, match=message):
        get_package("no_such_package")
    with pytest.raises(ModuleNotFoundError, match="do this"):
        get_package("no_such_package", installation_instructions="do this")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    with pytest.raises(ModuleNotFoundError, match=f"not available on the {sys.platform} platform for Python version"):
        get_package("no_such_package", excluded_platforms_and_python_versions={sys.platform: [version]})


def test_the_extractors_are_imaging_extractors():
    assert issubclass(ScanImageImagingExtractor, ImagingExtractor)
    assert issubclass(ScanImageLegacyImagingExtractor, ImagingExtractor)
