"""The verbs: convert, save, load, verify."""

from __future__ import annotations

import io
import os
import sys
import warnings
from dataclasses import replace
from functools import partial

import h5py
import numpy as np
import pytest

import galvo
from galvo import Metadata, Recording, conversion
from galvo.core.over import ReaderOver
from galvo.errors import DamagedData, GalvoError, GalvoWarning, NotFound, WriteError
from galvo.motion import pipeline
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import TiffBuilder

PIXELS = np.random.default_rng(0).integers(-500, 500, (9, 2, 1, 12, 10)).astype(np.int16)
METADATA = Metadata(
    format="array",
    channel_names=("green", "red"),
    frame_rate_hz=30.0,
    pixel_size_um=(0.5, 0.25),
    start_time="2026-01-02T03:04:05",
)


@pytest.fixture
def recording():
    return Recording.from_array(PIXELS, metadata=METADATA)


@pytest.fixture
def scan(tmp_path):
    truth = ScanImageRecording(frames=10, channels=(1, 2), frames_per_file=6, height=8, width=6)
    return truth, truth.write(tmp_path / "scan")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out.h5"


def test_the_main_job(scan, out):
    truth, paths = scan
    result = galvo.convert(paths[0], out, verify=True)
    assert result.path == str(out)
    assert result.format == "hdf5"
    assert result.files == tuple(map(str, paths))
    assert result.shape == truth.expected().shape
    assert result.dtype == "int16"
    assert result.pixel_bytes == truth.expected().nbytes
    assert result.file_bytes == out.stat().st_size <= result.estimated_bytes
    assert result.seconds > 0
    assert not result.dry_run
    assert result.verification.ok
    assert result.verification.method == "compared"
    assert result.verification.frame_count == 20
    with galvo.open(out) as copy, galvo.open(paths[0]) as source:
        np.testing.assert_array_equal(copy[...], truth.expected())
        assert copy.channel_names == source.channel_names == truth.expected_channel_names
        assert copy.frame_rate_hz == source.frame_rate_hz
        assert copy.pixel_size_um == source.pixel_size_um
        np.testing.assert_array_equal(copy.timestamps, truth.expected_timestamps())
        assert copy.metadata.texts["header"] == source.metadata.texts["header"]
    checked = galvo.verify(out)
    assert checked.ok
    assert checked.method == "checksums"
    assert galvo.verify(paths[0], out).ok


def test_what_is_left_out_is_told(tmp_path, out):
    truth = ScanImageRecording(slices=3, flyback=1, volumes=4, height=6, width=5, drop_pages=2)
    path = truth.write(tmp_path / "scan")[0]
    with pytest.warns(GalvoWarning):
        result = galvo.convert(path, out)
    assert {entry.what: entry.page_count for entry in result.left_out} == {"flyback": 3, "incomplete volume": 2}
    with pytest.warns(GalvoWarning):
        assert galvo.verify(path).left_out == result.left_out


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"channels": "red"}, PIXELS[:, 1:]),
        ({"channels": 0}, PIXELS[:, :1]),
        ({"channels": [1, 0]}, PIXELS[:, ::-1]),
        ({"frames": slice(2, 7)}, PIXELS[2:7]),
        ({"frames": slice(None, None, 2), "channels": ["red"]}, PIXELS[::2, 1:]),
        ({"frames": [8, 0]}, PIXELS[[8, 0]]),
        ({"block_bytes": 1}, PIXELS),
    ],
)
def test_parts(recording, out, options, expected):
    result = galvo.convert(recording, out, verify=True, **options)
    assert result.shape == expected.shape
    np.testing.assert_array_equal(galvo.load(out, squeeze=False), expected)


def test_frame_rate_of_parts(recording, out):
    galvo.convert(recording, out, frames=slice(None, None, 3))
    with galvo.open(out) as copy:
        assert copy.frame_rate_hz == 10
        assert copy.channel_names == ("green", "red")


def test_save_takes_arrays_and_recordings(recording, out):
    assert galvo.save(recording, out).format == "hdf5"
    galvo.save(PIXELS, out, overwrite=True)
    np.testing.assert_array_equal(galvo.load(out), PIXELS[:, :, 0])
    assert recording[0].size


def test_the_name_may_come_first_in_save(recording, out):
    assert galvo.save(out, PIXELS).path == str(out)
    np.testing.assert_array_equal(galvo.load(str(out)), PIXELS[:, :, 0])
    galvo.save(str(out), recording, overwrite=True)
    other = out.with_name("other.h5")
    galvo.save(out, other)
    assert galvo.verify(other, out).ok


