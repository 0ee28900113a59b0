"""Positioned reads over one or several files. Nothing else in galvo opens a file for reading bytes.

A read names its offset, so any number of threads, and processes after a fork, share one descriptor
without a seek pointer to fight over. Descriptors are opened on first use and the last `_OPEN_FILES` are kept;
others close when their last read ends, and are opened again when they are needed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from galvo import native
from galvo.core.lock import ForkSafeLock
from galvo.errors import LimitExceeded, NotFound, OptionError, ReadError, Truncated

__all__ = ["FileSource", "file_size", "opening_source", "path_name", "read_file", "read_prefix"]

_OPEN_FILES = 64
_FLAGS = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}


def _open(path: str) -> int:
    try:
        return os.open(path, _FLAGS)
    except FileNotFoundError:
        raise NotFound("no such file", path=path) from None
    except OSError as error:
        raise ReadError(error.strerror or "cannot be opened", path=path) from error


def path_name(item: Any) -> str:
    """The path that a caller gave, as text, ``~`` expanded.

    Raises
    ------
    OptionError
        It is no path, or no system takes it.
    """
    try:
        text = os.fsdecode(item)
    except TypeError:
        raise OptionError("not a path", found=type(item).__name__, expected="a str or a pathlib.Path") from None
    if "\0" in text:
        raise OptionError("a path cannot hold a NUL character", found=repr(text))
    return os.path.expanduser(text)


def file_size(path: str) -> int:
    """Size of a file in bytes."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise NotFound("no such file", path=path) from None
    except OSError as error:
        raise ReadError(error.strerror or "cannot be examined", path=path) from error
    if not stat.S_ISREG(status.st_mode):
        # a pipe would block the first open for ever
        raise ReadError("not a regular file", path=path, found=_KINDS.get(stat.S_IFMT(status.st_mode), "a device"))
    return status.st_size


def read_prefix(path: str, nbytes: int) -> bytes:
    """Up to `nbytes` bytes from the beginning of a file."""
    source = FileSource([path])
    try:
        return source.read_upto(0, 0, nbytes)
    finally:
        source.close()


def read_file(path: str, most_bytes: int) -> bytes:
    """A whole file, which may not be larger than `most_bytes`."""
    source = FileSource([path])
    nbytes = source.size(0)
    if nbytes > most_bytes:
        raise LimitExceeded("larger than such a file may be", path=path, found=nbytes, expected=f"at most {most_bytes}")
    try:
        return source.read(0, 0, nbytes)
    finally:
        source.close()


@contextmanager
def opening_source(paths: Sequence[str]) -> Iterator[FileSource]:
    """A source for a recording that is being opened: it stays open, unless that fails."""
    source = FileSource(paths)
    try:
        yield source
    except BaseException:
        source.close()
        raise


class FileSource:
    """Several files, read at positions.

    Parameters
    ----------
    paths : sequence of str

    Attributes
    ----------
    paths : tuple of str
    sizes : tuple of int
        Bytes of each file when it was first seen; a file that has another size later is refused.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._lock = ForkSafeLock()
        self._open: dict[int, native.Descriptor] = {}
        self._closed = False
        self.sizes = tuple(file_size(path) for path in self.paths)

    def size(self, file: int) -> int:
        """Bytes of file number `file`."""
        return self.sizes[file]

    @contextmanager
    def lease(self, files: Iterable[int]) -> Iterator[dict[int, int]]:
        """Descriptors of `files`, which stay open inside the `with`."""
        held: list[native.Descriptor] = []
        try:
            wanted = sorted(set(files))
            held.extend(map(self.take, wanted))
            yield {file: descriptor.number for file, descriptor in zip(wanted, held, strict=True)}
        finally:
            # an error that is on its way keeps this list
            held.clear()

    def take(self, file: int) -> native.Descriptor:
        """A descriptor of one file, open as long as somebody holds it."""
        known = self._open.get(file)
        if known is not None:
            return known
        with self._lock.current:
            if self._closed:
                raise ReadError("the recording is closed", path=self.paths[file], hint="Open it again")
            if file in self._open:
                return self._open[file]
            descriptor = native.Descriptor(_open(self.paths[file]))
            size = os.fstat(descriptor.number).st_size
            if size != self.sizes[file]:
                raise ReadError(
                    "the file changed after it was opened",
                    path=self.paths[file],
                    found=f"{size} bytes",
                    expected=f"{self.sizes[file]} bytes",
                    hint="Open the recording again once nothing writes to it",
                )
            self._open[file] = descriptor
            if len(self._open) > _OPEN_FILES:
                del self._open[next(iter(self._open))]
            return descriptor

    def read_upto(self, file: int, offset: int, nbytes: int) -> bytes:
        """The bytes at `offset`, fewer than `nbytes` where the file ends."""
        available = max(0, min(nbytes, self.sizes[file] - offset))
        if offset < 0 or available == 0:
            # offsets from a file may be wider than any system takes
            return b""
        descriptor = self.take(file)
        try:
            return native.read_at(descriptor.number, offset, available)
        except OSError as error:
            raise ReadError(error.strerror or "cannot be read", path=self.paths[file], offset=offset) from error
        finally:
            # an error that is on its way keeps this frame
            del descriptor

    def read(self, file: int, offset: int, nbytes: int) -> bytes:
        """Exactly `nbytes` bytes at `offset`, or `Truncated`."""
        data = self.read_upto(file, offset, nbytes)
        if len(data) != nbytes:
            raise Truncated(
                "the file ends too early",
                path=self.paths[file],
                offset=offset,
                found=f"{len(data)} bytes",
                expected=f"{nbytes} bytes",
            )
        return data

    def close(self) -> None:
        """Close every descriptor; those in use close when their read ends."""
        with self._lock:
            self._closed = True
            self._open.clear()
