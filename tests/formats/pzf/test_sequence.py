"""Folders of frames and tables of them: what is missing, in which order, and what is kept beside the pixels."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import time
import zlib

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import (
    GalvoError,
    GalvoWarning,
    LimitExceeded,
    Malformed,
    OptionError,
    Truncated,
    UnknownFormat,
    Unsupported,
)
from galvo.formats import pzf
from galvo.limits import Limits
from galvo.testing.scanimage import ScanImageRecording


def blob(pixels, number=0, *, depth=1, version=3, junk=b""):
    """A plain blob by its bytes, without galvo's writer."""
    code = {"u1": 0, "u2": 1, "f4": 2}[pixels.dtype.str[1:]]
    shape = (*pixels.shape, depth)[:3]
    head = struct.pack("<2sBBBBcxqIIIIQff", b"BD", version, code, 0, 0, b"C", -7, number, *shape, 1000 + number, 0, 0)
    return head + (struct.pack("<I12x", 64) if version >= 3 else b"") + pixels.tobytes() + junk


def pixels_of(*shape, dtype="<u2", seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(dtype)


def folder_of(path, frames, numbers=None, name="frame{:05d}.pzf", **metadata):
    path.mkdir()
    for number, frame in zip(range(len(frames)) if numbers is None else numbers, frames, strict=True):
        (path / name.format(number)).write_bytes(blob(frame, number if type(number) is int and number < 1 << 32 else 0))
    if metadata:
        (path / "metadata.json").write_text(json.dumps(metadata))
    return path


@pytest.fixture
def own(tmp_path):
    """A recording of two channels and three planes, as galvo writes it, and its pixels."""
    pixels = pixels_of(4, 2, 3, 6, 5, dtype="<i2") - 100
    galvo.save(pixels, tmp_path / "own", format="pzf")
    return tmp_path / "own", pixels


# ---- names and numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "name"),
    [
        ([0, 1, 2], "frame{:05d}.pzf"),
        ([99_998, 99_999, 100_000], "frame{:05d}.pzf"),
        ([8, 9, 10], "x2_{}.PZF"),
        ([3, 4, 5], "{}.Pzf"),
    ],
)
def test_files_are_ordered_by_number(tmp_path, numbers, name):
    frames = pixels_of(3, 4, 5)
    folder = folder_of(tmp_path / "f", frames, numbers, name)
    for source in (folder, folder / name.format(numbers[1])):
        with galvo.open(source) as recording:
            assert recording.shape == (3, 1, 1, 4, 5)
            assert np.array_equal(recording[:, 0, 0], frames)
            assert [path.name for path in recording.files] == [name.format(number) for number in numbers]
            table = recording.frame_table()
            assert table["file"].tolist() == [0, 1, 2]
            assert table["frame_number"].tolist() == numbers
            assert table["frame_timestamp"].tolist() == [1000 + number for number in numbers]
            assert set(table["sequence_id"].tolist()) == {-7}


def test_one_file_alone(tmp_path):
    frames = pixels_of(3, 4, 5)
    folder = folder_of(tmp_path / "f", frames)
    with galvo.open(folder / "frame00001.pzf", series=False) as recording:
        assert np.array_equal(recording[...], frames[1:2, None, None])


def test_two_files_of_one_number(tmp_path):
    folder = folder_of(tmp_path / "f", pixels_of(2, 4, 5))
    shutil.copy(folder / "frame00001.pzf", folder / "frame1.pzf")
    with pytest.raises(Malformed, match="two files are frame 1 of the sequence"):
        galvo.open(folder)
    assert galvo.load(folder / "frame1.pzf", series=False).shape == (4, 5)


def test_two_sequences_in_a_folder(tmp_path):
    folder = folder_of(tmp_path / "f", pixels_of(2, 4, 5))
    (folder / "other00000.pzf").write_bytes(blob(pixels_of(4, 5)))
    with pytest.raises(UnknownFormat, match="2 recordings"):
        galvo.open(folder)
    assert galvo.load(folder / "frame00000.pzf").shape == (2, 4, 5)
    assert galvo.load(folder / "other00000.pzf").shape == (4, 5)


