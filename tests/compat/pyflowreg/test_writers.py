"""Writers: what they take, what is on the disk at which moment, and what they refuse."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from enum import StrEnum

import numpy as np
import pytest

import galvo
from galvo.compat.pyflowreg.util.io import (
    ArrayWriter,
    HDF5FileWriter,
    MULTIFILEFileWriter,
    NullVideoWriter,
    VideoWriter,
    get_video_file_reader,
    get_video_file_writer,
)
from galvo.core import disk
from galvo.errors import GalvoError, WriteError


def shown(path):
    with get_video_file_reader(path) as reader:
        return reader[:]


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_batches_of_every_form(tmp_path, video):
    path, pixels = tmp_path / "out.h5", video(c=1)
    with get_video_file_writer(path, "HDF5") as writer:
        assert (writer.initialized, writer.height, writer.dtype) == (False, 0, None)
        writer.write_frames(pixels[:3])
        assert (writer.initialized, writer.height, writer.width, writer.n_channels) == (True, 6, 8, 1)
        assert (writer.dtype, writer.bit_depth) == (np.uint16, 16)
        writer.write_frames(pixels[3:5, ..., 0])
        writer.write_frames(pixels[5, ..., 0])
        writer.write_frames(pixels[6])
        writer.write_frames(pixels[:0])
        writer.write_frames(pixels[7:].astype("u1"))
        writer.write_frames(pixels[7:8].astype("f8"))
    np.testing.assert_array_equal(shown(path), np.concatenate([pixels, pixels[7:8]]))


def test_three_axes_are_a_frame_only_where_all_of_it_fits(tmp_path):
    square = np.arange(4 * 4 * 4, dtype="u1").reshape(4, 4, 4)
    for channels in (1, 4):
        path = tmp_path / f"{channels}.h5"
        with get_video_file_writer(path, "HDF5") as writer:
            writer.write_frames(np.zeros((1, 4, 4, channels), "u1"))
            writer.write_frames(square)
        wanted = square[..., None] if channels == 1 else square[None]
        np.testing.assert_array_equal(shown(path)[1:], wanted)


@pytest.mark.parametrize("kind", ["HDF5", "MULTIFILE_HDF5", "ARRAY", "NULL"])
@pytest.mark.parametrize(
    ("shape", "match"),
    [
        ((2, 5, 8, 2), r"^Frame size mismatch. Expected \(6, 8\), got \(5, 8\)"),
        ((2, 6, 8, 3), r"^Channel count mismatch. Expected 2, got 3"),
        ((6, 8, 3), r"^Channel count mismatch. Expected 2, got 3"),
        ((6, 8), r"^Channel count mismatch. Expected 2, got 1"),
        ((8,), r"^Expected 2D, 3D or 4D input, got 1D"),
        ((1, 1, 6, 8, 2), r"^Expected 2D, 3D or 4D input, got 5D"),
    ],
)
def test_frames_that_do_not_follow(tmp_path, video, kind, shape, match):
    writer = get_video_file_writer(tmp_path / "out.h5", kind)
    with writer:
        writer.write_frames(video())
        with pytest.raises(ValueError, match=match) as caught:
            writer.write_frames(np.zeros(shape, "u2"))
        assert isinstance(caught.value, GalvoError)
        writer.write_frames(video(t=2))
    if kind == "ARRAY":
        np.testing.assert_array_equal(writer.get_array(), np.concatenate([video(), video(t=2)]))


@pytest.mark.parametrize(
    "late", [np.full((1, 6, 8, 1), 300, "u2"), np.full((1, 6, 8, 1), 0.5), np.full((1, 6, 8, 1), -1)]
)
def test_values_never_change_on_the_way(tmp_path, late):
    with get_video_file_writer(tmp_path / "out.h5", "HDF5") as writer:
        writer.write_frames(np.ones((1, 6, 8, 1), "u1"))
        with pytest.raises(ValueError, match="values would change"):
            writer.write_frames(late)
    assert shown(tmp_path / "out.h5").shape == (1, 6, 8, 1)


def test_frames_are_copied(tmp_path):
    frames = np.ones((2, 3, 4, 1), "u1")
    kept = ArrayWriter()
    with get_video_file_writer(tmp_path / "out.h5", "HDF5") as writer:
        for one in (writer, kept):
            one.write_frames(frames)
        frames[:] = 9
    assert shown(tmp_path / "out.h5").max() == 1
    assert kept.get_array().max() == 1


@pytest.mark.parametrize("layout", ["fortran", "reversed", "big endian", "read-only"])
def test_arrays_of_any_layout(tmp_path, video, layout):
    pixels = video()
    given = {
        "fortran": np.asfortranarray(pixels),
        "reversed": pixels[::-1, :, ::-1],
        "big endian": pixels.astype(">u2"),
        "read-only": np.broadcast_to(pixels[:1], pixels.shape),
    }[layout]
    with get_video_file_writer(tmp_path / "out.h5", "HDF5") as writer:
        writer.write_frames(given)
    np.testing.assert_array_equal(shown(tmp_path / "out.h5"), given)


def test_array_writer(video):
    with get_video_file_writer(None, "ARRAY") as writer:
        assert isinstance(writer, ArrayWriter)
        assert writer.get_array() is None
        assert repr(writer) == "ArrayWriter(frames=0, shape=(0,0,0))"
        # three axes are (H, W, C), from the first on
        writer.write_frames(video()[0])
        writer.write_frames(video()[1:])
    np.testing.assert_array_equal(writer.get_array(), video())
    assert repr(writer) == "ArrayWriter(frames=11, shape=(6,8,2))"


def test_null_writer(video):
    with get_video_file_writer(None, "NULL") as writer:
        assert isinstance(writer, NullVideoWriter)
        writer.write_frames(video())
        writer.write_frames(video()[0])
    assert (writer.frames_written, writer.batches_written) == (12, 2)
    assert repr(writer) == "NullVideoWriter(frames_written=12, batches=2)"


# ---- when the output is there -----------------------------------------------------------------------------------


def test_the_output_appears_whole_in_close(tmp_path, video):
    path = tmp_path / "out.h5"
    path.write_bytes(b"before")
    writer = HDF5FileWriter(path)
    writer.write_frames(video(t=5))
    writer.write_frames(video(t=2))
    assert path.read_bytes() == b"before"
    if sys.platform != "win32":
        assert names(tmp_path) == ["out.h5"]
    writer.close()
    assert names(tmp_path) == ["out.h5"]
    assert shown(path).shape == (7, 6, 8, 2)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.write_frames(video())


def test_an_exception_leaves_what_was_there(tmp_path, video):
    path = tmp_path / "out.h5"
    path.write_bytes(b"before")

    def fail(path, kind):
        with get_video_file_writer(path, kind) as writer:
            writer.write_frames(video())
            raise KeyError

    for place, kind in ((path, "HDF5"), (tmp_path / "many", "MULTIFILE_HDF5")):
        with pytest.raises(KeyError):
            fail(place, kind)
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["many", "out.h5"]
    assert names(tmp_path / "many") == []


def test_nothing_written_is_no_file(tmp_path, video):
    for kind in ("HDF5", "MULTIFILE_HDF5"):
        with get_video_file_writer(tmp_path / "out.h5", kind) as writer:
            writer.write_frames(video()[:0])
        assert not writer.initialized
    assert names(tmp_path) == []


def test_a_writer_that_is_never_closed_says_so(tmp_path, video):
    writer = HDF5FileWriter(tmp_path / "out.h5")
    writer.write_frames(video())
    with pytest.warns(ResourceWarning, match="out.h5 was not written"):
        del writer
    assert names(tmp_path) == []


def test_reading_and_writing_one_name(tmp_path, video):
    """What is read is replaced when all of it has been read."""
    path = tmp_path / "out.h5"
    galvo.save(galvo.open(video(), axes="TYXC"), path)
    with get_video_file_reader(path, buffer_size=3) as reader, get_video_file_writer(path, "HDF5") as writer:
        for batch in reader:
            writer.write_frames(batch + 1)
    np.testing.assert_array_equal(shown(path), video() + 1)


@pytest.mark.skipif(sys.platform == "win32", reason="kills with a signal")
def test_a_kill_leaves_what_was_there(tmp_path):
    (tmp_path / "out.h5").write_bytes(b"before")
    script = """
        import os, signal, sys
        import numpy as np
        from galvo.compat.pyflowreg.util.io import get_video_file_writer
        writer = get_video_file_writer(sys.argv[1], "HDF5")
        writer.write_frames(np.ones((50, 64, 64, 1), "u2"))
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "out.h5")], check=False)
    assert done.returncode == -9
    assert (tmp_path / "out.h5").read_bytes() == b"before"
    assert names(tmp_path) == ["out.h5"]


