"""Each format on the disk: names and layouts by other libraries, options, what is found again, what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import tifffile

import galvo
from galvo.compat.pyflowreg.util.io import (
    HDF5FileReader,
    MATFileReader,
    MDFFileReader,
    MULTICHANNELFileReader,
    MULTIFILEFileWriter,
    TIFFFileReader,
    get_video_file_reader,
    get_video_file_writer,
)
from galvo.errors import GalvoError, GalvoWarning
from galvo.testing.scanimage import ScanImageRecording

FILES = {"HDF5": "hdf5", "TIFF": "tiff", "SUITE2P_TIFF": "tiff", "MAT": "matlab"}
FOLDERS = {"MULTIFILE_HDF5": "hdf5", "CAIMAN_HDF5": "hdf5", "MULTIFILE_TIFF": "tiff", "MULTIFILE_MAT": "matlab"}


def write(path, kind, pixels, **options):
    with get_video_file_writer(path, kind, **options) as writer:
        writer.write_frames(pixels[:4])
        writer.write_frames(pixels[4:])


def shown(source, **options):
    with get_video_file_reader(source, **options) as reader:
        return reader[:]


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8"])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kind", FILES)
def test_one_file(tmp_path, video, needs, kind, channels, dtype):
    needs(FILES[kind])
    path, pixels = tmp_path / f"compensated.{kind}", video(c=channels, dtype=dtype)
    write(path, kind, pixels)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    found = shown(str(path))
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("kind", FOLDERS)
def test_one_file_per_channel(tmp_path, video, needs, kind, channels):
    needs(FOLDERS[kind])
    pixels, suffix = video(c=channels), kind.partition("_")[2]
    for path, folder, stem in (
        (tmp_path / "one" / "movie.h5", tmp_path / "one", "movie"),
        (tmp_path / "two" / "deep", tmp_path / "two" / "deep", "compensated"),
    ):
        write(path, kind, pixels)
        names = [f"{stem}_ch{number}.{suffix}" for number in range(1, channels + 1)]
        assert sorted(entry.name for entry in folder.iterdir()) == names
        files = [str(folder / name) for name in names]
        np.testing.assert_array_equal(shown(files), pixels)
        # each is a video by itself, not the door to all
        np.testing.assert_array_equal(shown(files[-1]), pixels[..., -1:])


# ---- HDF5 -------------------------------------------------------------------------------------------------------


def test_hdf5_as_others_see_it(tmp_path, video):
    path, pixels = tmp_path / "compensated.HDF5", video()
    write(path, "HDF5", pixels)
    with h5py.File(path) as file:
        assert file.attrs["format"] == "pyflowreg_hdf5_v1"
        facts = {"frame_count": 11, "height": 6, "width": 8, "n_channels": 2}
        assert {name: file.attrs[name] for name in facts} == facts
        assert list(file.attrs["dataset_names"]) == ["ch1", "ch2"]
        assert list(file.attrs["dimension_ordering"]) == [1, 2, 0]
        for channel in range(2):
            dataset = file[f"ch{channel + 1}"]
            assert (dataset.shape, dataset.chunks, dataset.dtype) == ((11, 6, 8), (1, 6, 8), np.uint16)
            assert list(dataset.attrs["dimension_ordering"]) == [1, 2, 0]
            assert list(dataset.attrs["original_shape_THWC"]) == [11, 6, 8, 2]
            np.testing.assert_array_equal(dataset[()], pixels[..., channel])


def test_hdf5_in_matlab_order(tmp_path, video):
    path, pixels = tmp_path / "a.h5", video()
    write(path, "HDF5", pixels, dimension_ordering=(0, 1, 2), chunk_size=4)
    with h5py.File(path) as file:
        assert file["ch2"].chunks == (6, 8, 4)
        np.testing.assert_array_equal(file["ch2"][()], pixels[..., 1].transpose(1, 2, 0))
    np.testing.assert_array_equal(shown(path), pixels)
    # what galvo wrote says so itself
    np.testing.assert_array_equal(shown(path, dimension_ordering=(1, 2, 0)), pixels)


@pytest.mark.parametrize(
    ("given", "channels", "names"),
    [
        (None, 2, ["ch1", "ch2"]),
        ("ch*", 2, ["ch1", "ch2"]),
        ("green_*_raw", 2, ["green_1_raw", "green_2_raw"]),
        ("mov", 1, ["mov"]),
        ("mov", 2, ["mov1", "mov2"]),
        (["green", "red"], 2, ["green", "red"]),
        (["u", "v"], 2, ["u", "v"]),
    ],
)
def test_hdf5_names(tmp_path, video, given, channels, names):
    path, pixels = tmp_path / "a.h5", video(c=channels)
    write(path, "HDF5", pixels, dataset_names=given)
    with h5py.File(path) as file:
        assert [name for name in file if name != "galvo"] == names
    np.testing.assert_array_equal(shown(path), pixels)
    np.testing.assert_array_equal(shown(path, dataset_names=names[::-1]), pixels[..., ::-1])


@pytest.mark.parametrize(
    ("options", "filters", "level"),
    [
        ({}, set(), None),
        ({"compression_level": 9}, set(), None),
        ({"compression": "gzip"}, {"gzip"}, 4),
        ({"compression": "gzip", "compression_opts": 9}, {"gzip"}, 9),
        ({"compression": "gzip", "compression_level": 1}, {"gzip"}, 1),
        ({"compression": "lzf"}, {"lzf"}, None),
    ],
    ids=str,
)
def test_hdf5_compression(tmp_path, video, options, filters, level):
    path = tmp_path / "a.h5"
    write(path, "HDF5", video(), **options)
    with h5py.File(path) as file:
        dataset = file["ch1"]
        assert {dataset.compression} - {None} == filters
        if level is not None:
            assert dataset.compression_opts == level
        np.testing.assert_array_equal(dataset[()], video()[..., 0])
    np.testing.assert_array_equal(shown(path), video())


def test_hdf5_of_others(tmp_path, video):
    pixels = video()
    with h5py.File(tmp_path / "thw.h5", "w") as file:
        file["ch2"], file["ch1"] = pixels[..., 1], pixels[..., 0]
    with h5py.File(tmp_path / "hwt.h5", "w") as file:
        file["movie"] = pixels[..., 0].transpose(1, 2, 0)
    with h5py.File(tmp_path / "thwc.h5", "w") as file:
        file["data"] = pixels
    with pytest.warns(GalvoWarning, match="taken as TYX"):
        np.testing.assert_array_equal(shown(tmp_path / "thw.h5"), pixels)
    np.testing.assert_array_equal(shown(tmp_path / "hwt.h5", dimension_ordering=(0, 1, 2)), pixels[..., :1])
    with pytest.warns(GalvoWarning, match="taken as TYXC"):
        np.testing.assert_array_equal(shown(tmp_path / "thwc.h5"), pixels)
    np.testing.assert_array_equal(shown(tmp_path / "thwc.h5", axes="TYXC"), pixels)
    np.testing.assert_array_equal(
        shown(tmp_path / "thw.h5", dataset_names=["ch2"], dimension_ordering=(1, 2, 0)), pixels[..., 1:]
    )


@pytest.mark.parametrize("stated", [True, False])
def test_displacements(tmp_path, stated):
    """w.h5 has u and v, with PyFlowReg's attribute, or without it when the writer did not get that far."""
    field = np.arange(5 * 6 * 8 * 2, dtype="f4").reshape(5, 6, 8, 2)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for number, name in enumerate("uv"):
            file[name] = field[..., number]
            file[name].attrs["dimension_ordering"] = (1, 2, 0)
        if stated:
            file.attrs["dataset_names"] = ["u", "v"]
    np.testing.assert_array_equal(shown(tmp_path / "w.h5"), field)
    np.testing.assert_array_equal(shown(tmp_path / "w.HDF5"), field)


