"""Decoding from a key frame on: a container that stands at one place of a video."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

from galvo.core.source import FileSource
from galvo.errors import DamagedData, ReadError
from galvo.formats.video.index import VideoIndex
from galvo.formats.video.library import most_pixels, open_container, told
from galvo.formats.video.pixels import Scaler
from galvo.limits import Limits

__all__ = ["Cursor"]

# errors are raised, not concealed; FFV1's checksums are looked at
_STRICT = {"err_detect": "crccheck+explode"}
# decoding that many packets costs less than seeking
_AHEAD = 8


class Cursor:
    """One decoder. Used by one thread at a time.

    Parameters
    ----------
    source : FileSource
    demuxer : str
    stream_number : int
    index : VideoIndex
    limits : Limits
    careful : bool
        One thread, so that it is known which packet fails.
    """

    def __init__(
        self,
        source: FileSource,
        demuxer: str,
        stream_number: int,
        index: VideoIndex,
        limits: Limits,
        careful: bool = False,
    ) -> None:
        self._path = source.paths[0]
        self._index = index
        self._open = partial(open_container, source, demuxer, limits)
        self._stream_number = stream_number
        self._threads = ("NONE", 1) if careful else ("AUTO", 0)
        self._options = {**_STRICT, "max_pixels": str(most_pixels(limits))}
        self._container: Any = None
        self._begin()
        self._frames: Iterator[tuple[int, Any]] = iter(())
        self._started = False
        self._next = self._fed = -1
        self.scaler = Scaler()

    def _begin(self) -> None:
        """Stand at the beginning of the file."""
        if self._container is not None:
            self._container.close()
        self._container = self._open()
        self._fresh = True
        self._stream = self._container.streams.video[self._stream_number]
        context = self._stream.codec_context
        context.thread_type, context.thread_count = self._threads
        context.options = self._options

    def close(self) -> None:
        """Give back libav's memory and threads."""
        self._frames = iter(())
        self._container.close()

    def reaches(self, frame: int) -> bool:
        """Whether going on leads to a frame sooner than seeking."""
        key = self._index.keys[self._index.start_of(frame)]
        return self._started and self._next <= frame and bool(key <= self._fed + _AHEAD)

    def decode(self, frame: int) -> Any:
        """A frame, as libav decoded it.

        Raises
        ------
        DamagedData
            It does not decode.
        """
        start = self._index.start_of(frame)
        if self.reaches(frame):
            found = self._go_on(frame)
            if found is not None:
                return found
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
                    if decoded.is_corrupt:
                        raise DamagedData(f"frame {frame} is damaged", path=self._path)
                    return decoded
                if number > frame:
                    return None
        except DamagedData:
            self._started = False
            raise
        self._started = False
        return None

    def _start(self, packet: int) -> None:
        self._frames = self._decoded(packet)
        self._started = True
        self._next = self._fed = -1

    # ---- packets ----------------------------------------------------------------------------------------------------

    def _decoded(self, first: int) -> Iterator[tuple[int, Any]]:
        """Number and frame, from a packet on."""
        index = self._index
        for number, packet in self._packets(first):
            self._fed = number
            # made anew with the container
            context = self._stream.codec_context
            try:
                if not index.usable[number]:
                    raise DamagedData("a frame is cut off", path=self._path, offset=int(index.position[number]))
                with told(self._path):
                    made = context.decode(packet)
            except DamagedData:
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

    def _packets(self, first: int) -> Iterator[tuple[int, Any]]:
        """Number and packet, from a key frame on: where seeking does not lead to it, from the beginning."""
        if not (first == 0 and self._fresh):
            with told(self._path):
                self._container.seek(int(self._index.pts[first]), stream=self._stream, backward=True)
                if self._stream.codec_context.is_open:
                    self._stream.codec_context.flush_buffers()
        for again in (False, True):
            if again:
                self._begin()
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
                if number >= self._index.pts.size or self._number(packet) != number:
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
        position = -1 if packet.pos is None else packet.pos
        same = number >= 0 and self._index.position[number] == position and self._index.nbytes[number] == packet.size
        return number if same else -1