def test_gaps(tmp_path):
    frames = pixels_of(4, 4, 5)
    folder = folder_of(tmp_path / "f", frames, [10, 11, 13, 99_999_999_999])
    with pytest.raises(Truncated, match=r"missing: 12, 14 to 99999999998.*damaged=\"report\""):
        galvo.open(folder)
    with galvo.open(folder, damaged="report") as recording:
        assert np.array_equal(recording[:, 0, 0], frames)
        (damage,) = recording.damage
        assert "12" in damage.message
    # naming frames is no gap
    chosen = [folder / "frame00013.pzf", folder / "frame00010.pzf"]
    assert np.array_equal(galvo.load(chosen), frames[[2, 0]])
    assert np.array_equal(galvo.load(str(folder / "frame0001*.pzf")), frames[:3])


def test_names_beyond_any_number(tmp_path):
    folder = folder_of(tmp_path / "f", pixels_of(1, 4, 5), ["9" * 100], "frame{}.pzf")
    assert galvo.load(folder).shape == (4, 5)


def test_lists_over_folders_and_tables(tmp_path):
    frames = pixels_of(6, 4, 5)
    for number in range(2):
        folder_of(tmp_path / f"f{number}", frames[2 * number : 2 * number + 2])
        galvo.save(frames[2 * number : 2 * number + 2], tmp_path / f"t{number}.h5", format="pzf")
    names = [tmp_path / f"f{number}" / f"frame0000{k}.pzf" for number in range(2) for k in range(2)]
    assert np.array_equal(galvo.load(names), frames[:4])
    assert np.array_equal(galvo.load([tmp_path / "t1.h5", tmp_path / "t0.h5"]), frames[[2, 3, 0, 1]])


# ---- metadata of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "size", "rate"),
    [
        ({"voxelsize.x": 0.1, "voxelsize.y": 0.2, "Camera.CycleTime": 0.05}, (0.1, 0.2), 20.0),
        ({"voxelsize": {"x": 0.1, "y": 0.2, "units": "um"}, "Camera": {"CycleTime": 0.5}}, (0.1, 0.2), 2.0),
        ({"voxelsize": {"x": 0.1}, "Camera": 7}, None, None),
        ({"voxelsize.x": "wide", "voxelsize.y": True, "Camera.CycleTime": 0}, None, None),
        ({"voxelsize.x": 100, "voxelsize.y": 100, "voxelsize.units": "nm"}, None, None),
        ({"voxelsize.x": 10**400, "voxelsize.y": -1, "Camera.CycleTime": 5e-324}, None, None),
        ({}, None, None),
    ],
)
def test_metadata_of_others(tmp_path, content, size, rate):
    folder = folder_of(tmp_path / "f", pixels_of(2, 4, 5), **content)
    (folder / "events.json").write_text('[["start", 1.5]]')
    with galvo.open(folder) as recording:
        assert recording.pixel_size_um == size
        assert recording.frame_rate_hz == rate
        assert recording.timestamps is None
        assert recording.metadata.texts["events.json"] == '[["start", 1.5]]'
        assert json.loads(recording.metadata.texts.get("metadata.json", "{}")) == content


