"""load_video, save_video, load_gif and save_gif: PyAV and Pillow are the oracles."""

from __future__ import annotations

import os

import numpy as np
import pytest

from galvo.compat.calscipy.io_tools import load_gif, load_video, save_gif, save_video
from galvo.errors import GalvoWarning

RNG = np.random.default_rng(3)
# smooth in space and time
GRAY = np.add.outer(np.arange(6) * 8, np.add.outer(np.arange(24), np.arange(32)) * 3).astype(np.uint8)
COLOR = np.stack([GRAY // 2 + 20, 200 - GRAY // 2, np.full_like(GRAY, 90)], axis=3)


def video_frames(path):
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        rate = container.streams.video[0].average_rate
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]), float(rate)


def gif_frames(path):
    image = pytest.importorskip("PIL.Image")
    with image.open(path) as file:
        frames, durations = [], []
        for number in range(file.n_frames):
            file.seek(number)
            frames.append(np.asarray(file.convert("RGB")))
            durations.append(file.info["duration"])
    return np.stack(frames), durations


def close(found, expected, most):
    assert found.shape == expected.shape
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= most


def gray(pixels):
    return np.repeat(pixels[..., None], 3, axis=3)


def test_video(tmp_path):
    pytest.importorskip("av")
    assert save_video(tmp_path / "my video-1.mp4", GRAY) == 0
    assert os.listdir(tmp_path) == ["my video-1.mp4"]
    frames, rate = video_frames(tmp_path / "my video-1.mp4")
    assert rate == 30
    close(frames, gray(GRAY), 12)
    for name in ("my video-1.mp4", "my video-1"):
        close(load_video(path=str(tmp_path / name)), gray(GRAY), 12)
    save_video(tmp_path / "color.mp4", COLOR, frame_rate=90.0)
    frames, rate = video_frames(tmp_path / "color.mp4")
    assert rate == 90
    close(load_video(tmp_path / "color.mp4"), frames, 6)
    close(frames, COLOR, 16)


def test_gif(tmp_path):
    assert save_gif(tmp_path / "my gif-1.gif", GRAY, frame_rate=5.0) == 0
    assert os.listdir(tmp_path) == ["my gif-1.gif"]
    frames, durations = gif_frames(tmp_path / "my gif-1.gif")
    assert durations == [200] * 6
    np.testing.assert_array_equal(frames, gray(GRAY))
    for name in ("my gif-1.gif", "my gif-1"):
        np.testing.assert_array_equal(load_gif(path=str(tmp_path / name)), gray(GRAY))
    few = COLOR // 64 * 64
    for pixels in (few, np.concatenate([few, np.full_like(few[..., :1], 255)], 3)):
        save_gif(tmp_path / "color.gif", pixels)
        np.testing.assert_array_equal(load_gif(tmp_path / "color.gif"), few)


def test_a_gif_of_three_equal_colors(tmp_path):
    """As `load_gif` and `load_video` give gray movies."""
    save_gif(tmp_path / "a.gif", gray(GRAY))
    save_gif(tmp_path / "a.gif", load_gif(tmp_path / "a.gif"))
    np.testing.assert_array_equal(load_gif(tmp_path / "a.gif"), gray(GRAY))


def test_a_gif_is_slow(tmp_path):
    with pytest.warns(GalvoWarning, match="100 frames per second"):
        save_gif(tmp_path / "a.gif", GRAY, 250)
    assert gif_frames(tmp_path / "a.gif")[1] == [10] * 6


@pytest.mark.parametrize("kind", ["video", "gif"])
def test_folders(tmp_path, kind):
    if kind == "video":
        pytest.importorskip("av")
    save, load = {"video": (save_video, load_video), "gif": (save_gif, load_gif)}[kind]
    suffix, usual = {"video": (".mp4", "video"), "gif": (".gif", "images")}[kind]
    folder = tmp_path / "v1.2"
    with pytest.raises(FileNotFoundError):
        load(folder)
    save(folder, GRAY[:2], name="s1.r2")
    assert os.listdir(folder) == [f"s1{suffix}"]
    assert load(folder).shape == (2, 24, 32, 3)
    save(folder, GRAY[:3], 30, "other")
    with pytest.raises(FileNotFoundError, match=rf"other\{suffix}, s1\{suffix}"):
        load(folder)
    save(folder, GRAY[:4])
    assert (folder / f"{usual}{suffix}").exists()
    assert load(str(folder)).shape == (4, 24, 32, 3)
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "no folder" / f"x{suffix}", GRAY)
    with pytest.raises(FileNotFoundError):
        load(tmp_path / f"nothing{suffix}")
    for path in (125.6, None):
        with pytest.raises(TypeError):
            load(path)
        with pytest.raises(TypeError):
            save(path, GRAY)


