"""The system calls that change files: one thin function each, so that faults can be injected in one place."""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = [
    "close",
    "create",
    "create_folder",
    "free_bytes",
    "identity",
    "is_only_name",
    "is_regular",
    "lock",
    "nbytes_of",
    "read_at",
    "remove",
    "remove_folder",
    "rename",
    "reopen",
    "size",
    "start_writing",
    "sync",
    "sync_folder",
    "truncate",
    "unlink",
    "write_at",
]

_BASE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
# far behind any byte that is written: locks on Windows are mandatory
_LOCKED_BYTE = 1 << 62
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL}
# some network file systems do not sync folders and answer so
_NO_FOLDER_SYNC = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES}


def create(path: str) -> int:
    """Descriptor of a new file; a link or another file of that name is an error."""
    return os.open(path, _BASE | os.O_CREAT | os.O_EXCL, 0o666)


def reopen(path: str) -> int:
    """Descriptor of an existing regular file, not followed through a link."""
    # a pipe of that name would wait for its other end
    descriptor = os.open(path, _BASE | getattr(os, "O_NONBLOCK", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return descriptor


def is_regular(path: str) -> bool:
    """Whether a name is that of a file, and not a link, a pipe or a folder."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def is_only_name(descriptor: int, path: str) -> bool:
    """Whether an open file is the one that has this name, and has no other."""
    try:
        named = os.lstat(path)
    except FileNotFoundError:
        return False
    status = os.fstat(descriptor)
    return status.st_nlink == 1 and (status.st_dev, status.st_ino) == (named.st_dev, named.st_ino)


def lock(descriptor: int) -> bool:
    """Whether this descriptor is now the only one that has the file; the system releases it with the descriptor."""
    try:
        if sys.platform == "win32":
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def size(descriptor: int) -> int:
    """Bytes of an open file."""
    return os.fstat(descriptor).st_size


def identity(path: str) -> int:
    """What the system knows a file or folder by, whatever its name; 0 where there is none."""
    try:
        return os.lstat(path).st_ino
    except OSError:
        return 0


def nbytes_of(path: str) -> int:
    """Bytes of a file, or of the files in a folder; 0 where there is none."""
    with suppress(OSError):
        if os.path.isdir(path):
            return sum(entry.stat().st_size for entry in os.scandir(path))
        return os.path.getsize(path)
    return 0


def write_at(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at `offset`."""
    view = memoryview(data)
    os.lseek(descriptor, offset, os.SEEK_SET)
    while len(view):
        done = os.write(descriptor, view)
        if done <= 0:
            raise OSError(errno.EIO, "nothing was written")
        view = view[done:]


def read_at(descriptor: int, offset: int, nbytes: int) -> bytes:
    """Up to `nbytes` bytes at `offset`."""
    os.lseek(descriptor, offset, os.SEEK_SET)
    parts = []
    while nbytes > 0:
        part = os.read(descriptor, nbytes)
        if not part:
            break
        parts.append(part)
        nbytes -= len(part)
    return b"".join(parts)


def start_writing(descriptor: int, offset: int, nbytes: int) -> None:
    """Let the system begin to write bytes out, without waiting; a hint that only Linux takes.

    A sync then finds most of its work done: it goes on beside the next writes instead of behind them.
    """
    if sys.platform == "linux":
        with suppress(OSError):
            os.posix_fadvise(descriptor, offset, nbytes, os.POSIX_FADV_DONTNEED)


def truncate(descriptor: int, nbytes: int) -> None:
    """Set the size of an open file."""
    os.ftruncate(descriptor, nbytes)


def sync(descriptor: int) -> None:
    """Bring a file's bytes to the disk."""
    if sys.platform == "darwin":
        # plain fsync leaves the data in the drive's cache on macOS
        with suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_folder(path: str) -> None:
    """Bring the names in the folder of `path` to the disk."""
    if sys.platform == "win32":
        # NTFS journals names; Windows has no descriptor of a folder to sync
        return
    descriptor = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(descriptor)


def rename(old: str, new: str) -> None:
    """Give a file another name in one step, replacing what has it."""
    os.replace(old, new)


def unlink(path: str) -> None:
    """Remove a name, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def remove(descriptor: int, path: str) -> None:
    """Close a locked file and remove its name, before anyone else can lock it where the system allows that."""
    if sys.platform == "win32":
        os.close(descriptor)
        unlink(path)
        return
    try:
        unlink(path)
    finally:
        os.close(descriptor)


def create_folder(path: str) -> None:
    """Make a folder that does not exist."""
    os.mkdir(path)


def remove_folder(path: str) -> None:
    """Remove a folder with the files in it, if it is there."""
    with suppress(FileNotFoundError):
        for name in sorted(os.listdir(path)):
            os.unlink(os.path.join(path, name))
        os.rmdir(path)


def close(descriptor: int) -> None:
    """Close a descriptor."""
    os.close(descriptor)


def free_bytes(path: str) -> int | None:
    """Bytes free where `path` would be written; None where the system does not tell."""
    import shutil

    with suppress(OSError):
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    return None
