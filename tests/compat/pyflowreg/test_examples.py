"""The examples of PyFlowReg's page on file formats that read, write, index or convert: its calls, our recordings."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

import galvo


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Scripts name files relative to where they run, and import pyflowreg."""
    monkeypatch.chdir(tmp_path)
    galvo.compat.install("pyflowreg", force=True)
    yield tmp_path
    galvo.compat.uninstall("pyflowreg")


@pytest.fixture
def movie(video):
    """48 frames of one channel, big enough to cut 100:200 out of."""
    return video(t=48, h=210, w=205, c=1)


def test_making_readers(movie):
    from pyflowreg.util.io import get_video_file_reader

    galvo.save(galvo.open(movie, axes="TYXC"), "mouse7.h5")
    for name in ("green.tif", "red.tif"):
        tifffile.imwrite(name, movie[..., 0], photometric="minisblack")
    reader = get_video_file_reader("mouse7.h5", buffer_size=500, bin_size=1)
    np.testing.assert_array_equal(reader[:], movie)
    reader.close()
    np.testing.assert_array_equal(get_video_file_reader(movie)[:], movie)
    reader = get_video_file_reader(["green.tif", "red.tif"])
    np.testing.assert_array_equal(reader[:], np.concatenate([movie, movie], axis=-1))
    reader.close()


def test_making_a_writer(movie):
    from pyflowreg.util.io import get_video_file_writer

    writer = get_video_file_writer("registered.h5", "HDF5")
    writer.write_frames(movie)
    writer.close()
    with h5py.File("registered.h5") as file:
        np.testing.assert_array_equal(file["ch1"][()], movie[..., 0])


def test_indexing(movie):
    from pyflowreg.util.io import get_video_file_reader

    galvo.save(galvo.open(movie, axes="TYXC"), "mouse7.h5")
    reader = get_video_file_reader("mouse7.h5")
    for key in (7, np.s_[10:20], [0, 10, 20, 30]):
        np.testing.assert_array_equal(reader[key], movie[key])
    assert reader[7].shape == (210, 205, 1)
    found = reader[0:10, :, 100:200, 100:200, :]
    assert found.shape == (10, 100, 100, 1)
    np.testing.assert_array_equal(found, movie[0:10, 100:200, 100:200, :])
    reader.close()


def test_iterating(movie):
    from pyflowreg.util.io import get_video_file_reader

    galvo.save(galvo.open(movie, axes="TYXC"), "mouse7.h5")
    reader = get_video_file_reader("mouse7.h5", buffer_size=20)
    lengths = []
    for batch in reader:
        lengths.append(len(batch))
        assert batch.shape[1:] == (210, 205, 1)
    assert lengths == [20, 20, 8]
    reader.close()


def test_channels_from_files(movie):
    from pyflowreg.util.io.multifile_wrappers import MULTICHANNELFileReader

    for number in (1, 2):
        tifffile.imwrite(f"ch{number}.tif", movie[..., 0] + number, photometric="minisblack")
    reader = MULTICHANNELFileReader(["ch1.tif", "ch2.tif"])
    frames = reader[:]
    assert frames.shape == (48, 210, 205, 2)
    np.testing.assert_array_equal(frames, np.concatenate([movie + 1, movie + 2], axis=-1))
    reader.close()


def test_writing_batches(movie):
    from pyflowreg.util.io import get_video_file_reader, get_video_file_writer

    writer = get_video_file_writer("one.h5", "HDF5")
    for batch in np.array_split(movie, 5):
        writer.write_frames(batch)
    writer.close()
    with get_video_file_writer("two.h5", "HDF5") as writer:
        writer.write_frames(movie)
    for name in ("one.h5", "two.h5"):
        with get_video_file_reader(name) as reader:
            np.testing.assert_array_equal(reader[:], movie)


def test_converting_one_file(movie):
    from pyflowreg.util.io import get_video_file_reader, get_video_file_writer

    tifffile.imwrite("in.tif", movie[..., 0], photometric="minisblack")
    reader = get_video_file_reader("in.tif", buffer_size=7)
    with get_video_file_writer("out.h5", "HDF5") as writer:
        for batch in reader:
            writer.write_frames(batch)
    reader.close()
    with h5py.File("out.h5") as file:
        np.testing.assert_array_equal(file["ch1"][()], movie[..., 0])


def test_converting_a_folder(movie):
    from pyflowreg.util.io import get_video_file_reader, get_video_file_writer

    source, target = Path("stacks/"), Path("movies/")
    source.mkdir()
    target.mkdir(exist_ok=True)
    for number in range(3):
        tifffile.imwrite(source / f"day{number}.tif", movie[: 10 + number, :, :, 0], photometric="minisblack")
    for stack in source.glob("*.tif"):
        reader = get_video_file_reader(str(stack))
        name = target / f"{stack.stem}.h5"
        with get_video_file_writer(str(name), "HDF5") as writer:
            for batch in reader:
                writer.write_frames(batch)
        reader.close()
    assert sorted(os.listdir(target)) == ["day0.h5", "day1.h5", "day2.h5"]
    for number in range(3):
        with h5py.File(target / f"day{number}.h5") as file:
            np.testing.assert_array_equal(file["ch1"][()], movie[: 10 + number, :, :, 0])


def test_tuning(movie):
    from pyflowreg.util.io import get_video_file_reader, get_video_file_writer

    writer = get_video_file_writer("packed.h5", "HDF5", compression="gzip", compression_opts=4)
    writer.write_frames(movie)
    writer.close()
    writer = get_video_file_writer("chunked.h5", "HDF5", chunk_size=10)
    writer.write_frames(movie)
    writer.close()
    with h5py.File("packed.h5") as packed, h5py.File("chunked.h5") as chunked:
        assert (packed["ch1"].compression, packed["ch1"].compression_opts) == ("gzip", 4)
        assert chunked["ch1"].chunks == (10, 210, 205)
        np.testing.assert_array_equal(packed["ch1"][()], chunked["ch1"][()])
    tifffile.imwrite("large.tif", movie[..., 0], photometric="minisblack")
    reader = get_video_file_reader("large.tif", use_memmap=True)
    np.testing.assert_array_equal(reader[:], movie)
    reader.close()