def test_load(tmp_path, out):
    galvo.save(PIXELS[:1, :1], out)
    assert galvo.load(out).shape == (12, 10)
    assert galvo.load(out, squeeze=False).shape == (1, 1, 1, 12, 10)
    assert galvo.load(np.zeros((1, 1))).shape == ()
    with pytest.raises(NotFound):
        galvo.load(tmp_path / "none.h5")


def test_open_options(scan, out):
    _, paths = scan
    with pytest.warns(GalvoWarning):
        result = galvo.convert(paths[0], out, open_options={"series": False})
    assert result.shape[0] == 6


def test_home(recording, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    galvo.save(recording, os.path.join("~", "x.h5"))
    assert (tmp_path / "x.h5").is_file()


# ---- refused --------------------------------------------------------------------------------------------------------


def test_dry_run_writes_nothing_and_foresees_errors(recording, out, tmp_path):
    result = galvo.convert(recording, out, dry_run=True)
    assert result.dry_run
    assert result.file_bytes is None
    assert result.estimated_bytes >= PIXELS.nbytes
    assert os.listdir(tmp_path) == []
    with pytest.raises(WriteError, match="does not exist"):
        galvo.convert(recording, tmp_path / "none" / "x.h5", dry_run=True)


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("x.raw", {}, "which format to write"),
        ("x", {}, "which format to write"),
        ("x.h5", {"format": "scanimage"}, "does not write scanimage"),
        ("x.h5", {"format": "nonsense"}, "no such format"),
        ("x.h5", {"nonsense": 1}, "takes no write option 'nonsense'"),
        ("x.h5", {"compression": "nonsense"}, "compression"),
        ("x.h5", {"frames": slice(0, 0)}, "selection is empty"),
        ("x.h5", {"channels": []}, "selection is empty"),
        ("x.h5", {"channels": "blue"}, "no channel of that name"),
        ("x.h5", {"frames": [99]}, "out of bounds"),
        ("x.h5", {"block_bytes": 0}, "max_bytes"),
        ("x.h5", {"format": 3}, "no such format"),
        ("x.h5", {"dtype": "nonsense"}, "no such type"),
        ("x.h5", {"axes": 3}, "no such axes"),
    ],
)
def test_wishes_that_do_not_fit(recording, tmp_path, name, options, what):
    with pytest.raises(GalvoError, match=what):
        galvo.convert(recording, tmp_path / name, **options)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (lambda: galvo.save(PIXELS[0, 0], None), "not a path; found NoneType"),
        (lambda: galvo.save(PIXELS[0, 0], ""), "has no name"),
        (lambda: galvo.save(PIXELS[0, 0], "x\0.h5"), "NUL"),
        (lambda: galvo.save([[1, 2], [3, 4]], "x.h5"), r"no paths; found list. Pixels are given as an array"),
        (lambda: galvo.convert_folder(3, "out", format="hdf5"), "not a path; found int"),
        (lambda: galvo.recover(3), "not a path; found int"),
        (lambda: galvo.open_correction(3), "not a path; found int"),
        (lambda: galvo.correct(PIXELS[:, 0, 0], "x.h5", 3), "parameters of motion: input should be"),
        (lambda: galvo.correct(PIXELS[:, 0, 0], "x.h5", {"presett": 1}), "presett: extra inputs"),
        (lambda: galvo.correct(PIXELS[:, 0, 0], motion="x.tif"), "kept as HDF5"),
    ],
)
def test_things_of_another_kind(tmp_path, monkeypatch, call, what):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(galvo.errors.OptionError, match=what):
        call()
    assert os.listdir(tmp_path) == []


def test_paths_as_bytes(recording, tmp_path):
    path = os.fsencode(tmp_path / "x.h5")
    galvo.save(recording, path)
    with galvo.open(path) as copy:
        assert copy.shape == recording.shape


def test_every_input_of_a_series_is_protected(scan, tmp_path):
    _, paths = scan
    before = [path.read_bytes() for path in paths]
    for target in paths:
        with pytest.raises(WriteError, match="output is an input"):
            galvo.convert(paths[0], target, format="hdf5", overwrite=True)
    (tmp_path / "out.h5.partial").symlink_to(paths[1])
    with pytest.raises(WriteError, match="output is an input"):
        galvo.convert(paths[0], tmp_path / "out.h5", overwrite=True)
    assert [path.read_bytes() for path in paths] == before


