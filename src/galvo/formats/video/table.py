"""Which packets a video has, by what its container says of them.

The table of MP4 and QuickTime (ISO/IEC 14496-12, 8.6 and 8.7) and that of AVI say where each packet is, so the packets
need not be read. libav reads the table and applies edits; it gives times of decoding, to which ``ctts`` adds what leads
to those of presentation. Matroska has a table of clusters at most, but before each packet stands how long it is and
when it is shown (RFC 9559, 5.1.3), so galvo goes from one to the next. The first and the last packets are compared with
what libav reads, and every other one when it is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from galvo.core.index import Int64
from galvo.core.source import FileSource
from galvo.formats.video.containers import ebml_children, matroska_segment, mp4_boxes
from galvo.limits import Limits

__all__ = ["IN_ORDER", "from_table"]

# packets of these come in the order of display, and a key frame of them needs nothing before it
IN_ORDER = {"ffv1", "ffvhuff", "huffyuv", "mjpeg", "png", "rawvideo", "utvideo"}
_KEY = 1
_COMPARED = 8
_HOLDS_BOXES = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_CLUSTER, _TIMESTAMP, _SIMPLE_BLOCK, _BLOCK_GROUP = 0x1F43B675, 0xE7, 0xA3, 0xA0
_BLOCK, _REFERENCE, _DURATION = 0xA1, 0xFB, 0x9B
# positions, sizes, room, checksums
_NO_FRAMES = {0xA7, 0xAB, 0xEC, 0xBF}
_TRACK, _LACED, _UNSEEN, _SIMPLE_KEY = 0x80, 0x06, 0x08, 0x80


def from_table(container: Any, stream: Any, source: FileSource, demuxer: str, limits: Limits) -> Int64 | None:
    """Time of presentation, position, bytes, and 1 for a key frame, of each packet; None where it does not say all."""
    walked = demuxer == "matroska"
    table = _from_clusters(source, limits) if walked else _from_entries(stream, source, demuxer, limits)
    if table is None:
        return None
    table = table[table[:, 2] > 0]
    # other flags: frames that are decoded only
    if not len(table) or (table[:, 3] & ~_KEY).any() or (table[:, 1] + table[:, 2] > source.size(0)).any():
        return None
    first = _packets_at(container, stream, None)
    last_key = int(np.flatnonzero(table[:, 3])[-1]) if table[:, 3].any() else 0
    # what is the same for all: where time begins, the heads of chunks
    if not len(first):
        return None
    table[:, :2] += first[0, :2] - table[0, :2]
    last = _packets_at(container, stream, int(table[last_key, 0]))
    ends = table[last_key : last_key + len(last)]
    same = np.array_equal(first, table[: len(first)]) and np.array_equal(last, ends)
    return table if same else None


def _from_entries(stream: Any, source: FileSource, demuxer: str, limits: Limits) -> Int64 | None:
    entries = stream.index_entries
    count = len(entries)
    limits.check("page_count", count, path=source.paths[0])
    if not count or count != stream.frames:
        return None
    flat = (value for entry in entries for value in (entry.timestamp, entry.pos, entry.size, entry.flags))
    table = np.fromiter(flat, np.int64, 4 * count).reshape(count, 4)
    if demuxer == "mov":
        offsets = _presentation_offsets(source, count)
        if offsets is None:
            return None
        table[:, 0] += offsets
    return table


def _from_clusters(source: FileSource, limits: Limits) -> Int64 | None:
    """The blocks of a Matroska file of one track; None where there is more to it than frames, or less."""
    segment = matroska_segment(source)
    parts = _filling(source, segment.start, segment.stop)
    if segment.stop != source.size(0) or parts is None:
        return None
    rows: list[tuple[int, int, int, int]] = []
    tracks: set[int] = set()
    for identity, start, nbytes in parts:
        if identity != _CLUSTER:
            continue
        cluster, children = 0, _filling(source, start, start + nbytes)
        if children is None:
            return None
        for child, at, size in children:
            if child == _TIMESTAMP:
                cluster = int.from_bytes(source.read_upto(0, at, min(size, 8)), "big")
            elif child in (_SIMPLE_BLOCK, _BLOCK_GROUP):
                block = (at, size, None) if child == _SIMPLE_BLOCK else _grouped(source, at, size)
                head = b"" if block is None else source.read_upto(0, block[0], 4)
                # one byte for the track, time within the cluster, flags
                if block is None or len(head) < 4 or head[0] < _TRACK or head[3] & (_LACED | _UNSEEN):
                    return None
                tracks.add(head[0])
                is_key = bool(head[3] & _SIMPLE_KEY) if block[2] is None else block[2]
                time = cluster + int.from_bytes(head[1:3], "big", signed=True)
                rows.append((time, block[0], block[1] - 4, is_key))
            elif child not in _NO_FRAMES:
                return None
        limits.check("page_count", len(rows), path=source.paths[0])
    return np.array(rows, np.int64).reshape(-1, 4) if len(tracks) == 1 else None


def _filling(source: FileSource, start: int, stop: int) -> list[tuple[int, int, int]] | None:
    """The elements there; None where they do not fill the place exactly, or do not say how long they are."""
    found = list(ebml_children(source, start, stop))
    end = found[-1][1] + found[-1][2] if found else start
    return found if end == stop else None


def _grouped(source: FileSource, start: int, nbytes: int) -> tuple[int, int, bool] | None:
    """Position and size of the block in a group, and whether it refers to no other."""
    parts = {identity: (at, size) for identity, at, size in _filling(source, start, start + nbytes) or ()}
    if _BLOCK not in parts or set(parts) - {_BLOCK, _REFERENCE, _DURATION}:
        return None
    return (*parts[_BLOCK], _REFERENCE not in parts)


def _packets_at(container: Any, stream: Any, pts: int | None) -> Int64:
    """Rows of the packets at the beginning, or from the key frame with that time on; some are enough."""
    if pts is not None:
        container.seek(pts, stream=stream, backward=True)
    rows = []
    for packet in container.demux(stream):
        if packet.size and packet.pts is not None and packet.pos is not None:
            flags = packet.is_keyframe | packet.is_discard << 1 | packet.is_corrupt << 2
            rows.append((packet.pts, packet.pos, packet.size, flags))
        if len(rows) == _COMPARED or not packet.size:
            break
    return np.array(rows, np.int64).reshape(-1, 4)


def _presentation_offsets(source: FileSource, count: int) -> Int64 | int | None:
    """What leads from the times of decoding to those of presentation (ctts; ISO/IEC 14496-12, 8.6.1.3).

    None where it cannot be told which sample they belong to: fragments, several tracks that have them.
    """
    found: list[Int64] = []
    for path, start, nbytes in _nested(source, 0, source.size(0), ()):
        if path[0] == b"moof":
            return None
        if path == (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"ctts") and nbytes >= 8:
            pairs = np.frombuffer(source.read(0, start + 8, (nbytes - 8) // 8 * 8), ">u4").reshape(-1, 2)
            if int(pairs[:, 0].sum(dtype=np.int64)) != count:
                return None
            # version 0 has no sign, but is written as if it had one
            found.append(np.repeat(pairs[:, 1].astype(np.int32).astype(np.int64), pairs[:, 0]))
    if len(found) > 1:
        return None
    return found[0] if found else 0


def _nested(
    source: FileSource, start: int, stop: int, above: tuple[bytes, ...]
) -> Iterator[tuple[tuple[bytes, ...], int, int]]:
    """Letters with those around them, first byte of the content and its size of each box."""
    for letters, at, header, nbytes in mp4_boxes(source, start, stop):
        path = (*above, letters)
        yield path, at + header, nbytes - header
        if letters in _HOLDS_BOXES:
            yield from _nested(source, at + header, min(stop, at + nbytes), path)
