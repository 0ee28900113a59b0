"""What galvo writes, read by SciPy and h5py; versions, names, refusals; resuming and recovering."""

from __future__ import annotations

import json
import os
import zlib

import h5py
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

import galvo
from galvo.core.atomic import partial_path
from galvo.errors import DamagedData, GalvoError, OptionError, Truncated, Unsupported
from galvo.formats.matlab.sink5 import _joined_adler32
from galvo.testing.scanimage import ScanImageRecording

VERSIONS = ("5", "7", "7.3")
CLASSES = {
    "f8": "double", "f4": "single", "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32",
    "u4": "uint32", "i8": "int64", "u8": "uint64", "?": "logical",
}  # fmt: skip


def noise(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 120, shape).astype(dtype)


def in_matlab(pixels, channel):
    """(H, W, T), or (H, W, Z, T)."""
    array = pixels[:, channel].transpose(2, 3, 1, 0)
    return array[:, :, 0] if pixels.shape[2] == 1 else array


def by_others(path, version):
    """Name, array as MATLAB shows it, and its class."""
    if version != "7.3":
        found = scipy.io.loadmat(path, mat_dtype=True, chars_as_strings=True)
        classes = {name: kind for name, _, kind in scipy.io.whosmat(path)}
        return {name: (found[name], kind) for name, kind in classes.items()}
    with h5py.File(path) as file:
        return {name: (item[()].T, item.attrs["MATLAB_class"].decode()) for name, item in file.items()}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", CLASSES)
def test_other_readers_see_arrays(tmp_path, version, dtype):
    path = tmp_path / "x.mat"
    for shape in ((5, 2, 1, 7, 6), (3, 1, 4, 5, 2)):
        pixels = noise(shape, dtype)
        galvo.save(pixels, path, version=version, overwrite=True, block_bytes=100)
        seen = by_others(path, version)
        assert set(seen) == {"galvo", "galvo_frames", *(f"ch{n + 1}" for n in range(shape[1]))}
        for channel in range(shape[1]):
            array, kind = seen[f"ch{channel + 1}"]
            assert kind == CLASSES[dtype]
            assert np.array_equal(array, in_matlab(pixels, channel))


@pytest.mark.parametrize("version", VERSIONS)
@settings(max_examples=25)
@given(data=st.data())
def test_round_trips(tmp_path_factory, version, data):
    shape = data.draw(hnp.array_shapes(min_dims=5, max_dims=5, max_side=6))
    pixels = data.draw(hnp.arrays(st.sampled_from(["<u2", ">i4", "<f4", ">f8", "?", "i1"]), shape))
    block_bytes = data.draw(st.integers(1, 4000))
    path = tmp_path_factory.mktemp("trip") / "x.mat"
    galvo.save(pixels, path, version=version, block_bytes=block_bytes)
    with galvo.open(path) as rec:
        assert rec.shape == shape
        assert rec[...].tobytes() == np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")).tobytes()
    assert galvo.verify(path).ok
    array, _ = by_others(path, version)["ch1"]
    np.testing.assert_array_equal(array, in_matlab(pixels, 0))


def test_complex_frames(tmp_path):
    pixels = noise((4, 2, 1, 5, 3), "f4") + 1j * noise((4, 2, 1, 5, 3), "f4", 1)
    path = tmp_path / "x.mat"
    galvo.save(pixels, path)
    with h5py.File(path) as file:
        assert file["ch2"].dtype.names == ("real", "imag")
        assert np.array_equal(file["ch2"]["imag"], pixels[:, 1, 0].imag.swapaxes(1, 2))
    assert np.array_equal(galvo.load(path, squeeze=False), pixels)
    with pytest.raises(Unsupported, match=r'version="7\.3"'):
        galvo.save(pixels, path, version="7", overwrite=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_header(tmp_path, version):
    path = tmp_path / "x.mat"
    galvo.save(noise((2, 1, 1, 3, 3), "u1"), path, version=version)
    content = path.read_bytes()
    title = b"MATLAB 7.3 MAT-file" if version == "7.3" else b"MATLAB 5.0 MAT-file"
    assert content.startswith(title)
    assert content[116:128] == bytes(8) + (b"\x00\x02IM" if version == "7.3" else b"\x00\x01IM")
    if version == "7.3":
        assert content[512:520] == b"\x89HDF\r\n\x1a\n"
        with h5py.File(path) as file:
            assert file.userblock_size == 512


@pytest.mark.parametrize("version", ["5", "7"])
def test_equal_content_is_equal_bytes(tmp_path, version, monkeypatch):
    """Whatever the blocks, the threads and the day."""
    pixels = noise((40, 2, 1, 64, 64), "<u2")
    written = []
    for block_bytes in (1 << 30, 1 << 30):
        path = tmp_path / "x.mat"
        galvo.save(pixels, path, version=version, overwrite=True, block_bytes=block_bytes)
        written.append(path.read_bytes())
        monkeypatch.setattr("galvo.formats.matlab.sink5.worker_count", lambda nbytes: 3)
    assert written[0] == written[1]


def test_golden_bytes(tmp_path):
    """An array of version 5, byte by byte."""
    path = tmp_path / "x.mat"
    galvo.save(np.arange(24, dtype="<u2").reshape(2, 1, 1, 3, 4), path, version="5")
    content = path.read_bytes()
    # flags, dimensions 3 x 4 x 2, the name, columns of the first frame, then of the second
    array = bytes.fromhex(
        "0e000000 70000000"
        "06000000 08000000 0b000000 00000000"
        "05000000 0c000000 03000000 04000000 02000000 00000000"
        "01000000 03000000 63683100 00000000"
        "04000000 30000000"
        "0000 0400 0800 0100 0500 0900 0200 0600 0a00 0300 0700 0b00"
        "0c00 1000 1400 0d00 1100 1500 0e00 1200 1600 0f00 1300 1700"
    )
    assert content.count(array) == 1
    assert content[128:132] == bytes.fromhex("0e000000")


# ---- options --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("mov", ["mov1", "mov2"]),
        ("a*b", ["a1b", "a2b"]),
        (["green", "red"], ["green", "red"]),
        ("g,r", ["g", "r"]),
        (None, ["ch1", "ch2"]),
    ],
)
def test_names(tmp_path, version, wanted, names):
    pixels, path = noise((3, 2, 1, 4, 4), "u2"), tmp_path / "x.mat"
    galvo.save(pixels, path, version=version, dataset_names=wanted)
    assert sorted(by_others(path, version)) == sorted([*names, "galvo", "galvo_frames"])
    assert np.array_equal(galvo.load(path, squeeze=False), pixels)
    galvo.save(pixels[:, :1], path, version=version, dataset_names="mov", overwrite=True)
    assert "mov" in by_others(path, version)


