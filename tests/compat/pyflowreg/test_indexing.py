"""Readers as arrays and as streams: indices, bins, batches."""

from __future__ import annotations

import pickle
import sys
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

import galvo
from galvo.compat.pyflowreg.util.io import (
    ArrayReader,
    HDF5FileReader,
    SUBSETFileReader,
    VideoReader,
    get_video_file_reader,
)
from galvo.errors import GalvoError, MissingExtra


@pytest.fixture
def path(tmp_path, video):
    """PyFlowReg's HDF5 layout by h5py: one dataset per channel, (T, H, W)."""
    name = tmp_path / "video.h5"
    pixels = video()
    with h5py.File(name, "w") as file:
        for channel in range(2):
            file[f"ch{channel + 1}"] = pixels[..., channel]
            file[f"ch{channel + 1}"].attrs["dimension_ordering"] = (1, 2, 0)
    return name


@pytest.fixture
def reader(path):
    with get_video_file_reader(str(path)) as reader:
        yield reader


@pytest.fixture
def volume(tmp_path, video):
    """4 volumes of 3 planes of 2 channels, and their pixels (T, Z, H, W, C)."""
    pixels = video(t=12).reshape(4, 3, 6, 8, 2)
    name = tmp_path / "volume.h5"
    galvo.save(galvo.open(pixels, axes="TZYXC"), name)
    with get_video_file_reader(name, bin_size=1) as reader:
        yield reader, pixels


INDICES = [
    slice(None),
    slice(2, 5),
    slice(5, 5),
    slice(None, None, 3),
    slice(None, None, -1),
    slice(-3, None),
    slice(8, 99),
    [0, 10, 3, 3],
    [-1, 0],
    [],
    np.array([4, -2]),
    np.array([], dtype=int),
    [True, False] * 5 + [True],
    np.arange(11) % 3 == 0,
    Ellipsis,
]


@pytest.mark.parametrize("key", INDICES, ids=str)
def test_one_index(reader, video, key):
    wanted = video()[np.asarray(key, dtype=None if len(key) else int) if isinstance(key, list) else key]
    found = reader[key]
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("key", [0, 10, -1, -11, np.int64(3), np.uint8(3)])
def test_an_integer_gives_a_frame(reader, video, key):
    np.testing.assert_array_equal(reader[key], video()[key])


@pytest.mark.parametrize(
    "key",
    [
        np.s_[0:10, 2:5, 3:7, :],
        np.s_[0:10, 2:5, 3:7],
        np.s_[:, ::2, ::-1, 1],
        np.s_[3:5, 2],
        np.s_[3:5, -1, -2, -1],
        np.s_[[0, 5], 1:3],
        np.s_[..., 1],
        np.s_[2:4, ..., 0],
        np.s_[:, :, [0, 3, 3], :],
        np.s_[:, [1, 2], [3, 4], 0],
        np.s_[5:5, 1:3],
    ],
    ids=str,
)
def test_a_tuple_is_t_h_w_c(reader, video, key):
    np.testing.assert_array_equal(reader[key], video()[key])


def test_an_integer_in_a_tuple_keeps_t(reader, video):
    np.testing.assert_array_equal(reader[4, 1:3], video()[4:5, 1:3])
    np.testing.assert_array_equal(reader[-1, ..., 0], video()[-1:, ..., 0])


@pytest.mark.parametrize("plane", [slice(None), 0, -1, slice(0, 1), [0]], ids=str)
def test_five_entries_of_a_planar_video(reader, video, plane):
    np.testing.assert_array_equal(reader[0:10, plane, 2:5, 3:7, :], video()[0:10, 2:5, 3:7, :])


@pytest.mark.parametrize("plane", [1, slice(1, None), slice(0, 0), [0, 0], None, "z"], ids=str)
def test_a_plane_that_is_not_there(reader, plane):
    with pytest.raises(IndexError, match="one plane"):
        reader[0:10, plane, 2:5, 3:7, :]


