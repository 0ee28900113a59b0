"""An output in the making: a file that can always go back to its last whole block.

The library that writes it is free to rewrite what it wrote before; libhdf5 does so all the time. So between two
commits, bytes beyond the committed length go straight to ``<name>.partial``, while changes to committed bytes are kept
aside. A commit syncs the file, appends a record with what was kept aside to ``<name>.journal``, syncs that, and only
then puts the kept bytes in place. Whatever moment a crash chooses, applying the journal's records in order and cutting
the file at the last one's length gives the state of the last commit, bit for bit.

A write that fails is remembered, and later ones only pretend: libhdf5 crashes the process when it sees an error in the
middle of its own bookkeeping. `check` and `commit` raise what was remembered.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any

from galvo.core import disk
from galvo.core.atomic import journal_path, partial_path, publish, write_error
from galvo.core.journal import Commit, Journal, encode_commit, encode_header
from galvo.errors import DamagedData, WriteError

__all__ = ["PartialFile"]

_PAGE = 4096


class PartialFile(io.RawIOBase):
    """A seekable file that becomes `final` when it is published.

    Make one with `create` or `resume`.

    Attributes
    ----------
    path : str
        Of the partial file.
    commits : list of Commit
        Without their patches, oldest first.
    """

    def __init__(self, final: str, descriptor: int, journal: int) -> None:
        super().__init__()
        self.path = partial_path(final)
        self.commits: list[Commit] = []
        self._final = final
        self._descriptor = descriptor
        self._journal = journal
        self._journal_length = 0
        self._failure: OSError | None = None
        self._position = 0
        self._length = 0
        self._committed = 0
        self._kept: dict[int, bytearray] = {}

    @classmethod
    def create(cls, final: str, header: dict[str, Any]) -> PartialFile:
        """A new output; what an earlier attempt left is replaced.

        Raises
        ------
        WriteError
            Another process writes this output, or the files cannot be made.
        """
        try:
            descriptor = _own(partial_path(final), final)
            try:
                disk.unlink(journal_path(final))
                file = cls(final, descriptor, disk.create(journal_path(final)))
            except BaseException:
                disk.close(descriptor)
                raise
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise write_error(error, final) from error
        file._append(encode_header(header))
        return file

    @classmethod
    def resume(cls, final: str, header: dict[str, Any]) -> PartialFile:
        """The output that an earlier attempt left, at its last commit; a new one where it left nothing that is whole.

        Raises
        ------
        WriteError
            It is another output's, another process writes it, or it cannot be written.
        DamagedData
            The file is not what its journal says.
        """
        descriptor = journal = -1
        try:
            descriptor = disk.reopen(partial_path(final))
            journal = disk.reopen(journal_path(final))
            if not disk.lock(descriptor):
                raise _busy(final)
            found = Journal.read(journal)
            if found is None or not found.commits:
                raise FileNotFoundError
            if found.header != header:
                raise WriteError(
                    "the partial output was begun from another source or with other options",
                    path=final,
                    hint="Start again without resume",
                )
            file = cls(final, descriptor, journal)
            file._restore(found)
        except BaseException as error:
            for opened in (descriptor, journal):
                if opened >= 0:
                    disk.close(opened)
            if isinstance(error, FileNotFoundError):
                return cls.create(final, header)
            if isinstance(error, OSError) and not isinstance(error, WriteError):
                raise write_error(error, final) from error
            raise
        return file

    def _restore(self, found: Journal) -> None:
        _apply(self._descriptor, found, self.path)
        disk.truncate(self._journal, found.length)
        self._journal_length = found.length
        self._length = self._committed = found.commits[-1].length
        self.commits = [Commit(one.block, one.checksum, one.length, ()) for one in found.commits]

    # ---- failures -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise write_error(self._failure, self._final) from self._failure

    def _remember(self, error: OSError) -> None:
        if self._failure is None:
            self._failure = error

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

    def tell(self) -> int:
        """Position of the next read or write."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._length}[whence]
        self._position = base + offset
        return self._position

    def write(self, data: Any) -> int:
        """Write at the position; after a failure, only pretend to."""
        view = memoryview(data).cast("B")
        start, stop = self._position, self._position + len(view)
        inside = max(0, min(stop, self._committed) - start)
        if self._failure is None:
            try:
                if inside:
                    self._keep(start, view[:inside])
                if inside < len(view):
                    disk.write_at(self._descriptor, start + inside, view[inside:])
            except OSError as error:
                self._remember(error)
        self._position = stop
        self._length = max(self._length, stop)
        return len(view)

    def _keep(self, start: int, data: memoryview) -> None:
        """Keep a change to committed bytes aside, page by page."""
        at = 0
        while at < len(data):
            number, within = divmod(start + at, _PAGE)
            page = self._kept.get(number)
            if page is None:
                nbytes = min(_PAGE, self._committed - number * _PAGE)
                page = bytearray(disk.read_at(self._descriptor, number * _PAGE, nbytes))
                page.extend(bytes(nbytes - len(page)))
                self._kept[number] = page
            part = data[at : at + _PAGE - within]
            page[within : within + len(part)] = part
            at += len(part)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position, with what was kept aside in place."""
        view = memoryview(buffer).cast("B")
        nbytes = max(0, min(len(view), self._length - self._position))
        data = bytearray(disk.read_at(self._descriptor, self._position, nbytes))
        # after a failure the file may be shorter than what its writer believes
        data.extend(bytes(nbytes - len(data)))
        for number in range(self._position // _PAGE, -(-(self._position + nbytes) // _PAGE)):
            page = self._kept.get(number)
            if page is not None:
                first = max(number * _PAGE, self._position)
                last = min(number * _PAGE + len(page), self._position + nbytes)
                if first < last:
                    content = page[first - number * _PAGE : last - number * _PAGE]
                    data[first - self._position : last - self._position] = content
        view[:nbytes] = data
        self._position += nbytes
        return nbytes

    def truncate(self, size: int | None = None) -> int:
        """Set the size; committed bytes go only with the next commit."""
        size = self._position if size is None else size
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
            The last block that is whole; -1: laid out.
        checksum : int
            CRC-32C of its pixels.

        Raises
        ------
        WriteError
            Something did not reach the disk.
        """
        self.check()
        patches = tuple((number * _PAGE, bytes(page)) for number, page in sorted(self._kept.items()))
        made = Commit(block, checksum, self._length, patches)
        try:
            disk.sync(self._descriptor)
            self._append(encode_commit(made))
            disk.sync(self._journal)
            if not self.commits:
                disk.sync_folder(self._final)
            self._put_in_place(made)
        except OSError as error:
            self._remember(error)
            self.check()
        self.commits.append(Commit(block, checksum, self._length, ()))

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

    def publish(self) -> None:
        """Sync, close, and take the final name."""
        self.check()
        try:
            for number, page in sorted(self._kept.items()):
                disk.write_at(self._descriptor, number * _PAGE, bytes(page))
            self._kept.clear()
            disk.truncate(self._descriptor, self._length)
            disk.sync(self._descriptor)
        except OSError as error:
            raise write_error(error, self._final) from error
        self.close()
        self.check()
        publish(self.path, self._final)
        with suppress(OSError):
            disk.unlink(journal_path(self._final))

    def close(self) -> None:
        """Close the partial file and its journal; they stay where they are."""
        if not self.closed:
            for descriptor in (self._descriptor, self._journal):
                try:
                    disk.close(descriptor)
                except OSError as error:
                    self._remember(error)
        super().close()

    def leave(self) -> bool:
        """Close; whether there is something to resume. Without a single whole block both files are removed."""
        self.close()
        if self.commits and self.commits[-1].block >= 0:
            return True
        for name in (self.path, journal_path(self._final)):
            with suppress(OSError):
                disk.unlink(name)
        return False


