"""Lists and folders of images as one recording: natural order, files of any size, and what does not belong together."""

from __future__ import annotations

import pickle
import zlib

import numpy as np
import pytest
import tifffile

import galvo
from galvo.core.source import FileSource
from galvo.errors import FormatError, GalvoError, GalvoWarning, Malformed, UnknownFormat
from galvo.testing.tiff import Tag, TiffBuilder

HEIGHT, WIDTH = 8, 6


def frames(count, seed=0, shape=(HEIGHT, WIDTH)):
    return np.random.default_rng(seed).integers(0, 250, (count, *shape)).astype(np.uint16)


def write(path, pixels, compression=1, **options):
    builder = TiffBuilder(**options)
    for page in pixels:
        strip = page.tobytes() if compression == 1 else zlib.compress(page.tobytes())
        builder.image(page.shape[1], page.shape[0], [strip], bits=16, compression=compression)
    path.write_bytes(builder.build())
    return path


def same(source, pixels, **options):
    with galvo.open(source, **options) as rec:
        assert rec.shape == (len(pixels), 1, 1, HEIGHT, WIDTH)
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)
        for key in (0, len(pixels) // 2, -1, slice(None, None, -3)):
            np.testing.assert_array_equal(rec[key, 0, 0], pixels[key])


@pytest.fixture(params=[1, 8], ids=["raw", "zlib"])
def folder(tmp_path, request):
    pixels = frames(30)
    for number, frame in enumerate(pixels):
        # numbers without leading zeros: 10 comes behind 9
        write(tmp_path / f"run_{number + 1}.tif", frame[None], request.param)
    return tmp_path, pixels


def test_single_pages_in_natural_order(folder):
    path, pixels = folder
    (path / "notes.txt").write_text("a note")
    same(path, pixels)
    same(str(path / "*.tif"), pixels)
    same([path / f"run_{number}.tif" for number in range(30, 0, -1)], pixels[::-1])
    same(path, pixels, walk=True)
    with galvo.open(path) as rec:
        assert [file.name for file in rec.files][:2] == ["run_1.tif", "run_2.tif"]
        assert rec.frame_table()["file"].tolist() == list(range(30))
        assert not rec.frame_table()["page"].any()
        rec.prove()
        copied = pickle.loads(pickle.dumps(rec))
    with copied:
        np.testing.assert_array_equal(copied[7, 0, 0], pixels[7])
    with galvo.open(path, channels=2) as rec:
        np.testing.assert_array_equal(rec[:, :, 0], pixels.reshape(15, 2, HEIGHT, WIDTH))
    with galvo.open(path, axes="Z") as rec:
        np.testing.assert_array_equal(rec[0, 0], pixels)


@pytest.mark.parametrize("order", ["<", ">"])
def test_stacks_of_different_lengths(tmp_path, order):
    pixels = frames(12).astype(order + "u2")
    for number, (lo, hi) in enumerate([(0, 5), (5, 6), (6, 12)]):
        write(tmp_path / f"a{number}.tif", pixels[lo:hi], byteorder=order)
    same(tmp_path, pixels)


def test_only_some_files_of_one_size_are_opened(tmp_path, monkeypatch):
    pixels = frames(100)
    for number, frame in enumerate(pixels):
        write(tmp_path / f"{number}.tif", frame[None])
    opened = set()
    take = FileSource.take

    def counting(self, file):
        opened.add(self.paths[file])
        return take(self, file)

    monkeypatch.setattr(FileSource, "take", counting)
    with galvo.open(tmp_path) as rec:
        assert len(opened) < 15
        np.testing.assert_array_equal(rec[50, 0, 0], pixels[50])
    same(tmp_path, pixels)


@pytest.mark.parametrize("change", ["width", "order", "pages", "no TIFF"])
def test_a_file_of_the_same_size_that_is_another(tmp_path, change):
    """It is found when it is read, and by `prove`; its neighbours are read."""
    pixels = frames(40)
    for number, frame in enumerate(pixels):
        write(tmp_path / f"{number}.tif", frame[None])
    path = tmp_path / "21.tif"
    content = bytearray(path.read_bytes())
    if change == "width":
        at = content.index(WIDTH.to_bytes(4, "little"))
        content[at] += 1
    elif change == "order":
        content = bytearray(TiffBuilder(byteorder=">").image(WIDTH, HEIGHT, [pixels[21].tobytes()], bits=16).build())
    elif change == "pages":
        ifd = int.from_bytes(content[4:8], "little")
        end = ifd + 2 + 12 * content[ifd]
        content[end : end + 4] = (9).to_bytes(4, "little")
    else:
        content = bytearray(len(content))
    assert len(content) == path.stat().st_size
    path.write_bytes(content)
    with galvo.open(tmp_path) as rec:
        np.testing.assert_array_equal(rec[:21, 0, 0], pixels[:21])
        np.testing.assert_array_equal(rec[22:, 0, 0], pixels[22:])
        with pytest.raises(GalvoError) as caught:
            rec[21]
        assert "21.tif" in str(caught.value)
    with galvo.open(tmp_path) as rec, pytest.raises(GalvoError):
        rec.prove()


def test_a_file_with_its_pixels_elsewhere(tmp_path):
    """Of the same size and layout, in another order of bytes: the file itself is asked."""
    pixels = frames(40)
    for number, frame in enumerate(pixels):
        write(tmp_path / f"{number}.tif", frame[None])
    builder = TiffBuilder()
    builder.image(WIDTH, HEIGHT, [pixels[21].tobytes()], bits=16)
    blob = bytearray(builder.build())
    # pixels to the front, IFD behind
    ifd = int.from_bytes(blob[4:8], "little")
    table_nbytes = 2 + 12 * blob[ifd] + 4
    data = blob.index(pixels[21].tobytes())
    table = blob[ifd : ifd + table_nbytes]
    swapped = bytearray(blob[:8]) + pixels[21].tobytes()
    swapped += bytes(len(blob) - len(swapped) - table_nbytes) + table
    swapped[4:8] = (len(blob) - table_nbytes).to_bytes(4, "little")
    at = swapped.rindex(data.to_bytes(4, "little"))
    swapped[at : at + 4] = (8).to_bytes(4, "little")
    (tmp_path / "21.tif").write_bytes(swapped)
    same(tmp_path, pixels)


def test_numbers_that_are_missing_are_told(tmp_path):
    pixels = frames(9)
    for number, frame in zip((1, 2, 3, 5, 6, 9, 10, 11, 12), pixels, strict=True):
        write(tmp_path / f"a{number:03}.tif", frame[None])
    with pytest.warns(GalvoWarning, match=r"between a003.tif and a005.tif, and 1 more"):
        rec = galvo.open(tmp_path)
    with rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pixels)
    every = tmp_path / "every"
    every.mkdir()
    for number, frame in enumerate(pixels):
        write(every / f"a{10 * number}.tif", frame[None])
    same(every, pixels)