@pytest.mark.parametrize(
    ("key", "error", "match"),
    [
        (11, IndexError, r"^Index 11 out of range for 11 binned frames$"),
        (-12, IndexError, r"^Index -12 out of range for 11 binned frames$"),
        ([0, 11], IndexError, r"^Index out of range for 11 binned frames$"),
        ("ch1", TypeError, r"^Invalid index type: <class 'str'>"),
        (1.0, TypeError, r"^Invalid index type: <class 'float'>"),
        ([[1, 2]], TypeError, r"^Invalid index type"),
        ([0.5], TypeError, r"^Invalid index type"),
        (None, TypeError, r"^Invalid index type"),
        (np.ones(10, bool), IndexError, "a mask of 10 entries for 11"),
        (np.s_[:, 6], IndexError, "out of bounds for axis H of length 6"),
        (np.s_[:, :, -9], IndexError, "out of bounds for axis W of length 8"),
        (np.s_[:, :, :, :, :, 0], IndexError, "too many indices"),
        (np.s_[..., 0, ...], IndexError, "one ellipsis"),
    ],
    ids=str,
)
def test_wrong_indices(reader, key, error, match):
    with pytest.raises(error, match=match) as caught:
        reader[key]
    assert isinstance(caught.value, GalvoError)


def test_five_entries_of_a_volume(volume):
    reader, pixels = volume
    np.testing.assert_array_equal(reader[1:3, 1:, 2:5, ::2, :], pixels[1:3, 1:, 2:5, ::2, :])
    np.testing.assert_array_equal(reader[:, -1, :, :, 0], pixels[:, -1, :, :, 0])
    np.testing.assert_array_equal(reader[2, [2, 0], :, :, :], pixels[2:3, [2, 0]])
    with pytest.raises(IndexError):
        reader[:, 3, :, :, :]
    with pytest.raises(IndexError, match="4 binned"):
        reader[4, 0, :, :, :]


def test_fewer_entries_lay_planes_one_after_another(volume):
    reader, pixels = volume
    flat = pixels.reshape(12, 6, 8, 2)
    assert reader.shape == flat.shape
    np.testing.assert_array_equal(reader[:], flat)
    np.testing.assert_array_equal(reader[5:9, 1:3, :, 1], flat[5:9, 1:3, :, 1])
    np.testing.assert_array_equal(np.concatenate(list(reader)), flat)
    reader.bin_size = 2
    # bins of volumes, and bins of frames
    np.testing.assert_array_equal(reader[1, 2, :, :, :], pixels[2:4, 2].mean(0).astype("u2")[None])
    np.testing.assert_array_equal(reader[3], flat[6:8].mean(0).astype("u2"))


# ---- bins and batches -------------------------------------------------------------------------------------------


def binned(pixels, size):
    bins = [pixels[at : at + size].mean(0) for at in range(0, len(pixels), size)]
    return np.array(bins).astype(pixels.dtype)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 11, 12])
