"""An output in the making: one file, several, or a folder of them, that can go back to the last whole block.

Everything is written beside its final name as ``<name>.partial``. A commit syncs what was written, appends a record to
``<final>.journal`` and syncs that; resuming goes back to the last record. When all is there, each file takes its final
name in one step.

The journal is the lock, too: who has it locked is the only one to touch the partial files, until they have their final
names.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from galvo.core import disk
from galvo.core.atomic import guard_destination, journal_path, partial_path, replaced_path, write_error
from galvo.core.journal import (
    COMPLETE,
    Commit,
    FileState,
    Journal,
    encode_commit,
    encode_header,
    lock_journal,
    own_journal,
)
from galvo.core.partial import PartialFile
from galvo.core.target import Target
from galvo.errors import DamagedData, GalvoError, WriteError

__all__ = ["Outlet", "Output", "another_source"]

_MADE = ".new"
_CLOSED = -1


class Outlet(Protocol):
    """What a sink writes to: an output, or one file of it."""

    @property
    def files(self) -> Sequence[PartialFile]:
        """In the order of the target's."""

    def check(self) -> None:
        """Raise the first failure, if there was one."""

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Write a whole file of a folder; one of that name is replaced in one step."""


class Output:
    """An output; it appears when it is published.

    Make one with `create` or `resume`.

    Parameters
    ----------
    target : Target
    overwrite : bool
        Whether what has the final names may be replaced.
    needed : int, optional
        Bytes that the output takes, to be told when the disk is full.

    Attributes
    ----------
    files : tuple of PartialFile
        In the order of the target's.
    commits : list of Commit
        Without their patches, oldest first.
    """

    def __init__(self, target: Target, overwrite: bool = False, needed: int | None = None) -> None:
        self.commits: list[Commit] = []
        self._target = target
        self._overwrite = overwrite
        self._needed = needed
        self._guard = threading.RLock()
        self.files = tuple(PartialFile(name, self._guard) for name in target.files)
        self._folder = None if target.files else partial_path(target.final)
        self._pending = list(target.places)
        self._added: list[str] = []
        self._journal = _CLOSED
        self._journal_length = 0
        self._published = False
        self._failure: Exception | None = None

    @classmethod
    def create(
        cls, target: Target, header: dict[str, Any], overwrite: bool = False, needed: int | None = None
    ) -> Output:
        """A new output; what an earlier attempt left is replaced.

        Raises
        ------
        WriteError
            Another process writes this output, or the files cannot be made.
        """
        output = cls(target, overwrite, needed)
        try:
            output._journal = own_journal(target.final)
            output._begin(header)
        except BaseException as error:
            output.leave()
            if isinstance(error, OSError) and not isinstance(error, GalvoError):
                raise write_error(error, target.final, needed) from error
            raise
        return output

    def _begin(self, header: dict[str, Any]) -> None:
        if disk.size(self._journal):
            # on the disk before the partial file changes: no power cut may join an old journal with a new file
            disk.truncate(self._journal, 0)
            disk.sync(self._journal)
        for file in self.files:
            file.create()
        if self._folder is not None:
            self._bring_back()
            self._remove_folder(self._folder)
            disk.create_folder(self._folder)
        self._append(encode_header(header))

    def _bring_back(self) -> None:
        """The folder that was to be replaced when the power went between its two renamings."""
        replaced = replaced_path(self._target.final)
        if os.path.isdir(replaced) and not os.path.lexists(self._target.final):
            disk.rename(replaced, self._target.final)

    @classmethod
    def resume(
        cls, target: Target, header: dict[str, Any], overwrite: bool = False, needed: int | None = None
    ) -> Output:
        """The output that an earlier attempt left, at its last commit; a new one where it left nothing that is whole.

        Raises
        ------
        WriteError
            It is another output's, another process writes it, or it cannot be written.
        DamagedData
            The files are not what their journal says.
        """
        output = cls(target, overwrite, needed)
        try:
            output._journal = lock_journal(target.final)
            found = Journal.read(output._journal)
            if found is None or not found.commits:
                raise FileNotFoundError
            if found.header != header:
                raise another_source(target.final)
            output._restore(found)
        except BaseException as error:
            output.close()
            if isinstance(error, FileNotFoundError):
                return cls.create(target, header, overwrite, needed)
            if isinstance(error, OSError) and not isinstance(error, GalvoError):
                raise write_error(error, target.final, needed) from error
            raise
        return output

    def _restore(self, found: Journal) -> None:
        """Go back to the last commit."""
        last = found.commits[-1]
        if len(last.files) != len(self._target.places):
            raise DamagedData("the journal is of another number of files", path=journal_path(self._target.final))
        # a process that was killed may have left the last record unsynced; what it changes must not come before it
        disk.truncate(self._journal, found.length)
        disk.sync(self._journal)
        self._journal_length = found.length
        for place, state in zip(self._target.places, last.files, strict=True):
            if os.path.lexists(partial_path(place)):
                continue
            # between the renaming of all files and the end of the journal
            published = last.block == COMPLETE and disk.identity(place) == state.identity
            if not published:
                raise FileNotFoundError
            self._pending.remove(place)
        for file, state in zip(self.files, last.files, strict=False):
            if file.final in self._pending:
                file.restore(state)
        self.commits = [_without_patches(commit) for commit in found.commits]

    # ---- failures -----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        try:
            for file in self.files:
                file.check()
            if self._failure is not None:
                raise self._failure
        except OSError as error:
            if isinstance(error, GalvoError):
                raise
            raise write_error(error, self._target.final, self._needed) from error

    # ---- states that can be returned to -------------------------------------------------------------------------

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Write a whole file of a folder; one of that name is replaced in one step."""
        path = os.path.join(self._folder or "", name)
        replaces = os.path.lexists(path)
        made = path + _MADE if replaces else path
        disk.unlink(made)
        descriptor = disk.create(made)
        try:
            disk.write_at(descriptor, 0, data)
            if replaces:
                # what it replaces may be committed
                disk.sync(descriptor)
            disk.start_writing(descriptor, 0, len(data))
        finally:
            disk.close(descriptor)
        if replaces:
            disk.rename(made, path)
        self._added.append(path)

    def commit(self, block: int, checksum: int, source_checksum: int | None = None) -> None:
        """Make the present content the state to return to.

        Parameters
        ----------
        block : int
            The last block that is whole; `journal.COMPLETE` where nothing comes behind it.
        checksum : int
            CRC-32C of its pixels.
        source_checksum : int, optional
            The same of the source, where it is another one.

        Raises
        ------
        WriteError
            Something did not reach the disk.
        """
        with self._guard:
            self.check()
            try:
                source = checksum if source_checksum is None else source_checksum
                made = Commit(block, checksum, source, self._states())
                self._sync()
                if not self.commits:
                    # before the first record: it must not meet older files of those names
                    self._sync_names()
                self._append(encode_commit(made))
                disk.sync(self._journal)
                self.commits.append(_without_patches(made))
                for file, state in zip(self.files, made.files, strict=False):
                    file.put_in_place(state)
            except (OSError, MemoryError) as error:
                self._failure = error.with_traceback(None)
            self.check()

    def _states(self) -> tuple[FileState, ...]:
        if self._folder is not None:
            return (FileState(0, disk.identity(self._folder)),)
        return tuple(file.state() for file in self.files)

    def _sync(self) -> None:
        for file in self.files[1:]:
            # with the first one: a file system's own journal then takes one turn, not one for each
            file.start_sync()
        for file in self.files:
            file.sync()
        for path in self._added:
            descriptor = disk.reopen(path)
            try:
                disk.sync(descriptor)
            finally:
                disk.close(descriptor)
        if self._added:
            disk.sync_folder(self._added[0])
        self._added.clear()

    def _sync_names(self) -> None:
        for place in {os.path.dirname(place): place for place in self._target.places}.values():
            disk.sync_folder(place)

    def _append(self, record: bytes) -> None:
        disk.write_at(self._journal, self._journal_length, record)
        self._journal_length += len(record)

    @property
    def complete(self) -> bool:
        """Whether nothing is left but to publish it."""
        return bool(self.commits) and self.commits[-1].block == COMPLETE

    def publish(self) -> None:
        """Take the final names, durably, and close.

        Raises
        ------
        WriteError
            Something did not reach the disk, or a final name cannot be had.
        """
        with self._guard:
            if not self.complete:
                # committed like a block: what it changes in place could not be undone otherwise
                self.commit(COMPLETE, 0)
            self.check()
            try:
                for place in self._pending:
                    # another writer may have been first, since this one looked before it began
                    guard_destination(place, (), self._overwrite, self._target.members)
                for file in self.files:
                    if file.final in self._pending:
                        file.sync()
                        # Windows renames no open file
                        file.release()
                for place in self._pending:
                    self._make_way(place)
                    disk.rename(partial_path(place), place)
                self._published = True
                self._sync_names()
                if self._folder is not None:
                    self._remove_folder(replaced_path(self._target.final))
            except OSError as error:
                if isinstance(error, GalvoError):
                    raise
                raise write_error(error, self._target.final, self._needed) from error
            self.leave()

    def _make_way(self, place: str) -> None:
        """Rename the folder that is replaced: no system renames over one that holds files."""
        if self._folder is not None and os.path.isdir(place):
            self._remove_folder(replaced_path(place))
            disk.rename(place, replaced_path(place))

    def _remove_folder(self, folder: str) -> None:
        """Remove a folder of such an output, and no other."""
        if os.path.isdir(folder):
            guard_destination(folder, (), True, self._target.members)
            disk.remove_folder(folder)

    def close(self) -> None:
        """Close all files; they stay where they are."""
        with self._guard:
            for file in self.files:
                file.close()
            journal, self._journal = self._journal, _CLOSED
            if journal != _CLOSED:
                with suppress(OSError):
                    disk.close(journal)

    def leave(self) -> bool:
        """Close; whether there is something to resume. Without a single whole block everything is removed."""
        with self._guard:
            keep = not self._published and bool(self.commits)
            if not keep and self._journal != _CLOSED:
                for file in self.files:
                    with suppress(OSError):
                        file.release()
                    if not self._published:
                        with suppress(OSError):
                            disk.unlink(file.path)
                if self._folder is not None and not self._published:
                    with suppress(OSError):
                        self._remove_folder(self._folder)
                journal, self._journal = self._journal, _CLOSED
                with suppress(OSError):
                    disk.remove(journal, journal_path(self._target.final))
            self.close()
        return keep


def another_source(final: str) -> WriteError:
    """What to say where resuming would mix two outputs."""
    return WriteError(
        "the partial output was begun from another source or with other options",
        path=final,
        hint="Start again without resume",
    )


def _without_patches(commit: Commit) -> Commit:
    files = tuple(FileState(file.length, file.identity) for file in commit.files)
    return Commit(commit.block, commit.checksum, commit.source_checksum, files)