@pytest.mark.parametrize("wrong", ["1a", "a b", "ü", ["galvo", "a"], ["a"], ["a", "a"], "x" * 63, ""])
def test_names_that_matlab_does_not_take(tmp_path, wrong):
    with pytest.raises(OptionError):
        galvo.save(noise((3, 2, 1, 4, 4), "u2"), tmp_path / "x.mat", dataset_names=wrong)
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"version": "6"},
        {"version": "5", "compression": "gzip"},
        {"version": "7", "compression": "none"},
        {"compression": "lzf"},
        {"compression_level": 3},
        {"compression": "gzip", "compression_level": 10},
    ],
)
def test_options_that_do_not_fit(tmp_path, options):
    with pytest.raises(OptionError):
        galvo.save(noise((3, 2, 1, 4, 4), "u2"), tmp_path / "x.mat", **options)
    assert not os.listdir(tmp_path)


def version_in(path):
    content = path.read_bytes()
    return "7.3" if content[125] == 2 else "7" if content[128] == 15 else "5"


def test_the_version_that_is_chosen(tmp_path, monkeypatch):
    pixels, path = noise((3, 2, 1, 40, 40), "u2"), tmp_path / "x.mat"
    for options, version in (({}, "5"), ({"compression": "gzip"}, "7"), ({"compression": "none"}, "5")):
        galvo.save(pixels, path, overwrite=True, **options)
        assert version_in(path) == version
    for module in ("sink", "sink5"):
        monkeypatch.setattr(f"galvo.formats.matlab.{module}.MOST_BYTES", 3 * 40 * 40 * 2 - 1)
    for options in ({}, {"compression": "gzip"}):
        galvo.save(pixels, path, overwrite=True, **options)
        assert version_in(path) == "7.3"
        assert np.array_equal(galvo.load(path, squeeze=False), pixels)
    for version in ("5", "7"):
        with pytest.raises(Unsupported, match=r'hold no array of 2 GB.*version="7\.3"'):
            galvo.save(pixels, path, version=version, overwrite=True)


def test_types_that_matlab_does_not_have(tmp_path):
    for version in VERSIONS:
        with pytest.raises(Unsupported, match="no class for float16"):
            galvo.save(np.zeros((2, 1, 1, 3, 3), "f2"), tmp_path / "x.mat", version=version)


def test_compression_shrinks(tmp_path):
    pixels = np.zeros((20, 1, 1, 64, 64), "u2")
    sizes = {}
    for name, options in {"5": {"version": "5"}, "7": {"version": "7"}, "73": {"version": "7.3"}}.items():
        sizes[name] = galvo.save(pixels, tmp_path / f"{name}.mat", **options).file_bytes
    packed = galvo.save(pixels, tmp_path / "p.mat", version="7.3", compression="gzip").file_bytes
    assert sizes["7"] < sizes["5"] / 10
    assert packed < sizes["73"] / 3


