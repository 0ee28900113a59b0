"""The one door to PyAV: opening containers so that they reach nothing but their own bytes, and naming what fails."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from galvo.core.source import FileSource
from galvo.errors import DamagedData, GalvoError, MissingExtra, UnsafeContent
from galvo.limits import Limits

__all__ = ["load_av", "most_pixels", "open_container", "told"]

_BUFFER_BYTES = 1 << 20
_MOST_PIXELS = (1 << 31) - 1


def load_av() -> Any:
    """The module of PyAV.

    Raises
    ------
    MissingExtra
    """
    try:
        import av
        import av.video.reformatter
    except ImportError as error:
        raise MissingExtra(
            "videos are read and written with PyAV, which is not installed", hint="pip install galvo[video]"
        ) from error
    return av


def most_pixels(limits: Limits) -> int:
    """Of a frame, whatever its pixels are."""
    return min(limits.frame_bytes, _MOST_PIXELS)


class _PositionedFile:
    """A file for libav with a position of its own, so that forks and threads do not share one."""

    def __init__(self, source: FileSource) -> None:
        self._source = source
        self._position = 0

    def read(self, nbytes: int) -> bytes:
        data = self._source.read_upto(0, self._position, nbytes)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = max(0, offset + (0, self._position, self._source.size(0))[whence])
        return self._position

    def tell(self) -> int:
        return self._position


def open_container(source: FileSource, demuxer: str, limits: Limits) -> Any:
    """A container to read from; nothing but the file itself is ever opened, whatever it names."""
    av = load_av()
    path = source.paths[0]

    def refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
        raise UnsafeContent("the video reaches for another file or address", path=path, found=url)

    with told(path):
        return av.open(
            _PositionedFile(source),
            format=demuxer,
            # AVI states no display times
            container_options={"fflags": "+genpts"},
            # dimensions are claims until a frame has been decoded
            options={"max_pixels": str(most_pixels(limits))},
            io_open=refuse,
            buffer_size=_BUFFER_BYTES,
            metadata_errors="replace",
        )


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turns what PyAV raises into `DamagedData`."""
    try:
        yield
    except GalvoError:
        raise
    except (OSError, ValueError, RuntimeError, MemoryError, EOFError, ArithmeticError, LookupError) as error:
        # av.error.FFmpegError is one of these, by the errno that it stands for, or a plain Exception
        raise DamagedData(f"cannot be read as video: {_reason(error)}", path=path) from error
    except load_av().error.FFmpegError as error:
        raise DamagedData(f"cannot be read as video: {_reason(error)}", path=path) from error


def _never_free() -> None:
    """Keep what libav has for good: to free it is to wait for its threads, and a forked child has none of them."""
    av = sys.modules.get("av")
    contexts = getattr(av, "CodecContext", ())
    for found in gc.get_objects() if contexts else ():
        # type(), because __class__ may be a lazy object's own code
        if issubclass(type(found), contexts):
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(found))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_never_free)


def _reason(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
