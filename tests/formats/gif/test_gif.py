"""GIFs as Pillow sees them: what is read as it composes it, what is written as it reads it."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import galvo
from galvo.core.array import ArrayReader
from galvo.core.codec import encode_gif_image
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import DamagedData, GalvoWarning, LimitExceeded, Malformed, OptionError, Truncated

Image = pytest.importorskip("PIL.Image", reason="Pillow is the oracle")

RNG = np.random.default_rng(0)


def pillow(path, mode="RGBA"):
    """Every frame as Pillow composes it (T, Y, X, samples), and how long each is shown in ms."""
    with Image.open(path) as image:
        frames, durations = [], []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert(mode)))
            durations.append(image.info.get("duration", 0))
    return np.stack(frames), durations


def with_rate(pixels, rate):
    return Recording(ArrayReader(pixels), Metadata(format="array", frame_rate_hz=rate))


class Builder:
    """GIFs byte by byte."""

    def __init__(self, width, height, colors, background=0):
        count = len(colors).bit_length() - 1
        flags = 0x80 | 0x70 | count - 1
        self.content = b"GIF89a" + struct.pack("<HHBBB", width, height, flags, background, 0) + colors.tobytes()

    def image(self, indices, left=0, top=0, *, delay=5, disposal=0, transparent=None, colors=None, interlaced=False):
        flags = disposal << 2 | (transparent is not None)
        control = struct.pack("<BHB", flags, delay, transparent or 0)
        self.content += b"\x21\xf9\x04" + control + b"\0"
        height, width = indices.shape
        local = 0 if colors is None else 0x80 | len(colors).bit_length() - 2
        self.content += struct.pack("<cHHHHB", b",", left, top, width, height, local | 0x40 * interlaced)
        self.content += b"" if colors is None else colors.tobytes()
        if interlaced:
            order = [row for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)) for row in range(start, height, step)]
            indices = indices[order]
        self.content += encode_gif_image(np.ascontiguousarray(indices))

    def write(self, path, end=b"\x3b"):
        path.write_bytes(self.content + end)
        return path


def colors_of(count, gray=False):
    made = RNG.integers(0, 256, (count, 3)).astype(np.uint8)
    return np.repeat(made[:, :1], 3, axis=1) if gray else made


# ---- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(12))
def test_composed_as_pillow_does(tmp_path, seed):
    """Parts of the canvas, own colors, transparency, every disposal, interlacing: wherever Pillow shows something."""
    rng = np.random.default_rng(seed)
    height, width, gray = 23, 31, seed % 3 == 0
    shared, background = colors_of(16, gray), int(rng.integers(16))
    builder = Builder(width, height, shared, background=background)

    def own_colors():
        # Pillow takes the background from the table of the image that is disposed of, the standard from the file's
        made = colors_of(16, gray)
        made[background] = shared[background]
        return made

    for number in range(14):
        whole = number == 0 or rng.random() < 0.25
        h, w = (height, width) if whole else (int(rng.integers(1, height)), int(rng.integers(1, width)))
        top, left = int(rng.integers(0, height - h + 1)), int(rng.integers(0, width - w + 1))
        builder.image(
            rng.integers(0, 16, (h, w)).astype(np.uint8),
            left,
            top,
            # Pillow takes 0, "unspecified", for that of the image before; there is nothing before the first one
            disposal=int(rng.integers(1, 4 if number else 3)),
            transparent=int(rng.integers(16)) if rng.random() < 0.5 and number else None,
            colors=own_colors() if rng.random() < 0.4 else None,
            interlaced=bool(rng.random() < 0.3),
        )
    path = builder.write(tmp_path / "made.gif")
    expected, _ = pillow(path)
    opaque = expected[..., 3] == 255
    assert opaque.mean() > 0.5
    with galvo.open(path) as recording:
        assert recording.shape == (14, 1 if gray else 3, 1, height, width)
        found = recording[:, :, 0].transpose(0, 2, 3, 1)
        np.testing.assert_array_equal(found[opaque], expected[..., : found.shape[-1]][opaque])
        for frame in rng.permutation(14).tolist():
            np.testing.assert_array_equal(recording[frame, :, 0].transpose(1, 2, 0), found[frame])
        np.testing.assert_array_equal(recording[::-3, :, 0].transpose(0, 2, 3, 1), found[::-3])


@pytest.mark.parametrize("name", ["element_rawscans.gif", "skimage_no_time_for_that_tiny.gif"])
def test_genuine_gifs(sample_data, name):
    path = sample_data / "video" / name
    expected, durations = pillow(path, "RGB")
    with galvo.open(path) as recording:
        np.testing.assert_array_equal(recording[:, :, 0].transpose(0, 2, 3, 1), expected)
        np.testing.assert_allclose(np.diff(recording.timestamps), np.array(durations[:-1]) / 1000, atol=1e-9)
        for frame in (len(recording) - 1, 0, len(recording) // 2):
            np.testing.assert_array_equal(recording[frame, :, 0].transpose(1, 2, 0), expected[frame])


def test_uneven_times_have_no_rate(tmp_path):
    builder = Builder(4, 3, colors_of(4, gray=True))
    for delay in (3, 40, 7, 7):
        builder.image(RNG.integers(0, 4, (3, 4)).astype(np.uint8), delay=delay)
    with galvo.open(builder.write(tmp_path / "uneven.gif")) as recording:
        assert recording.frame_rate_hz is None
        np.testing.assert_allclose(recording.timestamps, [0, 0.03, 0.43, 0.5])


def test_what_is_no_gif(tmp_path):
    def built():
        builder = Builder(9, 8, colors_of(4))
        builder.image(RNG.integers(0, 4, (8, 9)).astype(np.uint8))
        return builder

    with pytest.raises(Truncated, match="too early"):
        galvo.open(built().write(tmp_path / "end.gif", end=b""))
    with galvo.open(tmp_path / "end.gif", damaged="report") as recording:
        assert len(recording) == len(recording.damage) == 1
    with pytest.raises(Malformed, match="no block"):
        galvo.open(built().write(tmp_path / "odd.gif", end=b"\x99\x3b"))
    with pytest.warns(GalvoWarning, match="5 bytes behind"):
        galvo.open(built().write(tmp_path / "more.gif", end=b"\x3bmore!")).close()
    with pytest.raises(Malformed, match="without an image"):
        galvo.open(Builder(9, 8, colors_of(4)).write(tmp_path / "none.gif"))
    outside = Builder(4, 4, colors_of(4))
    outside.image(np.zeros((4, 4), np.uint8), left=1)
    with pytest.raises(Malformed, match="canvas"):
        galvo.open(outside.write(tmp_path / "outside.gif"))
    large = bytearray(built().write(tmp_path / "large.gif").read_bytes())
    at = large.index(b",", 13 + 12)
    large[6:10] = large[at + 5 : at + 9] = struct.pack("<HH", 60000, 60000)
    (tmp_path / "large.gif").write_bytes(large)
    with pytest.raises(LimitExceeded):
        galvo.open(tmp_path / "large.gif")
    trusting = galvo.Limits(frame_bytes=1 << 40)
    with galvo.open(tmp_path / "large.gif", limits=trusting) as recording, pytest.raises(DamagedData, match="small"):
        recording[0, 0, 0, 5, 5]


# ---- writing --------------------------------------------------------------------------------------------------------


def test_all_grays_and_equal_frames(tmp_path):
    """256 levels exactly, and frames that are the same remain frames of their own."""
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    pixels = np.concatenate([ramp, ramp, ramp, ramp[:, ::-1], np.zeros_like(ramp), np.zeros_like(ramp)])
    path = tmp_path / "out.gif"
    result = galvo.save(with_rate(pixels[:, None, None], 10.0), path, verify=True)
    assert result.verification.ok
    assert result.notes == ()
    shown, durations = pillow(path, "L")
    np.testing.assert_array_equal(shown, pixels)
    assert durations == [100] * 6
    with Image.open(path) as image:
        assert image.info["loop"] == 0
    with galvo.open(path) as recording:
        assert recording.frame_rate_hz == 10.0
        assert recording.channel_names == ()


def test_golden_bytes(tmp_path):
    """Two frames of two pixels, byte by byte; LZW codes of 9 bits, lowest first: clear, both pixels, end."""
    pixels = np.array([[[7, 9]], [[200, 200]]], np.uint8)
    galvo.save(with_rate(pixels[:, None, None], 10.0), tmp_path / "x.gif")
    expected = b"GIF89a" + bytes.fromhex("0200 0100 f7 00 00") + bytes(np.repeat(np.arange(256, dtype=np.uint8), 3))
    expected += bytes.fromhex("21ff 0b") + b"NETSCAPE2.0" + bytes.fromhex("03 01 0000 00")
    for left, right in pixels[:, 0].tolist():
        codes = sum(code << 9 * place for place, code in enumerate((256, left, right, 257)))
        expected += bytes.fromhex("21f9 04 04 0a00 00 00  2c 0000 0000 0200 0100 00  08 05")
        expected += codes.to_bytes(5, "little") + b"\0"
    content = (tmp_path / "x.gif").read_bytes()
    assert content.startswith(expected + bytes.fromhex("21ff 0b") + b"GALVOREC1.0")
    assert content.endswith(b"\0;")


@pytest.mark.parametrize(
    ("rate", "told"),
    [(30.0, "on average"), (7.0, "on average"), (60.0, "browsers"), (90.0, "browsers"), (250.0, "at most")],
)
def test_rates_that_do_not_fit(tmp_path, rate, told):
    """No frame is off by more than 5 ms, as long as a GIF can be that fast."""
    path = tmp_path / "out.gif"
    result = galvo.save(with_rate(np.zeros((90, 1, 1, 4, 4), np.uint8), rate), path, block_bytes=64)
    assert any(told in note for note in result.notes)
    _, durations = pillow(path)
    begins = np.concatenate(([0], np.cumsum(durations[:-1]))) / 1000
    assert np.abs(begins - np.arange(90) / min(rate, 100)).max() <= 0.005 + 1e-9
    with galvo.open(path) as recording:
        assert recording.frame_rate_hz == rate


def test_loops(tmp_path):
    for loop, expected in ((0, 0), (3, 3), (-1, None)):
        galvo.save(np.zeros((2, 4, 4), np.uint8), tmp_path / "out.gif", loop=loop, frame_rate=5, overwrite=True)
        with Image.open(tmp_path / "out.gif") as image:
            assert image.info.get("loop") == expected
            assert image.info["duration"] == 200


def test_refusals_name_what_helps(tmp_path):
    deep = np.zeros((3, 2, 1, 4, 4), np.uint16)
    with pytest.raises(OptionError) as refused:
        galvo.save(deep, tmp_path / "out.gif")
    assert all(word in str(refused.value) for word in ("dtype=", "scale=", "axes=", "split_channels="))
    for options in ({"loop": -2}, {"loop": "no"}, {"frame_rate": 1000}, {"frame_rate": "fast"}):
        with pytest.raises(OptionError):
            galvo.save(np.zeros((3, 4, 4), np.uint8), tmp_path / "out.gif", **options)
    with pytest.raises(OptionError, match="too large"):
        galvo.save(np.zeros((1, 2, 70000), np.uint8), tmp_path / "out.gif")
    assert list(tmp_path.iterdir()) == []
    galvo.save(deep, tmp_path / "out.gif", axes="TYX", dtype="uint8", scale="percentile")
    assert pillow(tmp_path / "out.gif")[0].shape == (6, 4, 4, 4)


def test_written_colors(tmp_path):
    """Few colors are exact, also for Pillow; many are reduced, which verification knows."""
    rng = np.random.default_rng(0)
    few = rng.integers(0, 4, (3, 3, 1, 20, 30)).astype(np.uint8) * 64
    galvo.save(few, tmp_path / "few.gif", color=True, verify=True, block_bytes=1)
    np.testing.assert_array_equal(galvo.load(tmp_path / "few.gif", squeeze=False), few)
    with Image.open(tmp_path / "few.gif") as image:
        for number in range(3):
            image.seek(number)
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), few[number, :, 0].transpose(1, 2, 0))
    many = rng.integers(0, 256, (2, 3, 1, 40, 30)).astype(np.uint8)
    galvo.save(many, tmp_path / "many.gif", color=True, verify=True)
    shown = galvo.load(tmp_path / "many.gif", squeeze=False)
    assert all(len(np.unique(frame.reshape(3, -1), axis=1).T) <= 256 for frame in shown)
    assert galvo.verify(tmp_path / "many.gif").ok
    with pytest.raises(OptionError, match="color=True"):
        galvo.save(many, tmp_path / "gray.gif")
