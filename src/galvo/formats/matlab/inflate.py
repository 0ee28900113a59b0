"""A deflated array by position.

Deflate has no places to begin at. So states of the decoder are kept along the way, at most `_CHECKPOINTS` for each
array (about 45 KB each), and reading goes on from the nearest one before: the first pass costs inflating what lies
before, later ones at most a `_CHECKPOINTS`-th of the array.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

from galvo.core.lock import ForkSafeLock
from galvo.core.source import FileSource
from galvo.errors import DamagedData, GalvoError, Malformed, Truncated

__all__ = ["Inflated"]

# RFC 1951: 258 bytes take at least 2 bits
_EXPANSION = 1032
_CHECKPOINTS = 128
_SPACING_BYTES = 1 << 20
_FIRST_INPUT_BYTES = 1 << 10
_INPUT_BYTES = 128 << 10
_OUTPUT_BYTES = 512 << 10
_IDLE = 2


@dataclass(slots=True, eq=False)
class _Cursor:
    """A decoder on its way: where it is in what comes out, and in what goes in."""

    decoder: Any
    position: int = 0
    taken: int = 0
    tail: bytes = b""

    def copy(self) -> _Cursor:
        # without the tail, which is read again
        return _Cursor(self.decoder.copy(), self.position, self.taken - len(self.tail))


class Inflated:
    """The content of a zlib stream that lies in a file.

    Parameters
    ----------
    source : FileSource
    start, nbytes : int
        Where the stream lies.
    """

    def __init__(self, source: FileSource, start: int, nbytes: int) -> None:
        self._source = source
        self._start = start
        self._nbytes = nbytes
        self._whole: int | None = None
        self._spacing = _SPACING_BYTES
        self._lock = ForkSafeLock()
        self._idle: list[_Cursor] = []
        self._checkpoints: dict[int, _Cursor] = {}
        self._damage: GalvoError | None = None

    def forward_only(self) -> bool:
        """True."""
        return True

    def expect(self, whole: int, cut: bool = False) -> None:
        """Tell how many bytes there must be in all, where the stream was not cut off.

        Raises
        ------
        Malformed
            More than the stream could hold.
        """
        if whole > self._nbytes * _EXPANSION and not cut:
            raise Malformed(
                "a deflated array is too small for what it claims",
                path=self._source.paths[0],
                offset=self._start,
                found=f"{self._nbytes} bytes",
                expected=f"{whole} bytes inflated",
            )
        self._whole = whole
        self._spacing = max(_SPACING_BYTES, min(whole, self._nbytes * _EXPANSION) // _CHECKPOINTS)

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly these inflated bytes.

        Raises
        ------
        DamagedData
            The stream does not inflate, or its checksum, which is met where its end is read, does not match.
        Truncated
            It ends too early.
        """
        if self._damage is not None:
            raise self._damage
        cursor = self._take(offset)
        try:
            while cursor.position < offset:
                self._step(cursor, min(_OUTPUT_BYTES, offset - cursor.position))
            pieces, missing = [], nbytes
            while missing:
                piece = self._step(cursor, min(_OUTPUT_BYTES, missing))
                pieces.append(piece)
                missing -= len(piece)
            if self._whole is not None and cursor.position + 8 > self._whole:
                self._finish(cursor)
        except DamagedData as error:
            self._damage = error.with_traceback(None)
            raise
        self._give_back(cursor)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _take(self, offset: int) -> _Cursor:
        # a cursor belongs to one thread while it moves, and a fork meets only those that rest
        with self._lock:
            resting = [cursor for cursor in self._idle if cursor.position <= offset]
            best = max(resting, key=lambda cursor: cursor.position, default=None)
            before = [number for number in self._checkpoints if self._checkpoints[number].position <= offset]
            kept = self._checkpoints[max(before)] if before else None
            if best is not None and (kept is None or best.position >= kept.position):
                self._idle.remove(best)
                return best
            return _Cursor(zlib.decompressobj()) if kept is None else kept.copy()

    def _give_back(self, cursor: _Cursor) -> None:
        with self._lock:
            self._idle = [*self._idle[-_IDLE + 1 :], cursor]

    def _step(self, cursor: _Cursor, most: int) -> bytes:
        """The next bytes, at most `most`, at least one."""
        piece = b""
        while not piece:
            data = cursor.tail
            if not data and cursor.taken < self._nbytes and not cursor.decoder.eof:
                size = _INPUT_BYTES if cursor.taken else _FIRST_INPUT_BYTES
                data = self._source.read(0, self._start + cursor.taken, min(size, self._nbytes - cursor.taken))
                cursor.taken += len(data)
            if cursor.decoder.eof:
                raise self._error(DamagedData, "a deflated array ends too early", cursor)
            try:
                piece = cursor.decoder.decompress(data, most)
            except zlib.error as error:
                raise self._error(DamagedData, f"a deflated array does not inflate ({error})", cursor) from error
            cursor.tail = cursor.decoder.unconsumed_tail
            if not piece and not data and not cursor.decoder.eof:
                raise self._error(Truncated, "a deflated array is cut off", cursor)
        cursor.position += len(piece)
        number = cursor.position // self._spacing
        if number and self._whole and number not in self._checkpoints and not cursor.decoder.eof:
            kept = cursor.copy()
            with self._lock:
                self._checkpoints.setdefault(number, kept)
        return piece

    def _finish(self, cursor: _Cursor) -> None:
        """Read what pads the array, and the checksum."""
        while not cursor.decoder.eof:
            try:
                self._step(cursor, _OUTPUT_BYTES)
            except DamagedData:
                # nothing came out of the last step, and that is the end
                if cursor.decoder.eof and cursor.position == self._whole:
                    break
                raise
            if self._whole is not None and cursor.position > self._whole:
                break
        if cursor.position != self._whole:
            raise self._error(DamagedData, f"a deflated array holds {cursor.position} bytes, not {self._whole}", cursor)

    def _error(self, kind: type[GalvoError], message: str, cursor: _Cursor) -> GalvoError:
        return kind(message, path=self._source.paths[0], offset=self._start + cursor.taken - len(cursor.tail))