@pytest.mark.parametrize("dtype", ["u2", "i2", "i8", "f4", "f8"])
def test_values_that_fit_are_kept(tmp_path, dtype):
    save_gif(tmp_path / "a.gif", GRAY.astype(dtype))
    np.testing.assert_array_equal(load_gif(tmp_path / "a.gif"), gray(GRAY))
    save_gif(tmp_path / "a.gif", GRAY > 100)
    np.testing.assert_array_equal(load_gif(tmp_path / "a.gif"), gray((GRAY > 100).astype(np.uint8)))


@pytest.mark.parametrize("dtype", ["u2", "i2", "f4"])
def test_other_values_are_scaled(tmp_path, dtype):
    """By 0.1 and 99.9 % of the pixels, which a warning tells."""
    pixels = (RNG.permutation(6 * 24 * 32).reshape(6, 24, 32) * 7 - (0 if dtype == "u2" else 3000)).astype(dtype)
    low, high = np.percentile(pixels, (0.1, 99.9))
    with pytest.warns(GalvoWarning, match=rf"{low:g} becomes 0 and {high:g} 255") as caught:
        save_gif(tmp_path / "a.gif", pixels)
    assert caught[0].filename == __file__
    expected = np.clip(np.rint((pixels - low) * 255.0 / (high - low)), 0, 255)
    close(load_gif(tmp_path / "a.gif"), gray(expected), 1)
    with pytest.warns(GalvoWarning, match="becomes 0"):
        save_gif(tmp_path / "a.gif", np.linspace(0, 1, 6 * 24 * 32).reshape(6, 24, 32))
    found = load_gif(tmp_path / "a.gif")
    assert (found.min(), found.max()) == (0, 255)


def test_wrapping_is_asked_for(tmp_path):
    """Modulo 256 and fractions cut off, which is what NumPy's astype does where the value has a meaning."""
    for pixels in (GRAY.astype(np.int32) * 9, GRAY.astype(np.uint16) * 9, GRAY * 0.7):
        save_gif(tmp_path / "a.gif", pixels, wrap=True)
        np.testing.assert_array_equal(load_gif(tmp_path / "a.gif"), gray(pixels.astype(np.int64).astype(np.uint8)))
    save_gif(tmp_path / "a.gif", GRAY * -1.5, wrap=True)
    np.testing.assert_array_equal(load_gif(tmp_path / "a.gif"), gray((GRAY * -1.5).astype(np.int64).astype(np.uint8)))
    with pytest.raises(ValueError, match="modulo"):
        save_gif(tmp_path / "a.gif", np.full((2, 4, 4), np.nan), wrap=True)


@pytest.mark.parametrize(
    ("pixels", "rate"),
    [
        (GRAY[0], 30),
        (COLOR[..., :2], 30),
        (np.zeros((2, 4, 4, 4), np.uint8), 30),
        (np.full((2, 4, 4), np.nan), 30),
        (np.zeros((2, 4, 4), complex), 30),
        (np.zeros((2, 4, 4), object), 30),
        (GRAY, 0),
        (GRAY, -5),
        (GRAY, float("inf")),
        (GRAY, "fast"),
    ],
    ids=["2-D", "2 colors", "transparent", "NaN", "complex", "objects", "0 Hz", "-5 Hz", "inf Hz", "fast"],
)
def test_what_makes_no_movie(tmp_path, pixels, rate):
    with pytest.raises(ValueError):  # noqa: PT011 - of several places
        save_gif(tmp_path / "a.gif", pixels, rate)
    assert os.listdir(tmp_path) == []
