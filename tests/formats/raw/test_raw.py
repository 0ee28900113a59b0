"""Raw binaries: CalSciPy's layout, written and read by NumPy and json alone as the oracle."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import galvo
from galvo.errors import FormatError, GalvoError, GalvoWarning, LimitExceeded, Malformed, OptionError, Truncated

PIXELS = np.random.default_rng(0).integers(0, 60000, (6, 5, 4)).astype("<u2")


def put(folder, pixels=PIXELS, name="movie", **description):
    """As CalSciPy writes it; None leaves a key out."""
    path = folder / f"{name}.bin"
    path.write_bytes(pixels.tobytes())
    told = dict(zip(("frames", "y", "x"), pixels.shape, strict=True)) | {"dtype": str(pixels.dtype)} | description
    told = {key: value for key, value in told.items() if value is not None}
    path.with_suffix(".json").write_text(json.dumps(told))
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i4", "<f4", ">f8", "?", "<c8"])
def test_as_calscipy_writes_it(tmp_path, dtype):
    pixels = PIXELS.astype(dtype)
    path = put(tmp_path, pixels)
    with galvo.open(path) as found:
        np.testing.assert_array_equal(found[:, 0, 0], pixels)
        assert found.dtype == pixels.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found[1::2, 0, 0, 2:, ::-1], pixels[1::2, 2:, ::-1])


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", "bool", "c8"])
def test_what_is_written(tmp_path, dtype):
    """The bytes, four keys in their order, and nothing that would change when it is written again."""
    pixels = (PIXELS % 120).astype(dtype)
    galvo.save(pixels, tmp_path / "out.bin", verify=True)
    assert sorted(os.listdir(tmp_path)) == ["out.bin", "out.galvo.json", "out.json"]
    assert (tmp_path / "out.bin").read_bytes() == pixels.tobytes()
    described = json.loads((tmp_path / "out.json").read_text())
    assert list(described.items()) == [("frames", 6), ("y", 5), ("x", 4), ("dtype", str(pixels.dtype))]
    np.testing.assert_array_equal(np.fromfile(tmp_path / "out.bin", described["dtype"]).reshape(6, 5, 4), pixels)
    first = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    galvo.save(pixels, tmp_path / "out.bin", overwrite=True)
    assert first == {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}


def test_channels_and_planes(tmp_path):
    pixels = np.arange(3 * 2 * 4 * 5 * 6, dtype=np.int16).reshape(3, 2, 4, 5, 6)
    result = galvo.save(pixels, tmp_path / "out.bin", verify=True, block_bytes=100)
    assert "one long movie" in result.notes[0]
    assert json.loads((tmp_path / "out.json").read_text())["frames"] == 24
    np.testing.assert_array_equal(galvo.load(tmp_path / "out.bin", squeeze=False), pixels)
    assert galvo.verify(tmp_path / "out.bin").method == "checksums"
    (tmp_path / "out.galvo.json").unlink()
    np.testing.assert_array_equal(galvo.load(tmp_path / "out.bin"), pixels.reshape(24, 5, 6))


@pytest.mark.parametrize("name", ["frames", "y", "x"])
@pytest.mark.parametrize("value", [0, None])
def test_one_length_may_be_missing(tmp_path, name, value):
    with galvo.open(put(tmp_path, **{name: value})) as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS)


def test_told_by_the_caller(tmp_path):
    """Options replace the text, which may be wrong or not there."""
    path = put(tmp_path, dtype="float64", y=99)
    with galvo.open(path, dtype="<u2", y=5, x=4) as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS)
    path.with_suffix(".json").unlink()
    with galvo.open(path, dtype=np.uint16, frames=6, x=4) as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS)
    path.write_bytes(b"header!!" + PIXELS.tobytes())
    with galvo.open(path, dtype="u2", y=5, x=4, offset_bytes=8) as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS)


@pytest.mark.parametrize(
    "options",
    [
        *({}, {"dtype": "u2"}, {"dtype": "u2", "y": 5}, {"y": 5, "x": 4}, {"dtype": "u2", "y": 7, "x": 4}),
        *({"dtype": "O", "y": 5, "x": 4}, {"dtype": "nonsense", "y": 5, "x": 4}, {"dtype": "u2", "y": -5, "x": 4}),
        *({"dtype": "u2", "y": 5, "x": 4, "offset_bytes": -1}, {"dtype": "u2", "y": 5.0, "x": 4}),
    ],
    ids=repr,
)
def test_not_enough_told(tmp_path, options):
    path = put(tmp_path)
    path.with_suffix(".json").unlink()
    with pytest.raises(OptionError) as caught:
        galvo.open(path, **options)
    assert caught.value.path or "offset_bytes" in str(caught.value)


@pytest.mark.parametrize(
    "description",
    [
        *({"dtype": None}, {"dtype": ""}, {"dtype": "O"}, {"dtype": "u2,u2"}, {"frames": None, "y": None}),
        *({"y": -5}, {"y": "5"}, {"y": True}, {"frames": None, "y": 7}, {"frames": 1.5}),
    ],
    ids=repr,
)
def test_texts_that_do_not_describe(tmp_path, description):
    with pytest.raises(Malformed, match=r"movie\.json"):
        galvo.open(put(tmp_path, **description))


@pytest.mark.parametrize("text", ["", "{", "[1]", "5", "\xff", "[" * 100000])
def test_texts_that_are_none(tmp_path, text):
    path = put(tmp_path)
    path.with_suffix(".json").write_text(text, "latin-1")
    with pytest.raises(Malformed, match=r"movie\.json"):
        galvo.open(path)


def test_a_file_never_grows(tmp_path):
    """More frames than the file has: told with both sizes, and the file stays as it is."""
    path = put(tmp_path, frames=7)
    with pytest.raises(Truncated, match=r"240 bytes.*280 bytes"):
        galvo.open(path)
    with galvo.open(path, damaged="report") as found:
        assert found.damage
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS)
    assert path.stat().st_size == 240
    path = put(tmp_path, frames=5)
    with pytest.raises(Malformed, match="more than it should"):
        galvo.open(path)
    with galvo.open(path, damaged="report") as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS[:5])
    assert path.stat().st_size == 240


def test_absurd_sizes(tmp_path):
    for description in ({"frames": 10**15}, {"y": 10**9, "x": 10**9}):
        with pytest.raises((LimitExceeded, FormatError)):
            galvo.open(put(tmp_path, **description))


def test_a_text_of_another_recording(tmp_path):
    galvo.save(PIXELS, tmp_path / "movie.bin")
    put(tmp_path, PIXELS[:4])
    with pytest.warns(GalvoWarning, match="of another recording"), galvo.open(tmp_path / "movie.bin") as found:
        np.testing.assert_array_equal(found[:, 0, 0], PIXELS[:4])


def test_interrupted_and_recovered(tmp_path):
    """The parts find each other although none has its name yet."""
    pixels = np.arange(6 * 2 * 5 * 4, dtype=np.int16).reshape(6, 2, 1, 5, 4)

    def stop(done, total):
        if done >= total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        galvo.save(pixels, tmp_path / "movie.bin", block_bytes=80, progress=stop)
    result = galvo.recover(tmp_path / "movie.bin", tmp_path / "saved.bin")
    assert 0 < result.recovered < 6
    np.testing.assert_array_equal(galvo.load(tmp_path / "saved.bin", squeeze=False), pixels[: result.recovered])
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".galvo")]
    galvo.save(pixels, tmp_path / "movie.bin", block_bytes=80, resume=True, verify=True)


def test_files_that_are_in_the_way(tmp_path):
    (tmp_path / "out.json").write_text("mine")
    with pytest.raises(GalvoError, match="exists"):
        galvo.save(PIXELS, tmp_path / "out.bin")
    assert os.listdir(tmp_path) == ["out.json"]
    with pytest.raises(OptionError, match="suffix"):
        galvo.save(PIXELS, tmp_path / "out", format="bin")
