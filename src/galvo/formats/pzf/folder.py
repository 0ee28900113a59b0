"""A folder of ``frame%05d.pzf`` with metadata.json (PZF wire format, section 7)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.source import read_file, read_prefix
from galvo.errors import Truncated
from galvo.limits import Limits

__all__ = ["EVENTS", "MEMBERS", "METADATA", "FolderBlobs", "frame_name", "missing_numbers", "series"]

METADATA = "metadata.json"
EVENTS = "events.json"
# all that galvo writes into such a folder
MEMBERS = re.compile(r"frame\d{5,}\.pzf|metadata\.json|events\.json")

_NUMBERED = re.compile(r"(?P<stem>.*?)(?P<number>\d+)\.pzf", re.IGNORECASE)
_HEADER_BYTES = 64


def frame_name(number: int) -> str:
    """Name of the file of a frame."""
    return f"frame{number:05d}.pzf"


def series(path: str) -> list[str]:
    """The frames of the sequence that a frame belongs to, in the order of their numbers."""
    folder, name = os.path.split(path)
    match = _NUMBERED.fullmatch(name)
    if match is None:
        return [path]
    found = []
    for other in os.listdir(folder or os.curdir):
        one = _NUMBERED.fullmatch(other)
        if one is not None and one["stem"] == match["stem"]:
            found.append((int(one["number"]), os.path.join(folder, other)))
    return [path for _, path in sorted(found)]


def missing_numbers(paths: Sequence[str]) -> list[int]:
    """Numbers that the names of a sequence leave out."""
    numbers = [int(match["number"]) for match in map(_NUMBERED.fullmatch, map(os.path.basename, paths)) if match]
    if len(numbers) < len(paths) or not numbers:
        return []
    present = set(numbers)
    gaps = max(numbers) - min(numbers) + 1 - len(present)
    return [number for number in range(min(numbers), max(numbers)) if number not in present] if gaps else []


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

    def __len__(self) -> int:
        return len(self._paths)

    def path(self, number: int) -> str:
        """The file."""
        return self._paths[number]

    def read(self, number: int) -> memoryview:
        """The whole file."""
        path = self._paths[number]
        return memoryview(read_file(path, self._limits.frame_bytes))

    def read_head(self, number: int) -> bytes:
        """Its beginning."""
        data = read_prefix(self._paths[number], _HEADER_BYTES)
        if not data:
            raise Truncated("the file is empty", path=self._paths[number], offset=0)
        return data

    def place(self, number: Int64) -> dict[str, NDArray[Any]]:
        """Number of the file."""
        return {"file": number.copy(), "page": np.zeros_like(number)}

    def close(self) -> None:
        """No file is kept open."""