@pytest.mark.parametrize("text", [b"{", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"galvo": 3}', b'{"galvo": {}}'])
def test_metadata_that_is_none(tmp_path, text):
    folder = folder_of(tmp_path / "f", pixels_of(2, 4, 5))
    (folder / "metadata.json").write_bytes(text)
    with pytest.raises((Malformed, Unsupported), match=r"metadata\.json"):
        galvo.open(folder)


# ---- frames that are not like the others ----------------------------------------------------------------------------


def test_depth_is_z(tmp_path):
    pixels = pixels_of(4, 5, 3, dtype="<f4")
    folder = folder_of(tmp_path / "f", [pixels, pixels + 1])
    with galvo.open(folder) as recording:
        assert recording.shape == (2, 1, 3, 4, 5)
        assert np.array_equal(recording[1, 0], (pixels + 1).transpose(2, 0, 1))
        assert np.array_equal(recording[0, 0, ::-2, 1:3, [4, 0]], pixels.transpose(2, 0, 1)[::-2, 1:3][:, :, [4, 0]])
        assert recording.frame_table()["frame_number"].tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_versions(tmp_path, version):
    frame = pixels_of(4, 5)
    (tmp_path / "frame00000.pzf").write_bytes(blob(frame, version=version))
    with galvo.open(tmp_path) as recording:
        assert recording.metadata.version == f"v{version}"
        assert np.array_equal(recording[0, 0, 0], frame)


@pytest.mark.parametrize(
    ("bad", "kind", "text"),
    [
        (b"", Truncated, "the file is empty"),
        (b"BD\3", Truncated, "header is cut off"),
        (blob(pixels_of(4, 5))[:-1], Truncated, "fewer bytes"),
        (blob(pixels_of(4, 5), junk=b"?"), Malformed, "more bytes"),
        (blob(pixels_of(5, 4)), Malformed, "not like the first"),
        (blob(pixels_of(4, 5, dtype="u1")), Malformed, "not like the first"),
        (b"other", Malformed, "not a PZF frame"),
    ],
)
def test_a_bad_frame_leaves_the_others(tmp_path, bad, kind, text):
    frames = pixels_of(3, 4, 5)
    folder = folder_of(tmp_path / "f", frames)
    (folder / "frame00001.pzf").write_bytes(bad)
    with galvo.open(folder) as recording:
        assert np.array_equal(recording[::2, 0, 0], frames[::2])
        with pytest.raises(kind, match=text) as caught:
            recording[1]
        assert caught.value.path == str(folder / "frame00001.pzf")
    with pytest.raises((kind, OptionError)):
        galvo.verify(folder)


def test_a_bad_first_frame(tmp_path):
    frames = pixels_of(3, 4, 5)
    folder = folder_of(tmp_path / "f", frames)
    (folder / "frame00000.pzf").write_bytes(b"BD")
    with pytest.raises(Truncated):
        galvo.open(folder / "frame00001.pzf")
    with galvo.open(folder / "frame00001.pzf", damaged="report") as recording:
        assert len(recording.damage) == 1
        assert np.array_equal(recording[1:, 0, 0], frames[1:])


def test_no_pixels(tmp_path):
    folder = folder_of(tmp_path / "f", [pixels_of(0, 5)])
    with pytest.raises(Malformed, match="no pixels"):
        galvo.open(folder)


def test_a_quantised_flag_over_plain_pixels_is_no_loss(tmp_path):
    frame = pixels_of(4, 5)
    data = bytearray(blob(frame))
    data[5] = 1
    (tmp_path / "frame00000.pzf").write_bytes(data)
    with galvo.open(tmp_path) as recording:
        assert "stored" not in recording.metadata.attributes
        assert np.array_equal(recording[0, 0, 0], frame)


# ---- galvo's own ----------------------------------------------------------------------------------------------------


def test_own_without_some_frames(own):
    folder, pixels = own
    (folder / "frame00000.pzf").unlink()
    (folder / "frame00013.pzf").unlink()
    with pytest.raises(Truncated, match="22 of 24 frames are there"):
        galvo.open(folder)
    with galvo.open(folder, damaged="report") as recording:
        # T 0 and 2 are not whole
        assert np.array_equal(recording[...], pixels[[1, 3]])
        assert "22 of 24" in recording.damage[0].message


def test_own_with_frames_too_many(own):
    folder, pixels = own
    shutil.copy(folder / "frame00000.pzf", folder / "frame00024.pzf")
    with pytest.raises(Malformed, match="more frames than"):
        galvo.open(folder)
    with galvo.open(folder, damaged="report") as recording:
        assert np.array_equal(recording[...], pixels)


def test_own_without_a_whole_t(own):
    folder, _ = own
    for t in range(4):
        (folder / f"frame{6 * t:05d}.pzf").unlink()
    with pytest.raises(Truncated, match="not one T is whole"):
        galvo.open(folder, damaged="report")


def test_parts_of_own(own):
    folder, pixels = own
    with galvo.open(folder / "frame00010.pzf", series=False) as recording:
        assert recording.dtype == np.int16
        assert np.array_equal(recording[...], pixels[1:2, 1:2, 1:2])
    whole = [folder / f"frame{number:05d}.pzf" for number in (*range(18, 24), *range(6))]
    assert np.array_equal(galvo.load(whole), pixels[[3, 0]])
    with pytest.raises(OptionError, match="does not hold all channels and planes"):
        galvo.open(whole[:7])
    with pytest.raises(OptionError, match="does not hold all channels and planes"):
        galvo.open(whole[::-1])


def test_own_frames_without_what_was_kept(own):
    folder, pixels = own
    (folder / "metadata.json").unlink()
    stored = galvo.load(folder)
    assert stored.dtype == np.uint16
    assert np.array_equal(stored.astype(np.int32) - 32768, pixels.reshape(24, 6, 5))


def test_frames_of_others_beside_own(own):
    folder, _ = own
    (folder / "snap.pzf").write_bytes(blob(pixels_of(3, 2)))
    assert galvo.load(folder / "snap.pzf").shape == (3, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shape", [4, 2, 3, 5, 6]),
        ("shape", [10**30, 1, 1, 6, 5]),
        ("shape", [4, 2, 3, 6]),
        ("pixel_dtype", "uint8"),
        ("pixel_dtype", "object"),
        ("pixel_shift", 65536),
        ("pixel_shift", -1),
        ("pixel_shift", 1.0),
        ("schema_version", 2),
        ("channel_names", ["a"]),
        ("z_um", [1, 2, "x"]),
        ("frame_rate_hz", 10**400),
        ("frame_rate_hz", "fast"),
        ("texts", 3),
        ("texts", {"header": 3}),
        ("start_time", {"a": 1}),
        ("source_version", [1]),
    ],
)
def test_kept_facts_are_not_trusted(own, name, value):
    folder, _ = own
    about = json.loads((folder / "metadata.json").read_text())
    about["galvo"][name] = value
    (folder / "metadata.json").write_text(json.dumps(about))
    with pytest.raises((Malformed, Unsupported, LimitExceeded)):
        galvo.open(folder)


