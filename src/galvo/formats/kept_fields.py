"""Where the scan fields of multi-ROI pages lie, as the plain values that galvo keeps beside pixels, and back.

The fields themselves are kept, not only the vendor's text that they came from: which planes were written, which of
several frames per slice, and what was joined, the text does not know.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from galvo.core.axes import Shape
from galvo.core.scanfield import FieldPart, LineClock, ScanField
from galvo.errors import Malformed

__all__ = ["kept_fields", "plain_fields"]


def plain_fields(fields: Sequence[ScanField]) -> list[dict[str, Any]]:
    """Scan fields as JSON takes them, ranges as [start, stop]."""
    return [{**asdict(field), "parts": [_plain_part(part) for part in field.parts]} for field in fields]


def _plain_part(part: FieldPart) -> dict[str, Any]:
    return {
        **asdict(part),
        "rows": [part.rows.start, part.rows.stop],
        "columns": [part.columns.start, part.columns.stop],
    }


def kept_fields(plain: Any, shape: Shape, path: str) -> tuple[ScanField, ...]:
    """The scan fields that `plain_fields` made plain.

    Parameters
    ----------
    plain : object
        What `json.loads` made of them; None where the recording has none.
    shape : (T, C, Z, Y, X)
        Of the pages.
    path : str
        Named in errors.

    Raises
    ------
    Malformed
        Something else, or fields that lie beyond the pages.
    """
    if plain is None:
        return ()
    if not isinstance(plain, list):
        raise Malformed("galvo's own fields are no list", path=path, found=type(plain).__name__)
    found = []
    for number, one in enumerate(plain):
        try:
            found.append(_field(one, shape))
        except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise Malformed(f"galvo's own field {number} is no field of these pages", path=path, found=error) from None
    return tuple(found)


def _field(one: Any, shape: Shape) -> ScanField:
    parts = tuple(_part(part, shape) for part in one["parts"])
    height, width = sum(len(part.rows) for part in parts), sum(len(part.columns) for part in parts)
    # joined parts touch, so that none lies further off than all of them are long
    if not parts or any(part.top > height or part.left > width for part in parts):
        raise ValueError("no parts, or parts that do not touch")
    depth, resolution, clock = one["z_um"], one["um_per_deg"], one["clock"]
    return ScanField(
        name=str(one["name"]),
        rois=tuple(_whole(roi, 1 << 31) for roi in one["rois"]),
        plane=_whole(one["plane"], shape[2] - 1),
        z_um=None if depth is None else float(depth),
        center_deg=_pair(one["center_deg"], -math.inf),
        size_deg=_pair(one["size_deg"], 0.0),
        parts=parts,
        rotation_deg=_number(one["rotation_deg"], -math.inf),
        um_per_deg=None if resolution is None else _number(resolution, 0.0),
        clock=None
        if clock is None
        else LineClock(
            line_period_s=_number(clock["line_period_s"], 0.0),
            bidirectional=bool(clock["bidirectional"]),
            fill_fraction=_number(clock["fill_fraction"], 0.0),
        ),
    )


def _part(part: Any, shape: Shape) -> FieldPart:
    rows, columns = (_run(part[name], length) for name, length in (("rows", shape[3]), ("columns", shape[4])))
    return FieldPart(
        rows=rows,
        columns=columns,
        line_pixels=_whole(part["line_pixels"], shape[4], columns.stop),
        top=_whole(part["top"], 1 << 31),
        left=_whole(part["left"], 1 << 31),
        start_s=_number(part["start_s"], -math.inf),
    )


def _run(bounds: Any, length: int) -> range:
    start, stop = bounds
    first = _whole(start, length - 1)
    return range(first, _whole(stop, length, first + 1))


def _whole(value: Any, most: int, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value!r}, not {least} to {most}")
    return value


def _number(value: Any, above: float) -> float:
    if not math.isfinite(value) or value <= above:
        raise ValueError(f"{value!r}, not a number above {above}")
    return float(value)


def _pair(values: Any, above: float) -> tuple[float, float]:
    y, x = values
    return _number(y, above), _number(x, above)
