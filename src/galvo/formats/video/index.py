"""Which frames a video has, without decoding any: by what the container says of them, or by one pass over its packets.

A packet is one coded frame. Frames are counted in the order of display: that of their presentation time stamps, which
libav gives after B-frames, edit lists and late starts have been taken into account. Numbers of frames in headers are
not believed.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.source import FileSource
from galvo.errors import DamagedData, GalvoError, Malformed, Unsupported
from galvo.formats.video.library import open_container, told
from galvo.formats.video.table import IN_ORDER, from_table
from galvo.limits import Limits

__all__ = ["VideoIndex", "take_index"]

_ROOM = 1024
_IDR = 5
_KEY, _DISCARDED, _CUT_OFF, _OPEN = 1, 2, 4, 8
_UNIT = re.compile(rb"\x00\x00\x01(?=.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class VideoIndex:
    """Every packet of a video stream.

    Attributes
    ----------
    pts, position, nbytes : ndarray of int64, (P,)
        Of each packet, in the order of decoding.
    usable : ndarray of bool, (P,)
        Whether all its bytes are there.
    keys : ndarray of int64, (K,)
        Packets from which decoding can begin.
    open_keys : ndarray of bool, (K,)
        Whether what follows may refer to what comes before, for frames that are not shown then.
    frame_pts : ndarray of int64, (T,)
        Of the frames that are shown, in the order of display.
    packet_by_pts : ndarray of int64, (P,)
        Packets in the order of their time stamps.
    needed : ndarray of int64, (T,)
        The last frame, in the order of display, of those that were coded before a frame and with it.
    failure : str or None
        Why the packets end before the file does.
    unread : bool
        By the container's table: whether an H.264 key frame makes the decoder forget all others is not known yet.
    """

    pts: Int64
    position: Int64
    nbytes: Int64
    usable: NDArray[np.bool_]
    keys: Int64
    open_keys: NDArray[np.bool_]
    frame_pts: Int64
    packet_by_pts: Int64
    needed: Int64
    failure: str | None
    unread: bool = False

    @property
    def frame_count(self) -> int:
        """Frames that are shown."""
        return int(self.frame_pts.size)

    def packet_of(self, pts: int) -> int:
        """The packet with that time stamp, -1 where there is none."""
        place = int(np.searchsorted(self.pts, pts, sorter=self.packet_by_pts))
        if place == self.pts.size or self.pts[self.packet_by_pts[place]] != pts:
            return -1
        return int(self.packet_by_pts[place])

    def frame_of(self, pts: int) -> int:
        """The frame with that time stamp, -1 where there is none."""
        place = int(np.searchsorted(self.frame_pts, pts))
        return place if place < self.frame_count and self.frame_pts[place] == pts else -1

    def start_of(self, frame: int) -> int:
        """The place in `keys` from which decoding shows a frame.

        Frames that come after a key frame but are shown before it may need what is before it.
        """
        pts = self.frame_pts[frame]
        place = int(np.searchsorted(self.keys, self.packet_of(int(pts)), side="right")) - 1
        while place > 0 and self.pts[self.keys[place]] > pts:
            place -= 1
        return max(0, place)

    def is_open(self, place: int, source: FileSource) -> bool:
        """Whether what follows a key frame may refer to what comes before it."""
        if self.open_keys[place] or not self.unread:
            return bool(self.open_keys[place])
        key = self.keys[place]
        # in MP4, the only container with a table and H.264, a packet is where the table says
        return not _refreshes(source.read(0, int(self.position[key]), int(self.nbytes[key])), True)


def take_index(
    container: Any, stream_number: int, source: FileSource, demuxer: str, whole: bool, limits: Limits
) -> VideoIndex:
    """Take the index of a stream.

    Parameters
    ----------
    container
        PyAV's, just opened; it is used up.
    stream_number : int
        Among its videos.
    source : FileSource
    demuxer : str
    whole : bool
        All bytes are there that the file speaks of.
    limits : Limits

    Raises
    ------
    DamagedData
        There is no frame at all.
    Malformed
        Two frames have one time, or some have none, so that they cannot be told apart.
    LimitExceeded
    """
    path = source.paths[0]
    table, failure = None, None
    stream = container.streams.video[stream_number]
    h264 = stream.codec_context.name == "h264"
    # ISO/IEC 14496-15: units have lengths instead of start codes where this begins with version 1
    lengths = h264 and bytes(stream.codec_context.extradata or b"")[:1] == b"\1"
    has_table = demuxer == "mov" or stream.codec_context.name in IN_ORDER
    if whole and has_table and (lengths or not h264):
        with suppress(DamagedData), told(path):
            table = from_table(container, stream, source, demuxer, limits)
        if table is None:
            container.close()
            container = open_container(source, demuxer, limits)
            stream = container.streams.video[stream_number]
    unread = h264 and table is not None
    if table is None:
        table, failure = _from_packets(container, stream, path, h264, lengths, limits)
    container.close()
    pts, position, nbytes, flags = (np.ascontiguousarray(column) for column in table.T)
    keys = np.flatnonzero(flags & _KEY)
    shown = np.sort(pts[(flags & _DISCARDED) == 0])
    if not shown.size or not keys.size:
        raise DamagedData("not one frame is there", path=path, found=failure)
    by_pts = np.argsort(pts, kind="stable")
    if (np.diff(pts[by_pts]) == 0).any():
        raise Malformed("two frames have the same time stamp", path=path, hint="Their order cannot be known")
    display = np.where((flags & _DISCARDED) == 0, np.searchsorted(shown, pts), -1)
    needed = np.maximum.accumulate(display)[by_pts[np.searchsorted(pts, shown, sorter=by_pts)]]
    groups = np.minimum.reduceat(pts, keys) < pts[keys]
    open_keys = groups | ((flags[keys] & _OPEN) != 0)
    usable = (flags & _CUT_OFF) == 0
    return VideoIndex(pts, position, nbytes, usable, keys, open_keys, shown, by_pts, needed, failure, unread)


# ---- packets --------------------------------------------------------------------------------------------------------


def _from_packets(
    container: Any, stream: Any, path: str, h264: bool, lengths: bool, limits: Limits
) -> tuple[Int64, str | None]:
    """Time of presentation, position, bytes and flags of each packet; why they end early."""
    table = np.zeros((_ROOM, 4), np.int64)
    count, missing, failure = 0, 0, None
    try:
        with told(path):
            for packet in container.demux(stream):
                if not packet.size:
                    continue
                if count == len(table):
                    limits.check("page_count", 2 * count, path=path)
                    table = np.concatenate((table, np.zeros_like(table)))
                pts = packet.dts if packet.pts is None else packet.pts
                missing += pts is None
                flags = packet.is_keyframe | packet.is_discard << 1 | packet.is_corrupt << 2
                if packet.is_keyframe and h264:
                    flags |= (not _refreshes(bytes(packet), lengths)) << 3
                table[count] = pts or 0, -1 if packet.pos is None else packet.pos, packet.size, flags
                count += 1
    except DamagedData as error:
        failure = error.message
    except GalvoError:
        raise
    limits.check("page_count", count, path=path)
    if missing:
        raise Unsupported(
            "frames without a time stamp",
            path=path,
            found=f"{missing} of {count}",
            hint="Write the file anew without changing its frames: ffmpeg -i FILE -c copy NEW.mkv",
        )
    return table[:count], failure


def _refreshes(packet: bytes, lengths: bool) -> bool:
    """Whether an H.264 picture makes the decoder forget all others: it has a unit of type 5 (ITU-T H.264, 7.4.1)."""
    if not lengths:
        return any(packet[match.end()] & 31 == _IDR for match in _UNIT.finditer(packet))
    at = 0
    while at + 4 < len(packet):
        if packet[at + 4] & 31 == _IDR:
            return True
        at += 4 + int.from_bytes(packet[at : at + 4], "big")
    return False