def test_bins_are_means_cut_off_towards_zero(video, dtype, size):
    pixels = video(dtype="i4") - (120 if np.dtype(dtype).kind != "u" else 0)
    pixels = (pixels / 8 if dtype.startswith("f") else pixels).astype(dtype)
    reader = ArrayReader(pixels, bin_size=size, buffer_size=2)
    wanted = binned(pixels.astype("f8"), size).astype(dtype)
    assert reader.shape == wanted.shape
    assert len(reader) == -(-11 // size)
    assert reader.unbinned_shape == (11, 6, 8, 2)
    np.testing.assert_array_equal(reader[:], wanted)
    np.testing.assert_array_equal(reader[::-1, 1:3], wanted[::-1, 1:3])
    np.testing.assert_array_equal(reader[-1], wanted[-1])
    # the last batch has the remainder, and means what indexing means
    np.testing.assert_array_equal(np.concatenate(list(reader)), wanted)


def test_integer_means_are_not_rounded():
    pixels = np.array([[-3], [-4], [5], [6]], "i2").reshape(4, 1, 1, 1)
    assert ArrayReader(pixels, bin_size=2)[:].ravel().tolist() == [-3, 5]


def test_bins_larger_than_what_is_read_at_once(monkeypatch, video):
    monkeypatch.setattr("galvo.compat.pyflowreg.util.io._base._PIECE_BYTES", 3 * 6 * 8 * 2 * 2)
    for size in (2, 3, 4, 7):
        reader = ArrayReader(video(), bin_size=size, buffer_size=2)
        np.testing.assert_array_equal(reader[:], binned(video(), size))
        np.testing.assert_array_equal(np.concatenate(list(reader)), binned(video(), size))


def test_a_fresh_reader_gives_its_batches(path, video):
    with get_video_file_reader(str(path), buffer_size=4) as reader:
        batches = list(reader)
    assert [len(batch) for batch in batches] == [4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(batches), video())


def test_batches_by_hand(path, video):
    with get_video_file_reader(str(path), buffer_size=2, bin_size=4) as reader:
        assert reader.has_batch()
        assert reader.current_frame == 0
        np.testing.assert_array_equal(reader.read_batch(), binned(video(), 4)[:2])
        assert reader.current_frame == 8
        np.testing.assert_array_equal(reader.read_batch(), binned(video(), 4)[2:])
        assert not reader.has_batch()
        assert reader.read_batch() is None
        reader.reset()
        assert reader.has_batch()
        assert [len(batch) for batch in reader] == [2, 1]
        # again from the beginning
        assert [len(batch) for batch in reader] == [2, 1]


def test_what_a_file_reader_says_before_it_was_used(path):
    with HDF5FileReader(path, bin_size=2) as reader:
        assert reader._recording is None
        assert (reader.height, reader.width, reader.n_channels, reader.frame_count) == (6, 8, 2, 11)
        assert reader.dtype == np.uint16
    with HDF5FileReader(path, bin_size=2) as reader:
        assert repr(reader) == "HDF5FileReader(shape=(6, 6, 8, 2), dtype=uint16, bin_size=2)"
        assert (reader.buffer_size, reader.bin_size) == (500, 2)
        with pytest.raises(AttributeError, match="frames"):
            _ = reader.frames


def test_a_closed_reader_opens_again(path, video):
    reader = HDF5FileReader(path)
    with reader:
        np.testing.assert_array_equal(reader[0], video()[0])
    assert reader.shape == (11, 6, 8, 2)
    np.testing.assert_array_equal(reader[1], video()[1])
    reader.close()
    reader.close()


def test_readers_are_pickled(path, video):
    with HDF5FileReader(path, bin_size=2) as reader:
        with pickle.loads(pickle.dumps(reader)) as fresh:
            np.testing.assert_array_equal(fresh[:], binned(video(), 2))
        _ = reader[0]
        with pickle.loads(pickle.dumps(reader)) as used:
            np.testing.assert_array_equal(used[:], binned(video(), 2))


@pytest.mark.parametrize("options", [{"buffer_size": 0}, {"bin_size": 0}, {"bin_size": -1}, {"buffer_size": 2.5}])
def test_sizes_that_are_none(path, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        HDF5FileReader(path, **options)


def test_to_pytorch(monkeypatch, reader, video):
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(from_numpy=lambda array: array))
    stack, frame = reader.to_pytorch(reader[2:5]), reader.to_pytorch(reader[2])
    np.testing.assert_array_equal(stack, video()[2:5].transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(frame, video()[2].transpose(2, 0, 1))
    assert stack.flags.c_contiguous
    with pytest.raises(ValueError, match="1 axes"):
        reader.to_pytorch(np.zeros(3))


def test_to_pytorch_without_pytorch(monkeypatch, reader):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match="pip install torch"):
        reader.to_pytorch(reader[0])


# ---- arrays, parts, readers of others ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((6, 8), (1, 6, 8, 1)),
        ((5, 6, 8), (5, 6, 8, 1)),
        ((6, 8, 2), (1, 6, 8, 2)),
        ((6, 8, 4), (1, 6, 8, 4)),
        ((6, 8, 5), (6, 8, 5, 1)),
        ((5, 6, 8, 2), (5, 6, 8, 2)),
    ],
)
def test_axes_of_arrays(shape, wanted):
    array = np.arange(np.prod(shape)).reshape(shape)
    reader = get_video_file_reader(array)
    assert isinstance(reader, ArrayReader)
    assert (reader.shape, reader.buffer_size) == (wanted, 500)
    np.testing.assert_array_equal(reader[:], array.reshape(wanted))


