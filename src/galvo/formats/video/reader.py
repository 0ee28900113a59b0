"""Frames of a video: decoded when they are asked for."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.lock import ForkSafeLock
from galvo.core.selection import Selection, plane_area
from galvo.errors import DamagedData, ReadError, warn
from galvo.formats.video.cursor import Cursor, Track
from galvo.formats.video.pixels import Pixels, has_gray_palette, require_like

__all__ = ["VideoReader"]

_IDLE_CURSORS = 2
_CACHED_BYTES = 32 << 20
_MOST_CHUNK = 64

_alive: weakref.WeakSet[VideoReader] = weakref.WeakSet()


class VideoReader:
    """Decodes frames of one stream.

    Idle decoders are kept, so that reading on costs no seeking; the frames decoded last are, too. A forked child, in
    which none of libav's threads exists, begins with decoders of its own.

    Parameters
    ----------
    track : Track
    pixels : Pixels
    size : (Y, X)
        Of the stored frames.
    shape : (T, C, Z, Y, X)
        What is shown of them.
    """

    def __init__(self, track: Track, pixels: Pixels, size: tuple[int, int], shape: Shape) -> None:
        self._track = track
        self._source = track.source
        self._index = track.index
        self._size = size
        self._lock = ForkSafeLock()
        self._idle: list[Cursor] = []
        self._cached: dict[int, list[NDArray[Any]]] = {}
        self._broken: dict[int, tuple[str, int | None]] = {}
        self._closed = self._turn_told = False
        self.path = track.source.paths[0]
        self.pixels = pixels
        self._shown = shape
        _alive.add(self)

    @property
    def shape(self) -> Shape:
        """Lengths of T C Z Y X."""
        t, _, z, y, x = self._shown
        return (t, self.pixels.channel_count, z, y, x)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.pixels.dtype

    @property
    def chunks(self) -> Shape:
        """All that follows a key frame, as far as that is not very much."""
        gaps = np.diff(np.append(self._index.keys, self._index.pts.size))
        t, c, z, y, x = self.shape
        return (max(1, min(int(gaps.max()), _MOST_CHUNK, t)), c, z, y, x)

    # ---- decoders ---------------------------------------------------------------------------------------------------

    @contextmanager
    def _cursor(self, frame: int) -> Iterator[Cursor]:
        """A decoder, preferably one that stands before a frame; it is kept unless something failed."""
        with self._lock:
            if self._closed:
                raise ReadError("the recording is closed", path=self.path, hint="Open it again")
            near = [place for place, cursor in enumerate(self._idle) if cursor.reaches(frame)]
            cursor = self._idle.pop(near[-1]) if near else self._idle.pop(0) if self._full else None
        if cursor is None:
            cursor = Cursor(self._track)
        try:
            yield cursor
        except BaseException:
            cursor.close()
            raise
        with self._lock:
            kept = not self._closed and not self._full
            if kept:
                self._idle.append(cursor)
        if not kept:
            cursor.close()

    @property
    def _full(self) -> bool:
        return len(self._idle) >= _IDLE_CURSORS

    def let_go(self) -> None:
        """Drop the idle decoders."""
        with self._lock:
            idle, self._idle = self._idle, []
        for cursor in idle:
            cursor.close()

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self.let_go()
        self._cached.clear()
        self._source.close()

    # ---- frames -----------------------------------------------------------------------------------------------------

    def settle_palette(self, colored: Pixels) -> None:
        """Look at the first palette: one with colors makes three channels."""
        with self._cursor(0) as cursor:
            if not has_gray_palette(cursor.decode(0)):
                self.pixels = colored

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`.

        Raises
        ------
        DamagedData
            A frame does not decode.
        """
        t, c = (np.asarray(axis, np.int64) for axis in selection.axes[:2])
        if not out.size:
            return
        wanted, places = np.unique(t, return_inverse=True)
        rows_of: dict[int, list[int]] = {}
        for row, place in enumerate(places.tolist()):
            rows_of.setdefault(place, []).append(row)
        area = plane_area(selection)
        channels = list(enumerate(c.tolist()))
        for place, pixels in enumerate(self._frames(wanted.tolist())):
            for row in rows_of[place]:
                for channel, number in channels:
                    out[row, channel] = pixels[number][area]

    def _frames(self, wanted: list[int]) -> Iterator[list[NDArray[Any]]]:
        """The channels (Y, X) of frames in ascending order."""
        place = 0
        while place < len(wanted):
            cached = self._cached.get(wanted[place])
            if cached is not None and not self._closed:
                yield cached
                place += 1
                continue
            with self._cursor(wanted[place]) as cursor:
                while place < len(wanted):
                    pixels = self._decoded(cursor, wanted[place])
                    self._remember(wanted[place], pixels, len(wanted))
                    yield pixels
                    place += 1

    def _remember(self, frame: int, pixels: list[NDArray[Any]], count: int) -> None:
        nbytes = sum(channel.nbytes for channel in pixels)
        # who reads many at once does not come back for them
        if count > 1 or nbytes > _CACHED_BYTES:
            return
        copies = [channel.copy() for channel in pixels]
        with self._lock:
            self._cached[frame] = copies
            while len(self._cached) * nbytes > _CACHED_BYTES:
                self._cached.pop(next(iter(self._cached)))

    def _decoded(self, cursor: Cursor, frame: int) -> list[NDArray[Any]]:
        broken = self._broken.get(frame)
        if broken is not None:
            message, offset = broken
            raise DamagedData(message, path=self.path, offset=offset)
        try:
            return self._pixels(cursor, cursor.decode(frame), frame)
        except DamagedData:
            # several threads decode ahead: which packet failed shows only with one
            careful = Cursor(self._track, careful=True)
            try:
                return [channel.copy() for channel in self._pixels(careful, careful.decode(frame), frame)]
            except DamagedData as error:
                # not the error itself: its frames hold on to decoders
                self._broken[frame] = (error.message, error.offset)
                raise
            finally:
                careful.close()

    def _pixels(self, cursor: Cursor, decoded: Any, frame: int) -> list[NDArray[Any]]:
        require_like(self.pixels, decoded, self._size, self.path, frame)
        if not self._turn_told:
            self._turn_told = True
            if decoded.rotation:
                warn(f"{self.path}: players turn this video by {decoded.rotation} degrees; the pixels are as stored")
        height, width = self._shown[3:]
        return [channel[:height, :width] for channel in self.pixels.convert(decoded, cursor.scaler, self.path)]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """The frame's number in the file."""
        return {"file": np.zeros_like(t), "page": t}

    def prove(self) -> None:
        """The packets were all looked at."""


def _forget_all() -> None:
    for reader in list(_alive):
        reader.let_go()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
