"""load_binary and save_binary: NumPy and json alone are the oracle."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import galvo
from galvo.compat.calscipy.io_tools import load_binary, save_binary

PIXELS = np.random.default_rng(1).integers(0, 60000, (6, 5, 4)).astype(np.uint16)
SHAPE = {"frames": 6, "y": 5, "x": 4}


def put(path, pixels=PIXELS, **description):
    """As the original writes it; None leaves a key out."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(pixels.tobytes())
    told = dict(zip(SHAPE, pixels.shape, strict=True)) | {"dtype": str(pixels.dtype)} | description
    path.with_suffix(".json").write_text(json.dumps({key: value for key, value in told.items() if value is not None}))
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", "?", "c8"])
def test_what_is_written(tmp_path, dtype):
    pixels = (PIXELS % 120).astype(dtype)
    # neither contiguous nor in the order of the file
    assert save_binary(tmp_path / "mouse 1-a.bin", pixels[::-1].transpose(0, 2, 1)) == 0
    stored = np.ascontiguousarray(pixels[::-1].transpose(0, 2, 1))
    assert (tmp_path / "mouse 1-a.bin").read_bytes() == stored.tobytes()
    told = json.loads((tmp_path / "mouse 1-a.json").read_text())
    assert list(told.items()) == [("frames", 6), ("y", 4), ("x", 5), ("dtype", str(pixels.dtype))]
    found = load_binary(tmp_path / "mouse 1-a.bin")
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, stored)


def test_files_of_the_original(tmp_path):
    """Big-endian ones too, and what is mapped keeps the byte order of the file."""
    for dtype in ("<u2", ">u2", ">f4", "?"):
        pixels = PIXELS.astype(dtype)
        path = put(tmp_path / "theirs.bin", pixels)
        np.testing.assert_array_equal(load_binary(path), pixels)
        mapped = load_binary(path, mapped=True)
        assert mapped.dtype == pixels.dtype
        np.testing.assert_array_equal(mapped, pixels)
        del mapped


@pytest.mark.parametrize("name", ["movie", "movie.bin", "movie.json"])
@pytest.mark.parametrize("kind", [str, None])
def test_names_of_a_file(tmp_path, name, kind):
    put(tmp_path / "movie.bin")
    path = tmp_path / name if kind is None else str(tmp_path / name)
    np.testing.assert_array_equal(load_binary(path), PIXELS)
    np.testing.assert_array_equal(load_binary(path=path), PIXELS)


def test_names_in_folders(tmp_path):
    for path, name, written in [
        (tmp_path / "a" / "b", None, "a/b/binary_video"),
        (str(tmp_path / "v1.2"), None, "v1.2/binary_video"),
        (tmp_path / "a", "my mouse-1", "a/my mouse-1"),
        (tmp_path / "a", "s1.r2", "a/s1"),
        (tmp_path / "a", "", "a/binary_video"),
        (tmp_path / "named.bin", "ignored", "named"),
    ]:
        assert save_binary(path=path, images=PIXELS, name=name) == 0
        assert (tmp_path / f"{written}.bin").read_bytes() == PIXELS.tobytes()
        assert len(json.loads((tmp_path / f"{written}.json").read_text())) == 4
    assert not (tmp_path / "ignored.bin").exists()
    save_binary(tmp_path / "named.bin", PIXELS[:2])
    assert load_binary(tmp_path / "named.bin").shape == (2, 5, 4), "an older file is replaced"
    with pytest.raises(FileNotFoundError):
        save_binary(tmp_path / "no folder" / "x.bin", PIXELS)


def test_which_of_a_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \.bin file"):
        load_binary(folder)
    put(folder / "only.bin")
    np.testing.assert_array_equal(load_binary(folder), PIXELS)
    put(folder / "other.bin")
    with pytest.raises(FileNotFoundError, match=r"several.*only\.bin, other\.bin"):
        load_binary(folder)
    put(folder / "binary_video.bin", PIXELS[:3])
    np.testing.assert_array_equal(load_binary(folder), PIXELS[:3])
    with pytest.raises(FileNotFoundError):
        load_binary(tmp_path / "nothing")
    # what is named exactly comes before what is meant
    put(tmp_path / "folder.bin", PIXELS[:2])
    np.testing.assert_array_equal(load_binary(folder), PIXELS[:3])
    np.testing.assert_array_equal(load_binary(tmp_path / "folder.bin"), PIXELS[:2])


@pytest.mark.parametrize("missing", ["frames", "y", "x"])
@pytest.mark.parametrize("value", [0, None, -1])
@pytest.mark.parametrize("mapped", [False, True])
def test_one_length_may_be_missing(tmp_path, missing, value, mapped):
    put(tmp_path / "told" / "binary_video.bin", **{missing: value})
    np.testing.assert_array_equal(load_binary(tmp_path / "told", mapped), PIXELS)
    # the text is gone, of a file and of a folder
    (tmp_path / "told" / "binary_video.json").unlink()
    told = {**SHAPE, "dtype": np.uint16, missing: value}
    for path in (tmp_path / "told", tmp_path / "told" / "binary_video.bin"):
        with pytest.raises(FileNotFoundError, match="missing_metadata"):
            load_binary(path, mapped)
        np.testing.assert_array_equal(load_binary(path, mapped, missing_metadata=told), PIXELS)
        del told[missing]
        np.testing.assert_array_equal(load_binary(path, mapped, missing_metadata=told), PIXELS)
        told = {**SHAPE, "dtype": "uint16", missing: np.int64(0)}


