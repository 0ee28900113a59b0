"""Writing level 5: version 5, uncompressed, and version 7, deflated.

A deflated array is one zlib stream. Its pieces are deflated each for itself, in threads, and end at whole bytes (a full
flush), so that they can follow each other. Behind the last one stands the end of a stream and its checksum; the next
block goes over them. So the file is whole after each block, and writing can go on with nothing else at hand: the
checksum so far is in the last four bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.ahead import ahead
from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.partial import PartialFile
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.threads import worker_count
from galvo.core.transpose import transpose_into
from galvo.errors import DamagedData, Unsupported
from galvo.formats.matlab.own import CREATED_BY, END_NAME, START_NAME, end_text, start_text, text_room

__all__ = ["MOST_BYTES", "Level5Sink", "array_nbytes", "file_head", "stored_axes", "stored_dtype"]

# MATLAB takes no array of 2**31 bytes from these versions
MOST_BYTES = (1 << 31) - 1024
_HEAD_BYTES = 128
_MATRIX, _COMPRESSED, _INT8, _INT32, _UINT32, _UTF8 = 14, 15, 1, 5, 6, 16
_CHAR, _LOGICAL = 4, 0x200
# stored type, class
_NUMBERS = {
    "f8": (9, 6), "f4": (7, 7), "i1": (1, 8), "u1": (2, 9), "i2": (3, 10), "u2": (4, 11), "i4": (5, 12), "u4": (6, 13),
    "i8": (12, 14), "u8": (13, 15),
}  # fmt: skip
_PIECE_BYTES = 1 << 20
_WRITE_BYTES = 4 << 20
_ZLIB_HEAD = b"\x78\x9c"
# RFC 1951: an empty last block of fixed codes
_STREAM_END = b"\x03\x00"
_TRAILER_BYTES = 6
_MODULUS = 65521


def file_head(version: int, title: str) -> bytes:
    """The 128 bytes before everything else: no time, no machine, so that equal content is equal bytes."""
    text = f"MATLAB {title} MAT-file, Platform: any, ".encode() + CREATED_BY
    return text.ljust(116) + bytes(8) + struct.pack("<H2s", version, b"IM")


def stored_axes(recording: Recording) -> str:
    """Letters of each array's dimensions in MATLAB's order."""
    return "YXZT" if recording.shape[2] > 1 else "YXT"


def stored_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type in which pixels are stored.

    Raises
    ------
    Unsupported
        MATLAB has no such class.
    """
    stored = np.dtype("u1") if dtype.kind == "b" else dtype.newbyteorder("<")
    if stored.str[1:] not in _NUMBERS:
        raise Unsupported(
            f"MATLAB has no class for {dtype}", found=str(dtype), hint="Convert the pixels first, with dtype= (--dtype)"
        )
    return stored


def array_nbytes(recording: Recording) -> int:
    """Bytes of the numbers of one channel."""
    t, _, z, y, x = recording.shape
    return t * z * y * x * recording.dtype.itemsize


@dataclass(frozen=True, slots=True)
class _Stretch:
    """What a block adds to one array.

    Attributes
    ----------
    channel : int
    is_first : bool
        Whether the array begins with it.
    pieces : iterable of bytes-like
        As stored, taken once.
    nbytes, checksum : int
        Length and Adler-32 of what is deflated.
    """

    channel: int
    is_first: bool
    pieces: Iterable[Any]
    nbytes: int = 0
    checksum: int = 1


