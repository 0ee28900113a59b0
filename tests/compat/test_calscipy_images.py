"""load_images and save_images: tifffile is the oracle for files of both sides."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
import tifffile

import galvo
from galvo.compat.calscipy import io_tools
from galvo.compat.calscipy.io_tools import load_images, save_images
from galvo.errors import GalvoWarning

RNG = np.random.default_rng(2)
PIXELS = RNG.integers(0, 60000, (105, 16, 12)).astype(np.uint16)
COLOR = RNG.integers(0, 256, (5, 16, 12, 3)).astype(np.uint8)


def put(path, pixels, **options):
    path.parent.mkdir(exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tifffile.imwrite(path, pixels, **options)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">u2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8"])
def test_types_are_kept(tmp_path, dtype):
    """Where the original stores another type, or none."""
    pixels = (PIXELS % 120).astype(dtype)[:6]
    assert save_images(tmp_path / "my movie-1.tif", pixels) == 0
    assert os.listdir(tmp_path) == ["my movie-1.tif"]
    for found in (load_images(tmp_path / "my movie-1.tif"), tifffile.imread(tmp_path / "my movie-1.tif")):
        assert found.dtype == pixels.dtype.newbyteorder("=")
        np.testing.assert_array_equal(found, pixels)


def test_bool_becomes_a_mask_to_look_at(tmp_path):
    save_images(tmp_path / "mask.tif", PIXELS > 30000)
    found = load_images(tmp_path / "mask.tif")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.where(PIXELS > 30000, 255, 0))


def test_masks_of_the_original(tmp_path):
    """It stores bits, and gives 0 and 255."""
    put(tmp_path / "mask.tif", PIXELS[:3] > 30000, photometric="minisblack")
    with tifffile.TiffFile(tmp_path / "mask.tif") as file:
        assert file.pages[0].bitspersample == 1
    found = load_images(tmp_path / "mask.tif")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.where(PIXELS[:3] > 30000, 255, 0))


def test_two_axes_are_one_frame(tmp_path):
    save_images(tmp_path / "one.tif", PIXELS[0])
    np.testing.assert_array_equal(load_images(tmp_path / "one.tif"), PIXELS[:1])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "one.tif"), PIXELS[0])


def test_names(tmp_path):
    for path, name, written in [
        (tmp_path / "a.tif", "ignored", "a.tif"),
        (tmp_path / "b.ome.tif", None, "b.ome.tif"),
        (tmp_path / "c.TIFF", None, "c.TIFF"),
        (str(tmp_path / "new" / "folder"), None, "new/folder/images.tif"),
        (tmp_path / "folder", "my mouse-1", "folder/my mouse-1.tif"),
        (tmp_path / "folder", "s1.r2", "folder/s1.tif"),
        (tmp_path / "folder", "x.ome.tif", "folder/x.ome.tif"),
        (tmp_path / "z.png", None, "z.png/images.tif"),
        (tmp_path / "v1.2", None, "v1.2/images.tif"),
    ]:
        assert save_images(path=path, images=PIXELS[:3], name=name) == 0
        np.testing.assert_array_equal(tifffile.imread(tmp_path / written), PIXELS[:3])
        np.testing.assert_array_equal(load_images(path=str(tmp_path / written)), PIXELS[:3])
    assert not list(tmp_path.rglob("ignored*"))
    save_images(tmp_path / "a.tif", PIXELS[:2])
    assert load_images(tmp_path / "a.tif").shape == (2, 16, 12), "an older file is replaced"
    with pytest.raises(FileNotFoundError):
        save_images(tmp_path / "no folder" / "a.tif", PIXELS)
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        save_images(tmp_path / "file", PIXELS)


@pytest.mark.parametrize(
    ("pixels", "size_cap", "counts"),
    [
        # 384 bytes for a frame
        (PIXELS, 384 * 24.5e-9, [24, 24, 24, 24, 9]),
        (PIXELS[:6], 384 * 2.1e-9, [2, 2, 2]),
        (PIXELS[:6], 384 * 5.9e-9, [5, 1]),
        (PIXELS[:6].astype("f8"), 384 * 9.7e-9, [2, 2, 2]),
        (PIXELS[:6] > 30000, 192 * 2.5e-9, [2, 2, 2]),
        (COLOR, 576 * 2.2e-9, [2, 2, 1]),
    ],
)
def test_several_files(tmp_path, pixels, size_cap, counts):
    """By the bytes that pixels really take, where the original takes two for each."""
    for path, name, base in [
        (tmp_path / "named.tif", None, "named"),
        (tmp_path / "named.ome.tif", None, "named.ome"),
        (tmp_path / "folder", None, "folder/images"),
        (tmp_path / "other", "mouse", "other/mouse"),
    ]:
        assert save_images(path, pixels, name, size_cap) == 0
        files = sorted((tmp_path / base).parent.glob(f"{os.path.basename(base)}_*"))
        assert [file.name for file in files] == [
            f"{os.path.basename(base)}_{number:05d}.tif" for number in range(len(counts))
        ]
        assert [len(load_images(file)) for file in files] == counts
    expected = pixels.astype(np.uint8) * 255 if pixels.dtype == bool else pixels
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == [
        f"images_{number:05d}.tif" for number in range(len(counts))
    ]
    np.testing.assert_array_equal(load_images(tmp_path / "folder"), expected)


def test_the_size_that_fits_is_one_file(tmp_path):
    save_images(tmp_path / "a.tif", PIXELS[:10], size_cap=3840.1e-9)
    assert os.listdir(tmp_path) == ["a.tif"]


@pytest.mark.parametrize("size_cap", [0, -1, 384 * 1.9e-9])
def test_less_than_two_frames_in_a_file(tmp_path, size_cap):
    with pytest.raises(ValueError, match="must be > 1"):
        save_images(tmp_path / "a.tif", PIXELS, size_cap=size_cap)
    assert os.listdir(tmp_path) == []


def test_more_files_than_numbers(tmp_path):
    with pytest.raises(ValueError, match="five digits"):
        save_images(tmp_path / "a.tif", np.broadcast_to(PIXELS[:1], (200_001, 16, 12)), size_cap=384 * 2.5e-9)
    assert os.listdir(tmp_path) == []


def test_older_files_of_the_name_are_told(tmp_path):
    """Loading the folder would mix them into the movie."""
    save_images(tmp_path, PIXELS[:6], size_cap=384 * 2.1e-9)
    (tmp_path / "images_old.tif").write_bytes((tmp_path / "images_00000.tif").read_bytes())
    with pytest.warns(GalvoWarning, match=r"images_00002\.tif") as caught:
        save_images(tmp_path, PIXELS[:4], size_cap=384 * 2.1e-9)
    assert "images_00001" not in str(caught[0].message)
    assert "images_old" not in str(caught[0].message)
    with pytest.warns(GalvoWarning, match=r"images_00000\.tif, images_00001\.tif, images_00002\.tif$"):
        save_images(tmp_path, PIXELS[:4])
    with pytest.warns(GalvoWarning, match=r"images\.tif, images_00002\.tif$"):
        save_images(tmp_path, PIXELS[:4], size_cap=384 * 2.1e-9)
    save_images(tmp_path, PIXELS[:4], name="images_other")


def test_folders(tmp_path):
    """file2 before file10; every name of a TIFF; no subfolders, hidden or other files."""
    order = ["frame1.TIF", "frame2.tiff", "frame10.tif", "frame11.ome.tif", "frame20.btf"]
    for number, name in enumerate(order):
        put(tmp_path / name, PIXELS[2 * number : 2 * number + 2])
    put(tmp_path / "sub" / "frame3.tif", PIXELS[:1])
    (tmp_path / "._frame1.tif").write_bytes(b"of a Mac")
    (tmp_path / "notes.txt").write_text("tif")
    np.testing.assert_array_equal(load_images(tmp_path), PIXELS[:10])
    np.testing.assert_array_equal(load_images(str(tmp_path)), PIXELS[:10])
    for name in order:
        (tmp_path / name).unlink()
    with pytest.raises(FileNotFoundError, match="Could not locate any imaging files"):
        load_images(tmp_path)


def test_files_that_do_not_fit_each_other(tmp_path):
    put(tmp_path / "a.tif", PIXELS[:2])
    put(tmp_path / "b.tif", PIXELS[:2, :, :-1])
    with pytest.raises(AssertionError, match=r"Images don't maintain consistent shape.*b\.tif"):
        load_images(tmp_path)
    put(tmp_path / "b.tif", PIXELS[:2].astype("i4"))
    with pytest.raises(AssertionError, match=r"Images don't maintain consistent bit depth.*b\.tif"):
        load_images(tmp_path)
    put(tmp_path / "b.tif", COLOR[:2])
    with pytest.raises(AssertionError, match="Images don't maintain consistent"):
        load_images(tmp_path)
    content = put(tmp_path / "b.tif", PIXELS[:20]).read_bytes()
    (tmp_path / "b.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"b\.tif"):
        load_images(tmp_path)


def test_pages_in_their_order(tmp_path):
    """What a file says of its axes does not count: the original gives pages."""
    pixels = PIXELS[:24].reshape(4, 3, 2, 16, 12)
    put(tmp_path / "imagej.tif", pixels, imagej=True, metadata={"axes": "TZCYX"})
    put(tmp_path / "ome.ome.tif", pixels, ome=True, metadata={"axes": "TZCYX"})
    put(tmp_path / "shaped.tif", pixels)
    for name in ("imagej.tif", "ome.ome.tif", "shaped.tif"):
        np.testing.assert_array_equal(load_images(tmp_path / name), PIXELS[:24])
    with galvo.open(tmp_path / "imagej.tif") as recording:
        assert recording.shape == (4, 2, 3, 16, 12)


def test_color(tmp_path):
    """Red, green, blue, where the original exchanges red and blue."""
    for pixels in (COLOR, np.concatenate([COLOR, COLOR[..., :1]], 3)):
        save_images(tmp_path / "color.tif", pixels)
        np.testing.assert_array_equal(load_images(tmp_path / "color.tif"), pixels)
        put(tmp_path / "theirs.tif", pixels, photometric="rgb")
        np.testing.assert_array_equal(load_images(tmp_path / "theirs.tif"), pixels)
    save_images(tmp_path / "deep.tif", COLOR.astype("f4"))
    np.testing.assert_array_equal(load_images(tmp_path / "deep.tif"), COLOR)


def test_what_is_no_path_or_no_images(tmp_path):
    with pytest.raises(FileNotFoundError, match="Unable to locate files"):
        load_images(tmp_path / "nothing.tif")
    for path in (125.6, None, 5, b"movie.tif"):
        with pytest.raises(TypeError):
            load_images(path)
        with pytest.raises(TypeError):
            save_images(path, PIXELS)
    (tmp_path / "a.png").touch()
    with pytest.raises(ValueError, match=r"\.tif"):
        load_images(tmp_path / "a.png")
    (tmp_path / "b.tif").write_bytes(b"no TIFF at all")
    with pytest.raises(ValueError, match=r"b\.tif"):
        load_images(tmp_path / "b.tif")
    for pixels in (PIXELS[0, 0], COLOR[..., :2], np.zeros((2, 3, 4), object), PIXELS[:0]):
        with pytest.raises(ValueError):  # noqa: PT011 - numpy's axes, or types
            save_images(tmp_path / "x.tif", pixels)
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.tif"]


def test_private_names(tmp_path):
    assert io_tools._save_single_tif(tmp_path / "one", PIXELS) == 0
    assert io_tools._save_many_tif(tmp_path / "many", PIXELS, 384 * 24.5e-9) == 0
    assert io_tools._save_many_tif(str(tmp_path / "more.tif"), PIXELS, size_cap=384 * 60.5e-9) == 0
    assert len(list(tmp_path.glob("many_0000?.tif"))) == 5
    assert len(list(tmp_path.glob("more_0000?.tif"))) == 2
    np.testing.assert_array_equal(io_tools._load_single_tif(str(tmp_path / "one.tif")), PIXELS)
    np.testing.assert_array_equal(io_tools._load_single_tif(tmp_path / "many_00000.tif"), PIXELS[:24])
    np.testing.assert_array_equal(io_tools._load_many_tif(tmp_path), np.tile(PIXELS, (3, 1, 1)))
    with pytest.raises(ValueError, match=r"\.tif"):
        io_tools._save_single_tif(tmp_path / "one.png", PIXELS)
    with pytest.raises(FileNotFoundError):
        io_tools._load_many_tif(tmp_path / "nothing")


def test_genuine_bruker_files(sample_data):
    """Pages of one recording, each a file that names all others."""
    folder = sample_data / "bruker" / "calscipy_1plane_frames2-5"
    files = sorted(folder.glob("*.ome.tif"))
    expected = np.stack([tifffile.imread(file, key=0, is_ome=False, is_stk=False) for file in files])
    np.testing.assert_array_equal(load_images(folder), expected)
    np.testing.assert_array_equal(load_images(files[1]), expected[1:2])
