"""Matroska files that grow block by block (RFC 8794, RFC 9559).

::

    EBML header
    Segment
        SeekHead        room is left for it until the end
        Info, Tracks
        Cluster ...     a few frames each
        Cues            where the clusters are
        Attachments     galvo.json: what galvo keeps of the recording

A cluster says how long it is and when it begins, so a file that was interrupted needs nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

from galvo.core.partial import PartialFile
from galvo.formats.video.coded import Errors, Packet, Stream
from galvo.formats.video.containers import ATTACHMENT, Written, ebml_element

__all__ = ["MkvWriter"]

_CLUSTER = 0x1F43B675
_CLUSTER_BYTES = 2 << 20
_MOST_TICKS = 32_000
_SEEK_ROOM = 128
_NANOSECONDS = 1_000_000_000
_INFO, _TRACKS, _CUES, _ATTACHED = 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469


def _element(identity: int, content: bytes | int | str, size_bytes: int = 0) -> bytes:
    """An element; numbers unsigned, in as many bytes as they need."""
    if isinstance(content, int):
        content = content.to_bytes(max(1, (content.bit_length() + 7) // 8), "big")
    elif isinstance(content, str):
        content = content.encode()
    # all ones would be "unknown"
    length = size_bytes or next(n for n in range(1, 9) if len(content) < (1 << 7 * n) - 1)
    size = (len(content) | 1 << 7 * length).to_bytes(length, "big")
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + size + content


def _void(nbytes: int) -> bytes:
    return _element(0xEC, bytes(nbytes - 9), 8)


class MkvWriter:
    """Writes FFV1 in Matroska.

    Parameters
    ----------
    file : PartialFile
    stream : Stream
    """

    def __init__(self, file: PartialFile, stream: Stream) -> None:
        self._file = file
        self._stream = stream
        # a frame lasts ten ticks or more, so that all frames have times of their own
        self._tick_ns = 1_000_000
        while self._tick_ns > 1 and _NANOSECONDS / stream.rate < 10 * self._tick_ns:
            self._tick_ns //= 10

    def _ticks(self, frame: int) -> int:
        return round(frame * _NANOSECONDS / (self._stream.rate * self._tick_ns))

    @property
    def _head(self) -> bytes:
        return _element(
            0x1A45DFA3,
            _element(0x4286, 1)
            + _element(0x42F7, 1)
            + _element(0x42F2, 4)
            + _element(0x42F3, 8)
            + _element(0x4282, "matroska")
            + _element(0x4287, 4)
            + _element(0x4285, 2),
        )

    @property
    def _segment(self) -> int:
        """Where the content of the segment begins."""
        return len(self._head) + 12

    def begin(self) -> None:
        """Write what does not depend on the frames."""
        stream = self._stream
        info = _element(
            _INFO,
            _element(0x2AD7B1, self._tick_ns)
            + _element(0x4489, struct.pack(">d", self._ticks(stream.frame_count)))
            + _element(0x4D80, "galvo")
            + _element(0x5741, "galvo"),
        )
        track = (
            _element(0xD7, 1)
            + _element(0x73C5, 1)
            + _element(0x83, 1)
            + _element(0x9C, 0)
            + _element(0x23E383, round(_NANOSECONDS / stream.rate))
            + _element(0x86, "V_FFV1")
            + _element(0x63A2, stream.private)
            + _element(0xE0, _element(0xB0, stream.width) + _element(0xBA, stream.height) + _element(0x9A, 2))
        )
        self._file.seek(0)
        self._file.write(
            self._head
            + bytes.fromhex("1853806701ffffffffffffff")
            + _void(_SEEK_ROOM)
            + info
            + _element(_TRACKS, _element(0xAE, track))
        )

    def put(self, first: int, packets: Sequence[Packet], errors: Errors) -> None:
        """Append the clusters of a block, whose first frame is number `first`."""
        self._file.seek(0, 2)
        content: list[bytes] = []
        start = 0
        for number, packet in enumerate(packets, first):
            at = self._ticks(number)
            if content and (at - start > _MOST_TICKS or sum(map(len, content)) > _CLUSTER_BYTES):
                self._file.write(_element(_CLUSTER, b"".join(content)))
                content = []
            if not content:
                start = at
                content = [_element(0xE7, start)]
            # track 1, time within the cluster, a key frame
            content.append(_element(0xA3, struct.pack(">BhB", 0x81, at - start, 0x80) + packet.data))
        self._file.write(_element(_CLUSTER, b"".join(content)))

    def errors(self) -> Errors:
        """There are none: FFV1 is exact."""
        return Errors()

    def finish(self, text: bytes) -> None:
        """Write the index and what is kept."""
        parts = dict(self._parts())
        cues = b"".join(
            _element(0xBB, _element(0xB3, time) + _element(0xB7, _element(0xF7, 1) + _element(0xF1, at)))
            for at, time in self._clusters()
        )
        self._file.seek(0, 2)
        parts[_CUES] = self._file.tell() - self._segment
        self._file.write(_element(_CUES, cues))
        parts[_ATTACHED] = self._file.tell() - self._segment
        attached = (
            _element(0x466E, ATTACHMENT)
            + _element(0x4660, "application/json")
            + _element(0x465C, text)
            + _element(0x46AE, 1)
        )
        self._file.write(_element(_ATTACHED, _element(0x61A7, attached)))
        nbytes = self._file.tell() - self._segment
        seeks = b"".join(
            _element(0x4DBB, _element(0x53AB, identity.to_bytes(4, "big")) + _element(0x53AC, at))
            for identity, at in parts.items()
        )
        head = _element(0x114D9B74, seeks)
        self._file.seek(self._segment - 8)
        self._file.write((nbytes | 1 << 56).to_bytes(8, "big") + head + _void(_SEEK_ROOM - len(head)))

    def _elements(self) -> Iterator[tuple[int, int, int]]:
        """ID, position and first byte of the content of what the segment holds."""
        written, at = Written(self._file), self._segment
        while (found := ebml_element(written, at)) is not None:
            yield found[0], at, found[1]
            at = found[1] + found[2]

    def _parts(self) -> Iterator[tuple[int, int]]:
        for identity, at, _ in self._elements():
            if identity == _CLUSTER:
                return
            if identity in (_INFO, _TRACKS):
                yield identity, at - self._segment

    def _clusters(self) -> Iterator[tuple[int, int]]:
        """Position within the segment and time of each."""
        written = Written(self._file)
        for identity, at, first in self._elements():
            if identity == _CLUSTER:
                time = ebml_element(written, first)
                if time is not None:
                    yield at - self._segment, int.from_bytes(written.read_upto(0, time[1], time[2]), "big")
