"""The one door to ``MCSX.Data``: a COM object, the thread that it belongs to, and naming what fails.

A COM object is used by the thread that made it, and there is one `MCSX.Data` at a time. So a process has one thread for
it, which lives while recordings are open and turns to another file by making the object anew: nothing of the file
before can be taken for the next one's.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from galvo.errors import Malformed, MissingExtra, ReadError, Unsupported

__all__ = ["SERVER", "require_server"]

_PROGRAM = "MCSX.Data"
_ROUTE = (
    "On a Windows computer with Sutter's MView, galvo converts such files (pip install galvo[mdf]; galvo convert x.mdf "
    "-o x.h5); or export them as TIFF there, with MScan or MView, which galvo reads anywhere"
)

T = TypeVar("T")


class Server:
    """All that is asked of `MCSX.Data`, one thing after the other. Threads and forked processes may share it."""

    def __init__(self) -> None:
        self._users = 0
        self.renew()

    def renew(self) -> None:
        """As in a forked child, where the thread of its parent does not exist."""
        # a recording may be collected in the middle of any of these methods, and leaves
        self._lock = threading.RLock()
        self._thread: ThreadPoolExecutor | None = None
        self._session = _Session()

    def enter(self, path: str) -> None:
        """Take part: to be followed by `leave`.

        Raises
        ------
        Unsupported
            Not on Windows.
        MissingExtra
            pywin32 is not installed.
        """
        require_server(path)
        with self._lock:
            self._users += 1

    def leave(self) -> None:
        """Take part no longer. After the last one the file is closed, and the thread has ended."""
        with self._lock:
            self._users -= 1
            if self._users or self._thread is None:
                return
            thread, self._thread = self._thread, None
            # of the last recording, when it is collected there
            is_here = threading.get_ident() == self._session.thread_id
            if is_here:
                self._session.end()
            else:
                thread.submit(self._session.end).result()
            thread.shutdown(wait=not is_here)

    def parameters(self, path: str, names: tuple[str, ...]) -> dict[str, str]:
        """What the file says under `names`, as texts; nothing where it says nothing.

        Raises
        ------
        ReadError
            The server cannot be reached, or fails.
        Malformed
            It does not open the file.
        """
        return self._ask(lambda session: session.parameters(path, names))

    def frame(self, path: str, channel: int, number: int) -> Any:
        """A frame as the server gives it; channels and frames count from 1.

        Raises
        ------
        ReadError, Malformed
            As `parameters`.
        """
        return self._ask(lambda session: session.frame(path, channel, number))

    def _ask(self, work: Callable[[_Session], T]) -> T:
        with self._lock:
            if self._thread is None:
                self._thread, self._session = ThreadPoolExecutor(1, "galvo-mdf"), _Session()
            future: Future[T] = self._thread.submit(work, self._session)
        return future.result()


class _Session:
    """The object, with one file open; used by one thread only."""

    def __init__(self) -> None:
        self.thread_id: int | None = None
        self._com: Any = None
        self._dispatch: Any = None
        self._data: Any = None
        self._path: str | None = None

    def parameters(self, path: str, names: tuple[str, ...]) -> dict[str, str]:
        self._open(path)
        found = {name: self._parameter(path, name) for name in names}
        return {name: text for name, text in found.items() if text}

    def frame(self, path: str, channel: int, number: int) -> Any:
        self._open(path)
        return self._call(path, lambda: self._data.ReadFrame(channel, number))

    def end(self) -> None:
        self._path = self._data = None
        if self._com is not None:
            self._com.CoUninitialize()

    def _open(self, path: str) -> None:
        if path == self._path:
            return
        if self._com is None:
            com, self._dispatch = require_server(path)
            com.CoInitialize()
            self._com, self.thread_id = com, threading.get_ident()
        # before the next one is made, since there may be only one
        self._path = self._data = None
        self._data = self._call(path, lambda: self._dispatch(_PROGRAM))
        code = self._call(path, lambda: self._data.OpenMCSFile(path))
        # some versions say 0 for success, others 1 or True; but only of an open file are there parameters
        if not self._parameter(path, "Frame Count"):
            self._data = None
            raise Malformed(
                f"{_PROGRAM} does not open this file",
                path=path,
                found=f"the answer {code!r}, and no frame count",
                hint="Look whether MView opens it",
            )
        self._path = path

    def _parameter(self, path: str, name: str) -> str:
        def read() -> Any:
            try:
                return self._data.ReadParameter(name)
            except self._com.com_error:
                # of a name that it does not know
                return None

        value = self._call(path, read)
        return "" if value is None else str(value).strip("\0 \t\r\n")

    def _call(self, path: str, function: Callable[[], T]) -> T:
        try:
            return function()
        except (self._com.com_error, AttributeError) as error:
            found = str(error)
        # not from within: the error would keep the object, which must not outlive its thread
        raise ReadError(
            f"{_PROGRAM}, through which MDF files are read, fails",
            path=path,
            found=found,
            hint="It comes with Sutter's MView, and serves a Python of the same word size (32 or 64 bits)",
        )


def require_server(path: str) -> tuple[Any, Callable[[str], Any]]:
    """`pythoncom`, and `win32com.client.Dispatch`.

    Raises
    ------
    Unsupported
        Not on Windows.
    MissingExtra
        pywin32 is not installed.
    """
    try:
        import pythoncom
        from win32com.client import Dispatch
    except ImportError as error:
        if sys.platform == "win32":
            raise MissingExtra(
                "MDF files are read with pywin32, which is not installed", path=path, hint="pip install galvo[mdf]"
            ) from error
        raise Unsupported(
            "MDF files are read by Sutter's own COM server, which is for Windows only", path=path, hint=_ROUTE
        ) from error
    return pythoncom, Dispatch


SERVER = Server()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SERVER.renew)