def test_a_full_disk(tmp_path, video, monkeypatch):
    path = tmp_path / "out.h5"
    path.write_bytes(b"before")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with HDF5FileWriter(path) as writer, monkeypatch.context() as patch:
        patch.setattr(disk, "write_at", full)
        with pytest.raises(WriteError, match="the disk is full"):
            writer.write_frames(video())
    # nothing was taken, so nothing is written
    assert path.read_bytes() == b"before"
    assert names(tmp_path) == ["out.h5"]


def test_a_batch_is_taken_whole_or_not_at_all(tmp_path, video, monkeypatch):
    monkeypatch.setattr("galvo.compat.pyflowreg.util.io._spool._PIECE_BYTES", 3 * 6 * 8 * 2 * 2)
    calls = []

    def third_fails(descriptor, offset, data, write_at=disk.write_at):
        calls.append(len(data))
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        write_at(descriptor, offset, data)

    with HDF5FileWriter(tmp_path / "out.h5") as writer:
        writer.write_frames(video()[:2])
        with monkeypatch.context() as patch:
            patch.setattr(disk, "write_at", third_fails)
            with pytest.raises(WriteError, match="the disk is full"):
                writer.write_frames(video())
        writer.write_frames(video()[2:])
    assert len(calls) == 3
    np.testing.assert_array_equal(shown(tmp_path / "out.h5"), video())


