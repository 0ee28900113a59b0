"""Everything that galvo raises or warns.

    GalvoError
    ├── FormatError (ValueError)        the bytes are not what they should be
    │   ├── UnknownFormat               no format, or several, claim the source
    │   ├── Malformed                   contradictory or impossible structure
    │   ├── Truncated                   bytes that the structure promises are not there
    │   └── Unsupported                 valid, but galvo does not read it
    ├── LimitExceeded (ValueError)      larger than `galvo.Limits` allows
    ├── UnsafeContent (ValueError)      the file reaches for something outside itself
    ├── SelectionError (IndexError)     an index that the recording does not have
    ├── OptionError (TypeError, ValueError)  an option that does not exist or does not fit
    ├── NotFound (FileNotFoundError)    no such file, folder or match
    ├── ReadError (OSError)             the operating system failed to read
    ├── WriteError (OSError)            the output could not be written; nothing was published
    │   ├── NoSpace                     the disk is full
    │   └── Interrupted                 stopped before the end; the partial file is kept
    ├── DamagedData                     stored checksums do not match, or a decoder failed
    └── MissingExtra (ImportError)      an optional dependency is not installed

    GalvoWarning (UserWarning)          readable, but something was left out or contradicts itself
"""  # noqa: D208 - Markdown shows the tree as it is when it is indented

from __future__ import annotations

import sys
import warnings
from os import PathLike, fspath
from types import FrameType

__all__ = [
    "DamagedData",
    "FormatError",
    "GalvoError",
    "GalvoWarning",
    "Interrupted",
    "LimitExceeded",
    "Malformed",
    "MissingExtra",
    "NoSpace",
    "NotFound",
    "OptionError",
    "ReadError",
    "SelectionError",
    "Truncated",
    "UnknownFormat",
    "UnsafeContent",
    "Unsupported",
    "WriteError",
    "warn",
]


def _printable(text: str) -> str:
    """`text` without control characters: names and values come from outside."""
    return "".join(ch if ch.isprintable() else f"\\x{ord(ch):02x}" for ch in text)


class GalvoError(Exception):
    """Base of all errors that galvo raises.

    Parameters
    ----------
    message : str
        What went wrong, one line.
    path : path, optional
        The file concerned.
    offset : int, optional
        Position in that file, in bytes.
    found, expected : object, optional
        The contradiction in two values.
    hint : str, optional
        What the user can do next.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | PathLike[str] | None = None,
        offset: int | None = None,
        found: object = None,
        expected: object = None,
        hint: str | None = None,
    ) -> None:
        # first: ImportError's own initialiser clears `path`
        super().__init__()
        self.message = _printable(message)
        self.path = None if path is None else fspath(path)
        self.offset = offset
        self.found = found
        self.expected = expected
        self.hint = None if hint is None else _printable(hint)
        self.args = (str(self),)

    def __str__(self) -> str:
        place = "" if self.path is None else _printable(self.path)
        if self.offset is not None:
            place += f" at byte {self.offset}"
        text = f"{place.lstrip()}: {self.message}" if place else self.message
        if self.found is not None:
            text += f"; found {_printable(str(self.found))}"
        if self.expected is not None:
            text += f"; expected {_printable(str(self.expected))}"
        if self.hint:
            text += f". {self.hint}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        fields = {key: getattr(self, key) for key in ("path", "offset", "found", "expected", "hint")}
        return _rebuild, (type(self), self.message, fields)


def _rebuild(kind: type[GalvoError], message: str, fields: dict[str, object]) -> GalvoError:
    return kind(message, **fields)  # type: ignore[arg-type]


class FormatError(GalvoError, ValueError):
    """The bytes of a source are not what they should be."""


class UnknownFormat(FormatError):
    """No format recognises the source, or several do."""


class Malformed(FormatError):
    """The structure of a file is contradictory or impossible."""


class Truncated(FormatError):
    """Bytes that the structure of a file promises are not there."""


class Unsupported(FormatError):
    """A valid file, or a valid wish, that galvo does not serve."""


class LimitExceeded(GalvoError, ValueError):
    """A size or count exceeds `galvo.Limits`."""


class UnsafeContent(GalvoError, ValueError):
    """A file reaches for something outside itself."""


class SelectionError(GalvoError, IndexError):
    """An index that the recording does not have, or of a kind that it does not take."""


class OptionError(GalvoError, TypeError, ValueError):
    """An option that does not exist, or whose value does not fit."""


class NotFound(GalvoError, FileNotFoundError):
    """No such file or folder, or nothing that matches."""


class ReadError(GalvoError, OSError):
    """The operating system failed to read; the message gives its reason."""


class WriteError(GalvoError, OSError):
    """The output could not be written; nothing was published under its final name."""


class NoSpace(WriteError):
    """The disk is full."""


class Interrupted(WriteError):
    """Stopped before the end; the partial file is kept."""


class DamagedData(GalvoError):
    """Stored checksums do not match the data, or a decoder failed on it."""


class MissingExtra(GalvoError, ImportError):
    """An optional dependency is not installed; the hint gives the install line."""


class GalvoWarning(UserWarning):
    """The recording is readable, but something was left out or contradicts itself."""


def warn(message: str) -> None:
    """Issue a `GalvoWarning` that points at the first caller outside galvo."""
    depth = 2
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "galvo":
        frame = frame.f_back
        depth += 1
    warnings.warn(_printable(message), GalvoWarning, stacklevel=depth)
