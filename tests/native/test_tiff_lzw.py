"""TIFF's LZW against that of imagecodecs, and codes written by hand."""

from __future__ import annotations

import imagecodecs
import numpy as np
import pytest

from galvo import native
from galvo.core.codec import Codec

RNG = np.random.default_rng(0)


def codes(*numbers, width=9):
    bits = "".join(f"{number:0{width}b}" for number in numbers)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def samples(count):
    yield RNG.bytes(count)
    yield RNG.integers(0, 3, count).astype(np.uint8).tobytes()
    yield bytes(count)
    yield RNG.poisson(40, count // 2 + 1).astype("<u2").tobytes()[:count]
    yield (b"a long phrase that comes again and again, " * (count // 42 + 1))[:count]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 100, 255, 256, 511, 513, 1000, 3838, 3839, 3840, 5000, 70_001])
def test_against_another_writer(count):
    for data in samples(count):
        out = np.empty(count, np.uint8)
        assert native.tiff_lzw_decode(imagecodecs.lzw_encode(data), out) == count
        assert out.tobytes() == data


def test_less_room_than_bytes_and_more():
    data = RNG.integers(0, 5, 4000).astype(np.uint8)
    packed = imagecodecs.lzw_encode(data)
    for room in (0, 1, 3, 8, 17, 3999, 4000, 4001, 5000):
        out = np.full(room + 64, 0xA5, np.uint8)
        count = native.tiff_lzw_decode(packed, out[:room])
        assert count == min(room, 4000)
        np.testing.assert_array_equal(out[:count], data[:count])
        assert (out[room:] == 0xA5).all()


def test_codes_by_hand():
    """A code for the string that is just being made (258), a clear code in between, no end code."""
    out = np.empty(20, np.uint8)
    assert native.tiff_lzw_decode(codes(256, 65, 258, 259, 256, 66, 66, 258), out) == 10
    assert out[:10].tobytes() == b"AAAAAA" + b"BBBB"


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", codes(65, 256), codes(256, 258), codes(256, 65, 259), codes(256, 300), codes(256, 65, 256, 259)],
)
def test_what_cannot_be(data):
    with pytest.raises(ValueError, match=r"nothing that came before|clear code"):
        native.tiff_lzw_decode(data, np.empty(9, np.uint8))


def test_a_table_that_is_never_cleared_is_left_to_libtiff():
    """Some writers go on with codes of 12 bits, which galvo's own decoder refuses."""
    # widths as they grow: 9 bits up to entry 510, then 10, 11 and 12
    bits, entry = f"{256:09b}", 258
    for number in range(4200):
        width = max(9, min(12, (min(entry, 4095) + 1).bit_length()))
        bits += f"{number % 7:0{width}b}"
        entry += number > 0
    data = int(bits + "0" * (-len(bits) % 8), 2).to_bytes(-(-len(bits) // 8), "big")
    with pytest.raises(ValueError, match="nothing"):
        native.tiff_lzw_decode(data, np.empty(4200, np.uint8))


def test_damage_never_writes_beyond():
    """Any bytes: an error, or at most as many as there is room for."""
    whole = imagecodecs.lzw_encode(RNG.integers(0, 40, 3000).astype(np.uint8))
    for number in range(2000):
        data = bytearray(whole)
        for _ in range(int(RNG.integers(1, 4))):
            data[int(RNG.integers(len(data)))] = int(RNG.integers(256))
        data = data[: int(RNG.integers(1, len(data) + 1))] if number % 2 else data
        out = np.full(2064, 0xA5, np.uint8)
        try:
            count = native.tiff_lzw_decode(bytes(data), out[:2000])
        except ValueError:
            count = 0
        assert count <= 2000
        assert (out[2000:] == 0xA5).all()


def test_the_codec_takes_it():
    pixels = RNG.poisson(40, (64, 80)).astype("<u2")
    data = Codec(("lzw",)).encode(pixels)
    np.testing.assert_array_equal(Codec(("lzw",)).decode(data, pixels.shape, pixels.dtype), pixels)
    out = np.empty_like(pixels)
    assert Codec(("lzw",)).decode_into(data, out, pixels.dtype)
    np.testing.assert_array_equal(out, pixels)