# ---- TIFF -------------------------------------------------------------------------------------------------------


def test_tiff_as_others_see_it(tmp_path, video, needs):
    needs("tiff")
    for channels, axes in ((1, "TYX"), (2, "TYXS"), (3, "TYXS")):
        path, pixels = tmp_path / f"{channels}.TIFF", video(c=channels)
        write(path, "TIFF", pixels)
        with tifffile.TiffFile(path) as file:
            assert file.is_bigtiff
            assert len(file.series) == 1
            assert file.series[0].axes == axes
            np.testing.assert_array_equal(file.asarray().reshape(pixels.shape), pixels)


def test_suite2p_interleaves_channels(tmp_path, video, needs):
    needs("tiff")
    path, pixels = tmp_path / "compensated.SUITE2P_TIFF", video()
    write(path, "SUITE2P_TIFF", pixels)
    with tifffile.TiffFile(path) as file:
        pages = np.stack([page.asarray() for page in file.pages])
    np.testing.assert_array_equal(pages, pixels.transpose(0, 3, 1, 2).reshape(22, 6, 8))
    np.testing.assert_array_equal(shown(path), pixels)


@pytest.mark.parametrize(
    ("options", "big", "compression"),
    [
        ({}, True, 1),
        ({"bigtiff": False}, False, 1),
        ({"imagej": True}, False, 1),
        ({"imagej": True, "bigtiff": True}, False, 1),
        ({"samples": None}, True, 1),
        ({"layout": "plain"}, True, 1),
        ({"compression": "none"}, True, 1),
        ({"compression": "zlib"}, True, 8),
        ({"compression": "deflate", "compression_level": 6}, True, 8),
        ({"compression": "lzw", "compression_level": 6}, True, 5),
    ],
    ids=str,
)
def test_tiff_options(tmp_path, video, needs, options, big, compression):
    needs("tiff")
    path, pixels = tmp_path / "a.tif", video()
    write(path, "TIFF", pixels, **options)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff == big
        assert file.is_imagej == bool(options.get("imagej"))
        assert file.pages[0].compression == compression
        is_samples = not {"imagej", "samples", "layout"} & set(options)
        assert file.pages[0].samplesperpixel == (2 if is_samples else 1)
        found = np.stack([page.asarray() for page in file.pages])
    expected = pixels if is_samples else pixels.transpose(0, 3, 1, 2).reshape(22, 6, 8)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(shown(path), pixels)