@pytest.mark.parametrize("dtype", ["object", "<U4", "O", "<f8,<f8", "S99999999", "|V8", "<i3", 7, None, {"names": []}])
def test_kept_columns_are_not_trusted(own, dtype):
    folder, _ = own
    about = json.loads((folder / "metadata.json").read_text())
    about["galvo"]["block_crc32c"]["dtype"] = dtype
    (folder / "metadata.json").write_text(json.dumps(about))
    with galvo.open(folder) as recording, pytest.raises(Malformed):
        galvo.verify(recording)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("timestamp_s", {"dtype": "|S8"}),
        ("", {"dtype": "<f8"}),
        ("t", {"dtype": "<f8"}),
        ("a b", {"dtype": "<f8"}),
        ("few", {"dtype": "<f8", "count": 23}),
        ("torn", {"dtype": "<f8", "count": 23.5}),
        ("bomb", {"dtype": "<f8", "count": 1 << 20}),
    ],
)
def test_kept_frames_are_not_trusted(own, name, column):
    folder, _ = own
    about = json.loads((folder / "metadata.json").read_text())
    data = zlib.compress(bytes(int(8 * column.get("count", 24))))
    about["galvo"]["frames"] = {name: {"dtype": column["dtype"], "zlib": base64.b64encode(data).decode()}}
    (folder / "metadata.json").write_text(json.dumps(about))
    with galvo.open(folder, limits=Limits(text_bytes=1 << 20)) as recording:
        for ask in (lambda: recording.timestamps, recording.frame_table):
            with pytest.raises(Malformed):
                ask()


