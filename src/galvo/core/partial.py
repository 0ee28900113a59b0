"""An output in the making: a file that can always go back to its last whole block.

The library that writes it is free to rewrite what it wrote before; libhdf5 does so all the time. So between two
commits, bytes beyond the committed length go straight to ``<name>.partial``, while changes to committed bytes are kept
aside. A commit syncs the file, appends a record with what was kept aside to ``<name>.journal``, syncs that, and only
then puts the kept bytes in place. Whatever moment a crash chooses, applying the journal's last record and cutting the
file at its length gives the state of that commit, bit for bit: what earlier records hold was synced before it.

The journal is the lock, too: who has it locked is the only one to touch the partial file, until that has its final
name.

A write that fails is remembered, and from then on the file is continued in memory: libhdf5 crashes the process when it
sees an error in the middle of its own bookkeeping, or reads back something else than it wrote. `check` and `commit`
raise what was remembered.
"""

from __future__ import annotations

import io
import os
import threading
from contextlib import suppress
from typing import Any

from galvo.core import disk
from galvo.core.atomic import journal_path, partial_path, write_error
from galvo.core.journal import COMPLETE, Commit, Journal, encode_commit, encode_header
from galvo.errors import DamagedData, GalvoError, WriteError

__all__ = ["PartialFile"]

_PAGE = 4096
_STARTED_BYTES = 8 << 20
_ATTEMPTS = 8
_CLOSED = -1


