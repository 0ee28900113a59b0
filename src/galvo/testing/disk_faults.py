"""Faults of the disk: writing that fails, is cut short or is killed at its n-th operation.

Everything that galvo does to files goes through the module `galvo.core.disk`; inside the `with` of one of these
classes, that module sees a system that they stand in front of. They count the operations that change files: opening
for writing, locking, writing, setting a size, syncing a file or a folder, renaming, removing.
"""

from __future__ import annotations

import os
import signal
import stat
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from galvo.core import disk

__all__ = ["Disk", "FailAt", "KillAt", "ShortWriteAt"]


class _Front:
    """A module, with some of its functions replaced."""

    def __init__(self, module: Any, functions: dict[str, Callable[..., Any]]) -> None:
        self._module = module
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


class Disk:
    """Counts the operations, and does each as asked.

    Attributes
    ----------
    count : int
        Operations so far.
    names : list of str
        What they were: open, lock, write, truncate, sync, sync folder, rename, unlink, mkdir, rmdir.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._real: dict[str, Any] = {}

    @property
    def count(self) -> int:
        """Operations so far."""
        return len(self.names)

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do operation `number`."""
        return call(*arguments)

    def _operation(self, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        self.names.append(name)
        return self.perform(len(self.names) - 1, name, call, *arguments)

    def __enter__(self) -> Self:
        def opened(path: str, flags: int, mode: int = 0o777) -> int:
            if flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
                return int(self._operation("open", os.open, path, flags, mode))
            return os.open(path, flags, mode)

        def sync(descriptor: int) -> None:
            folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            self._operation("sync folder" if folder else "sync", os.fsync, descriptor)

        def known(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
            return lambda *arguments: self._operation(name, call, *arguments)

        fronts: dict[str, dict[str, Callable[..., Any]]] = {
            "os": {
                "open": opened,
                "fsync": sync,
                "write": known("write", os.write),
                "ftruncate": known("truncate", os.ftruncate),
                "replace": known("rename", os.replace),
                "unlink": known("unlink", os.unlink),
                "mkdir": known("mkdir", os.mkdir),
                "rmdir": known("rmdir", os.rmdir),
            }
        }
        if hasattr(disk, "fcntl"):
            fronts["fcntl"] = {"flock": known("lock", disk.fcntl.flock)}
        for name, functions in fronts.items():
            self._real[name] = getattr(disk, name)
            setattr(disk, name, _Front(self._real[name], functions))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name, module in self._real.items():
            setattr(disk, name, module)


class FailAt(Disk):
    """Operation `number` fails; if `lasting`, every write and size behind it, too.

    Parameters
    ----------
    number : int
    code : int
        An `errno`.
    lasting : bool
    """

    def __init__(self, number: int, code: int, lasting: bool = False) -> None:
        super().__init__()
        self._number, self._code, self._lasting = number, code, lasting

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do operation `number`, or fail."""
        if number == self._number or (self._lasting and number > self._number and name in ("write", "truncate")):
            raise OSError(self._code, os.strerror(self._code))
        return call(*arguments)


class ShortWriteAt(Disk):
    """Operation `number`, if it is a write, takes only half of its bytes."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do operation `number`, or half of it."""
        if number == self._number and name == "write":
            return call(arguments[0], arguments[1][: max(1, len(arguments[1]) // 2)])
        return call(*arguments)


class KillAt(Disk):
    """SIGKILL to this process before operation `number`; for a forked child.

    Parameters
    ----------
    number : int
    torn : bool
        A write has done half of its bytes by then.
    """

    def __init__(self, number: int, torn: bool = False) -> None:
        super().__init__()
        self._number, self._torn = number, torn

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do operation `number`, or die."""
        if number == self._number:
            if self._torn and name == "write":
                call(arguments[0], arguments[1][: len(arguments[1]) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments)