def test_a_failed_conversion_closes_its_source(scan, tmp_path):
    _, paths = scan
    for options in ({"nonsense": 1}, {"frames": [99]}):
        with pytest.raises(GalvoError):
            galvo.convert(paths[0], tmp_path / "x.h5", **options)


def test_an_open_recording_stays_open(scan, out):
    _, paths = scan
    with galvo.open(paths[0]) as recording:
        galvo.convert(recording, out)
        assert recording[0].size
        assert galvo.verify(recording, out).ok
        assert galvo.verify(out, recording).ok
        assert galvo.verify(recording).ok
        assert recording[0].size


def test_a_verification_that_fails_is_an_error(recording, out, monkeypatch):
    from galvo.formats.hdf5 import sink

    original = sink.Hdf5Sink.encode
    monkeypatch.setattr(sink.Hdf5Sink, "encode", lambda self, index, block: original(self, index, block + 1))
    with pytest.raises(DamagedData, match="differs from its source: pixels of 18 frames differ"):
        galvo.convert(recording, out, verify=True)


# ---- progress -------------------------------------------------------------------------------------------------------


def test_a_callback_sees_all(recording, out):
    seen = []
    galvo.convert(recording, out, block_bytes=1000, progress=lambda done, total: seen.append((done, total)))
    assert seen[0] == (0, PIXELS.nbytes)
    assert seen[-1] == (PIXELS.nbytes, PIXELS.nbytes)
    assert seen == sorted(seen)
    seen.clear()
    galvo.verify(out, progress=lambda done, total: seen.append(done))
    assert seen[-1] == PIXELS.nbytes
    seen.clear()
    galvo.verify(out, recording, progress=lambda done, total: seen.append(done))
    assert seen[-1] == PIXELS.nbytes


def test_the_bar_is_silent_in_a_pipe(recording, out, capfd):
    galvo.convert(recording, out, progress=True)
    assert galvo.verify(out, progress=True).ok
    assert capfd.readouterr() == ("", "")


