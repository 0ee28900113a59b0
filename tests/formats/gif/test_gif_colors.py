"""GIFs in color: exact up to 256 colors a frame, reduced beyond, and never otherwise than told."""

from __future__ import annotations

import numpy as np
import pytest

import galvo
from galvo.errors import OptionError
from galvo.formats.gif.colors import with_table

RNG = np.random.default_rng(6)
ROWS, COLUMNS = np.mgrid[:48, :64]
RAMP = np.stack([ROWS * 5, COLUMNS * 4, (ROWS + COLUMNS) * 2], axis=2).astype(np.uint8)


def written(path, frames, **options):
    """Frames (T, Y, X, 3) through a file."""
    recording = galvo.Recording.from_array(frames, "TYXC")
    result = galvo.save(recording, path, color=True, verify=True, overwrite=True, **options)
    assert result.verification.ok
    assert galvo.verify(path).ok
    with galvo.open(path) as found:
        assert found.shape == recording.shape
        return found[:, :, 0].transpose(0, 2, 3, 1)


@pytest.mark.parametrize("count", [1, 2, 255, 256])
def test_few_colors_are_exact(tmp_path, count):
    table = RNG.permutation(1 << 24)[: 3 * count].astype(np.uint32)
    tables = np.stack([table >> 16, table >> 8 & 255, table & 255], axis=1).astype(np.uint8).reshape(3, count, 3)
    indices = np.concatenate([np.arange(count), RNG.integers(0, count, 48 * 64 - count)]).reshape(48, 64)
    frames = np.stack([colors[indices] for colors in tables])
    np.testing.assert_array_equal(written(tmp_path / "a.gif", frames, block_bytes=1), frames)
    image = pytest.importorskip("PIL.Image")
    with image.open(tmp_path / "a.gif") as file:
        for number, frame in enumerate(frames):
            file.seek(number)
            np.testing.assert_array_equal(np.asarray(file.convert("RGB")), frame)


def test_colors_that_are_all_gray(tmp_path):
    """Three channels stay three."""
    gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1), 3, axis=3)
    np.testing.assert_array_equal(written(tmp_path / "a.gif", gray), gray)


@pytest.mark.parametrize("name", ["ramp", "noise", "dominated", "nearly equal"])
def test_more_colors_are_reduced(tmp_path, name):
    """As well as Pillow's median cut does, and the same in the file as in what is told."""
    image = pytest.importorskip("PIL.Image")
    noise = RNG.integers(0, 256, RAMP.shape).astype(np.uint8)
    frame = {
        "ramp": RAMP,
        "noise": noise,
        "dominated": np.where(ROWS[..., None] < 40, np.uint8(7), noise),
        # all of them within one cell of the histogram
        "nearly equal": (noise & 7) + np.uint8(64),
    }[name]
    table, indices = with_table(frame.transpose(2, 0, 1))
    error = np.square(table[indices].astype(float) - frame).mean()
    theirs = np.asarray(image.fromarray(frame).quantize(256, method=image.Quantize.MEDIANCUT).convert("RGB"))
    assert error <= 1.1 * np.square(theirs.astype(float) - frame).mean() + 0.1
    np.testing.assert_array_equal(written(tmp_path / "a.gif", frame[None])[0], table[indices])


def test_what_is_no_color(tmp_path):
    frames = np.zeros((2, 2, 1, 4, 4), np.uint8)
    with pytest.raises(OptionError, match="channel"):
        galvo.save(frames, tmp_path / "a.gif", color=True)
    with pytest.raises(OptionError, match="color=True"):
        galvo.save(np.zeros((2, 3, 1, 4, 4), np.uint8), tmp_path / "a.gif")
    with pytest.raises(OptionError, match="color does not fit"):
        galvo.save(np.zeros((2, 3, 1, 4, 4), np.uint8), tmp_path / "a.gif", color="yes")