# ---- what is kept, resumed, recovered ------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_known_of_a_recording_is_kept(tmp_path, version):
    truth = ScanImageRecording(frames=6, channels=(1, 2), height=12, width=10, aux_triggers={2: {0: [0.5]}})
    (source,) = truth.write(tmp_path)
    path = tmp_path / "x.mat"
    galvo.convert(source, path, version=version, verify=True)
    with galvo.open(source) as before, galvo.open(path) as after:
        assert after.metadata.format == "matlab"
        assert after.channel_names == before.channel_names
        assert after.frame_rate_hz == before.frame_rate_hz
        assert after.pixel_size_um == before.pixel_size_um
        assert after.metadata.texts == before.metadata.texts
        assert after.metadata.header == before.metadata.header
        assert np.array_equal(after.timestamps, before.timestamps)
        assert np.array_equal(after.events(), before.events())
        assert set(before.frame_table().dtype.names) - {"file", "page"} <= set(after.frame_table().dtype.names)
    kept = by_others(path, version)["galvo"][0]
    text = str(kept[0]) if version != "7.3" else kept.astype("u2").tobytes().decode("utf-16-le")
    assert json.loads(text)["channel_names"] == list(truth.expected_channel_names)


class Stop(Exception):
    pass


def interrupted(pixels, path, after, **options):
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) > after + 1:
            raise Stop

    with pytest.raises(Stop):
        galvo.save(pixels, path, progress=progress, block_bytes=2 * 128 * 128 * 2, **options)


@pytest.mark.parametrize("version", VERSIONS)
def test_recovering(tmp_path, version):
    pixels, path = noise((20, 1, 1, 128, 128), "<u2"), tmp_path / "x.mat"
    interrupted(pixels, path, 4, version=version)
    partial = partial_path(str(path))
    with pytest.raises(GalvoError):
        galvo.open(partial, format="matlab")[...]
    result = galvo.recover(path)
    assert result.announced == 20
    assert 0 < result.recovered < 20
    assert np.array_equal(galvo.load(result.path, squeeze=False), pixels[: result.recovered])
    assert galvo.verify(result.path).ok


@pytest.mark.parametrize("version", ["5", "7"])
def test_recovering_channel_after_channel(tmp_path, version):
    """T is whole as far as the last channel has come."""
    pixels, path = noise((10, 2, 1, 128, 128), "<u2"), tmp_path / "x.mat"
    interrupted(pixels, path, 2, version=version)
    with pytest.raises(DamagedData, match="not one whole frame of all channels"):
        galvo.recover(path)
    interrupted(pixels, path, 8, version=version)
    result = galvo.recover(path)
    assert 0 < result.recovered < 10
    assert np.array_equal(galvo.load(result.path, squeeze=False), pixels[: result.recovered])


@pytest.mark.parametrize("version", ["5", "7"])
def test_what_is_not_finished_says_so(tmp_path, version):
    pixels, path = noise((10, 2, 1, 128, 128), "<u2"), tmp_path / "x.mat"
    interrupted(pixels, path, 2, version=version)
    partial = partial_path(str(path))
    with pytest.raises(Truncated, match="did not finish"):
        galvo.open(partial, format="matlab")
    with galvo.open(partial, format="matlab", damaged="report") as rec:
        assert rec.shape == pixels.shape
        assert len(rec.damage) == 1
        assert np.array_equal(rec[:3, 0, 0], pixels[:3, 0, 0])
        for missing in ((9, 0), (0, 1)):
            with pytest.raises(GalvoError):
                rec[missing]


def test_a_file_that_matlab_saved_again(tmp_path):
    """The texts survive MATLAB, which orders variables by name and drops dimensions of length 1 at the end."""
    pixels, path = noise((1, 2, 1, 5, 4), "u2"), tmp_path / "x.mat"
    galvo.save(pixels, path)
    found = scipy.io.loadmat(path)
    again = {name: found[name] for name in ("ch2", "ch1", "galvo_frames", "galvo")}
    again = {name: value[:, :, 0] if name.startswith("ch") else value for name, value in again.items()}
    scipy.io.savemat(path, again, do_compression=True)
    with galvo.open(path) as rec:
        assert rec.shape == pixels.shape
        assert np.array_equal(rec[...], pixels)
    assert galvo.verify(path).ok
    again["ch1"] = again["ch1"][:, ::-1]
    scipy.io.savemat(path, again)
    assert not galvo.verify(path).ok
    again["ch1"] = again["ch1"][:, :2]
    scipy.io.savemat(path, again)
    with pytest.raises(GalvoError, match=r"is not what galvo wrote.*variable="):
        galvo.open(path)
    with galvo.open(path, variable="ch1") as rec:
        assert rec.shape == (1, 1, 1, 5, 2)


def test_joining_checksums():
    rng = np.random.default_rng(0)
    for first, second in ((0, 0), (1, 5), (70_000, 3), (5552, 200_000)):
        a, b = rng.bytes(first), rng.bytes(second)
        assert _joined_adler32(zlib.adler32(a), zlib.adler32(b), second) == zlib.adler32(a + b)


def test_a_sink_goes_on_behind_what_is_there_only(tmp_path):
    """A partial file that something else changed is refused, not written on."""
    pixels, path = noise((10, 1, 1, 128, 128), "<u2"), tmp_path / "x.mat"
    interrupted(pixels, path, 2, version="7")
    with open(partial_path(str(path)), "r+b") as stream:
        stream.seek(-6, os.SEEK_END)
        stream.write(bytes(6))
    with pytest.raises(DamagedData, match="not what its journal says"):
        galvo.save(pixels, path, version="7", resume=True, block_bytes=2 * 128 * 128 * 2)