@pytest.mark.parametrize("name", ["out", "out.h5"])
@pytest.mark.parametrize(("shift", "stored"), [(32768, 32768), ("least", 20), (20, 20), (40, 40)])
def test_int16_is_given_back(tmp_path, name, shift, stored):
    pixels = np.arange(-20, 100, dtype=np.int16).reshape(6, 4, 5)
    result = galvo.save(pixels, tmp_path / name, format="pzf", shift=shift, verify=True)
    assert any(f"with {stored} added" in note for note in result.notes)
    with galvo.open(tmp_path / name) as recording:
        assert recording.dtype == np.int16
        assert np.array_equal(recording[:, 0, 0], pixels)
        assert f"with {stored} added" in recording.metadata.attributes["stored"]
    if name == "out":
        raw, _ = pzf.loads((tmp_path / name / "frame00002.pzf").read_bytes())
        assert json.loads((tmp_path / name / "metadata.json").read_text())["galvo"]["pixel_shift"] == stored
    else:
        with h5py.File(tmp_path / name) as file:
            raw, _ = pzf.loads(file["PZFImageData"][2])
            assert file["PZFImageData"].attrs["pixel_shift"] == stored
    assert raw.dtype == np.uint16
    assert np.array_equal(raw.astype(np.int64) - stored, pixels[2])


def test_no_shift_where_none_is_needed(tmp_path):
    pixels = np.arange(120, dtype=np.int16).reshape(6, 4, 5)
    result = galvo.save(pixels, tmp_path / "out", format="pzf", shift="least", verify=True)
    assert result.notes == ()
    assert galvo.load(tmp_path / "out").dtype == np.int16


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize(
    ("dtype", "options", "text"),
    [
        ("<i2", {"shift": 19}, "shift does not fit the pixels"),
        ("<i2", {"shift": 65520}, "shift does not fit the pixels"),
        ("<i2", {"shift": -1}, "shift does not fit"),
        ("<i2", {"shift": True}, "shift does not fit"),
        ("<f8", {}, "no such pixels.*--dtype"),
        ("?", {}, "no such pixels"),
        ("u1", {"quantize": "sqrt", "quantize_scale": 1.0, "quantize_offset": 0}, "only uint16 and int16"),
        ("<u2", {"quantize": "sqrt", "quantize_scale": 0.0}, "quantize_scale does not fit"),
        ("<u2", {"quantize": "sqrt", "quantize_scale": 1e300, "quantize_offset": 0}, "float32"),
        ("<u2", {"quantize": "cube"}, "unknown quantize"),
        ("<u2", {"compression": "gzip"}, "unknown compression"),
        ("<u2", {"quantize": "sqrt"}, "quantize_offset and quantize_scale"),
    ],
)
def test_what_is_refused_is_refused_before_anything_is_written(tmp_path, dtype, options, text, dry_run):
    pixels = (np.arange(40).reshape(2, 4, 5) - (20 if dtype == "<i2" else 0)).astype(dtype)
    with pytest.raises(GalvoError, match=text):
        galvo.save(pixels, tmp_path / "out", format="pzf", dry_run=dry_run, **options)
    assert not list(tmp_path.iterdir())


def test_a_file_is_no_folder(tmp_path):
    with pytest.raises(OptionError, match="holds one frame"):
        galvo.save(pixels_of(2, 4, 5), tmp_path / "out.pzf")


def test_levels_of_each_channel(tmp_path):
    rng = np.random.default_rng(3)
    light = np.linspace(20, 400, 64)[:, None] * np.ones((1, 48))
    photons = rng.poisson(light, (40, 2, 1, 64, 48))
    pixels = np.clip(photons * np.array([4, 9])[:, None, None, None] + [[[[100]]], [[[30]]]], 0, 65535).astype("<u2")
    result = galvo.save(pixels, tmp_path / "out", format="pzf", quantize="sqrt", verify=True, block_bytes=64 * 48 * 2)
    headers = [pzf.load_header((tmp_path / "out" / f"frame{number:05d}.pzf").read_bytes()) for number in range(4)]
    assert headers[0].quantize_scale == headers[2].quantize_scale < headers[1].quantize_scale
    assert sum("quantised with loss" in note for note in result.notes) == 2
    back = galvo.load(tmp_path / "out", squeeze=False).astype(float)
    for channel, gain in enumerate((4, 9)):
        sigma = gain * np.sqrt(light)
        error = np.abs(back[:, channel, 0] - pixels[:, channel, 0]) / sigma
        assert error.max() < 0.5
    with galvo.open(tmp_path / "out") as recording:
        assert recording.metadata.attributes["stored"].count("quantised with loss") == 2
    assert galvo.verify(tmp_path / "out").ok