def _apply(descriptor: int, journal: Journal, path: str) -> None:
    """Put a partial file back to its last commit.

    Raises
    ------
    DamagedData
        The file is shorter than the journal says.
    """
    for commit in journal.commits:
        for offset, content in commit.patches:
            disk.write_at(descriptor, offset, content)
    length = journal.commits[-1].length
    if disk.size(descriptor) < length:
        raise DamagedData(
            "the partial output is shorter than its journal says",
            path=path,
            found=f"{disk.size(descriptor)} bytes",
            expected=f"{length} bytes",
            hint="Start again without resume",
        )
    disk.truncate(descriptor, length)
    disk.sync(descriptor)


def _own(path: str, final: str) -> int:
    """Descriptor of an empty file of that name that no other process writes."""
    for _ in range(8):
        try:
            descriptor = disk.create(path)
        except FileExistsError:
            descriptor = _seize(path, final)
            if descriptor < 0:
                continue
        if not disk.lock(descriptor):
            disk.close(descriptor)
            raise _busy(final)
        return descriptor
    raise _busy(final)


def _seize(path: str, final: str) -> int:
    """Descriptor of what an earlier attempt left, emptied; -1 where it was removed instead."""
    try:
        descriptor = disk.reopen(path)
    except OSError:
        # a link, a folder: never written through
        disk.unlink(path)
        return -1
    if not disk.lock(descriptor):
        disk.close(descriptor)
        raise _busy(final)
    status, named = os.fstat(descriptor), os.lstat(path)
    if status.st_nlink > 1 or (status.st_dev, status.st_ino) != (named.st_dev, named.st_ino):
        disk.unlink(path)
        disk.close(descriptor)
        return -1
    disk.truncate(descriptor, 0)
    return descriptor


def _busy(final: str) -> WriteError:
    return WriteError(
        "another process is writing this output", path=final, hint="Wait for it to end, or choose another name"
    )
