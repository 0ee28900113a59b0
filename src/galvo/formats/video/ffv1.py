"""The checksums in FFV1 frames, which libav computes and then shows the frame nevertheless.

A frame of version 3 is slices, each with its size behind it (RFC 9043, 4.9): u24 bytes and, where checksums are stored,
u8 error status and a u32 that makes the CRC-32 of the whole slice 0. Polynomial 0x04C11DB7, most significant bit first,
nothing inverted.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from galvo.errors import DamagedData

__all__ = ["require_intact"]

_PLAIN, _CHECKED = 3, 8
_ONES = (1 << 32) - 1
# zlib's CRC-32 is the same with the bits of each byte the other way round
_MIRRORED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def require_intact(frame: bytes, path: str, offset: int) -> None:
    """Check the sizes and the checksums of all slices of a frame.

    Raises
    ------
    DamagedData
    """
    for footer in (_CHECKED, _PLAIN):
        slices = list(_slices(frame, footer))
        if not slices or slices[-1][0]:
            continue
        wrong = [one for one in slices if footer == _CHECKED and _crc(frame[one[0] : one[1]])]
        if not wrong:
            return
        raise DamagedData("the checksum of a frame does not match", path=path, offset=offset)
    raise DamagedData("a frame is not made of slices", path=path, offset=offset)


def _slices(frame: bytes, footer: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each slice, the last first; the first begins at 0 where the sizes are right."""
    end = len(frame)
    while end >= footer:
        size_at = end - footer
        start = size_at - int.from_bytes(frame[size_at : size_at + 3], "big")
        yield start, end
        end = start


def _crc(data: bytes) -> int:
    return zlib.crc32(data.translate(_MIRRORED), _ONES) ^ _ONES
