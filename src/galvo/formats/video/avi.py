"""AVI files that grow block by block (Microsoft, AVI RIFF File Reference; OpenDML AVI File Format Extensions 1.02).

::

    RIFF 'AVI '
        LIST hdrl   what the stream is, and where the indexes of all parts are
        LIST movi
            JUNK    before the frames of a block, where it was coded with loss: b"galvoblk", largest error, sum of
                    absolute errors, number of pixels, little endian
            00dc    a frame each; uncompressed: 00db
            ix00    the index of this part
        idx1        of the first part once more, as programs from before OpenDML know it
    RIFF 'AVIX'     from a gigabyte on, more of the same
        LIST movi
        JUNK        in the last part: galvo's own mark, and what it keeps of the recording, as JSON

The lists say how long they are after each block, so a file that was interrupted needs nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from galvo.core.partial import PartialFile
from galvo.formats.video.coded import ERRORS_MARK, Errors, Packet, Stream
from galvo.formats.video.containers import OWN_UUID, Written, riff_chunks

__all__ = ["AviWriter"]

_PART_BYTES = 1 << 30
_KEY = 0x10
_NO_KEY = 1 << 31
_FOURCC = {"raw": bytes(4), "h264": b"H264", "ffv1": b"FFV1"}


def _chunk(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


def _u32(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


class AviWriter:
    """Writes H.264, FFV1 or plain pixels in AVI.

    Parameters
    ----------
    file : PartialFile
    stream : Stream
    part_bytes : int
        Where another RIFF list begins.
    """

    def __init__(self, file: PartialFile, stream: Stream, part_bytes: int = _PART_BYTES) -> None:
        self._file = file
        self._written = Written(file)
        self._stream = stream
        self._part_bytes = part_bytes
        self._name = b"00db" if stream.codec == "raw" else b"00dc"

    def begin(self) -> None:
        """Write what does not depend on the frames."""
        self._file.seek(0)
        header = self._header([], 0)
        self._file.write(b"RIFF" + bytes(4) + b"AVI " + header + b"LIST" + bytes(4) + b"movi")
        self._close_lists(0, 12 + len(header))

    def put(self, first: int, packets: Sequence[Packet], errors: Errors) -> None:
        """Append a block."""
        part, movi = self._parts()[-1]
        if errors.pixel_count:
            self._append(_chunk(b"JUNK", ERRORS_MARK, errors.packed()))
        for packet in packets:
            data = self._stream.in_band(packet)
            if self._file.seek(0, 2) - part > self._part_bytes:
                self._close_lists(part, movi)
                self._index(part, movi, several=True)
                part = self._file.seek(0, 2)
                movi = part + 12
                self._file.write(b"RIFF" + bytes(4) + b"AVIX" + b"LIST" + bytes(4) + b"movi")
            self._append(_chunk(self._name, data))
        self._close_lists(part, movi)

    def errors(self) -> Errors:
        """Of all blocks together."""
        found = Errors()
        for _, movi in self._parts():
            for name, at, nbytes in self._chunks(movi):
                if name == b"JUNK" and nbytes > len(ERRORS_MARK):
                    head = self._written.read_upto(0, at, nbytes)
                    if head.startswith(ERRORS_MARK):
                        found = found.with_more(Errors.unpacked(head[len(ERRORS_MARK) :]))
        return found

    def finish(self, text: bytes) -> None:
        """Write the index and what is kept."""
        parts = self._parts()
        self._index(*parts[-1], several=len(parts) > 1)
        self._append(_chunk(b"JUNK", OWN_UUID, text))
        self._end_riff(parts[-1][0])
        indexes = [
            struct.pack("<QII", at - 8, nbytes + 8, (nbytes - 24) // 8)
            for _, movi in parts
            for name, at, nbytes in self._chunks(movi)
            if name == b"ix00"
        ]
        first_frames = sum(name == self._name for name, _, _ in self._chunks(parts[0][1]))
        self._file.seek(12)
        self._file.write(self._header(indexes, first_frames))

    # ---- lists ------------------------------------------------------------------------------------------------------

    def _append(self, data: bytes) -> None:
        self._file.seek(0, 2)
        self._file.write(data)

    def _parts(self) -> list[tuple[int, int]]:
        """Where each RIFF list begins, and its list of frames."""
        end = self._written.size(0)
        found = []
        for name, at, _ in riff_chunks(self._written, 0, end):
            if name == b"RIFF":
                lists = riff_chunks(self._written, at + 4, end)
                movi = next(
                    first - 8
                    for kind, first, _ in lists
                    if kind == b"LIST" and self._written.read_upto(0, first, 4) == b"movi"
                )
                found.append((at - 8, movi))
        return found

    def _chunks(self, movi: int) -> Iterator[tuple[bytes, int, int]]:
        nbytes = int.from_bytes(self._written.read_upto(0, movi + 4, 4), "little")
        return riff_chunks(self._written, movi + 12, movi + 8 + nbytes)

    def _end_riff(self, part: int) -> None:
        nbytes = self._file.seek(0, 2) - part - 8
        self._file.seek(part + 4)
        self._file.write(_u32(nbytes))

    def _close_lists(self, part: int, movi: int) -> None:
        """Say how long the last part is."""
        nbytes = self._file.seek(0, 2) - movi - 8
        self._file.seek(movi + 4)
        self._file.write(_u32(nbytes))
        self._end_riff(part)

    # ---- the index --------------------------------------------------------------------------------------------------

    def _index(self, part: int, movi: int, several: bool) -> None:
        """Append the index of a part that is complete; where it is the only one, that of old alone."""
        frames = [(at, nbytes, self._is_key(at)) for name, at, nbytes in self._chunks(movi) if name == self._name]
        if several:
            entries = b"".join(_u32(at - movi, nbytes | _NO_KEY * (not key)) for at, nbytes, key in frames)
            # two words for an entry, an index of frames; offsets count from the list
            head = struct.pack("<HBBI4sQI", 2, 0, 1, len(frames), self._name, movi, 0)
            self._append(_chunk(b"ix00", head, entries))
            self._close_lists(part, movi)
        if part == 0:
            old = b"".join(self._name + _u32(_KEY * key, at - 8 - (movi + 8), nbytes) for at, nbytes, key in frames)
            self._append(_chunk(b"idx1", old))
            self._end_riff(part)

    def _is_key(self, at: int) -> bool:
        start = self._stream.key_start
        return not start or self._written.read_upto(0, at, len(start)) == start

    def _header(self, indexes: Sequence[bytes], first_frames: int) -> bytes:
        stream = self._stream
        height, width = stream.height, stream.width
        rate, scale = stream.rate.numerator, stream.rate.denominator
        plain = stream.codec == "raw"
        frame = -(-width * stream.bits // 32) * 4 * height
        # with an index, interleaved
        avih = _u32(round(1_000_000 / stream.rate), 0, 0, 0x110, first_frames, 0, 1, frame, width, height, 0, 0, 0, 0)
        strh = struct.pack(
            "<4s4sIHHIIIIIIiI4H",
            *(b"vids", b"DIB " if plain else _FOURCC[stream.codec]),
            *(0, 0, 0, 0, scale, rate, 0, stream.frame_count, frame, -1, 0, 0, 0, width, height),
        )
        strf = struct.pack(
            "<IiiHH4sIiiII",
            *(40 if plain else 40 + len(stream.private), width, height, 1, stream.bits, _FOURCC[stream.codec]),
            *(frame, 0, 0, len(stream.private) // 4 if plain else 0, 0),
        )
        room = bytes(16 * (stream.most_bytes // self._part_bytes + 2 - len(indexes)))
        indx = struct.pack("<HBBI4s12x", 4, 0, 0, len(indexes), self._name) + b"".join(indexes) + room
        strl = _chunk(
            b"LIST",
            b"strl",
            _chunk(b"strh", strh),
            _chunk(b"strf", strf, stream.private),
            # what is no index yet, or needs none, is passed over
            _chunk(b"indx" if indexes else b"JUNK", indx),
        )
        odml = _chunk(b"LIST", b"odml", _chunk(b"dmlh", _u32(stream.frame_count), bytes(244)))
        return _chunk(b"LIST", b"hdrl", _chunk(b"avih", avih), strl, odml)
