"""GIF's LZW against that of imagecodecs (giflib) and byte strings written by hand."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from galvo import native
from galvo.core.codec import decode_gif_image, encode_gif_image
from galvo.errors import DamagedData

RNG = np.random.default_rng(0)
SHAPES = [(1, 1), (1, 7), (5, 1), (16, 16), (63, 65), (300, 411)]


def images(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    yield RNG.integers(0, 256, shape).astype(np.uint8)
    yield RNG.integers(0, 3, shape).astype(np.uint8)
    yield np.zeros(shape, np.uint8)
    yield ((x // 3 + y) % 256).astype(np.uint8)
    yield RNG.poisson(12, shape).astype(np.uint8)


def with_giflib(data, shape):
    head = struct.pack("<6sHHBBB", b"GIF89a", shape[1], shape[0], 0, 0, 0)
    return imagecodecs.gif_decode(
        head + struct.pack("<cHHHHB", b",", 0, 0, shape[1], shape[0], 0) + data + b";", asrgb=False
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_giflib_reads_what_we_write_and_the_other_way_round(shape):
    for pixels in images(shape):
        data = encode_gif_image(pixels)
        np.testing.assert_array_equal(with_giflib(data, shape).reshape(shape), pixels)
        np.testing.assert_array_equal(decode_gif_image(data, *shape, False), pixels)
        other = bytes(imagecodecs.gif_encode(pixels, out=4096 + 2 * pixels.size))[13 + 768 + 10 : -1]
        np.testing.assert_array_equal(decode_gif_image(other, *shape, False), pixels)
        assert len(data) <= 1.1 * len(other) + 16


def test_every_length_up_to_several_tables():
    """Widths of codes change at other places in the writer and in the reader."""
    pixels = RNG.integers(0, 256, 9000).astype(np.uint8)
    for count in (*range(1, 1200), *range(3700, 4200), 8999):
        data = native.gif_encode(pixels[:count])
        out = np.empty(count + 1, np.uint8)
        assert native.gif_decode(data, out) == count
        np.testing.assert_array_equal(out[:count], pixels[:count])


def test_small_codes_by_hand():
    # 2 bits: clear 4, end 5; codes of 3 bits: 4 1 6 5 are 1, 1 1
    bits = 4 | 1 << 3 | 6 << 6 | 5 << 9
    data = bytes([2, 2, bits & 255, bits >> 8, 0])
    out = np.empty(5, np.uint8)
    assert native.gif_decode(data, out) == 3
    assert out[:3].tolist() == [1, 1, 1]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x09\x01\x00", b"\xff", bytes([2, 1, 4 | 7 << 3, 0])])
def test_what_cannot_be(data):
    with pytest.raises(ValueError, match=r"codes of that size|nothing"):
        native.gif_decode(data, np.empty(4, np.uint8))


def test_damage_never_writes_beyond(tmp_path):
    """Any bytes: an error, or at most as many indices as there is room for."""
    pixels = RNG.integers(0, 40, 3000).astype(np.uint8)
    whole = native.gif_encode(pixels)
    for number in range(3000):
        data = bytearray(whole)
        for _ in range(int(RNG.integers(1, 4))):
            data[int(RNG.integers(len(data)))] = int(RNG.integers(256))
        data = data[: int(RNG.integers(1, len(data) + 1))] if number % 2 else data
        out = np.full(2064, 0xA5, np.uint8)
        try:
            count = native.gif_decode(bytes(data), out[:2000])
        except ValueError:
            count = 2000
        assert count <= 2000
        assert (out[2000:] == 0xA5).all()


def test_too_few_pixels():
    data = native.gif_encode(np.zeros(50, np.uint8))
    with pytest.raises(DamagedData, match="too early"):
        decode_gif_image(data, 8, 8, False)
    with pytest.raises(DamagedData, match="too small"):
        decode_gif_image(data, 5000, 5000, False)
    with pytest.raises(TypeError):
        native.gif_decode(data, np.empty((2, 2), np.uint8))
