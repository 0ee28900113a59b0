"""MP4 and QuickTime files that grow block by block (ISO/IEC 14496-12, 14496-15; QuickTime File Format).

::

    ftyp
    moov    room is left for it until the end, so that players can begin before they have the whole file
    free    what it did not need
    free    for each block: b"galvoblk", u32 largest error, u64 sum of absolute errors, u64 number of pixels, then u32
            for each frame: bytes, and 2^31 for a key frame; little endian
    mdat    the frames of that block
    uuid    galvo's own: what it keeps of the recording, as JSON

The sizes beside each block are all that the index is made of, so a file that was interrupted needs nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from galvo.core.partial import PartialFile
from galvo.errors import Malformed
from galvo.formats.video.coded import ERRORS_MARK, Errors, Packet, Stream, with_lengths
from galvo.formats.video.containers import OWN_UUID, Written, mp4_boxes

__all__ = ["Mp4Writer"]

_KEY = 1 << 31
_MP4 = b"isom" + (512).to_bytes(4, "big") + b"isomiso2avc1mp41"
_QUICKTIME = b"qt  " + (512).to_bytes(4, "big") + b"qt  "
_UNITY = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
_MILLISECONDS = 1000


@dataclass(frozen=True, slots=True)
class _Block:
    offset: int
    sizes: tuple[int, ...]
    keys: tuple[bool, ...]
    errors: Errors


def _box(letters: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (len(content) + 8).to_bytes(4, "big") + letters + content


def _full(letters: bytes, *parts: bytes, version: int = 0, flags: int = 0) -> bytes:
    return _box(letters, bytes([version]) + flags.to_bytes(3, "big"), *parts)


def _u32(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}I", *numbers)


# QuickTime File Format, "Handler reference atoms"
_DATA_HANDLER = _full(b"hdlr", b"dhlr", b"url ", bytes(12), b"\5galvo")


class Mp4Writer:
    """Writes H.264 in MP4 or QuickTime.

    Parameters
    ----------
    file : PartialFile
    stream : Stream
    block_count : int
        In how many parts the frames will come.
    quicktime : bool
        A file for QuickTime, which names some things in another way.
    """

    def __init__(self, file: PartialFile, stream: Stream, block_count: int, quicktime: bool = False) -> None:
        self._file = file
        self._stream = stream
        self._quicktime = quicktime
        self._ftyp = _box(b"ftyp", _QUICKTIME if quicktime else _MP4)
        self._room = 4096 + 8 * stream.frame_count + 20 * block_count

    def begin(self) -> None:
        """Leave room for the index."""
        self._file.seek(0)
        self._file.write(self._ftyp)
        self._file.write(_box(b"free", bytes(self._room - 8)))

    def put(self, first: int, packets: Sequence[Packet], errors: Errors) -> None:
        """Append a block."""
        samples = [with_lengths(packet.data) for packet in packets]
        sizes = [len(data) | _KEY * packet.is_key for data, packet in zip(samples, packets, strict=True)]
        about = ERRORS_MARK + errors.packed()
        nbytes = sum(map(len, samples))
        head = (nbytes + 8).to_bytes(4, "big") + b"mdat"
        if nbytes + 8 >= 1 << 32:
            head = b"\0\0\0\1mdat" + (nbytes + 16).to_bytes(8, "big")
        self._file.seek(0, 2)
        self._file.write(_box(b"free", about, struct.pack(f"<{len(sizes)}I", *sizes)) + head + b"".join(samples))

    def errors(self) -> Errors:
        """Of all blocks."""
        found = Errors()
        for block in self._blocks():
            found = found.with_more(block.errors)
        return found

    def finish(self, text: bytes) -> None:
        """Write the index and what is kept."""
        blocks = list(self._blocks())
        moov = self._moov(blocks)
        rest = self._room - len(moov)
        if rest < 8:
            raise Malformed("the room for the index is too small", path=self._file.path, found=len(moov))
        self._file.seek(len(self._ftyp))
        # the zeros behind are there already
        self._file.write(moov + rest.to_bytes(4, "big") + b"free")
        self._file.seek(0, 2)
        self._file.write(_box(b"uuid", OWN_UUID, text))

    def _blocks(self) -> Iterator[_Block]:
        written = Written(self._file)
        about = b""
        for letters, at, header, nbytes in mp4_boxes(written):
            if letters == b"free":
                content = written.read_upto(0, at + header, nbytes - header)
                about = content if content.startswith(ERRORS_MARK) else b""
            elif letters == b"mdat":
                start = len(ERRORS_MARK) + len(Errors().packed())
                sizes = struct.unpack_from(f"<{(len(about) - start) // 4}I", about, start)
                yield _Block(
                    at + header,
                    tuple(size & ~_KEY for size in sizes),
                    tuple(size >= _KEY for size in sizes),
                    Errors.unpacked(about[len(ERRORS_MARK) :]),
                )

    # ---- the index --------------------------------------------------------------------------------------------------

    def _moov(self, blocks: Sequence[_Block]) -> bytes:
        frames = sum(len(block.sizes) for block in blocks)
        scale, step = self._stream.rate.numerator, self._stream.rate.denominator
        duration = frames * step
        duration_ms = min(duration * _MILLISECONDS // scale, (1 << 32) - 1)
        height, width = self._stream.height, self._stream.width
        mvhd = _full(
            b"mvhd",
            _u32(0, 0, _MILLISECONDS, duration_ms, 1 << 16),
            struct.pack(">H10x", 1 << 8),
            _UNITY,
            bytes(24),
            _u32(2),
        )
        tkhd = _full(
            b"tkhd",
            _u32(0, 0, 1, 0, duration_ms),
            bytes(16),
            _UNITY,
            _u32(width << 16, height << 16),
            flags=3,
        )
        mdhd = _full(b"mdhd", struct.pack(">QQIQHH", 0, 0, scale, duration, 0x55C4, 0), version=1)
        kind, name, data = (b"mhlr", b"\5galvo", _DATA_HANDLER) if self._quicktime else (bytes(4), b"galvo\0", b"")
        hdlr = _full(b"hdlr", kind, b"vide", bytes(12), name)
        dinf = _box(b"dinf", _full(b"dref", _u32(1), _full(b"url ", flags=1)))
        minf = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), data, dinf, self._stbl(blocks, frames, step))
        return _box(b"moov", mvhd, _box(b"trak", tkhd, _box(b"mdia", mdhd, hdlr, minf)))

    def _stbl(self, blocks: Sequence[_Block], frames: int, step: int) -> bytes:
        keys = [number for number, key in enumerate((key for block in blocks for key in block.keys), 1) if key]
        runs = [(first, len(sizes)) for first, sizes in enumerate((block.sizes for block in blocks), 1)]
        chunks = [next(group) for _, group in groupby(runs, key=lambda run: run[1])]
        return _box(
            b"stbl",
            _full(b"stsd", _u32(1), self._avc1()),
            _full(b"stts", _u32(1, frames, step)),
            _full(b"stss", _u32(len(keys), *keys)),
            _full(b"stsc", _u32(len(chunks)), *(_u32(first, count, 1) for first, count in chunks)),
            _full(b"stsz", _u32(0, frames), *(_u32(*block.sizes) for block in blocks)),
            _full(b"co64", _u32(len(blocks)), *(block.offset.to_bytes(8, "big") for block in blocks)),
        )

    def _avc1(self) -> bytes:
        height, width = self._stream.height, self._stream.width
        sequence, picture = self._stream.sets
        # ISO/IEC 14496-15, 5.3.3.1; chroma 4:2:0, 8 bits
        avcc = _box(
            b"avcC",
            bytes([1, *sequence[1:4], 0xFF, 0xE1]),
            len(sequence).to_bytes(2, "big"),
            sequence,
            b"\1",
            len(picture).to_bytes(2, "big"),
            picture,
            bytes([0xFD, 0xF8, 0xF8, 0]),
        )
        # ISO/IEC 23001-8: primaries and transfer of BT.709, matrix of BT.601, not full range
        primaries = struct.pack(">HHH", 1, 1, 6)
        colr = _box(b"colr", b"nclc" + primaries if self._quicktime else b"nclx" + primaries + b"\0")
        return _box(
            b"avc1",
            struct.pack(">6xH16xHHIIIH", 1, width, height, 72 << 16, 72 << 16, 0, 1),
            bytes(32),
            struct.pack(">Hh", 24, -1),
            avcc,
            colr,
            _box(b"pasp", _u32(1, 1)),
        )