def test_tiff_keeps_metadata(tmp_path, video, needs):
    needs("tiff")
    write(tmp_path / "a.tif", "TIFF", video(), metadata={"animal": "m12", "depth": 130})
    with galvo.open(tmp_path / "a.tif") as recording:
        assert recording.metadata.attributes["animal"] == "m12"
        assert recording.metadata.attributes["depth"] == 130


def test_tiff_types_that_ome_lacks(tmp_path, needs):
    needs("tiff")
    pixels = np.arange(11 * 6 * 8 * 2).reshape(11, 6, 8, 2) - (1 << 40)
    write(tmp_path / "a.tif", "TIFF", pixels)
    np.testing.assert_array_equal(shown(tmp_path / "a.tif"), pixels)


@pytest.mark.parametrize(
    ("options", "match"),
    [({"compression": "jpeg"}, "unknown compression"), ({"imagej": True}, "ImageJ has no such pixels")],
    ids=str,
)
def test_tiff_refusals(tmp_path, video, needs, options, match):
    needs("tiff")
    writer = get_video_file_writer(tmp_path / "a.tif", "TIFF", **options)
    with pytest.raises(ValueError, match=match):
        writer.write_frames(video(dtype="f8"))
    with pytest.raises(ValueError, match="unknown format"):
        get_video_file_writer(tmp_path / "a.tif", "TIFF", format="zork")


def test_tiff_stacks(tmp_path, video):
    pixels = video(c=1)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    np.testing.assert_array_equal(shown(tmp_path / "a.tif", use_memmap=True), pixels[..., None])
    np.testing.assert_array_equal(shown(tmp_path / "a.tif", use_memmap=False), pixels[..., None])


def test_tiff_samples_are_channels(tmp_path, video):
    tifffile.imwrite(tmp_path / "a.tif", video(c=3, dtype="u1"), photometric="rgb")
    np.testing.assert_array_equal(shown(tmp_path / "a.tif"), video(c=3, dtype="u1"))


def test_tiff_imagej_hyperstacks(tmp_path, video):
    pixels = video()
    tifffile.imwrite(tmp_path / "a.tif", pixels.transpose(0, 3, 1, 2), imagej=True, metadata={"axes": "TCYX"})
    np.testing.assert_array_equal(shown(tmp_path / "a.tif"), pixels)
    planes = np.arange(4 * 3 * 2 * 6 * 8, dtype="u2").reshape(4, 3, 2, 6, 8)
    tifffile.imwrite(tmp_path / "z.tif", planes, imagej=True, metadata={"axes": "TZCYX"})
    with get_video_file_reader(tmp_path / "z.tif") as reader:
        assert reader.shape == (12, 6, 8, 2)
        np.testing.assert_array_equal(reader[5], planes[1, 2].transpose(1, 2, 0))
        np.testing.assert_array_equal(reader[1:3, 2, 1:4, :, 1], planes[1:3, 2, 1, 1:4, :])
        found = reader.get_metadata()
        assert (found["volumes"], found["z_planes"], found["frame_count"]) == (4, 3, 12)


