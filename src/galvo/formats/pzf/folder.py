"""A folder of ``frame%05d.pzf`` with metadata.json (PZF wire format, section 7)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.source import file_size, read_file, read_prefix
from galvo.errors import Malformed, NotFound, ReadError, Truncated
from galvo.limits import Limits

__all__ = [
    "EVENTS",
    "MEMBERS",
    "METADATA",
    "MOST_OVERHEAD",
    "FolderBlobs",
    "frame_name",
    "frame_numbers",
    "is_own_name",
    "series",
]

METADATA = "metadata.json"
EVENTS = "events.json"
# all that galvo writes into such a folder
MEMBERS = re.compile(r"frame[0-9]{5,}\.pzf|metadata\.json")

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>[0-9]+)\.pzf", re.IGNORECASE | re.DOTALL)
_OWN_STEM = "frame"
_SUFFIX_LENGTH = len(".pzf")
# of a blob over its pixels: header, and a Huffman stream that nothing shortened (PZF wire format, section 3)
MOST_OVERHEAD = 64 + 320 + 16
# below 2**63
_MOST_DIGITS = 18
_HEADER_BYTES = 64


def frame_name(number: int) -> str:
    """Name of the file of a frame."""
    return f"{_OWN_STEM}{number:05d}.pzf"


def is_own_name(path: str) -> bool:
    """Whether a file may be a frame of the sequence that the metadata.json beside it describes."""
    match = _NUMBERED.fullmatch(os.path.basename(path))
    return match is not None and match["stem"] == _OWN_STEM


def series(path: str) -> list[str]:
    """The frames of the sequence that a frame belongs to, in the order of their numbers.

    Raises
    ------
    Malformed
        Two files have one number.
    ReadError
        The folder cannot be listed.
    """
    folder, name = os.path.split(path)
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return [path]
    stem, start = match["stem"], len(match["stem"])
    try:
        names = os.listdir(folder or os.curdir)
    except FileNotFoundError:
        raise NotFound("no such folder", path=folder) from None
    except OSError as error:
        raise ReadError(error.strerror or "cannot be listed", path=folder) from error
    found: dict[int, str] = {}
    for other in names:
        digits = other[start:-_SUFFIX_LENGTH]
        if _is_number(digits) and other.startswith(stem) and other[-_SUFFIX_LENGTH:].lower() == ".pzf":
            number = int(digits)
            if number in found:
                raise Malformed(
                    f"two files are frame {number} of the sequence",
                    path=folder or os.curdir,
                    found=f"{found[number]} and {other}",
                    hint="series=False (--no-series) opens one file alone",
                )
            found[number] = other
    prefix = path[: len(path) - len(name)]
    return [prefix + found[number] for number in sorted(found)]


def frame_numbers(paths: Sequence[str]) -> NDArray[np.int64] | None:
    """The numbers in the names of one sequence's files; None where they are no such names."""
    match = _NUMBERED.fullmatch(os.path.basename(paths[0]))
    if match is None:
        return None
    prefix = paths[0][: len(paths[0]) - len(match[0])] + match["stem"]
    start = len(prefix)
    digits = [path[start:-_SUFFIX_LENGTH] if path.startswith(prefix) else "" for path in paths]
    if not all(digits) or not _is_number("".join(digits)) or len(max(digits, key=len)) > _MOST_DIGITS:
        return None
    return np.array(list(map(int, digits)), np.int64)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


class FolderBlobs:
    """One file per blob.

    Parameters
    ----------
    paths : sequence of str
    limits : Limits
    """

    def __init__(self, paths: Sequence[str], limits: Limits) -> None:
        self._paths = tuple(paths)
        self._limits = limits
        self._closed = False

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, position: int) -> str:
        """The file."""
        return self._paths[position]

    def nbytes(self, position: int) -> int:
        """Bytes of the file."""
        return file_size(self._paths[position])

    def read(self, position: int) -> memoryview:
        """The whole file."""
        self._refuse_closed(position)
        data = read_file(self._paths[position], self._limits.frame_bytes + MOST_OVERHEAD)
        if not data:
            raise Truncated("the file is empty", path=self._paths[position], offset=0)
        return memoryview(data)

    def read_head(self, position: int) -> bytes:
        """Its beginning."""
        self._refuse_closed(position)
        data = read_prefix(self._paths[position], _HEADER_BYTES)
        if not data:
            raise Truncated("the file is empty", path=self._paths[position], offset=0)
        return data

    def _refuse_closed(self, position: int) -> None:
        if self._closed:
            raise ReadError("the recording is closed", path=self._paths[position], hint="Open it again")

    def place(self, position: Int64) -> dict[str, NDArray[Any]]:
        """Number of the file."""
        return {"file": position.copy(), "page": np.zeros_like(position)}

    def close(self) -> None:
        """Reading ends here; no file is kept open."""
        self._closed = True