def test_the_bar_in_a_terminal(recording, out, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    galvo.convert(recording, out, progress=True, block_bytes=500)
    shown = stream.getvalue()
    assert "writing" in shown
    assert " MB/s " in shown
    # the time that is left
    assert "0:00:00" in shown


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_raises(recording, out, tmp_path, error):
    def progress(done, total):
        if done:
            raise error

    with pytest.raises(type(error)):
        galvo.convert(recording, out, progress=progress, block_bytes=500)
    assert sorted(os.listdir(tmp_path)) == ["out.h5.journal", "out.h5.partial"]
    assert galvo.convert(recording, out, resume=True, verify=True, block_bytes=500).verification.ok
    assert os.listdir(tmp_path) == ["out.h5"]


class Lifted(ReaderOver):
    """Every pixel and `by` more; counts the frames that it makes."""

    frames = 0

    def __init__(self, recording, by):
        super().__init__(recording._reader)
        self._pixels, self._by = recording, by
        self.shape, self.dtype, self.chunks = recording.shape, recording.dtype, recording.chunks

    def read(self, selection, out):
        Lifted.frames += len(selection.t)
        out[...] = self._pixels._read(selection) + self._by


def test_what_is_made_of_an_array_is_made_once_and_resumed_only_from_the_same_array(tmp_path, monkeypatch):
    out = tmp_path / "out.tif"

    def written(pixels, by, **options):
        lifted = Recording.from_array(pixels).through(partial(Lifted, by=by)).isel(c=0)
        monkeypatch.setattr(Lifted, "frames", 0)
        galvo.save(lifted, out, block_bytes=500, **options)
        return Lifted.frames

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    assert written(PIXELS, 3) == 9
    np.testing.assert_array_equal(galvo.load(out), PIXELS[:, 0, 0] + 3)
    out.unlink()
    other = PIXELS.copy()
    other[0, 0, 0, 0, 0] += 1
    with pytest.raises(KeyboardInterrupt):
        written(PIXELS, 3, progress=stop)
    for pixels, by in ((other, 3), (PIXELS, 4)):
        with pytest.raises(WriteError, match="another source"):
            written(pixels, by, resume=True)
    # what was committed is made once more, to see that it is the same
    assert written(PIXELS, 3, resume=True) == 9
    np.testing.assert_array_equal(galvo.load(out), PIXELS[:, 0, 0] + 3)


# ---- verify ---------------------------------------------------------------------------------------------------------


def test_what_differs_is_named(recording):
    changed = PIXELS.copy()
    changed[3, 1, 0, 2, 2] += 1
    changed[5] += 1
    result = galvo.verify(recording, changed)
    assert not result.ok
    assert "pixels of 3 frames differ, first at t=3, c=1, z=0" in result.differences
    assert any(line.startswith("channel_names") for line in result.differences)
    assert result.method == "compared"
    other = Recording.from_array(PIXELS, metadata=replace(METADATA, frame_rate_hz=29.0, pixel_size_um=None))
    found = " ".join(galvo.verify(recording, other).differences)
    assert "frame_rate_hz: 30.0 against 29.0" in found
    assert "pixel_size_um: (0.5, 0.25) against None" in found


@pytest.mark.parametrize("other", [PIXELS[:5], PIXELS.astype(np.int32), PIXELS[..., :4]])
def test_other_shapes_and_types(recording, other):
    result = galvo.verify(Recording.from_array(PIXELS), other)
    assert not result.ok
    assert "pixels were not compared" in result.differences[0]
    assert result.frame_count == 0


def test_bits_are_compared_not_numbers():
    one = np.array([[[0.0, np.nan, 1.0]]], np.float32)
    assert galvo.verify(one, one.copy()).ok
    assert not galvo.verify(one, np.array([[[-0.0, np.nan, 1.0]]], np.float32)).ok
    assert galvo.verify(one, one.astype(">f4")).ok


def test_metadata_with_nan_depths():
    metadata = Metadata(format="array", z_um=(0.0, float("nan")))
    pixels = np.zeros((1, 1, 2, 2, 2))
    other = Recording.from_array(pixels, metadata=replace(metadata, z_um=(0.0, float("nan"))))
    assert galvo.verify(Recording.from_array(pixels, metadata=metadata), other).ok


def test_without_checksums_everything_is_read(tmp_path):
    builder = TiffBuilder()
    for _ in range(3):
        builder.image(4, 2, [bytes(8)])
    path = tmp_path / "x.tif"
    path.write_bytes(builder.build())
    result = galvo.verify(path)
    assert result.ok
    assert result.method == "read"
    assert result.frame_count == 3
    path.write_bytes(path.read_bytes()[:-120])
    with pytest.raises(GalvoError):
        galvo.verify(path)


def test_parts_and_joins_of_files_with_checksums(recording, tmp_path):
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    galvo.save(recording, first)
    galvo.save(recording, second)
    with galvo.open(first) as whole:
        assert galvo.verify(whole).method == "checksums"
        assert galvo.verify(whole.isel(t=slice(2, 5), y=slice(3))).ok
    content = bytearray(second.read_bytes())
    at = content.index(PIXELS[4, 0, 0].tobytes())
    content[at] ^= 1
    second.write_bytes(content)
    assert not galvo.verify(second).ok
    result = galvo.verify([first, second])
    assert not (result.ok and result.method == "checksums"), "damage in the second file was declared verified"


def test_a_series_of_outputs_is_no_series_when_verified(recording, tmp_path):
    for number in (1, 2):
        result = galvo.save(recording, tmp_path / f"rec_00001_0000{number}.h5", verify=True)
        assert result.verification.ok


def test_galvo_warns_of_nothing_when_nothing_is_odd(recording, out):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        galvo.save(recording, out, verify=True)
        galvo.load(out)


def test_any_hdf5_program_reads_it(recording, out):
    galvo.save(recording, out)
    with h5py.File(out) as file:
        np.testing.assert_array_equal(file["ch2"][...], PIXELS[:, 1, 0])


def test_results_are_frozen():
    assert conversion.ConvertResult.__dataclass_params__.frozen


def test_channels_and_fields_of_ome_tif_keep_their_suffix(tmp_path):
    pixels = np.arange(4 * 2 * 6 * 8, dtype=np.uint16).reshape(4, 2, 1, 6, 8)
    galvo.save(pixels, tmp_path / "two.ome.tif", split_channels=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["two_ch1.ome.tif", "two_ch2.ome.tif"]
    assert np.array_equal(galvo.load(tmp_path / "two_ch2.ome.tif", squeeze=False), pixels)
    assert conversion._field_name("area.ome.tif", None, 2) == "area_field2.ome.tif"
    assert pipeline.motion_path("still.ome.tif") == "still_motion.h5"
