"""The system calls that change files: one thin function each, so that faults can be injected in one place."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress

__all__ = [
    "close",
    "create",
    "free_bytes",
    "lock",
    "read_at",
    "rename",
    "reopen",
    "size",
    "sync",
    "sync_folder",
    "truncate",
    "unlink",
    "write_at",
]

_BASE = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
# far behind any byte that is written: locks on Windows are mandatory
_LOCKED_BYTE = 1 << 62


def create(path: str) -> int:
    """Descriptor of a new file; a link or another file of that name is an error."""
    return os.open(path, _BASE | os.O_CREAT | os.O_EXCL, 0o666)


def reopen(path: str) -> int:
    """Descriptor of an existing regular file, not followed through a link."""
    descriptor = os.open(path, _BASE)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileNotFoundError(2, "not a regular file", path)
    return descriptor


def lock(descriptor: int) -> bool:
    """Whether this process is now the only one that writes the file; the system releases it with the descriptor."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except PermissionError:
        return False
    except OSError:
        # a file system without locks
        return True
    return True


def size(descriptor: int) -> int:
    """Bytes of an open file."""
    return os.fstat(descriptor).st_size


def write_at(descriptor: int, offset: int, data: bytes | memoryview) -> None:
    """Write all of `data` at `offset`."""
    view = memoryview(data)
    os.lseek(descriptor, offset, os.SEEK_SET)
    while len(view):
        view = view[os.write(descriptor, view) :]


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


def truncate(descriptor: int, nbytes: int) -> None:
    """Set the size of an open file."""
    os.ftruncate(descriptor, nbytes)


def sync(descriptor: int) -> None:
    """Bring a file's bytes to the disk."""
    if sys.platform == "darwin":
        # plain fsync leaves the data in the drive's cache on macOS
        import fcntl

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
    finally:
        os.close(descriptor)


def rename(old: str, new: str) -> None:
    """Give a file another name in one step, replacing what has it."""
    os.replace(old, new)


def unlink(path: str) -> None:
    """Remove a name, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def close(descriptor: int) -> None:
    """Close a descriptor."""
    os.close(descriptor)


def free_bytes(path: str) -> int | None:
    """Bytes free where `path` would be written; None where the system does not tell."""
    import shutil

    with suppress(OSError):
        return shutil.disk_usage(os.path.dirname(os.path.abspath(path))).free
    return None