class PartialFile(io.RawIOBase):
    """A seekable file that becomes `final` when it is published.

    Make one with `create` or `resume`.

    Parameters
    ----------
    final : str
    needed : int, optional
        Bytes that the output takes, to be told when the disk is full.

    Attributes
    ----------
    path : str
        Of the partial file.
    commits : list of Commit
        Without their patches, oldest first.
    """

    def __init__(self, final: str, needed: int | None = None) -> None:
        super().__init__()
        self.path = partial_path(final)
        self.commits: list[Commit] = []
        self._final = final
        self._needed = needed
        self._descriptor = _CLOSED
        self._journal = _CLOSED
        self._journal_length = 0
        self._published = False
        self._failure: Exception | None = None
        self._position = 0
        self._length = 0
        self._committed = 0
        self._kept: dict[int, bytearray] = {}
        self._started = 0
        # a second Ctrl-C closes the file while the writing thread is at work
        self._guard = threading.RLock()

    @classmethod
    def create(cls, final: str, header: dict[str, Any], needed: int | None = None) -> PartialFile:
        """A new output; what an earlier attempt left is replaced.

        Raises
        ------
        WriteError
            Another process writes this output, or the files cannot be made.
        """
        file = cls(final, needed)
        try:
            file._journal = _own_journal(final)
            file._begin(header)
        except BaseException as error:
            file.leave()
            if isinstance(error, OSError) and not isinstance(error, GalvoError):
                raise write_error(error, final, needed) from error
            raise
        return file

    def _begin(self, header: dict[str, Any]) -> None:
        if disk.size(self._journal):
            # on the disk before the partial file changes: no power cut may join an old journal with a new file
            disk.truncate(self._journal, 0)
            disk.sync(self._journal)
        disk.unlink(self.path)
        self._descriptor = disk.create(self.path)
        self._append(encode_header(header))

    @classmethod
    def resume(cls, final: str, header: dict[str, Any], needed: int | None = None) -> PartialFile:
        """The output that an earlier attempt left, at its last commit; a new one where it left nothing that is whole.

        Raises
        ------
        WriteError
            It is another output's, another process writes it, or it cannot be written.
        DamagedData
            The file is not what its journal says.
        """
        file = cls(final, needed)
        try:
            file._journal = _lock_journal(final)
            found = Journal.read(file._journal)
            if found is None or not found.commits:
                raise FileNotFoundError
            if found.header != header:
                raise WriteError(
                    "the partial output was begun from another source or with other options",
                    path=final,
                    hint="Start again without resume",
                )
            file._descriptor = disk.reopen(file.path)
            file._restore(found)
        except BaseException as error:
            file.close()
            if isinstance(error, FileNotFoundError):
                return cls.create(final, header, needed)
            if isinstance(error, OSError) and not isinstance(error, GalvoError):
                raise write_error(error, final, needed) from error
            raise
        return file

    def _restore(self, found: Journal) -> None:
        """Go back to the last commit."""
        last = found.commits[-1]
        nbytes = disk.size(self._descriptor)
        if nbytes < last.length:
            raise DamagedData(
                "the partial output is shorter than its journal says",
                path=self.path,
                found=f"{nbytes} bytes",
                expected=f"{last.length} bytes",
                hint="Start again without resume",
            )
        # a process that was killed may have left the last record unsynced; what it changes must not come before it
        disk.truncate(self._journal, found.length)
        disk.sync(self._journal)
        for offset, content in last.patches:
            disk.write_at(self._descriptor, offset, content)
        disk.truncate(self._descriptor, last.length)
        disk.sync(self._descriptor)
        self._journal_length = found.length
        self._length = self._committed = self._started = last.length
        self.commits = [Commit(one.block, one.checksum, one.length, ()) for one in found.commits]

    # ---- failures -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if isinstance(self._failure, OSError):
            raise write_error(self._failure, self._final, self._needed) from self._failure
        if self._failure is not None:
            raise self._failure

    def _remember(self, error: Exception) -> None:
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
                    if inside < len(view):
                        disk.write_at(self._descriptor, start + inside, view[inside:])
                        self._start_writing(stop)
                except (OSError, MemoryError) as error:
                    self._remember(error)
            if self._failure is not None:
                self._keep(start, view)
            self._position = stop
            self._length = max(self._length, stop)
        return len(view)

    def _start_writing(self, stop: int) -> None:
        """Have what was appended written out piece by piece, so that the next commit need not wait for all of it."""
        if stop - self._started >= _STARTED_BYTES:
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
            self._remember(error)
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
                    disk.truncate(self._descriptor, max(size, self._committed))
                except OSError as error:
                    self._remember(error)
            self._length = size
        return size

    # ---- states that can be returned to -------------------------------------------------------------------------

    def commit(self, block: int, checksum: int) -> None:
        """Make the present content the state to return to.

        Parameters
        ----------
        block : int
            The last block that is whole, or `journal.LAID_OUT`.
        checksum : int
            CRC-32C of its pixels.

        Raises
        ------
        WriteError
            Something did not reach the disk.
        """
        with self._guard:
            self.check()
            patches = tuple(
                (number * _PAGE, bytes(page[: self._length - number * _PAGE]))
                for number, page in sorted(self._kept.items())
                if number * _PAGE < self._length
            )
            made = Commit(block, checksum, self._length, patches)
            try:
                disk.sync(self._descriptor)
                if not self.commits:
                    # before the first record: it must not meet an older file of that name
                    disk.sync_folder(self._final)
                self._append(encode_commit(made))
                disk.sync(self._journal)
                self.commits.append(Commit(block, checksum, self._length, ()))
                self._put_in_place(made)
            except (OSError, MemoryError) as error:
                self._remember(error)
            self.check()

    def _append(self, record: bytes) -> None:
        disk.write_at(self._journal, self._journal_length, record)
        self._journal_length += len(record)

    def _put_in_place(self, commit: Commit) -> None:
        for offset, content in commit.patches:
            disk.write_at(self._descriptor, offset, content)
        if commit.length < self._committed:
            disk.truncate(self._descriptor, commit.length)
        self._committed = commit.length
        self._kept.clear()

    @property
    def complete(self) -> bool:
        """Whether nothing is left but to publish it."""
        return bool(self.commits) and self.commits[-1].block == COMPLETE

    def publish(self) -> None:
        """Take the final name, durably, and close.

        Raises
        ------
        WriteError
            Something did not reach the disk, or the final name cannot be had.
        """
        with self._guard:
            if not self.complete:
                # committed like a block: what it changes in place could not be undone otherwise
                self.commit(COMPLETE, 0)
            self.check()
            try:
                disk.sync(self._descriptor)
                # Windows renames no open file
                self._close_partial()
                disk.rename(self.path, self._final)
                self._published = True
                disk.sync_folder(self._final)
            except OSError as error:
                raise write_error(error, self._final, self._needed) from error
            self.leave()

    def _close_partial(self) -> None:
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            disk.close(descriptor)

    def close(self) -> None:
        """Close the partial file and its journal; they stay where they are."""
        with self._guard:
            with suppress(OSError):
                self._close_partial()
            journal, self._journal = self._journal, _CLOSED
            if journal != _CLOSED:
                with suppress(OSError):
                    disk.close(journal)
            self._kept.clear()
            super().close()

    def leave(self) -> bool:
        """Close; whether there is something to resume. Without a single whole block both files are removed."""
        with self._guard:
            keep = not self._published and bool(self.commits) and self.commits[-1].block >= 0
            if not keep and self._journal != _CLOSED:
                with suppress(OSError):
                    self._close_partial()
                if not self._published:
                    with suppress(OSError):
                        disk.unlink(self.path)
                journal, self._journal = self._journal, _CLOSED
                with suppress(OSError):
                    disk.remove(journal, journal_path(self._final))
            self.close()
        return keep


def _own_journal(final: str) -> int:
    """Descriptor of the journal, locked; made where there is none."""
    path = journal_path(final)
    for _ in range(_ATTEMPTS):
        try:
            return _locked(disk.create(path), final)
        except FileExistsError:
            pass
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(os.path.abspath(final))):
                raise
            continue
        with suppress(FileNotFoundError):
            return _lock_journal(final)
    raise _busy(final)


def _lock_journal(final: str) -> int:
    """Descriptor of the journal, locked; FileNotFoundError where there is none, or where it went meanwhile."""
    path = journal_path(final)
    try:
        descriptor = disk.reopen(path)
    except FileNotFoundError:
        raise
    except OSError:
        if disk.is_regular(path):
            raise
        # a link or a pipe: never written through
        disk.unlink(path)
        raise FileNotFoundError from None
    return _locked(descriptor, final)


def _locked(descriptor: int, final: str) -> int:
    path = journal_path(final)
    try:
        if not disk.lock(descriptor):
            raise _busy(final)
        if not disk.is_only_name(descriptor, path):
            if os.fstat(descriptor).st_nlink > 1:
                disk.unlink(path)
            raise FileNotFoundError
    except BaseException:
        disk.close(descriptor)
        raise
    return descriptor


def _busy(final: str) -> WriteError:
    return WriteError(
        "another process is writing this output", path=final, hint="Wait for it to end, or choose another name"
    )