class Level5Sink(FileSink):
    """Writes versions 5 and 7.

    Parameters
    ----------
    names : tuple of str
        One per channel.
    level : int or None
        Of deflate; None for version 5.
    """

    def __init__(self, names: tuple[str, ...], level: int | None) -> None:
        self._names = names
        self._level = level

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._level is not None

    block_order = "CTZ"

    def estimate(self, plan: WritePlan) -> int:
        """Pixels, and room for what surrounds them."""
        pixels = plan.recording.nbytes
        pieces = pixels // _PIECE_BYTES + len(plan.blocks) * len(self._names) + 1
        # deflate stores what it cannot shrink, in parts of at least 8 KiB with 5 bytes each
        grown = 0 if self._level is None else pixels // 1000 + 64 * pieces
        return pixels + grown + text_room(plan) + 512 * (len(self._names) + 4)

    def prepare(self, plan: WritePlan) -> None:
        """Settle the arrays.

        Raises
        ------
        Unsupported
            An array of 2 GB or more, or of numbers that MATLAB does not have.
        """
        recording = plan.recording
        if recording.dtype.kind == "c":
            raise Unsupported(
                "complex arrays are written in version 7.3 only",
                hint='Write version="7.3" (--write-option version=7.3)',
            )
        self._dtype = stored_dtype(recording.dtype)
        nbytes = array_nbytes(recording)
        if nbytes > MOST_BYTES:
            raise Unsupported(
                f"versions 5 and 7 hold no array of 2 GB, and a channel takes {nbytes / 1e9:.1f} GB",
                found=f"{nbytes} bytes",
                expected=f"at most {MOST_BYTES}",
                hint='Write version="7.3" (--write-option version=7.3)',
            )
        self._plan = plan
        self._axes = stored_axes(recording)
        self._nbytes = nbytes
        self._padding = -nbytes % 8

    def begin(self, output: Outlet) -> None:
        """Write the header and what is known before the pixels."""
        self._output = output
        self._write(file_head(0x0100, "5.0"))
        self._write_text(START_NAME, start_text(self._plan, self._names, self._axes))

    def reopen(self, output: Outlet) -> None:
        """Go on behind what is there."""
        self._output = output
        self._file.seek(0, 2)

    @property
    def _file(self) -> PartialFile:
        return self._output.files[0]

    def _write(self, *pieces: Any) -> None:
        for piece in pieces:
            self._file.write(piece)

    def _write_text(self, name: str, text: str) -> None:
        """A row of characters."""
        data = text.encode("ascii")
        head = _matrix_head(name, (1, len(data)), _CHAR, _UTF8, len(data))
        whole = b"".join((head, data, bytes(-len(data) % 8)))
        if self._level is None:
            self._write(whole)
        else:
            packed = zlib.compress(whole, self._level)
            self._write(struct.pack("<II", _COMPRESSED, len(packed)), packed)

    # ---- blocks -------------------------------------------------------------------------------------------------

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> list[_Stretch]:
        """Columns of each channel of a block."""
        t, c, z = index[:3]
        _, _, planes, height, width = block.shape
        lengths = self._plan.recording.shape
        stretches = []
        for channel in range(c.start, c.stop):
            columns = np.empty((block.shape[0], planes, width, height), self._dtype)
            transpose_into(columns, block[:, channel - c.start].swapaxes(2, 3))
            first = t.start == 0 and z.start == 0
            ends = t.stop == lengths[0] and z.stop == lengths[2]
            data = columns.reshape(-1).view(np.uint8).data
            head = self._head(channel) if first else b""
            tail = bytes(self._padding) if ends else b""
            if self._level is None:
                stretches.append(_Stretch(channel, first, (head, data, tail)))
                continue
            checksum = zlib.adler32(tail, zlib.adler32(data, zlib.adler32(head)))
            nbytes = len(head) + len(data) + len(tail)
            stretches.append(_Stretch(channel, first, self._deflated(head, data, tail), nbytes, checksum))
        return stretches

    def _deflated(self, head: bytes, data: memoryview, tail: bytes) -> Iterator[bytes]:
        cuts = range(0, len(data), _PIECE_BYTES)

        def deflated(start: int) -> bytes:
            coder = zlib.compressobj(self._level or 0, zlib.DEFLATED, -zlib.MAX_WBITS)
            parts = [coder.compress(head)] if start == 0 else []
            parts.append(coder.compress(data[start : start + _PIECE_BYTES]))
            if start + _PIECE_BYTES >= len(data):
                parts.append(coder.compress(tail))
            parts.append(coder.flush(zlib.Z_FULL_FLUSH))
            return b"".join(parts)

        return ahead(deflated, cuts, min(worker_count(len(data)), len(cuts)))

    def _head(self, channel: int) -> bytes:
        t, _, z, y, x = self._plan.recording.shape
        shape = (y, x, z, t) if "Z" in self._axes else (y, x, t)
        stored, kind = _NUMBERS[self._dtype.str[1:]]
        flags = kind | (_LOGICAL if self._plan.recording.dtype.kind == "b" else 0)
        return _matrix_head(self._names[channel], shape, flags, stored, self._nbytes)

    def put(self, index: BlockIndex, encoded: list[_Stretch]) -> None:
        """Append a block to its arrays."""
        for stretch in encoded:
            if self._level is not None:
                self._append_deflated(stretch)
                continue
            for piece in stretch.pieces:
                # so that the system begins to write while the rest is coming
                self._write(*(piece[first : first + _WRITE_BYTES] for first in range(0, len(piece), _WRITE_BYTES)))

    def _append_deflated(self, stretch: _Stretch) -> None:
        file, checksum = self._file, stretch.checksum
        if stretch.is_first:
            start = file.seek(0, 2)
            self._write(struct.pack("<II", _COMPRESSED, 0), _ZLIB_HEAD)
        else:
            start = self._last_element()
            end = file.seek(-_TRAILER_BYTES, 2)
            trailer = file.read(_TRAILER_BYTES) or b""
            if len(trailer) != _TRAILER_BYTES or trailer[:2] != _STREAM_END:
                self._refuse(end)
            checksum = _joined_adler32(struct.unpack(">I", trailer[2:])[0], checksum, stretch.nbytes)
            file.seek(end)
        for piece in stretch.pieces:
            self._write(piece)
        self._write(_STREAM_END + struct.pack(">I", checksum))
        nbytes = file.tell() - start - 8
        file.seek(start + 4)
        self._write(struct.pack("<I", nbytes))
        file.seek(0, 2)

    def _last_element(self) -> int:
        """Where the last element begins; all of them are whole."""
        file = self._file
        end, start, following = file.seek(0, 2), _HEAD_BYTES, _HEAD_BYTES
        while following < end:
            start = following
            file.seek(start)
            tag = file.read(8) or b""
            if len(tag) < 8:
                self._refuse(start)
            following = start + 8 + struct.unpack("<II", tag)[1]
        if following != end:
            self._refuse(start)
        return start

    def _refuse(self, offset: int) -> None:
        # where the disk failed to give back what it took, that is the one to tell
        self._output.check()
        raise DamagedData(
            "the partial output is not what its journal says",
            path=self._file.path,
            offset=offset,
            hint="Start again without resume",
        )

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what is known now of the frames, and the checksums."""
        self._file.seek(0, 2)
        self._write_text(END_NAME, end_text(self._plan, self._names, self._axes, checksums))


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)


def _matrix_head(name: str, shape: tuple[int, ...], flags: int, stored: int, nbytes: int) -> bytes:
    """An array element up to its numbers."""
    inside = b"".join(
        (
            _element(_UINT32, struct.pack("<II", flags, 0)),
            _element(_INT32, struct.pack(f"<{len(shape)}i", *shape)),
            _element(_INT8, name.encode("ascii")),
            struct.pack("<II", stored, nbytes),
        )
    )
    return struct.pack("<II", _MATRIX, len(inside) + nbytes + -nbytes % 8) + inside


def _joined_adler32(first: int, second: int, nbytes: int) -> int:
    """Adler-32 of two stretches from those of each (RFC 1950), the second of `nbytes`."""
    low = ((first & 0xFFFF) + (second & 0xFFFF) - 1) % _MODULUS
    high = ((first >> 16) + (second >> 16) + nbytes * ((first & 0xFFFF) - 1)) % _MODULUS
    return high << 16 | low