def test_names_of_several_stems_are_several_recordings(tmp_path):
    for number in range(3):
        write(tmp_path / f"left_{number}.tif", frames(1))
        write(tmp_path / f"right_{number}.tif", frames(1))
    write(tmp_path / "mean.tif", frames(1))
    with pytest.raises(UnknownFormat, match="holds 3 recordings") as caught:
        galvo.open(tmp_path)
    assert caught.value.found == "left_0.tif (tiff, 3 files); mean.tif (tiff, 1 file); right_0.tif (tiff, 3 files)"


@pytest.mark.parametrize("other", ["shape", "dtype"])
def test_images_that_do_not_fit(tmp_path, other):
    write(tmp_path / "a1.tif", frames(1))
    write(tmp_path / "a2.tif", frames(1))
    if other == "shape":
        write(tmp_path / "a3.tif", frames(1, shape=(HEIGHT, WIDTH + 1)))
    else:
        tifffile.imwrite(tmp_path / "a3.tif", frames(1).astype(np.float32))
    with pytest.raises(FormatError, match="do not fit") as caught:
        galvo.open(tmp_path)
    assert caught.value.path.endswith("a3.tif")


def test_hyperstacks_follow_each_other_with_their_own_axes(tmp_path):
    array = np.random.default_rng(0).integers(0, 99, (4, 3, 2, HEIGHT, WIDTH)).astype("u1")
    for number in range(2):
        part = array[2 * number : 2 * number + 2]
        tifffile.imwrite(tmp_path / f"a{number}.tif", part, imagej=True, metadata={"axes": "TZCYX"})
    for source in (tmp_path, [tmp_path / "a0.tif", tmp_path / "a1.tif"]):
        with galvo.open(source) as rec:
            np.testing.assert_array_equal(rec[...], array.swapaxes(1, 2))


def test_files_of_two_compressions(tmp_path):
    pixels = frames(4)
    write(tmp_path / "a1.tif", pixels[:2])
    write(tmp_path / "a2.tif", pixels[2:], 8)
    same(tmp_path, pixels)


def test_channels_go_before_numbers(tmp_path):
    pixels = frames(6)
    write(tmp_path / "run_ch1.tif", pixels[:3])
    write(tmp_path / "run_ch2.tif", pixels[3:])
    with galvo.open(tmp_path) as rec:
        np.testing.assert_array_equal(rec[:, :, 0], pixels.reshape(2, 3, HEIGHT, WIDTH).swapaxes(0, 1))


def test_bruker_like_files_without_their_master(tmp_path):
    pixels = frames(5)
    for number, frame in enumerate(pixels):
        xml = b'<?xml version="1.0"?><OME UUID="urn:uuid:1"><BinaryOnly MetadataFile="absent.tif"/></OME>\0'
        builder = TiffBuilder()
        text = Tag(code=270, type=2, values=xml)
        builder.image(WIDTH, HEIGHT, [frame.tobytes()], bits=16, replace=[text])
        (tmp_path / f"TSeries_Cycle00001_Ch2_{number + 2:06}.ome.tif").write_bytes(builder.build())
    same(tmp_path, pixels)


def test_one_broken_file_is_named(folder):
    path, _ = folder
    (path / "run_30.tif").write_bytes(b"II*\0\xff\xff\xff\xff")
    with pytest.raises(Malformed) as caught:
        galvo.open(path)
    assert caught.value.path.endswith("run_30.tif")


def test_genuine_folders(sample_data):
    for name, shape in (
        ("movies/mesoscope_workshop_highmag", (50, 1, 1, 512, 512)),
        ("movies/thunder_fish", (40, 1, 1, 76, 87)),
        ("bruker/calscipy_1plane_frames2-5", (4, 1, 1, 512, 512)),
        ("scanimage_mroi/sofroniewn_mesoscope/output", (8, 1, 1, 464, 576)),
    ):
        with galvo.open(sample_data / name) as rec:
            assert rec.shape == shape, name
            paths = sorted((sample_data / name).glob("*.tif"))
            expected = np.concatenate([np.atleast_3d(tifffile.imread(path).T).T for path in paths])
            np.testing.assert_array_equal(rec[:, 0, 0], expected)
    with pytest.raises(UnknownFormat, match="holds 2 recordings"):
        # 18 files of an OME-TIFF, and a stack made of them
        galvo.open(sample_data / "thorlabs" / "utils2p_time_series_z_stack")
    with pytest.raises(UnknownFormat, match="holds 4 recordings"):
        galvo.open(sample_data / "bruker" / "calscipy_4plane_cycles2-5")
