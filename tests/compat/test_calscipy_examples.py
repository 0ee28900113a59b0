"""What the page of CalSciPy shows, call by call, as scripts with the original's import names."""

from __future__ import annotations

import numpy as np
import pytest

import galvo

STACK = np.random.default_rng(4).integers(0, 250, (10, 8, 6)).astype(np.uint8)


@pytest.fixture
def io(tmp_path, monkeypatch):
    """CalSciPy.io_tools, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    galvo.compat.install("calscipy", force=True)
    try:
        from CalSciPy import io_tools

        yield io_tools
    finally:
        galvo.compat.uninstall("calscipy")


def test_tif(io, tmp_path):
    io.save_images("plane.tif", STACK[0])
    np.testing.assert_array_equal(io.load_images("plane.tif"), STACK[:1])
    io.save_images("movie.tif", STACK)
    np.testing.assert_array_equal(io.load_images("movie.tif"), STACK)
    io.save_images("session", STACK[:5])
    assert (tmp_path / "session" / "images.tif").is_file()
    io.save_images("session", STACK[5:], name="part_two")
    assert (tmp_path / "session" / "part_two.tif").is_file()
    np.testing.assert_array_equal(io.load_images("session"), STACK)


def test_bin(io, tmp_path):
    io.save_binary("movie.bin", STACK)
    np.testing.assert_array_equal(io.load_binary("movie.bin"), STACK)
    io.save_binary("session", STACK)
    np.testing.assert_array_equal(io.load_binary("session"), STACK)
    mapped = io.load_binary("session", mapped=True, mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, STACK)
    io.save_binary("named", STACK.astype(int), name="my_movie")
    (tmp_path / "named" / "my_movie.json").unlink()
    missing_metadata = {"frames": 10, "y": 8, "dtype": int}
    np.testing.assert_array_equal(io.load_binary("named", missing_metadata=missing_metadata), STACK)


def test_mp4(io, tmp_path):
    pytest.importorskip("av")
    io.save_video("movie.mp4", STACK)
    assert io.load_video("movie.mp4").shape == (10, 8, 6, 3)
    io.save_video("session", STACK)
    assert (tmp_path / "session" / "video.mp4").is_file()
    assert io.load_video("session").shape == (10, 8, 6, 3)
    io.save_video("session", STACK[:4], name="my_movie")
    assert io.load_video("session/my_movie.mp4").shape == (4, 8, 6, 3)
    io.save_video("fast.mp4", STACK, frame_rate=90.0)
    with galvo.open("fast.mp4") as recording:
        assert recording.frame_rate_hz == 90


def test_gif(io):
    io.save_gif("movie.gif", STACK, frame_rate=5.0)
    found = io.load_gif("movie.gif")
    np.testing.assert_array_equal(found, np.repeat(STACK[..., None], 3, axis=3))
