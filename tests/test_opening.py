"""From whatever names a recording to the recording."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

import galvo
from galvo import Metadata
from galvo.errors import (
    FormatError,
    GalvoError,
    GalvoWarning,
    LimitExceeded,
    NotFound,
    OptionError,
    ReadError,
    UnknownFormat,
)
from galvo.formats.opening import natural_key
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import TiffBuilder


def frames(count, seed=0, shape=(6, 5)):
    return np.random.default_rng(seed).integers(0, 250, (count, *shape)).astype(np.uint8)


def write_tiff(path, pixels):
    builder = TiffBuilder()
    for frame in pixels:
        builder.image(frame.shape[1], frame.shape[0], [frame.tobytes()])
    path.write_bytes(builder.build())
    return path


@pytest.fixture
def tiff(tmp_path):
    return write_tiff(tmp_path / "one.tif", frames(4))


def same(recording, pixels):
    with recording:
        np.testing.assert_array_equal(recording[:, 0, 0], pixels)


def test_a_path_in_every_form(tiff, monkeypatch):
    monkeypatch.chdir(tiff.parent)
    monkeypatch.setenv("HOME", str(tiff.parent))
    monkeypatch.setenv("USERPROFILE", str(tiff.parent))
    for source in (tiff, str(tiff), "one.tif", "./one.tif", "~/one.tif", [tiff], (str(tiff),), os.path.relpath(tiff)):
        same(galvo.open(source), frames(4))

    class Bytes:
        def __fspath__(self):
            return os.fsencode(tiff)

    same(galvo.open(Bytes()), frames(4))


def test_files_are_told(tiff):
    with galvo.open(tiff) as recording:
        assert recording.files == (tiff,)
        assert recording.metadata.format == "tiff"


def test_a_list_follows_in_t_in_the_given_order(tmp_path):
    counts = {"b": 3, "a": 2, "c": 1}
    paths = [write_tiff(tmp_path / f"{name}.tif", frames(count, count)) for name, count in counts.items()]
    with galvo.open(paths) as recording:
        np.testing.assert_array_equal(recording[:, 0, 0], np.concatenate([frames(3, 3), frames(2, 2), frames(1, 1)]))
        assert recording.files == tuple(paths)
        table = recording.frame_table()
        assert table["file"].tolist() == [0, 0, 0, 1, 1, 2]
        assert table["page"].tolist() == [0, 1, 2, 0, 1, 0]


def test_one_file_per_channel(tmp_path):
    paths = [write_tiff(tmp_path / f"{number}.tif", frames(3, number)) for number in range(2)]
    with galvo.open(paths, axis="c") as recording:
        assert recording.shape == (3, 2, 1, 6, 5)
        np.testing.assert_array_equal(recording[:, 1, 0], frames(3, 1))


def test_a_pattern_takes_files_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        write_tiff(tmp_path / f"run{number}.tif", frames(1, number))
    with galvo.open(str(tmp_path / "run*.tif")) as recording:
        assert [path.name for path in recording.files] == ["run1.tif", "run9.tif", "run10.tif"]
        np.testing.assert_array_equal(recording[2, 0, 0], frames(1, 10)[0])
    with pytest.raises(NotFound, match="no file matches"):
        galvo.open(tmp_path / "walk*.tif")


def test_a_file_whose_name_looks_like_a_pattern(tmp_path):
    same(galvo.open(write_tiff(tmp_path / "a[1]*.tif", frames(2))), frames(2))


def test_natural_key():
    names = ["b", "a10", "a9", "A9b", "a09", "", "10", "9", "a"]
    assert sorted(names, key=natural_key) == ["", "a", "a09", "a9", "A9b", "a10", "b", "9", "10"]
    assert sorted(["1²3", "١", "²"], key=natural_key) == ["²", "1²3", "١"]


# ---- series and folders ---------------------------------------------------------------------------------------------


@pytest.fixture
def series(tmp_path):
    truth = ScanImageRecording(frames=10, frames_per_file=4, height=6, width=7)
    return truth, truth.write(tmp_path / "series")


def test_one_file_of_a_series_opens_the_whole(series):
    truth, paths = series
    for path in paths:
        with galvo.open(path) as recording:
            np.testing.assert_array_equal(recording[...], truth.expected())
            assert recording.files == tuple(paths)
    with pytest.warns(GalvoWarning), galvo.open(paths[1], series=False) as recording:
        np.testing.assert_array_equal(recording[...], truth.expected()[4:8])


def test_a_folder_of_one_recording(series):
    truth, paths = series
    (paths[0].parent / "notes.txt").write_text("a note")
    (paths[0].parent / "empty.tif").mkdir()
    with galvo.open(paths[0].parent) as recording:
        np.testing.assert_array_equal(recording[...], truth.expected())


def test_a_folder_of_several(series):
    _, paths = series
    folder = paths[0].parent
    write_tiff(folder / "other.tif", frames(2))
    with pytest.raises(UnknownFormat, match="holds 2 recordings") as caught:
        galvo.open(folder)
    assert "other.tif (tiff, 1 file)" in caught.value.found
    assert "(scanimage, 3 files)" in caught.value.found


def test_a_folder_of_very_many(tmp_path):
    for number in range(12):
        write_tiff(tmp_path / f"{number}{chr(97 + number)}.tif", frames(1))
    with pytest.raises(UnknownFormat, match="and 4 more"):
        galvo.open(tmp_path)


def test_a_folder_of_none(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"no tiff")
    (tmp_path / "b.txt").write_bytes(b"text")
    with pytest.raises(UnknownFormat, match="no recording"):
        galvo.open(tmp_path)


# ---- arrays and recordings ------------------------------------------------------------------------------------------


def test_arrays():
    pixels = frames(3)
    metadata = Metadata(format="array", frame_rate_hz=5.0)
    recording = galvo.open(pixels, metadata=metadata)
    assert recording.shape == (3, 1, 1, 6, 5)
    assert recording.frame_rate_hz == 5
    assert galvo.open(pixels, axes="CYX").shape == (1, 3, 1, 6, 5)
    with pytest.raises(OptionError, match="an array takes no option 'walk'"):
        galvo.open(pixels, walk=True)
    with pytest.raises(OptionError, match='axes="TCYX"'):
        galvo.open(np.zeros((2, 3, 4, 5)))


def test_an_open_recording_is_given_back(tiff):
    with galvo.open(tiff) as recording:
        assert galvo.open(recording) is recording
        for options in ({"walk": True}, {"format": "tiff"}, {"series": False}, {"axis": "c"}):
            with pytest.raises(OptionError, match=f"takes no options; found {next(iter(options))}"):
                galvo.open(recording, **options)


# ---- refused --------------------------------------------------------------------------------------------------------


NO_NAMES = [None, 3, 1.5, object(), {"a": 1}, [], [None], [3], ["a", None], "a\0b"]


@pytest.mark.parametrize("source", NO_NAMES, ids=lambda source: type(source).__name__)
def test_what_names_no_recording(source):
    with pytest.raises(OptionError):
        galvo.open(source)


@pytest.mark.parametrize("source", ["none.tif", "no/such/folder/x.tif", "", "x" * 5000 + ".tif"])
def test_nothing_there(tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((NotFound, ReadError, UnknownFormat)):
        galvo.open(source)
    with pytest.raises((NotFound, ReadError)):
        galvo.open([source or "none"])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_a_pipe_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "x.tif")
    with pytest.raises(ReadError, match="pipe"):
        galvo.open(tmp_path / "x.tif")


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"axis": "z"}, "axis must be"),
        ({"damaged": "ignore"}, "damaged must be"),
        ({"format": "nonsense"}, "no such format"),
        ({"format": 3}, "no such format"),
        ({"limits": 3}, "limits must be"),
        ({"nonsense": 1}, "takes no option 'nonsense'; expected one of "),
    ],
)
def test_options_that_do_not_exist(tiff, options, what):
    with pytest.raises(OptionError, match=what):
        galvo.open(tiff, **options)


def test_a_format_that_is_named_is_believed(tiff, series):
    _, paths = series
    with galvo.open(paths[0], format="tiff") as recording:
        assert recording.metadata.format == "tiff"
        assert recording.shape[0] == 4
    with pytest.raises(FormatError):
        galvo.open(tiff, format="hdf5")


def test_unknown_files(tmp_path):
    path = tmp_path / "x.tif"
    path.write_bytes(b"")
    with pytest.raises(UnknownFormat, match="empty"):
        galvo.open(path)
    path.write_bytes(b"plain text")
    with pytest.raises(UnknownFormat, match=r"\.tif promises tiff or scanimage"):
        galvo.open(path)


def test_limits_reach_the_format(tiff):
    with pytest.raises(LimitExceeded):
        galvo.open(tiff, limits=galvo.Limits(frame_bytes=29))
    with galvo.open(tiff, limits=galvo.Limits(frame_bytes=30)) as recording:
        assert recording.shape[0] == 4


def test_a_list_that_fails_leaves_nothing_open(tmp_path, tiff):
    other = write_tiff(tmp_path / "other.tif", frames(2, shape=(7, 5)))
    broken = tmp_path / "broken.tif"
    broken.write_bytes(tiff.read_bytes()[:-9])
    for paths in ([tiff, other], [tiff, broken], [tiff, tmp_path / "none.tif"]):
        with pytest.raises(GalvoError):
            galvo.open(paths)


# ---- pickle ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["path", "home", "list", "pattern", "folder", "relative"])
def test_pickle_finds_the_files_again(tmp_path, monkeypatch, form):
    folder = tmp_path / "data"
    folder.mkdir()
    write_tiff(folder / "one.tif", frames(4))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    monkeypatch.chdir(folder)
    source = {
        "path": folder / "one.tif",
        "home": "~/one.tif",
        "list": ["one.tif", "~/one.tif"],
        "pattern": "o*.tif",
        "folder": folder,
        "relative": "one.tif",
    }[form]
    with galvo.open(source, limits=galvo.Limits(page_count=100)) as recording:
        data = pickle.dumps(recording.isel(t=slice(1, None), x=0))
        expected = recording[1:, ..., :1]
    monkeypatch.chdir(tmp_path)
    with pickle.loads(data) as again:
        np.testing.assert_array_equal(again[...], expected)


def test_pickle_of_a_file_that_is_gone_or_another(tmp_path, tiff):
    with galvo.open(tiff) as recording:
        data = pickle.dumps(recording)
    write_tiff(tiff, frames(5))
    with pytest.raises(ReadError, match="not the one"):
        pickle.loads(data)
    tiff.unlink()
    with pytest.raises(NotFound):
        pickle.loads(data)


def test_a_genuine_recording(sample_data):
    found = sorted(Path(sample_data).glob("scanimage/**/*.tif"))
    if not found:
        pytest.skip(f"no ScanImage files in {sample_data}")
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GalvoWarning)
        with galvo.open(found[0]) as recording:
            assert recording[0].size > 0