def test_int16_levels_beyond_int16_saturate(tmp_path):
    pixels = np.full((3, 4, 5), 32767, np.int16)
    pixels[0] = -1
    for shift in (32768, "least"):
        options = {"quantize": "sqrt", "quantize_offset": -1, "quantize_scale": 1.2}
        galvo.save(pixels, tmp_path / "out", format="pzf", shift=shift, verify=True, overwrite=True, **options)
        back = galvo.load(tmp_path / "out")
        assert back.dtype == np.int16
        assert (back[1:] > 32000).all()


def test_overwriting_folders(tmp_path):
    frames = pixels_of(5, 4, 5)
    galvo.save(frames, tmp_path / "out", format="pzf")
    galvo.save(frames[:2], tmp_path / "out", format="pzf", overwrite=True)
    assert sorted(os.listdir(tmp_path / "out")) == ["frame00000.pzf", "frame00001.pzf", "metadata.json"]
    (tmp_path / "out" / "events.json").write_text("[]")
    with pytest.raises(galvo.errors.WriteError, match=r"other files.*events\.json"):
        galvo.save(frames, tmp_path / "out", format="pzf", overwrite=True)
    assert np.array_equal(galvo.load(tmp_path / "out"), frames[:2])


@pytest.mark.parametrize("name", ["out", "out.h5"])
def test_frames_are_one_sequence(tmp_path, name):
    galvo.save(pixels_of(3, 2, 1, 4, 5), tmp_path / name, format="pzf")
    if name == "out":
        blobs = [path.read_bytes() for path in sorted((tmp_path / name).glob("*.pzf"))]
    else:
        with h5py.File(tmp_path / name) as file:
            blobs = list(file["PZFImageData"])
            assert file["PZFImageIndex"]["Position"].tolist() == list(range(6))
    headers = [pzf.load_header(one) for one in blobs]
    assert [header.frame_number for header in headers] == list(range(6))
    assert len({header.sequence_id for header in headers}) == 1


@pytest.mark.parametrize("name", ["out", "out.h5"])
def test_everything_beside_the_pixels_is_kept(tmp_path, name):
    made = ScanImageRecording(
        height=8,
        width=8,
        frames=12,
        channels=(1, 3),
        aux_triggers={2: {0: [0.05, 0.06], 3: [0.061]}, 9: {1: [0.3]}},
        i2c={4: [(0.12, b"\x00\x7f"), (0.13, b"abc")]},
    )
    (source,) = made.write(tmp_path, "rec")
    galvo.convert(source, tmp_path / name, format="pzf", verify=True)
    # and once more
    again = tmp_path / f"again{'.h5' if name != 'out' else ''}"
    galvo.convert(tmp_path / name, again, format="pzf", verify=True)
    with galvo.open(source) as raw, galvo.open(again) as kept:
        events = raw.events()
        assert events.size == 6
        assert kept.events().tobytes() == events.tobytes()
        assert kept.metadata.texts == raw.metadata.texts
        assert kept.metadata.header == raw.metadata.header
        assert kept.metadata.attributes["source_format"] == "scanimage"
        rows, table = raw.frame_table(), kept.frame_table()
        for column in ("timestamp_s", "frame_number"):
            assert np.array_equal(table[column], rows[column])
        part = kept.isel(t=[9, 4, 4], c=1)
        assert np.array_equal(part[...], raw.isel(t=[9, 4, 4], c=1)[...])
        assert part.events().tobytes() == raw.isel(t=[9, 4, 4]).events().tobytes()


# ---- tables ---------------------------------------------------------------------------------------------------------


