"""A file in the making: one that can always go back to its last commit.

The library that writes it is free to rewrite what it wrote before; libhdf5 does so all the time. So between two
commits, bytes beyond the committed length go straight to the file, while changes to committed bytes are kept aside.
`Output` brings the file to the disk, journals what was kept aside, and only then has it put in place. Whatever moment a
crash chooses, applying the journal's last record and cutting the file at its length gives the state of that commit, bit
for bit: what earlier records hold was synced before it.

A write that fails is remembered, and from then on the file is continued in memory: libhdf5 crashes the process when it
sees an error in the middle of its own bookkeeping, or reads back something else than it wrote. `check` raises what was
remembered.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import Any

from galvo.core import disk
from galvo.core.atomic import partial_path
from galvo.core.journal import FileState
from galvo.errors import DamagedData

__all__ = ["PartialFile"]

_PAGE = 4096
_PIECE_BYTES = 8 << 20
_CLOSED = -1


class PartialFile(io.RawIOBase):
    """A seekable file of an `Output`.

    Parameters
    ----------
    final : str
        The name that it will have; until then it is ``<final>.partial``.
    guard : RLock
        Held while it changes: a second Ctrl-C closes the output while the writing thread is at work.
    """

    def __init__(self, final: str, guard: threading.RLock) -> None:
        super().__init__()
        self.final = final
        self.path = partial_path(final)
        self._guard = guard
        self._descriptor = _CLOSED
        self._failure: Exception | None = None
        self._position = 0
        self._length = 0
        self._committed = 0
        self._kept: dict[int, bytearray] = {}
        self._started = 0
        self._is_synced = False

    def create(self) -> None:
        """Begin with nothing; what an earlier attempt left is replaced."""
        disk.unlink(self.path)
        self._descriptor = disk.create(self.path)

    def restore(self, state: FileState) -> None:
        """Go back to a state that was committed.

        Raises
        ------
        OSError
        DamagedData
            The file is not what its journal says.
        """
        self._descriptor = disk.reopen(self.path)
        nbytes = disk.size(self._descriptor)
        if nbytes < state.length:
            raise DamagedData(
                "the partial output is shorter than its journal says",
                path=self.path,
                found=f"{nbytes} bytes",
                expected=f"{state.length} bytes",
                hint="Start again without resume",
            )
        for offset, content in state.patches:
            disk.write_at(self._descriptor, offset, content)
        disk.truncate(self._descriptor, state.length)
        self.sync()
        self._length = self._committed = self._started = state.length

    # ---- failures -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def remember(self, error: Exception) -> None:
        """Take note of a failure, if it is the first."""
        if self._failure is None:
            # the frames hold on to memory of the library that writes
            self._failure = error.with_traceback(None)

    # ---- a file -------------------------------------------------------------------------------------------------

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def flush(self) -> None:
        """Nothing is buffered."""

    def tell(self) -> int:
        """Position of the next read or write."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = base + offset
        return self._position

    def write(self, data: Any) -> int:
        """Write at the position; after a failure, to memory."""
        view = memoryview(data).cast("B")
        start, stop = self._position, self._position + len(view)
        with self._guard:
            if self._failure is None:
                inside = max(0, min(stop, self._committed) - start)
                try:
                    self._keep(start, view[:inside])
                    self._append(start + inside, view[inside:])
                except (OSError, MemoryError) as error:
                    self.remember(error)
            if self._failure is not None:
                self._keep(start, view)
            self._position = stop
            self._length = max(self._length, stop)
        return len(view)

    def _append(self, start: int, data: memoryview) -> None:
        """Write behind what is committed, piece by piece: the disk begins before all is handed over."""
        for at in range(0, len(data), _PIECE_BYTES):
            piece = data[at : at + _PIECE_BYTES]
            self._is_synced = False
            disk.write_at(self._descriptor, start + at, piece)
            self._start_writing(start + at + len(piece), _PIECE_BYTES)

    def _start_writing(self, stop: int, least_bytes: int) -> None:
        """Have the system begin with what it has not begun with, if there is as much of it."""
        if stop - self._started >= least_bytes:
            disk.start_writing(self._descriptor, self._started, stop - self._started)
            self._started = stop

    def _keep(self, start: int, data: memoryview | bytes) -> None:
        """Keep a change aside, page by page."""
        at = 0
        while at < len(data):
            number, within = divmod(start + at, _PAGE)
            part = data[at : at + _PAGE - within]
            page = self._kept.setdefault(number, bytearray())
            whole = _PAGE if self._failure is not None else min(_PAGE, self._committed - number * _PAGE)
            if len(page) < whole:
                page += self._stored(number * _PAGE + len(page), whole - len(page))
            page[within : within + len(part)] = part
            at += len(part)

    def _stored(self, offset: int, nbytes: int) -> bytes:
        """Bytes of the partial file, zeros where it has none."""
        data = b""
        try:
            data = disk.read_at(self._descriptor, offset, nbytes)
        except OSError as error:
            self.remember(error)
        return data + bytes(nbytes - len(data))

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position, with what was kept aside in place, and with zeros behind the end."""
        view = memoryview(buffer).cast("B")
        with self._guard:
            start, stop = self._position, max(self._position, min(self._position + len(view), self._length))
            view[: stop - start] = self._stored(start, stop - start)
            for number in range(start // _PAGE, -(-stop // _PAGE)):
                page = self._kept.get(number)
                if page is None:
                    continue
                first, last = max(number * _PAGE, start), min(number * _PAGE + len(page), stop)
                if first < last:
                    view[first - start : last - start] = page[first - number * _PAGE : last - number * _PAGE]
            # libhdf5 takes the whole of its buffer for read
            view[stop - start :] = bytes(len(view) - (stop - start))
            self._position = stop
        return stop - start

    def truncate(self, size: int | None = None) -> int:
        """Set the size; committed bytes go only with the next commit."""
        size = self._position if size is None else size
        with self._guard:
            # zeros, should the file grow again before that
            kept_until = self._length if self._failure is not None else min(self._length, self._committed)
            if size < kept_until:
                self._keep(size, bytes(kept_until - size))
            if self._failure is None:
                try:
                    self._is_synced = False
                    disk.truncate(self._descriptor, max(size, self._committed))
                except OSError as error:
                    self.remember(error)
            self._length = size
        return size

    # ---- states that can be returned to -------------------------------------------------------------------------

    def state(self) -> FileState:
        """What a commit has to record."""
        patches = tuple(
            (number * _PAGE, bytes(page[: self._length - number * _PAGE]))
            for number, page in sorted(self._kept.items())
            if number * _PAGE < self._length
        )
        return FileState(self._length, disk.identity(self.path), patches)

    def start_sync(self) -> None:
        """Have the disk begin with what `sync` will wait for."""
        if not self._is_synced:
            self._start_writing(self._length, 1)

    def sync(self) -> None:
        """Bring what went to the file to the disk."""
        if not self._is_synced:
            disk.sync(self._descriptor)
            self._is_synced = True

    def put_in_place(self, state: FileState) -> None:
        """Make the changes of a state that is recorded."""
        for offset, content in state.patches:
            self._is_synced = False
            disk.write_at(self._descriptor, offset, content)
        if state.length < self._committed:
            self._is_synced = False
            disk.truncate(self._descriptor, state.length)
        self._committed = state.length
        self._kept.clear()

    def release(self) -> None:
        """Let go of the file on the disk."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            disk.close(descriptor)

    def close(self) -> None:
        """Close; what is on the disk stays."""
        with self._guard:
            with suppress(OSError):
                self.release()
            self._kept.clear()
            super().close()
