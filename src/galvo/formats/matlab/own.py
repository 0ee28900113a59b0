"""What galvo keeps of a recording beside its arrays, as two texts in variables of their own.

`galvo`, the first variable, is what is known before the pixels: `kept_json` with the names of the arrays and the
letters of their dimensions. `galvo_frames`, the last one, is what `kept_json` has more in the end: the frame table,
events, and the checksums. A file without it was never finished.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.metadata import Damage
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import Malformed, Truncated
from galvo.formats.kept_json import KeptJson, kept_json
from galvo.formats.matlab.variable import Variable, listing
from galvo.limits import Limits

__all__ = [
    "CREATED_BY",
    "END_NAME",
    "START_NAME",
    "Kept",
    "check_bounds",
    "end_text",
    "own_recording",
    "own_variables",
    "start_text",
    "text_room",
]

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


def check_bounds(reader: Reader, path: str, limits: Limits) -> None:
    """Refuse sizes beyond the limits."""
    t, c, z, y, x = reader.shape
    limits.check("frame_bytes", y * x * reader.dtype.itemsize, path=path)
    limits.check("page_count", t * c * z, path=path)


def own_variables(kept: Kept, found: Sequence[Variable], path: str) -> tuple[Variable, ...]:
    """The arrays that galvo wrote.

    Raises
    ------
    Malformed
        They are missing, or are not what galvo said that they are.
    """
    by_name = {one.name: one for one in found}
    wanted = kept.dimensions
    first = by_name.get(kept.names[0])
    chosen = []
    for name in kept.names:
        one = by_name.get(name)
        if one is None and not kept.is_complete and first is not None:
            # not begun when writing was interrupted
            one = Variable(name=name, kind=first.kind, shape=first.shape, dtype=first.dtype)
        if one is None or one.dtype is None or (*one.shape, *[1] * (len(wanted) - len(one.shape))) != wanted:
            raise Malformed(
                f"the variable {name} is not what galvo wrote",
                path=path,
                found=listing(found),
                expected=f"{name} {'x'.join(map(str, wanted))}",
                hint="Open it by name, with variable= (--open-option variable=NAME), to read it as it is",
            )
        chosen.append(one)
    if len({(one.dtype, one.shape) for one in chosen}) > 1:
        raise Malformed("the channels of a galvo file differ", path=path, found=listing(chosen))
    return tuple(chosen)


def own_recording(kept: Kept, reader: Reader, path: str, damaged: str, limits: Limits) -> Recording:
    """A recording with all that galvo kept of it."""
    check_bounds(reader, path, limits)
    damage = []
    if not kept.is_complete:
        message = "galvo did not finish writing this file, or its end was cut off"
        if damaged != "report":
            raise Truncated(
                message,
                path=path,
                found=f"no variable {END_NAME}",
                hint='Resume the conversion, or open what is there with damaged="report" (--damaged report)',
            )
        damage = [Damage(path=path, offset=None, message=f"{message}; frames that are not there cannot be read")]
    return kept.json.recording(reader, kept.json.metadata("matlab"), [path], damage, kept.is_complete)