def table_of(path, frames, *, index=True, **options):
    with h5py.File(path, "w") as file:
        data = file.create_dataset("PZFImageData", (len(frames),), h5py.vlen_dtype(np.uint8), **options)
        for row, frame in enumerate(frames):
            data[row] = np.frombuffer(blob(frame, row), np.uint8)
        if index:
            file["PZFImageIndex"] = np.array(
                [(row, row) for row in range(len(frames))], [("FrameNum", "<i4"), ("Position", "<i4")]
            )
    return path


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chunks": (4,)},
        {"chunks": (4,), "maxshape": (None,), "compression": "gzip"},
        {"chunks": (3,), "shuffle": True, "compression": "gzip"},
    ],
)
@pytest.mark.parametrize("size", [(2, 3), (40, 50)])
def test_layouts(tmp_path, options, size):
    frames = pixels_of(10, *size)
    path = table_of(tmp_path / "t.h5", frames, index=not options, **options)
    with galvo.open(path) as recording:
        assert recording.metadata.format == "pzf"
        assert np.array_equal(recording[:, 0, 0], frames)
        assert np.array_equal(recording[::-3, 0, 0], frames[::-3])
        assert recording.frame_table()["page"].tolist() == list(range(10))


def test_a_collection_of_many_objects(tmp_path):
    frames = pixels_of(3000, 1, 2)
    path = table_of(tmp_path / "t.h5", frames)
    with galvo.open(path) as recording:
        assert np.array_equal(recording[:, 0, 0], frames)
        assert np.array_equal(recording[[2999, 0, 1500], 0, 0], frames[[2999, 0, 1500]])


def test_frame_numbers_of_a_table_may_leave_some_out(tmp_path):
    frames = pixels_of(3, 4, 5)
    path = table_of(tmp_path / "t.h5", frames)
    with h5py.File(path, "r+") as file:
        file["PZFImageIndex"][...] = np.array([(9, 0), (2, 1), (5, 2)], file["PZFImageIndex"].dtype)
    with pytest.warns(GalvoWarning, match="leave out 3 to 4, 6 to 8"):
        recording = galvo.open(path)
    with recording:
        assert np.array_equal(recording[:, 0, 0], frames[[1, 2, 0]])


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (lambda file: file.__delitem__("PZFImageData"), Malformed, "no dataset of blobs"),
        (lambda file: file["PZFImageIndex"].__setitem__(0, (0, 7)), Malformed, "rows that /PZFImageData does not"),
        (lambda file: file["PZFImageIndex"].__setitem__(0, (0, -1)), Malformed, "rows that /PZFImageData does not"),
        (lambda file: file["PZFImageData"].resize((0,)), Malformed, "names more frames"),
        (lambda file: file["PZFImageData"].resize((9,)), Truncated, "never written"),
    ],
)
def test_tables_that_contradict_themselves(tmp_path, change, kind, text):
    path = table_of(tmp_path / "t.h5", pixels_of(4, 4, 5), chunks=(4,), maxshape=(None,))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(kind, match=text):
        galvo.open(path, format="pzf")


@pytest.mark.parametrize("kind", ["user block", "text index", "floats", "compact", "external"])
def test_tables_of_another_kind(tmp_path, kind):
    path = tmp_path / "t.h5"
    with h5py.File(path, "w", userblock_size=512 if kind == "user block" else 0) as file:
        if kind == "floats":
            file.create_dataset("PZFImageData", (2,), h5py.vlen_dtype(np.float32))
        elif kind == "external":
            file["PZFImageData"] = h5py.ExternalLink("other.h5", "/PZFImageData")
        elif kind == "compact":
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.COMPACT)
            dtype = h5py.h5t.vlen_create(h5py.h5t.NATIVE_UINT8)
            h5py.h5d.create(file.id, b"PZFImageData", dtype, h5py.h5s.create_simple((2,)), dcpl=plist)
        else:
            file.create_dataset("PZFImageData", (2,), h5py.vlen_dtype(np.uint8))
        if kind == "text index":
            file["PZFImageIndex"] = np.zeros(2, [("FrameNum", "S4"), ("Position", "<i4")])
    with pytest.raises((Malformed, Unsupported)):
        galvo.open(path, format="pzf")


