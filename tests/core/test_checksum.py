"""CRC-32C of blocks: of the pixels, whatever their order in memory."""

from __future__ import annotations

import numpy as np
import pytest

from galvo import native
from galvo.core.checksum import block_checksum


def crc32c(data):
    """RFC 3720 B.4, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


PIXELS = np.random.default_rng(0).integers(-3000, 3000, (2, 1, 2, 5, 7)).astype("<i2")


def test_known_value():
    assert crc32c(b"123456789") == 0xE3069283
    assert block_checksum(np.frombuffer(b"123456789", np.uint8)) == 0xE3069283


@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<f4", ">f8", "<c8", "u1"])
def test_of_the_pixels_in_little_endian_order(dtype):
    pixels = PIXELS.astype(dtype)
    assert block_checksum(pixels) == crc32c(pixels.astype(pixels.dtype.newbyteorder("<")).tobytes())


@pytest.mark.parametrize("form", [np.asfortranarray, lambda a: a[::-1][::-1], lambda a: np.repeat(a, 2, -1)[..., ::2]])
def test_whatever_the_layout_in_memory(form):
    assert block_checksum(form(PIXELS)) == block_checksum(PIXELS)


@pytest.mark.parametrize("bit", range(0, PIXELS.nbytes * 8, 97))
def test_every_flipped_bit_shows(bit):
    data = np.frombuffer(PIXELS.tobytes(), np.uint8).copy()
    data[bit // 8] ^= 1 << bit % 8
    assert block_checksum(data.view("<i2").reshape(PIXELS.shape)) != block_checksum(PIXELS)


def test_empty_and_single():
    assert block_checksum(np.zeros((0, 1, 1, 2, 2), np.int16)) == 0
    assert block_checksum(np.array([[7]], np.uint8)) == native.crc32c(b"\x07")
