"""What galvo keeps of a recording beside its arrays, as two texts in variables of their own.

`galvo`, the first variable, is what is known before the pixels: `kept_json` with the names of the arrays and the
letters of their dimensions. `galvo_frames`, the last one, is what `kept_json` has more in the end: the frame table,
events, and the checksums. A file without it was never finished.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.sink import WritePlan
from galvo.errors import Malformed
from galvo.formats.kept_json import KeptJson, kept_json
from galvo.limits import Limits

__all__ = ["CREATED_BY", "END_NAME", "START_NAME", "Kept", "end_text", "start_text", "text_room"]

START_NAME, END_NAME = "galvo", "galvo_frames"
# in the first bytes of what galvo writes, so that a damaged name of its texts cannot hide them
CREATED_BY = b"Created by: galvo"


def start_text(plan: WritePlan, names: tuple[str, ...], axes: str) -> str:
    """What is known before the pixels are written."""
    return json.dumps(kept_json(plan, None, variables=list(names), axes=axes))


def end_text(plan: WritePlan, names: tuple[str, ...], axes: str, checksums: NDArray[np.uint32]) -> str:
    """What is known once they are."""
    start = json.loads(start_text(plan, names, axes))
    whole = kept_json(plan, checksums, variables=list(names), axes=axes)
    return json.dumps({name: value for name, value in whole.items() if value != start.get(name, ...)})


def text_room(plan: WritePlan) -> int:
    """Greatest number of characters of both."""
    t, c, z = plan.recording.shape[:3]
    facts = len(start_text(plan, ("",) * c, ""))
    return 2 * facts + c * 80 + t * c * z * 200 + len(plan.blocks) * 160 + (1 << 14)


class Kept:
    """What galvo kept in a file.

    Parameters
    ----------
    start : str
    end : str or None
        None where the file was never finished.
    path : str
    limits : Limits

    Attributes
    ----------
    json : KeptJson
    names : tuple of str
        The arrays, one per channel.
    axes : str
        Letters of their dimensions in MATLAB's order.
    is_complete : bool

    Raises
    ------
    Malformed
        It is not what galvo writes.
    """

    def __init__(self, start: str, end: str | None, path: str, limits: Limits) -> None:
        texts = [start] if end is None else [start, end]
        whole: dict[str, Any] = {}
        for text in texts:
            limits.check("text_bytes", len(text), path=path)
            try:
                facts = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise Malformed("what galvo kept of the recording is no JSON", path=path) from error
            if not isinstance(facts, dict):
                raise Malformed("what galvo kept of the recording is no JSON object", path=path)
            whole |= facts
        self.json = KeptJson(whole, path, limits)
        self.is_complete = end is not None
        names, axes = self.json.get("variables"), self.json.get("axes")
        if (
            not isinstance(names, list)
            or len(names) != self.json.shape[1]
            or axes not in ("YXT", "YXZT")
            or (axes == "YXT") != (self.json.shape[2] == 1)
        ):
            raise Malformed("what galvo kept of the recording does not fit its shape", path=path)
        self.names, self.axes = tuple(map(str, names)), str(axes)

    @property
    def dimensions(self) -> tuple[int, ...]:
        """Lengths of each array in MATLAB's order."""
        t, _, z, y, x = self.json.shape
        return (y, x, t) if self.axes == "YXT" else (y, x, z, t)