def test_a_heap_is_not_trusted(tmp_path):
    # more than what libhdf5 puts together
    frames = pixels_of(4, 200, 200)
    path = table_of(tmp_path / "t.h5", frames)
    content = path.read_bytes()
    heap = content.index(b"GCOL")
    for offset, data, text in (
        (heap, b"XCOL", "leads to no heap"),
        (heap + 8, bytes(8), "leads to nothing"),
        (heap + 16, b"\x07\0", "leads to nothing"),
        (heap + 24, (9).to_bytes(8, "little"), "longer than what it leads to"),
        (heap + 24, b"\xff" * 8, "leads to nothing"),
    ):
        path.write_bytes(content[:offset] + data + content[offset + len(data) :])
        with galvo.open(path, damaged="report") as recording:
            with pytest.raises(GalvoError, match=text) as caught:
                recording[0]
            assert caught.value.offset is not None
            assert np.array_equal(recording[1:, 0, 0], frames[1:])


def test_limits(tmp_path):
    frames = pixels_of(4, 40, 50)
    for source in (folder_of(tmp_path / "f", frames), table_of(tmp_path / "t.h5", frames)):
        with galvo.open(source, limits=Limits(frame_bytes=4000, page_count=4)) as recording:
            assert np.array_equal(recording[:, 0, 0], frames)
        for limits in (Limits(frame_bytes=3999), Limits(page_count=3)):
            with pytest.raises(LimitExceeded):
                galvo.open(source, limits=limits)


def test_opening_20000_frames_asks_for_one(tmp_path, monkeypatch):
    """System calls, not time: stat and open of the files that are looked at."""
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "frame00000.pzf").write_bytes(blob(pixels_of(4, 5)))
    for number in range(1, 2000):
        os.link(folder / "frame00000.pzf", folder / f"frame{number:05d}.pzf")
    opened, real = [], os.open

    def counted(path, *arguments, **options):
        opened.append(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", counted)
    started = time.thread_time()
    with galvo.open(folder) as recording:
        assert recording.shape == (2000, 1, 1, 4, 5)
    assert time.thread_time() - started < 5
    assert len(opened) < 10


def test_a_root_group_of_many_names(tmp_path):
    """Its names then lie far behind the beginning of the file."""
    frames = pixels_of(3, 200, 200)
    for libver in ("earliest", "v110"):
        path = table_of(tmp_path / f"{libver}.h5", frames)
        path.unlink()
        with h5py.File(path, "w", libver=libver) as file:
            for number in range(3 if libver == "v110" else 200):
                file.create_group(f"other{number}" + "x" * 30)
            file["large"] = np.zeros(1 << 16, "u1")
            data = file.create_dataset("PZFImageData", (3,), h5py.vlen_dtype(np.uint8))
            for row, frame in enumerate(frames):
                data[row] = np.frombuffer(blob(frame, row), np.uint8)
        with galvo.open(path) as recording:
            assert np.array_equal(recording[:, 0, 0], frames)


def test_pytables_reads_and_writes_such_tables(tmp_path):
    tables = pytest.importorskip("tables")
    pixels = pixels_of(7, 30, 20)
    galvo.save(pixels, tmp_path / "ours.h5", format="pzf", compression="raw")
    with tables.open_file(tmp_path / "ours.h5") as file:
        index = file.root.PZFImageIndex
        rows = [file.root.PZFImageData[position] for position in index.col("Position")]
        assert index.col("FrameNum").tolist() == list(range(7))
    for row, frame in zip(rows, pixels, strict=True):
        assert row[64:].tobytes() == frame.tobytes()
    columns = {"FrameNum": tables.Int32Col(), "Position": tables.Int32Col()}
    with tables.open_file(tmp_path / "theirs.h5", "w") as file:
        data = file.create_vlarray("/", "PZFImageData", tables.UInt8Atom())
        index = file.create_table("/", "PZFImageIndex", columns)
        for position, number in enumerate([4, 0, 6, 1, 2, 3, 5]):
            data.append(np.frombuffer(blob(pixels[number], number), np.uint8))
            index.append([(number, position)])
    assert np.array_equal(galvo.load(tmp_path / "theirs.h5"), pixels)