@pytest.mark.parametrize("array", [np.zeros(7), np.zeros((1, 2, 3, 4, 5))])
def test_arrays_that_are_no_videos(array):
    with pytest.raises(ValueError, match=rf"^Array must be 2D, 3D or 4D, got {array.ndim}D"):
        ArrayReader(array)


def test_arrays_are_copied_unless_in_place():
    array = np.zeros((3, 4, 5, 6), "u1")
    copied, shared = ArrayReader(array), ArrayReader(array, inplace=True)
    array[:] = 7
    assert (copied[:].max(), shared[:].min(), copied.buffer_size) == (0, 7, 100)


def test_subset(path, video):
    with get_video_file_reader(str(path), bin_size=4) as source:
        reader = SUBSETFileReader(source, [9, 1, 1, -1, 4])
        # frames as stored, whatever the bins of the source are
        assert (reader.shape, reader.bin_size, reader.buffer_size) == ((5, 6, 8, 2), 1, 500)
        np.testing.assert_array_equal(reader[:], video()[[9, 1, 1, -1, 4]])
        np.testing.assert_array_equal(reader[::2, 1:3, 2], video()[[9, 1, 4], 1:3, 2])
        reader.bin_size = 2
        np.testing.assert_array_equal(np.concatenate(list(reader)), binned(video()[[9, 1, 1, -1, 4]], 2))
        reader.close()
        # the source is not closed with it
        assert source._recording is not None
        assert SUBSETFileReader(source, []).shape == (0, 6, 8, 2)
        with pytest.raises(ValueError, match=r"^Index 11 exceeds source frame count 11"):
            SUBSETFileReader(source, np.array([0, 11]))
        with pytest.raises(ValueError, match="list of integers"):
            SUBSETFileReader(source, [0.5])


class Countdown(VideoReader):
    """A reader of somebody else's: only what the base class asks for."""

    def _initialize(self):
        self.height, self.width, self.n_channels, self.frame_count, self.dtype = 2, 3, 1, 10, np.dtype("i4")

    def _read_raw_frames(self, frame_indices):
        numbers = np.arange(10, 0, -1, dtype="i4")[frame_indices]
        return np.broadcast_to(numbers[:, None, None, None], (len(numbers), 2, 3, 1))

    def close(self):
        pass


def test_readers_of_others():
    with Countdown() as reader:
        assert get_video_file_reader(reader) is reader
        assert reader.shape == (10, 2, 3, 1)
        assert reader[[0, -1], 1:, 0].ravel().tolist() == [10, 1]
        assert reader[1:3, 0, :, :, 0].shape == (2, 2, 3)
        reader.bin_size, reader.buffer_size = 4, 2
        assert [batch[:, 0, 0, 0].tolist() for batch in reader] == [[8, 4], [1]]
        assert SUBSETFileReader(reader, [9, 0])[:, 0, 0, 0].tolist() == [1, 10]
    with pytest.raises(TypeError, match="abstract"):
        VideoReader()