def test_missing_metadata_replaces_the_text(tmp_path):
    path = put(tmp_path / "movie.bin", dtype="float64", y=99)
    np.testing.assert_array_equal(load_binary(path, missing_metadata={**SHAPE, "dtype": np.dtype("<u2")}), PIXELS)
    put(path)
    np.testing.assert_array_equal(load_binary(path, missing_metadata={}), PIXELS)
    whole = PIXELS.astype(int)
    put(path, whole)
    found = load_binary(path, missing_metadata={"frames": 6, "y": 5, "dtype": int})
    assert found.dtype == np.dtype(int)
    np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ({**SHAPE}, AttributeError),
        ({**SHAPE, "dtype": ""}, AttributeError),
        ({"frames": 6, "dtype": "u2"}, AttributeError),
        ({"frames": 6, "y": 0, "x": -1, "dtype": "u2"}, AttributeError),
        ({**SHAPE, "dtype": "u2", "fps": 30}, TypeError),
        ({**SHAPE, "dtype": "nonsense"}, TypeError),
        ({**SHAPE, "dtype": "O"}, TypeError),
        ({**SHAPE, "dtype": "u2", "y": "5"}, TypeError),
        ([("dtype", "u2")], TypeError),
        ({**SHAPE, "dtype": "u2", "y": -5}, ValueError),
        ({"y": 7, "x": 4, "dtype": "u2"}, ValueError),
        ({**SHAPE, "dtype": "u2", "frames": 5}, ValueError),
        ({**SHAPE, "dtype": "u2", "frames": 7}, ValueError),
    ],
    ids=repr,
)
@pytest.mark.parametrize("mapped", [False, True])
def test_metadata_that_do_not_fit(tmp_path, told, error, mapped):
    path = put(tmp_path / "movie.bin")
    with pytest.raises(error):
        load_binary(path, mapped, missing_metadata=told)
    if isinstance(told, dict) and "fps" not in told:
        path.with_suffix(".json").write_text(json.dumps(told))
        with pytest.raises(error):
            load_binary(path, mapped)
    assert path.read_bytes() == PIXELS.tobytes()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_file_never_grows(tmp_path, mapped):
    path = put(tmp_path / "movie.bin", frames=7)
    with pytest.raises(ValueError, match=r"240 bytes.*280 bytes"):
        load_binary(path, mapped)
    assert path.stat().st_size == 240


def test_mapped(tmp_path):
    path = put(tmp_path / "movie.bin")
    mapped = load_binary(path, mapped=True)
    assert isinstance(mapped, np.memmap)
    assert (mapped.mode, mapped.shape, mapped.dtype) == ("r+", (6, 5, 4), np.dtype(np.uint16))
    mapped[2, 1, 0] = 7
    del mapped
    changed = PIXELS.copy()
    changed[2, 1, 0] = 7
    np.testing.assert_array_equal(load_binary(path), changed)
    for mode in ("r", "readonly"):
        mapped = load_binary(path, mapped=True, mode=mode)
        assert not mapped.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            mapped[0] = 0
    mapped = load_binary(path, True, "c")
    mapped[:] = 0
    del mapped
    for mode in ("w+", "write", "readwrite"):
        mapped = load_binary(path, mapped=True, mode=mode)
        assert mapped.mode == "r+"
        del mapped
    np.testing.assert_array_equal(load_binary(path), changed)
    for mode in ("nonsense", None):
        with pytest.raises(ValueError, match="mode must be one of"):
            load_binary(path, mapped=True, mode=mode)


def test_what_is_no_path_or_no_images(tmp_path):
    for path in (125.6, None, 5, b"movie.bin"):
        with pytest.raises(TypeError):
            load_binary(path)
        with pytest.raises(TypeError):
            save_binary(path, PIXELS)
    for pixels in (PIXELS[0], PIXELS[None], np.array([["a"]]), np.zeros((2, 3, 4), object)):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's axes, or types
            save_binary(tmp_path / "x.bin", pixels)
    assert os.listdir(tmp_path) == []


def test_files_of_galvo(tmp_path):
    """Channels and planes are frames here, as in the original."""
    pixels = np.arange(3 * 2 * 2 * 5 * 4, dtype=np.int16).reshape(3, 2, 2, 5, 4)
    galvo.save(pixels, tmp_path / "movie.bin")
    np.testing.assert_array_equal(load_binary(tmp_path / "movie"), pixels.reshape(12, 5, 4))
    # a name that galvo.open takes for one channel of two
    for channel in (1, 2):
        galvo.save(pixels[:, channel - 1 : channel], tmp_path / f"part_ch{channel}.bin")
    np.testing.assert_array_equal(load_binary(tmp_path / "part_ch2.bin"), pixels[:, 1].reshape(6, 5, 4))
