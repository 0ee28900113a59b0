"""Older layouts, files that another program saved again, and what is no ScanImage file."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import tifffile

import galvo
from galvo.core.index import EvenPages
from galvo.errors import GalvoError, GalvoWarning, Malformed
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import Tag, TiffBuilder


def text(content: str) -> Tag:
    return Tag(code=270, type=2, values=content.encode() + b"\0")


def test_keys_of_version_5_are_found_under_their_own_and_the_common_name(tmp_path):
    truth = ScanImageRecording(version="5.2", channels=(1, 2))
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        header = rec.metadata.header
        assert header["SI.hChannels.channelSave"] == [1, 2]
        assert "SI.hChannels.channelSave" in list(header)
        assert header["frameNumbers"] == 1
        assert rec.metadata.texts["roi"] == truth.roi_text()
        assert rec.metadata.attributes["tiff_format_version"] == 2
    truth = ScanImageRecording(version="4.2", channels=(1, 2))
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        header = rec.metadata.header
        assert header["SI4.channelsSave"] == header["SI.channelsSave"] == [1, 2]
        assert "SI4.channelsSave" in list(header)
        assert "SI5.channelsSave" not in header
        assert rec.metadata.version == "4.2"
        assert rec.metadata.attributes == {"tiff_format_version": None, "zoom": 1}


@pytest.mark.parametrize(
    "trailing",
    [b"", b"\0\0\0\0", b"{}\0\x03\0\0\0", b"{}\xff\xff\xff\xff", b"\x01\x02\x03\x03\0\0\0", b"\0\0\0\0\x05\0\0\0"],
    ids=["none", "zeros", "text", "long", "no text", "reaches into the pages"],
)
def test_bytes_behind_the_pages_of_version_5(tmp_path, trailing):
    truth = ScanImageRecording(frames=6, version="5.1")
    (path,) = truth.write(tmp_path)
    blob = path.read_bytes()
    rois = len(truth.roi_text()) + 1 + 4
    path.write_bytes(blob[:-rois] + trailing)
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[...], truth.expected())
        assert rec.metadata.texts.get("roi") == ("{}" if trailing.startswith(b"{}\0") else None)


@pytest.mark.parametrize("json_header", [False, True])
@pytest.mark.parametrize(
    "mode", [{"frames": 6, "channels": (1, 2)}, {"slices": 3, "flyback": 2, "volumes": 3, "channels": (1, 2)}]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_saved_again_with_the_header_only(tmp_path, mode, json_header, compression):
    truth = ScanImageRecording(**mode, json_header=json_header)
    path = tmp_path / "again.tif"
    with tifffile.TiffWriter(path) as file:
        for page in truth.expected_pages():
            options = {"photometric": "minisblack", "compression": compression, "metadata": None}
            file.write(page, software=truth.header_text(), contiguous=False, **options)
    with galvo.open(path) as rec:
        assert rec.metadata.format == "scanimage"
        np.testing.assert_array_equal(rec[...], truth.expected())
        assert rec.timestamps is None
        assert rec.channel_names == truth.expected_channel_names
        assert rec.frame_rate_hz == pytest.approx(truth.expected_frame_rate_hz, rel=1e-5)
        np.testing.assert_array_equal(rec.z_um, truth.expected_z_um())


def test_saved_again_as_one_array(tmp_path):
    truth = ScanImageRecording(slices=3, flyback=2, volumes=3)
    path = tmp_path / "again.tif"
    tifffile.imwrite(path, truth.expected_pages(), software=truth.header_text(), photometric="minisblack")
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_saved_again_in_parts_is_one_series(tmp_path):
    truth = ScanImageRecording(slices=3, volumes=4, frames_per_file=6)
    for part in range(2):
        pages = truth.expected_pages(part * 6, part * 6 + 6)
        path = tmp_path / f"again_00001_{part + 1:05d}.tif"
        tifffile.imwrite(path, pages, software=truth.header_text(), photometric="minisblack", metadata=None)
    with galvo.open(path) as rec:
        assert len(rec.files) == 2
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_acquisitions_without_a_stated_start_are_not_merged_by_name(tmp_path, open_warned):
    truth = ScanImageRecording(frames=4, acquisitions=2)
    for number in (1, 2):
        path = tmp_path / f"again_{number:05d}.tif"
        pages = truth.expected_pages(number * 4 - 4, number * 4)
        tifffile.imwrite(path, pages, software=truth.header_text(), photometric="minisblack", metadata=None)
    with open_warned(path, "4 frames .* announces 8") as rec:
        assert len(rec.files) == 1
        np.testing.assert_array_equal(rec[...], truth.expected()[4:])


@pytest.mark.parametrize(
    "description",
    [
        "measured in SI. units",
        "IntenSI.ty = 3",
        "Sample: KERNSI.2 = x",
        "solid state.",
        "my state.acq = 3",
        '{"shape": [3, 4, 5]}',
        '{"SIZE": {"SI": 1}}',
        "ImageJ=1.53\nimages=3\nSI. prefix",
    ],
)
def test_texts_that_only_look_like_a_header(tmp_path, description):
    path = tmp_path / "plain.tif"
    data = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    with tifffile.TiffWriter(path) as file:
        for page in data:
            file.write(page, description=description, software="notSI.x", metadata=None, contiguous=False)
    with galvo.open(path) as rec:
        assert rec.metadata.format == "tiff"
        np.testing.assert_array_equal(rec[:, 0, 0], data)


def test_a_tag_behind_the_end_of_the_table_is_none(tmp_path):
    """Pixels that look like an IFD entry do not make a ScanImage file."""
    builder = TiffBuilder()
    builder.image(8, 8, [bytes(64)])
    blob = bytearray(builder.build())
    # the link to the next IFD and this fill one entry's place
    blob += bytes(8)
    at = len(blob)
    blob += (270).to_bytes(2, "little") + b"\2\0" + (60).to_bytes(4, "little") + (at + 12).to_bytes(4, "little")
    blob += b"scanimage.SI.VERSION_MAJOR = 2016\n".ljust(60, b"\0")
    path = tmp_path / "plain.tif"
    path.write_bytes(blob)
    with galvo.open(path) as rec:
        assert rec.metadata.format == "tiff"


def state(**changed: str) -> TiffBuilder:
    keys = {"software.version": "3.8", "acq.numberOfChannelsSave": "2", "acq.savingChannel1": "1"}
    keys |= {"acq.savingChannel3": "1", "acq.numberOfZSlices": "3", "acq.numberOfFrames": "2", "acq.frameRate": "4"}
    keys |= {"acq.zStepSize": "5", "acq.averaging": "0", "acq.numAvgFramesSave": "2"}
    keys |= {key.replace("__", "."): value for key, value in changed.items()}
    lines = "\r".join(f"state.{key}={value}" for key, value in keys.items()) + "\r"
    builder = TiffBuilder()
    for number in range(12):
        builder.image(8, 6, [bytes([number]) * 48], replace=[text(lines)])
    return builder


def test_a_stack_of_version_3(tmp_path):
    path = tmp_path / "old.tif"
    path.write_bytes(state().build())
    with galvo.open(path, slice_repeats=1) as rec:
        assert rec.shape == (1, 2, 3, 6, 8)
        assert rec.channel_names == ("Channel 1", "Channel 3")
        np.testing.assert_array_equal(rec[0, :, :, 0, 0], [[2, 6, 10], [3, 7, 11]])
        assert rec.z_um.tolist() == [0, 5, 10]
    path.write_bytes(state(acq__averaging="1").build())
    with galvo.open(path) as rec:
        assert rec.shape == (2, 2, 3, 6, 8)


@pytest.mark.parametrize("value", ["1e18", "2147483648", "99999999999999999999", "1e5"])
@pytest.mark.parametrize("key", ["acq__numberOfZSlices", "acq__numberOfChannelsSave", "acq__numberOfFrames"])
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
def test_impossible_counts_of_version_3(tmp_path, key, value):
    path = tmp_path / "old.tif"
    path.write_bytes(state(**{key: value}).build())
    with contextlib.suppress(Malformed), galvo.open(path, slice_repeats=0) as rec:
        # a number that is none counts as absent
        assert value != "1e5"
        assert rec[...].size


@pytest.mark.parametrize("value", ["1e18", "Inf", "NaN", "[]", "'x'", "-3", "0", "2.5", "{{{{{{", "[1 2"])
@pytest.mark.parametrize(
    "key",
    [
        "SI.hStackManager.numFramesPerVolume",
        "SI.hStackManager.numFramesPerVolumeWithFlyback",
        "SI.hStackManager.actualNumSlices",
        "SI.hStackManager.framesPerSlice",
        "SI.hStackManager.zs",
        "SI.hScan2D.logAverageFactor",
        "SI.hRoiManager.scanFrameRate",
        "SI.hRoiManager.imagingFovUm",
        "SI.hStackManager.enable",
        "SI.hChannels.channelName",
    ],
)
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
def test_hostile_values_of_the_header_give_galvo_errors_only(tmp_path, key, value):
    truth = ScanImageRecording(slices=3, flyback=1, volumes=3, extra_header={key: value})
    (path,) = truth.write(tmp_path)
    for flyback in ("drop", "keep"):
        with contextlib.suppress(GalvoError), galvo.open(path, flyback=flyback, slice_repeats=0) as rec:
            assert rec[...].size
            repr(rec)


@pytest.mark.parametrize(("offset", "what"), [(24, "header"), (28, "ROI")])
def test_a_static_block_larger_than_the_file(tmp_path, offset, what):
    (path,) = ScanImageRecording().write(tmp_path)
    blob = bytearray(path.read_bytes())
    blob[offset : offset + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(blob)
    with pytest.raises(Malformed, match="beyond the end") as caught:
        galvo.open(path)
    assert caught.value.offset == 24
    assert caught.value.path == str(path)


def test_a_header_that_is_no_text(tmp_path):
    (path,) = ScanImageRecording().write(tmp_path)
    blob = bytearray(path.read_bytes())
    size = int.from_bytes(blob[24:28], "little")
    blob[32 : 32 + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(blob)
    with pytest.raises(Malformed, match="no saved channels"):
        galvo.open(path)


def test_page_texts_that_are_noise_give_no_times(tmp_path):
    truth = ScanImageRecording(frames=5)
    (path,) = truth.write(tmp_path)
    noise = b"\xff\xfe\0{\"[]}=\r\n\xc3\xa4\xc3"
    blob = path.read_bytes().replace(b"frameTimestamps_sec", noise.ljust(len("frameTimestamps_sec"), b"\xff"))
    path.write_bytes(blob)
    with galvo.open(path) as rec:
        assert rec.timestamps is None
        np.testing.assert_array_equal(rec[...], truth.expected())


def test_a_moved_pages_own_time_is_read(tmp_path, open_warned):
    """Times follow the chain where it contradicts the even spacing, before any pixel was read."""
    truth = ScanImageRecording(frames=100)
    (path,) = truth.write(tmp_path)
    blob = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        pages = list(file.pages)
        fiftieth, third = pages[50].tags[270], pages[3].tags[270]
        blob[fiftieth.offset + 12 : fiftieth.offset + 20] = third.valueoffset.to_bytes(8, "little")
    path.write_bytes(blob)
    times = truth.expected_timestamps()
    times[50] = times[3]
    with open_warned(path, "page 50 counts as frame 4, .* make it frame 51") as rec:
        np.testing.assert_array_equal(rec.timestamps, times)


def test_a_text_that_all_pages_share(tmp_path, open_warned):
    """Evenly spaced pages with one description, which does not move with them."""
    truth = ScanImageRecording(frames=20, version="2016b")
    header = "".join(f"scanimage.{line}\n" for line in truth.header_text().splitlines())
    shared = (truth.descriptions()[3] + header).encode() + b"\0"
    stride = truth.height * truth.width * 2 + 256
    builder = TiffBuilder()
    for number, page in enumerate(truth.expected_pages()):
        reference = Tag(code=270, type=2, offset=16, count=len(shared))
        at = 16 + len(shared) + len(shared) % 2 + number * stride
        builder.image(24, 32, [page.tobytes()], bits=16, sample_format=2, replace=[reference], at=at)
    blob = bytearray(builder.build())
    blob[16 : 16 + len(shared)] = shared
    path = tmp_path / "old.tif"
    path.write_bytes(blob)
    with open_warned(path, "counts as frame 4, .* make it frame 5$") as rec:
        assert isinstance(rec._reader.index.runs[0], EvenPages)
        np.testing.assert_array_equal(rec[...], truth.expected())
        np.testing.assert_array_equal(rec.timestamps, np.full(20, truth.expected_timestamps()[3]))


def test_a_warning_is_given_once(tmp_path):
    truth = ScanImageRecording(slices=3, volumes=3, drop_pages=1)
    (path,) = truth.write(tmp_path)
    with pytest.warns(GalvoWarning) as caught, galvo.open(path):
        pass
    assert len({str(warning.message) for warning in caught}) == len(caught) == 2
