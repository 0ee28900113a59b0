"""A double of `MCSX.Data`, Sutter's COM server, and files that it opens: for tests on any system.

It keeps the rules of COM that a caller can break: an object is made after `CoInitialize` and used in the thread that
made it, there is one at a time, and none is left at `CoUninitialize`. Whoever breaks one gets a `com_error`.

The files are the double's own: a line of JSON, then int32 pixels, frame after frame, channels within frames.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import invalidate_caches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CoInitialize", "CoUninitialize", "Dispatch", "com_error", "installed_double", "write_mdf"]

_FRAME_KEYS = ("Frame Count", "Frame Height", "Frame Width")
_MODULES = {
    "pythoncom": "from galvo.testing.mdf import CoInitialize, CoUninitialize, com_error\n",
    "win32com.__init__": "",
    "win32com.client": "from galvo.testing.mdf import Dispatch\n",
}
_lock = threading.Lock()
_initialized: dict[tuple[int, int], int] = {}
_alive: weakref.WeakSet[_Data] = weakref.WeakSet()


def write_mdf(
    path: Path, pixels: NDArray[Any], parameters: Mapping[str, str | None] | None = None, *, success: Any = 0
) -> list[range]:
    """Write a file that the double opens.

    Parameters
    ----------
    path : Path
    pixels : ndarray of integers, (T, C, Y, X)
    parameters : mapping, optional
        Changes of the parameters; None takes one away.
    success : object
        What `OpenMCSFile` answers.

    Returns
    -------
    list of range
        Where each frame's bytes are.
    """
    t, c, y, x = pixels.shape
    told = dict(zip(_FRAME_KEYS, map(str, (t, y, x)), strict=True))
    told["Frame Bit Depth"] = f"{8 * min(pixels.dtype.itemsize, 2)}-bit"
    told |= {f"Scanning Ch {number} Name": f"channel {number}" for number in range(c)}
    changed: dict[str, str | None] = {**told, **(parameters or {})}
    head = json.dumps({"success": success, "shape": pixels.shape, "parameters": changed}).encode() + b"\n"
    path.write_bytes(head + pixels.astype("<i4").tobytes())
    nbytes = 4 * y * x
    return [range(len(head) + k * nbytes, len(head) + (k + 1) * nbytes) for k in range(t * c)]


@contextmanager
def installed_double(folder: Path) -> Iterator[None]:
    """The double under the names of pywin32's modules, in this process and in those that get its ``sys.path``.

    Parameters
    ----------
    folder : Path
        Empty; modules are written into it.
    """
    for name, text in _MODULES.items():
        place = folder.joinpath(*name.split("."))
        place.parent.mkdir(exist_ok=True)
        place.with_suffix(".py").write_text(text)
    before = {name: sys.modules.pop(name) for name in ("win32com", *_MODULES) if name in sys.modules}
    sys.path.insert(0, str(folder))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in ("win32com", *_MODULES):
            sys.modules.pop(name, None)
        sys.modules.update(before)


class com_error(Exception):  # noqa: N801 - as in pythoncom
    """`pythoncom.com_error`: a number and a text."""


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()


def CoInitialize() -> None:  # noqa: N802
    """`pythoncom.CoInitialize`."""
    with _lock:
        _initialized[_here()] = _initialized.get(_here(), 0) + 1


def CoUninitialize() -> None:  # noqa: N802
    """`pythoncom.CoUninitialize`."""
    with _lock:
        if not _initialized.get(_here()):
            raise com_error(-2147221008, "CoInitialize has not been called.")
        if any(data.owner == _here() for data in _alive):
            raise com_error(-2147418113, "An object of this thread is still there.")
        _initialized[_here()] -= 1


def Dispatch(name: str) -> _Data:  # noqa: N802
    """`win32com.client.Dispatch`."""
    with _lock:
        if not _initialized.get(_here()):
            raise com_error(-2147221008, "CoInitialize has not been called.")
        if name != "MCSX.Data":
            raise com_error(-2147221005, "Invalid class string")
        if len(_alive):
            raise com_error(-2147467259, "MCSX.Data has one instance only.")
        made = _Data()
        _alive.add(made)
        return made


class _Data:
    """`MCSX.Data`."""

    def __init__(self) -> None:
        self.owner = _here()
        self._parameters: dict[str, str | None] = {}
        self._shape: tuple[int, ...] = ()
        self._pixels: NDArray[Any] = np.empty(0, "<i4")

    def _check(self) -> None:
        if self.owner != _here():
            raise com_error(-2147417842, "The application called an interface that was marshalled for another thread.")

    def OpenMCSFile(self, path: str) -> Any:  # noqa: N802
        """Whether it could be opened, in a way that differs between versions."""
        self._check()
        success: Any = 0
        try:
            head, _, body = Path(path).read_bytes().partition(b"\n")
            told = json.loads(head)
            success = told["success"]
            shape = tuple(int(length) for length in told["shape"])
            if len(shape) != 4 or min(shape) < 1 or not all(isinstance(name, str) for name in told["parameters"]):
                raise ValueError(shape)
            self._pixels = np.frombuffer(body[: len(body) // 4 * 4], "<i4")
            self._shape, self._parameters = shape, told["parameters"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return 0 if success else 1
        return success

    def ReadParameter(self, name: str) -> str | None:  # noqa: N802
        """A text, empty where there is none."""
        self._check()
        if name.startswith("Unknown"):
            raise com_error(-2147352567, "Exception occurred.")
        return self._parameters.get(name, "")

    def ReadFrame(self, channel: int, number: int) -> Any:  # noqa: N802
        """Columns of a frame; None where there is none."""
        self._check()
        frames, channels, height, width = self._shape
        if not 1 <= number <= frames or not 1 <= channel <= channels:
            return None
        first = ((number - 1) * channels + channel - 1) * height * width
        frame = self._pixels[first : first + height * width]
        if frame.size < height * width:
            return None
        return tuple(map(tuple, frame.reshape(height, width).T.tolist()))
