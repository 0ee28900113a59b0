"""Coded frames and what containers say of them."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["ERRORS_MARK", "START_CODE", "Errors", "Packet", "Stream", "units", "with_lengths"]

ERRORS_MARK = b"galvoblk"
START_CODE = b"\0\0\0\1"
_ANY_START_CODE = re.compile(rb"\x00{2,}\x01")
_ERRORS = struct.Struct("<IQQ")


@dataclass(frozen=True, slots=True)
class Packet:
    """A coded frame.

    Attributes
    ----------
    data : bytes
    is_key : bool
    """

    data: bytes
    is_key: bool


@dataclass(frozen=True, slots=True)
class Errors:
    """How far the coded pixels are from the given ones.

    Attributes
    ----------
    largest, total, pixel_count : int
        Largest absolute difference, sum of them all, and how many there are; no pixels where nothing is lost.
    """

    largest: int = 0
    total: int = 0
    pixel_count: int = 0

    @classmethod
    def unpacked(cls, data: bytes) -> Errors:
        """What `packed` gave, and maybe more behind it."""
        return cls(*_ERRORS.unpack_from(data))

    def packed(self) -> bytes:
        """u32, u64, u64, little endian."""
        return _ERRORS.pack(self.largest, self.total, self.pixel_count)

    def with_more(self, other: Errors) -> Errors:
        """Of both parts together."""
        return Errors(max(self.largest, other.largest), self.total + other.total, self.pixel_count + other.pixel_count)

    def __str__(self) -> str:
        return f"largest error {self.largest}, mean {self.total / max(1, self.pixel_count):.3g} of 255"


@dataclass(frozen=True, slots=True)
class Stream:
    """What a container says of its frames.

    Attributes
    ----------
    codec : str
        "h264", "ffv1" or "raw".
    height, width : int
    rate : Fraction
        Frames per second.
    frame_count : int
    most_bytes : int
        That all frames take together.
    private : bytes
        What a decoder of FFV1 needs; the colors of plain pixels, blue, green, red, 0.
    sets : tuple of bytes
        Sequence and picture parameter set of H.264.
    bits : int
        Of a pixel.
    """

    codec: str
    height: int
    width: int
    rate: Fraction
    frame_count: int
    most_bytes: int
    private: bytes = b""
    sets: tuple[bytes, ...] = ()
    bits: int = 24

    @property
    def key_start(self) -> bytes:
        """How key frames begin where the parameter sets are among the frames; nothing where all are key frames."""
        return START_CODE + self.sets[0] if self.sets else b""

    def in_band(self, packet: Packet) -> bytes:
        """A frame with the parameter sets before it, if decoding can begin there."""
        return b"".join(START_CODE + unit for unit in self.sets if packet.is_key) + packet.data


def units(stream: bytes) -> list[bytes]:
    """The units between start codes (ITU-T H.264, annex B), whose bytes never look like one."""
    return [unit for unit in _ANY_START_CODE.split(stream) if unit]


def with_lengths(stream: bytes) -> bytes:
    """Units with their lengths before them instead of start codes (ISO/IEC 14496-15, 5.2.3)."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units(stream))