def test_tiff_ome(tmp_path, video):
    pixels = video()
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels.transpose(0, 3, 1, 2), metadata={"axes": "TCYX"})
    np.testing.assert_array_equal(shown(tmp_path / "a.ome.tif"), pixels)


def test_tiff_deinterleaved(tmp_path, video):
    pixels = video(t=12, c=1)[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    for channels in (2, 3):
        found = shown(tmp_path / "a.tif", deinterleave=channels)
        wanted = [pixels[channel::channels] for channel in range(channels)]
        np.testing.assert_array_equal(found, np.stack(wanted, axis=-1))
    with pytest.warns(GalvoWarning, match="12 pages are no whole number of 5 channels"):
        assert shown(tmp_path / "a.tif", deinterleave=5).shape == (2, 6, 8, 5)
    with pytest.raises(ValueError, match="more channels than pages"):
        shown(tmp_path / "a.tif", deinterleave=13)
    with pytest.raises(ValueError, match="deinterleave"):
        TIFFFileReader(tmp_path / "a.tif", deinterleave=0)


def test_scanimage(tmp_path):
    truth = ScanImageRecording(frames=10, channels=(1, 2), height=12, width=10, frames_per_file=4)
    first, second, _ = truth.write(tmp_path)
    wanted = truth.expected()[:, :, 0].transpose(0, 2, 3, 1)
    # one file, not its series
    reader = get_video_file_reader(str(second), buffer_size=3)
    with pytest.warns(GalvoWarning, match="4 frames are in the files"):
        assert reader.shape == (4, 12, 10, 2)
    with reader:
        np.testing.assert_array_equal(reader[:], wanted[4:8])
        np.testing.assert_array_equal(np.concatenate(list(reader)), wanted[4:8])
        found = reader.get_metadata()
        assert found["is_scanimage"]
        assert (found["file_name"], found["frame_count"], found["shape"]) == (second.name, 4, (4, 12, 10, 2))
        assert (found["dtype"], found["deinterleave"]) == ("int16", 1)
    np.testing.assert_array_equal(shown(str(first), deinterleave=2), wanted[:4])


def test_scanimage_volumes(tmp_path):
    truth = ScanImageRecording(height=8, width=6, slices=3, volumes=4, channels=(1, 2))
    (path,) = truth.write(tmp_path)
    wanted = truth.expected().transpose(0, 2, 3, 4, 1)
    with get_video_file_reader(path) as reader:
        np.testing.assert_array_equal(reader[:], wanted.reshape(12, 8, 6, 2))
        np.testing.assert_array_equal(reader[:, 1, :, :, :], wanted[:, 1])


def test_metadata_of_a_plain_tiff(tmp_path, video):
    tifffile.imwrite(
        tmp_path / "a.tif",
        video(c=1)[..., 0],
        photometric="minisblack",
        description="d" * 600,
        software="scope",
        metadata=None,
    )
    with TIFFFileReader(tmp_path / "a.tif", bin_size=2) as reader:
        assert reader.get_metadata() == {
            "file_name": "a.tif",
            "frame_count": 11,
            "shape": (6, 6, 8, 1),
            "unbinned_shape": (11, 6, 8, 1),
            "dtype": "uint16",
            "sample_mode": False,
            "deinterleave": 1,
            "is_scanimage": False,
            "description": "d" * 500,
            "software": "scope",
        }


# ---- MATLAB -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"use_v73": True}, {"dataset_names": "mov"}], ids=str)
def test_mat(tmp_path, video, needs, options):
    needs("matlab")
    path, pixels = tmp_path / "a.mat", video(c=1)
    write(path, "MAT", pixels, **options)
    np.testing.assert_array_equal(shown(path), pixels)
    with MATFileReader(path, dataset_names=options.get("dataset_names", "ch1"), dimension_ordering=(0, 1, 2)) as reader:
        np.testing.assert_array_equal(reader[:], pixels)
    if options.get("use_v73"):
        with h5py.File(path) as file:
            # (H, W, T) in MATLAB, reversed in HDF5
            np.testing.assert_array_equal(file["ch1"][()], pixels[..., 0].transpose(0, 2, 1))


# ---- several files ----------------------------------------------------------------------------------------------


def test_channels_of_different_types(tmp_path, video):
    pixels = video()
    write(tmp_path / "a.h5", "HDF5", pixels.astype("u1"))
    write(tmp_path / "b.h5", "HDF5", pixels.astype("f4"))
    tifffile.imwrite(tmp_path / "c.tif", pixels[..., 0], photometric="minisblack")
    files = [tmp_path / "a.h5", str(tmp_path / "b.h5"), tmp_path / "c.tif"]
    with get_video_file_reader(files, bin_size=4) as reader:
        assert isinstance(reader, MULTICHANNELFileReader)
        assert reader.input_file_name == "a_b_c"
        assert (reader.shape, reader.dtype) == ((3, 6, 8, 5), np.float32)
        reader.bin_size = 1
        np.testing.assert_array_equal(reader[:], np.concatenate([pixels, pixels, pixels[..., :1]], axis=-1))


def test_bins_of_several_files_are_made_once(tmp_path, video):
    write(tmp_path / "a.h5", "HDF5", video())
    with (
        get_video_file_reader([tmp_path / "a.h5"] * 2, bin_size=3) as reader,
        HDF5FileReader(tmp_path / "a.h5", bin_size=3) as alone,
    ):
        np.testing.assert_array_equal(reader[:], np.concatenate([alone[:]] * 2, axis=-1))


def test_types_that_no_integer_holds(tmp_path):
    for name, dtype in (("a", "i8"), ("b", "u8")):
        write(tmp_path / f"{name}.h5", "HDF5", np.full((5, 2, 3, 1), 7, dtype))
    with MULTICHANNELFileReader([tmp_path / "a.h5", tmp_path / "b.h5"]) as reader:
        assert reader.dtype == np.float64
        assert reader[:].min() == 7


def test_files_that_do_not_fit(tmp_path, video):
    write(tmp_path / "a.h5", "HDF5", video())
    write(tmp_path / "small.h5", "HDF5", video(h=5))
    write(tmp_path / "short.h5", "HDF5", video(t=7))
    for name, match in (
        ("small.h5", "Resolution mismatch in file .*small.h5"),
        ("short.h5", "Frame count mismatch in"),
    ):
        reader = MULTICHANNELFileReader([tmp_path / "a.h5", tmp_path / name])
        with pytest.raises(ValueError, match=match):
            _ = reader.shape
    with pytest.raises(FileNotFoundError, match=r"File not found: .*nope.h5"):
        MULTICHANNELFileReader([tmp_path / "a.h5", tmp_path / "nope.h5"])
    with pytest.raises(ValueError, match="names no video"):
        get_video_file_reader([])


def test_multifile_writer_by_its_own_name(tmp_path, video):
    with MULTIFILEFileWriter(tmp_path / "x.h5", "HDF5", compression="gzip") as writer:
        writer.write_frames(video())
        assert (writer.height, writer.width, writer.n_channels, writer.dtype) == (6, 8, 2, np.uint16)
    assert writer.file_type == "HDF5"
    with h5py.File(tmp_path / "x_ch2.HDF5") as file:
        assert file["ch1"].compression == "gzip"


def test_caiman_has_mov(tmp_path, video):
    with get_video_file_writer(tmp_path, "CAIMAN_HDF5") as writer:
        writer.write_frames(video())
    with h5py.File(tmp_path / "compensated_ch2.HDF5") as file:
        np.testing.assert_array_equal(file["/mov"][()], video()[..., 1])
        assert file.attrs["n_channels"] == 1


# ---- what is opened, and what is not ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("there", "asked"),
    [("a.HDF5", "a.h5"), ("a.h5", "a.HDF5"), ("a.hdf", "a.hdf5"), ("w.v2.h5", "w.v2.HDF5")],
)
def test_other_suffixes_of_a_format(tmp_path, video, there, asked):
    write(tmp_path / there, "HDF5", video())
    np.testing.assert_array_equal(shown(tmp_path / asked), video())
    np.testing.assert_array_equal(shown([str(tmp_path / asked)]), video())
    with pytest.raises(FileNotFoundError, match=r"^File not found: .*\.tif$"):
        get_video_file_reader((tmp_path / asked).with_suffix(".tif"))


