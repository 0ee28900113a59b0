"""The texts beside a raw binary."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from galvo.core.source import read_file
from galvo.errors import Malformed, NotFound

__all__ = ["describing_path", "kept_path", "read_description"]

_MOST_BYTES = 1 << 20
_TELL = "Correct it, or say what the pixels are: dtype= and two of frames=, y= and x= (--open-option dtype=int16 ...)"


def describing_path(path: str) -> str:
    """CalSciPy's text: frames, y, x, dtype."""
    return os.path.splitext(path)[0] + ".json"


def kept_path(path: str) -> str:
    """Galvo's text."""
    return os.path.splitext(path)[0] + ".galvo.json"


def read_description(path: str) -> Mapping[str, Any] | None:
    """What is said of a binary; None where there is no text.

    Raises
    ------
    Malformed
        It is no JSON object.
    """
    place = describing_path(path)
    try:
        text = read_file(place, _MOST_BYTES)
    except NotFound:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed(
            f"the JSON that describes {os.path.basename(path)} cannot be read", path=place, found=str(error), hint=_TELL
        ) from error
    if not isinstance(found, dict):
        raise Malformed(
            f"what describes {os.path.basename(path)} is no JSON object",
            path=place,
            found=type(found).__name__,
            hint=_TELL,
        )
    return found