def test_close_may_be_repeated_once_there_is_room(tmp_path, video, monkeypatch):
    path = tmp_path / "out.h5"
    writer = HDF5FileWriter(path)
    writer.write_frames(video())

    def broken(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", broken)
        with pytest.raises(WriteError, match="Input/output error"):
            writer.close()
    assert not path.exists()
    writer.close()
    np.testing.assert_array_equal(shown(path), video())
    assert names(tmp_path) == ["out.h5"]


# ---- what is refused --------------------------------------------------------------------------------------------


def test_formats_by_name(tmp_path):
    class OutputFormat(StrEnum):
        HDF5 = "HDF5"
        ZORK = "ZORK"

    assert isinstance(get_video_file_writer(tmp_path / "a.h5", OutputFormat.HDF5), HDF5FileWriter)
    for name in ("hdf5", "ZORK", OutputFormat.ZORK, None):
        with pytest.raises(ValueError, match=r"^Unsupported output format: "):
            get_video_file_writer(tmp_path / "a.h5", name)
    with pytest.raises(NotImplementedError, match=r"^BEGONIA format not yet implemented$"):
        get_video_file_writer(tmp_path / "a.h5", "BEGONIA")
    with pytest.raises(ValueError, match=r"^Unsupported output format: ZORK"):
        MULTIFILEFileWriter(tmp_path / "a.h5", "ZORK")
    with pytest.raises(ValueError, match="HDF5 needs a path"):
        get_video_file_writer(None, "HDF5")
    with pytest.raises(TypeError, match="abstract"):
        VideoWriter()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"dataset_names": ["one"]}, "dataset_names"),
        ({"compression": "zork"}, "unknown compression"),
        ({"compression": "gzip", "compression_opts": 0}, "compression_level"),
        ({"compression": "gzip", "compression_opts": 1, "compression_level": 2}, "two names of one option"),
        ({"dimension_ordering": (0, 0, 2)}, "dimension_ordering"),
        ({"chunk_size": 0}, "chunk_size"),
        ({"zork": 1}, "no write option 'zork'"),
    ],
    ids=str,
)
def test_wrong_options_are_told_with_the_first_frames(tmp_path, video, options, match):
    writer = get_video_file_writer(tmp_path / "out.h5", "HDF5", **options)
    with pytest.raises(ValueError, match=match):
        writer.write_frames(video())
    assert not writer.initialized
    assert names(tmp_path) == []
    writer.close()
    assert names(tmp_path) == []


def test_places_that_cannot_be(tmp_path, video):
    with pytest.raises(FileNotFoundError, match="No such file or directory"):
        get_video_file_writer(tmp_path / "no" / "out.h5", "HDF5").write_frames(video())
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(OSError, match="is a folder"):
        get_video_file_writer(tmp_path / "folder.h5", "HDF5").write_frames(video())
    with pytest.raises(ValueError, match="pixels are numbers"):
        get_video_file_writer(tmp_path / "out.h5", "HDF5").write_frames(np.full((1, 2, 3, 1), "text"))


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_is_not_ours(tmp_path, video):
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="Permission denied"):
        get_video_file_writer(tmp_path / "out.h5", "HDF5").write_frames(video())