def test_other_suffixes_of_tiff(tmp_path, video):
    tifffile.imwrite(tmp_path / "a.tif", video(c=1)[..., 0], photometric="minisblack")
    for asked in ("a.TIFF", "a.tiff"):
        np.testing.assert_array_equal(shown(tmp_path / asked), video(c=1))


def test_other_suffixes_of_mat(tmp_path, video, needs):
    needs("matlab")
    write(tmp_path / "a.MAT", "MAT", video())
    np.testing.assert_array_equal(shown(tmp_path / "a.mat"), video())


def test_hdf5_without_a_video(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = np.zeros((3, 4))
    for error in (ValueError, OSError):
        with pytest.raises(error, match=r"^Cannot open HDF5 file: .*image \(3, 4\)"):
            shown(tmp_path / "a.h5")


def test_the_name_that_is_asked_for_wins(tmp_path, video):
    write(tmp_path / "a.h5", "HDF5", video())
    write(tmp_path / "a.HDF5", "HDF5", video(t=7))
    assert shown(tmp_path / "a.h5").shape[0] == 11
    assert shown(tmp_path / "a.HDF5").shape[0] == 7


def test_content_decides_where_the_suffix_does_not(tmp_path, video):
    write(tmp_path / "movie.dat", "HDF5", video())
    np.testing.assert_array_equal(shown(tmp_path / "movie.dat"), video())
    write(tmp_path / "movie", "HDF5", video())
    with get_video_file_reader(tmp_path / "movie") as reader:
        assert isinstance(reader, HDF5FileReader)


def test_a_folder_that_is_one_recording(tmp_path, video):
    (tmp_path / "one").mkdir()
    write(tmp_path / "one" / "a.h5", "HDF5", video())
    np.testing.assert_array_equal(shown(tmp_path / "one"), video())
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"^Folder .*none does not contain images"):
        get_video_file_reader(tmp_path / "none")


