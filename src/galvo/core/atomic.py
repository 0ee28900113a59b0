"""The only place that opens a file for writing, and the only one that gives a file its final name.

An output is written as ``<name>.partial`` beside its final path, synced, and renamed; so at any moment the final path
is absent, or the old complete file, or the new complete one. (ALICE, OSDI 2014: a rename before the data are on the
disk is the classic way to lose both.)
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from galvo.errors import GalvoError, NoSpace, WriteError

__all__ = ["PartialFile", "guard_destination", "partial_path", "publish", "write_error"]

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def partial_path(final: str) -> str:
    """Where an output lives until it is complete."""
    return final + ".partial"


def write_error(error: OSError, path: str, needed: int | None = None) -> GalvoError:
    """The galvo error for a failed write."""
    if error.errno in _FULL:
        free = _free_bytes(path)
        return NoSpace(
            "the disk is full",
            path=path,
            found=None if free is None else f"{free} bytes free",
            expected=None if needed is None else f"{needed} bytes",
            hint="Nothing was published; the input is untouched",
        )
    return WriteError(error.strerror or str(error), path=path)


def _free_bytes(path: str) -> int | None:
    import shutil

    try:
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    except OSError:
        return None


def _same_file(one: str, other: str) -> bool:
    """Whether two names lead to one file, through links and other spellings too."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


def guard_destination(final: str, sources: Sequence[str], overwrite: bool) -> None:
    """Refuse an output that would destroy something.

    Raises
    ------
    WriteError
        The output is one of the inputs, exists without `overwrite`, is a folder, or its folder does not exist.
    """
    for source in sources:
        for name in (final, partial_path(final)):
            if _same_file(name, source):
                raise WriteError("the output is an input", path=final, found=source, hint="Choose another name")
    parent = os.path.dirname(os.path.abspath(final))
    if os.path.isdir(final):
        raise WriteError("the output is a folder", path=final, hint="Give a file name inside it")
    if not os.path.isdir(parent):
        raise WriteError("the folder of the output does not exist", path=final, hint=f"Create {parent} first")
    if os.path.lexists(final) and not overwrite:
        raise WriteError("the output exists", path=final, hint="Use overwrite=True (--overwrite) to replace it")


def publish(partial: str, final: str) -> None:
    """Give a complete and synced partial file its final name, durably.

    Raises
    ------
    WriteError
        The rename or the sync of the folder failed.
    """
    try:
        os.replace(partial, final)
        _sync_folder(os.path.dirname(os.path.abspath(final)))
    except OSError as error:
        raise write_error(error, final) from error


def _sync_folder(folder: str) -> None:
    if sys.platform == "win32":
        # NTFS journals the rename; Windows has no descriptor of a folder to sync
        return
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(descriptor: int) -> None:
    if sys.platform == "darwin":
        # plain fsync leaves the data in the drive's cache on macOS
        import fcntl

        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


class PartialFile(io.RawIOBase):
    """An output in the making: a seekable file that remembers its first error.

    A library that writes through it (HDF5) must never see an error in the middle of its own bookkeeping, where it may
    crash the process; so after a failure writes are accepted and dropped, and `check` raises the failure.

    Parameters
    ----------
    final : str
        The path that the output will have; the file is created beside it.

    Attributes
    ----------
    path : str
        Of the partial file.
    """

    def __init__(self, final: str) -> None:
        super().__init__()
        self.path = partial_path(final)
        self._final = final
        self._failure: OSError | None = None
        self._position = 0
        try:
            # a stale one may be a link that leads elsewhere
            with suppress(FileNotFoundError):
                os.unlink(self.path)
            self._descriptor = os.open(self.path, _FLAGS, 0o666)
        except OSError as error:
            raise write_error(error, final) from error

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise write_error(self._failure, self._final) from self._failure

    def _remember(self, error: OSError) -> None:
        if self._failure is None:
            self._failure = error

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
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if base is None:
            base = os.fstat(self._descriptor).st_size
        self._position = base + offset
        return self._position

    def write(self, data: Any) -> int:
        """Write at the position; after a failure, only pretend to."""
        view = memoryview(data).cast("B")
        done = 0
        if self._failure is None:
            try:
                os.lseek(self._descriptor, self._position, os.SEEK_SET)
                while done < len(view):
                    done += os.write(self._descriptor, view[done:])
            except OSError as error:
                self._remember(error)
        self._position += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the position."""
        view = memoryview(buffer).cast("B")
        os.lseek(self._descriptor, self._position, os.SEEK_SET)
        data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def truncate(self, size: int | None = None) -> int:
        """Set the size."""
        size = self._position if size is None else size
        if self._failure is None:
            try:
                os.ftruncate(self._descriptor, size)
            except OSError as error:
                self._remember(error)
        return size

    def sync(self) -> None:
        """Bring everything to the disk."""
        if self._failure is None:
            try:
                _sync_file(self._descriptor)
            except OSError as error:
                self._remember(error)
        self.check()

    def close(self) -> None:
        """Close the partial file; it stays where it is until it is published."""
        if not self.closed:
            try:
                os.close(self._descriptor)
            except OSError as error:
                self._remember(error)
        super().close()

    def publish(self) -> None:
        """Sync, close, and take the final name."""
        self.sync()
        self.close()
        self.check()
        publish(self.path, self._final)

    def discard(self) -> None:
        """Close and remove the partial file."""
        self.close()
        with suppress(OSError):
            Path(self.path).unlink()
