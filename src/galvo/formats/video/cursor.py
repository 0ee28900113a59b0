"""Decoding from a key frame on: a container that stands at one place of a video."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from galvo.core.source import FileSource
from galvo.errors import DamagedData, ReadError
from galvo.formats.video.ffv1 import require_intact
from galvo.formats.video.index import VideoIndex
from galvo.formats.video.library import most_pixels, open_container, told
from galvo.formats.video.pixels import Scaler
from galvo.limits import Limits

__all__ = ["Cursor", "Track"]

# errors are raised, not concealed
_STRICT = "crccheck+explode"
# a stream that is entered at an open group misses references of frames that are not shown, and that is no error
_LENIENT = "crccheck"
# decoding that many packets costs less than seeking
_AHEAD = 8


@dataclass(frozen=True, slots=True)
class Track:
    """What is decoded.

    Attributes
    ----------
    source : FileSource
    demuxer : str
    stream_number : int
        Among the videos of the file.
    index : VideoIndex
    limits : Limits
    """

    source: FileSource
    demuxer: str
    stream_number: int
    index: VideoIndex
    limits: Limits


class Cursor:
    """One decoder. Used by one thread at a time.

    Parameters
    ----------
    track : Track
    careful : bool
        One thread, so that it is known which packet fails.
    """

    def __init__(self, track: Track, careful: bool = False) -> None:
        self._source = track.source
        self._path = track.source.paths[0]
        self._index = track.index
        self._open = partial(open_container, track.source, track.demuxer, track.limits)
        self._stream_number = track.stream_number
        self._careful = careful
        self._most_pixels = most_pixels(track.limits)
        self._container: Any = None
        self._begin(False)
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._started = False
        self._next = self._fed = -1
        self.scaler = Scaler()

    def _begin(self, leading: bool) -> None:
        """Stand at the beginning of the file.

        With `leading`, frames will come first that need what is not there. One thread decodes then: several tell of an
        error when it is not known any more whose it is.
        """
        self._leading = leading
        if self._container is not None:
            self._container.close()
        self._container = self._open()
        self._fresh = True
        self._stream = self._container.streams.video[self._stream_number]
        context = self._stream.codec_context
        context.thread_type, context.thread_count = ("NONE", 1) if leading or self._careful else ("AUTO", 0)
        strictness = _LENIENT if leading else _STRICT
        context.options = {"err_detect": strictness, "max_pixels": str(self._most_pixels)}

    def close(self) -> None:
        """Give back libav's memory and threads."""
        self._frames = iter(())
        if self._container is not None:
            self._container.close()
        # the threads end with the last reference to the context
        self._container = self._stream = None

    def reaches(self, frame: int) -> bool:
        """Whether going on leads to a frame sooner than seeking."""
        key = self._index.keys[self._index.start_of(frame)]
        return self._started and self._next <= frame and bool(key <= self._fed + _AHEAD)

    def decode(self, frame: int) -> Any:
        """A frame, as libav decoded it.

        Raises
        ------
        DamagedData
            It does not decode, or depends on one that does not.
        """
        if self.reaches(frame):
            with suppress(DamagedData):
                found = self._go_on(frame)
                if found is not None:
                    return found
        start = self._index.start_of(frame)
        # streams with gradual refresh show a frame only some key frames later
        for place in dict.fromkeys((start, max(0, start - 1), 0)):
            self._start(int(self._index.keys[place]))
            found = self._go_on(frame)
            if found is not None:
                return found
        raise DamagedData(f"frame {frame} does not decode", path=self._path)

    def _go_on(self, frame: int) -> Any:
        """Decode until a frame comes; None where a later one comes instead."""
        try:
            for number, decoded in self._frames:
                self._next = number + 1
                if number == frame:
                    return decoded
                if number > frame:
                    return None
        except DamagedData:
            self._started = False
            raise
        self._started = False
        return None

    def _start(self, packet: int) -> None:
        self._frames = self._reliable(packet)
        self._started = True
        self._next = self._fed = -1

    # ---- packets ----------------------------------------------------------------------------------------------------

    def _reliable(self, first: int) -> Iterator[tuple[int, Any]]:
        """Number and frame in order, from a packet on, none that was made from a missing one.

        libav makes up what it misses and does not say so. So a frame waits until all that were coded before it have
        come out, and where one has not come out, nothing is believed before the next key frame.
        """
        index = self._index
        shown_first = int(np.searchsorted(index.frame_pts, index.pts[first]))
        waiting: deque[tuple[int, Any]] = deque()
        last = -1
        for number, frame in self._decoded(first):
            if number < shown_first or number <= last:
                continue
            if last >= 0 and number != last + 1:
                raise DamagedData(f"frame {last + 1} does not decode", path=self._path)
            if frame.is_corrupt:
                raise DamagedData(f"frame {number} is damaged", path=self._path)
            last = number
            waiting.append((number, frame))
            while waiting and index.needed[waiting[0][0]] <= last:
                yield waiting.popleft()
        if waiting:
            raise DamagedData(f"frame {last + 1} does not decode", path=self._path)

    def _decoded(self, first: int) -> Iterator[tuple[int, Any]]:
        """Number and frame as libav gives them, from a packet on."""
        index = self._index
        place = int(np.searchsorted(index.keys, first))
        end = int(index.keys[place + 1]) if place + 1 < index.keys.size else index.pts.size
        leading = first > 0 and index.is_open(place, self._source)
        for number, packet in self._packets(first, leading):
            self._fed = number
            # made anew with the container
            context = self._stream.codec_context
            try:
                if not index.usable[number]:
                    raise DamagedData("a frame is cut off", path=self._path, offset=int(index.position[number]))
                if context.name == "ffv1" and context.extradata:
                    require_intact(bytes(packet), self._path, int(index.position[number]))
                with told(self._path):
                    made = context.decode(packet)
            except DamagedData:
                if leading and number < end and index.pts[number] < index.pts[first]:
                    # it is shown before the key frame and may need what is before it
                    continue
                # what came before may still be on its way through the decoder
                with suppress(DamagedData):
                    yield from (one for one in self._rest() if index.packet_of(one[1].pts) < number)
                raise
            yield from self._numbered(made)
        yield from self._rest()
        if index.failure is not None:
            raise DamagedData(index.failure, path=self._path)

    def _rest(self) -> Iterator[tuple[int, Any]]:
        with told(self._path):
            made = self._stream.codec_context.decode(None)
        return self._numbered(made)

    def _numbered(self, frames: list[Any]) -> Iterator[tuple[int, Any]]:
        for frame in frames:
            number = -1 if frame.pts is None else self._index.frame_of(frame.pts)
            if number >= 0:
                yield number, frame

    def _packets(self, first: int, leading: bool) -> Iterator[tuple[int, Any]]:
        """Number and packet, from a key frame on: where seeking does not lead to it, from the beginning."""
        if leading != self._leading:
            self._begin(leading)
        if not (first == 0 and self._fresh):
            with told(self._path):
                if self._fresh and self._stream.codec_context.pix_fmt == "pal8":
                    # AVI gives the colors with the first packet alone
                    self._stream.codec_context.decode(next(self._container.demux(self._stream)))
                self._container.seek(int(self._index.pts[first]), stream=self._stream, backward=True)
                if self._stream.codec_context.is_open:
                    self._stream.codec_context.flush_buffers()
        for again in (False, True):
            if again:
                self._begin(leading)
            self._fresh = False
            with told(self._path):
                demuxed = self._container.demux(self._stream)
                packet = next((packet for packet in demuxed if packet.size), None)
                number = -1 if packet is None else self._number(packet)
            if 0 <= number <= first:
                yield from self._counted(packet, number, first, demuxed)
                return
        raise ReadError("the file changed after it was opened", path=self._path, hint="Open it again")

    def _counted(self, packet: Any, number: int, first: int, demuxed: Any) -> Iterator[tuple[int, Any]]:
        while packet is not None:
            if number >= first:
                if number >= self._index.pts.size or not self._is(number, packet):
                    raise DamagedData(
                        "packets come in another order when it is read again", path=self._path, offset=packet.pos
                    )
                yield number, packet
            number += 1
            with told(self._path):
                packet = next((packet for packet in demuxed if packet.size), None)

    def _number(self, packet: Any) -> int:
        """Which packet of the index this is, -1 for none."""
        pts = packet.dts if packet.pts is None else packet.pts
        number = -1 if pts is None else self._index.packet_of(pts)
        return number if number >= 0 and self._is(number, packet) else -1

    def _is(self, number: int, packet: Any) -> bool:
        """Whether this is that packet of the index."""
        index, position = self._index, packet.pos
        return bool(
            index.nbytes[number] == packet.size
            and index.position[number] == (-1 if position is None else position)
            and index.pts[number] == (packet.dts if packet.pts is None else packet.pts)
        )