@pytest.mark.parametrize("kind", [HDF5FileReader, TIFFFileReader, MATFileReader, get_video_file_reader])
def test_missing_files(tmp_path, kind):
    with pytest.raises(FileNotFoundError, match=r"^File not found: .*nope\.h5$") as caught:
        kind(str(tmp_path / "nope.h5"))
    assert isinstance(caught.value, GalvoError)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("a.h5", "^Cannot open HDF5 file: "),
        ("a.tif", "^Failed to open TIFF file: "),
        ("a.mat", "^Cannot open MAT file: "),
    ],
)
def test_files_that_are_something_else(tmp_path, name, match):
    (tmp_path / name).write_bytes(b"hello")
    reader = get_video_file_reader(tmp_path / name)
    for error in (ValueError, OSError, GalvoError):
        with pytest.raises(error, match=match):
            _ = reader[0]


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_formats_that_nobody_knows(tmp_path, name):
    (tmp_path / name).write_bytes(b"hello")
    with pytest.raises(ValueError, match=f"^Unsupported file format: {(tmp_path / name).suffix}"):
        get_video_file_reader(tmp_path / name)


def test_mdf(tmp_path):
    (tmp_path / "a.mdf").write_bytes(b"hello")
    for make in (get_video_file_reader, MDFFileReader):
        with pytest.raises(NotImplementedError, match=r"^MDF file reading requires Windows and 'pywin32' library"):
            make(tmp_path / "a.mdf")
    with pytest.raises(FileNotFoundError, match=r"^File not found: "):
        get_video_file_reader(tmp_path / "none.mdf")


@pytest.mark.parametrize("source", [5, None, {1: 2}])
def test_sources_that_are_none(source):
    with pytest.raises(TypeError, match="expected a path"):
        get_video_file_reader(source)


def test_options_that_a_format_does_not_take(tmp_path, video):
    write(tmp_path / "a.h5", "HDF5", video())
    for name in ("zork", "deinterleave"):
        with pytest.raises(ValueError, match=f"takes no option '{name}'"):
            shown(tmp_path / "a.h5", **{name: 2})
