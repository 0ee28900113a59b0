"""Scan fields put together: adjacent ones joined, all of a depth laid out in µm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from galvo.core.mosaic import Tile
from galvo.core.scanfield import FieldPart, ScanField
from galvo.core.selection import compact
from galvo.errors import OptionError

__all__ = ["Canvas", "joined_fields", "lay_out", "part_tiles"]

# as numpy.isclose: degrees of scan angle
_RELATIVE, _ABSOLUTE = 1e-5, 1e-8
_SAME_PIXEL = 1e-4
_MOST_PIXELS = 1 << 28


def part_tiles(field: ScanField) -> tuple[Tile, ...]:
    """A joined field as tiles of a canvas of its own size."""
    return tuple(Tile(part.top, part.left, part.rows, part.columns) for part in field.parts)


# ---- joining ---------------------------------------------------------------------------------------------------------


def joined_fields(fields: Sequence[ScanField]) -> tuple[ScanField, ...]:
    """Fields of which those that touch along a whole edge became one.

    Parameters
    ----------
    fields : sequence of ScanField

    Returns
    -------
    tuple of ScanField
        A joined field takes the place of the earlier one.

    Notes
    -----
    As scanreader's `join_contiguous`: per depth, pairs in order, from the beginning again after each that joins. Two
    fields touch when their widths and their centres in X agree and their centres in Y lie half the sum of their heights
    apart, or the same with the axes exchanged; all of it in degrees, as close as `numpy.isclose` takes for equal.
    Here pixels must agree along the edge too, and neither may be rotated, or the rows of one would not go on in the
    other.
    """
    waiting = list(fields)
    pair = _first_pair(waiting)
    while pair is not None:
        one, other = pair
        waiting[one] = _joined(waiting[one], waiting[other])
        del waiting[other]
        pair = _first_pair(waiting)
    return tuple(waiting)


def _first_pair(fields: Sequence[ScanField]) -> tuple[int, int] | None:
    for one, first in enumerate(fields):
        for other in range(one + 1, len(fields)):
            second = fields[other]
            if first.plane == second.plane and _side(first, second) is not None:
                return one, other
    return None


def _close(one: float, other: float) -> bool:
    return bool(np.isclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE))


def _side(first: ScanField, second: ScanField) -> tuple[int, int] | None:
    """Axis (0: Y, 1: X) along which the second follows (1) or precedes (-1) the first; None where they do not touch."""
    if first.rotation_deg or second.rotation_deg:
        return None
    pixels = ((first.height, first.width), (second.height, second.width))
    for axis in (0, 1):
        across = 1 - axis
        if (
            pixels[0][across] != pixels[1][across]
            or not _close(first.size_deg[across], second.size_deg[across])
            or not _close(first.center_deg[across], second.center_deg[across])
            or not np.isclose(
                first.size_deg[axis] / pixels[0][axis], second.size_deg[axis] / pixels[1][axis], rtol=_SAME_PIXEL
            )
        ):
            continue
        apart = (first.size_deg[axis] + second.size_deg[axis]) / 2
        for sign in (1, -1):
            if _close(second.center_deg[axis], first.center_deg[axis] + sign * apart):
                return axis, sign
    return None


def _joined(first: ScanField, second: ScanField) -> ScanField:
    side = _side(first, second)
    if side is None:
        raise OptionError("these fields do not touch", found=f"{first.name}, {second.name}")
    axis, sign = side
    before, behind = (first, second) if sign > 0 else (second, first)
    step = [0, 0]
    step[axis] = (before.height, before.width)[axis]
    size = list(first.size_deg)
    size[axis] += second.size_deg[axis]
    center = list(first.center_deg)
    center[axis] = before.center_deg[axis] - before.size_deg[axis] / 2 + size[axis] / 2
    moved = {id(behind): (step[0], step[1])}
    parts: list[FieldPart] = []
    for field in (first, second):
        top, left = moved.get(id(field), (0, 0))
        parts += (part.shifted(top, left) for part in field.parts)
    return replace(
        first,
        name=first.name if first.name == second.name else f"{first.name} + {second.name}",
        rois=first.rois + second.rois,
        center_deg=(center[0], center[1]),
        size_deg=(size[0], size[1]),
        parts=tuple(parts),
    )


# ---- stitching -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """Where the pixels of fields go on one canvas.

    Attributes
    ----------
    height, width : int
    pixel_size_um : (float, float)
    corner_um : (float, float)
        Y and X of its upper left corner.
    tiles : dict of int to tuple of Tile
        By plane.
    resampled : tuple of str
        Fields with larger pixels, whose pixels are repeated.
    """

    height: int
    width: int
    pixel_size_um: tuple[float, float]
    corner_um: tuple[float, float]
    tiles: dict[int, tuple[Tile, ...]]
    resampled: tuple[str, ...]


def lay_out(fields: Sequence[ScanField]) -> Canvas:
    """The canvas that holds all fields, with the pixels of the finest.

    Parameters
    ----------
    fields : sequence of ScanField

    Returns
    -------
    Canvas
        One for all depths. A field with the canvas's pixels is moved to the nearest whole pixel and copied as it is; of
        another, each pixel of the canvas whose centre lies in it takes the pixel that it lies in (nearest neighbour,
        no interpolation). Later fields cover earlier ones.

    Raises
    ------
    OptionError
        No fields, rotated ones, an unknown resolution of the objective, or a canvas of absurd size.
    """
    if not fields:
        raise OptionError("the recording has no fields to stitch", hint="Only multi-ROI recordings have them")
    turned = [field.name for field in fields if field.rotation_deg % 360]
    if turned:
        raise OptionError("rotated fields cannot be stitched without resampling", found=", ".join(turned))
    places = []
    for field in fields:
        center, size, pixel = field.center_um, field.size_um, field.pixel_size_um
        if center is None or size is None or pixel is None:
            raise OptionError("the header does not state the objective's resolution, so there are no µm")
        places.append((field, (center[0] - size[0] / 2, center[1] - size[1] / 2), size, pixel))
    step = (min(pixel[0] for *_, pixel in places), min(pixel[1] for *_, pixel in places))
    corner = (min(low[0] for _, low, _, _ in places), min(low[1] for _, low, _, _ in places))
    spans = [_spans(field, low, size, pixel, step, corner) for field, low, size, pixel in places]
    height = max(top + len(rows) for (top, rows), _ in spans)
    width = max(left + len(columns) for _, (left, columns) in spans)
    if height * width > _MOST_PIXELS:
        raise OptionError("the fields lie too far apart for one canvas", found=f"{height} x {width} pixels")
    tiles: dict[int, list[Tile]] = {}
    resampled = []
    for (field, _, _, pixel), ((top, rows), (left, columns)) in zip(places, spans, strict=True):
        if not _same_pixel(pixel[0], step[0]) or not _same_pixel(pixel[1], step[1]):
            resampled.append(field.name)
        for part in field.parts:
            tile = _tile_of(part, top, rows, left, columns)
            if tile is not None:
                tiles.setdefault(field.plane, []).append(tile)
    return Canvas(
        height=height,
        width=width,
        pixel_size_um=step,
        corner_um=corner,
        tiles={plane: tuple(some) for plane, some in tiles.items()},
        resampled=tuple(dict.fromkeys(resampled)),
    )


def _same_pixel(one: float, other: float) -> bool:
    return abs(one - other) <= _SAME_PIXEL * other


_Span = tuple[int, np.ndarray[tuple[int], np.dtype[np.int64]]]


def _spans(
    field: ScanField,
    low: tuple[float, float],
    size: tuple[float, float],
    pixel: tuple[float, float],
    step: tuple[float, float],
    corner: tuple[float, float],
) -> tuple[_Span, _Span]:
    """Along Y and X: the first pixel of the canvas, and the pixel of the field for each that follows."""
    found: list[_Span] = []
    for axis, count in enumerate((field.height, field.width)):
        if _same_pixel(pixel[axis], step[axis]):
            # half a pixel rounds down, so that a row of fields half a pixel apart does not grow
            first = int(np.ceil((low[axis] - corner[axis]) / step[axis] - 0.5))
            found.append((first, np.arange(count, dtype=np.int64)))
            continue
        begin = (low[axis] - corner[axis]) / step[axis]
        end = begin + size[axis] / step[axis]
        # centres of canvas pixels are at k + 0.5
        first, stop = int(np.ceil(begin - 0.5)), int(np.ceil(end - 0.5))
        inside = (np.arange(first, stop) + 0.5 - begin) * step[axis] / pixel[axis]
        found.append((first, np.clip(inside.astype(np.int64), 0, count - 1)))
    return found[0], found[1]


def _tile_of(
    part: FieldPart,
    top: int,
    rows: np.ndarray[tuple[int], np.dtype[np.int64]],
    left: int,
    columns: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Tile | None:
    """What one part of a field fills; None where no centre of a pixel lies in it."""
    y = np.flatnonzero((rows >= part.top) & (rows < part.top + len(part.rows)))
    x = np.flatnonzero((columns >= part.left) & (columns < part.left + len(part.columns)))
    if not y.size or not x.size:
        return None
    return Tile(
        top + int(y[0]),
        left + int(x[0]),
        compact(rows[y] - part.top + part.rows.start),
        compact(columns[x] - part.left + part.columns.start),
    )
