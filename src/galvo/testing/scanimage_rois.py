"""Multi-ROI recordings with known truth: what is asked of the microscope, and where it lies on the pages.

Rules: scanimage spec 1.7, as observed. Fields of a depth are stacked in list order; between them a resonant scanner
flies for whole periods (`flyto_periods` rounded up), each two rows when bidirectional, one otherwise; galvo pages have
no gaps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["PlacedField", "RoiRequest", "ScanfieldRequest", "page_size", "placed_fields"]


@dataclass(frozen=True, kw_only=True)
class ScanfieldRequest:
    """A rectangle of a region; X before Y, as ScanImage has it."""

    center_deg: tuple[float, float] = (0.0, 0.0)
    """Centre in degrees of scan angle."""
    size_deg: tuple[float, float] = (4.0, 4.0)
    """Width and height in degrees."""
    pixels: tuple[int, int] = (24, 16)
    """Columns and rows."""
    rotation_deg: float = 0.0
    """By which it is turned."""


@dataclass(frozen=True, kw_only=True)
class RoiRequest:
    """A region of a multi-ROI recording."""

    scanfields: tuple[ScanfieldRequest, ...] = (ScanfieldRequest(),)
    """At the depths `zs`."""
    zs: tuple[float, ...] = (0.0,)
    """One depth in um per scanfield."""
    name: str = ""
    """Given by the user."""
    discrete: bool = False
    """`discretePlaneMode`: scanned at its own depths only."""
    enable: bool = True
    """Whether it is scanned at all."""
    zs_json: Any = None
    """What stands in the file as `zs` instead of the depths; such a region is not scanned."""


@dataclass(frozen=True, kw_only=True)
class PlacedField:
    """Where one field lies on the pages of its plane."""

    roi: int
    """Position in the list of regions."""
    name: str
    """Of the region."""
    plane: int
    """Slice, from 0."""
    rows: range
    """Of the page."""
    columns: range
    """Of the page."""
    center_deg: tuple[float, float]
    """X, Y."""
    size_deg: tuple[float, float]
    """X, Y."""


def _at(roi: RoiRequest, z: float) -> ScanfieldRequest | None:
    # Independent of the readers: depths are exact here, and interpolated counts must come out as whole even numbers.
    if not roi.enable or roi.zs_json is not None:
        return None
    if len(roi.zs) == 1 and not roi.discrete:
        return roi.scanfields[0]
    known = dict(zip(roi.zs, roi.scanfields, strict=True))
    if z in known or roi.discrete:
        return known.get(z)
    depths = sorted(known)
    if not depths[0] < z < depths[-1]:
        return None
    below = next(depth for depth in depths if depth > z)
    above = depths[depths.index(below) - 1]
    part = (z - above) / (below - above)
    one, two = known[above], known[below]

    def mixed(first: tuple[float, float], second: tuple[float, float]) -> tuple[float, float]:
        return first[0] * (1 - part) + second[0] * part, first[1] * (1 - part) + second[1] * part

    pixels = mixed(one.pixels, two.pixels)
    return ScanfieldRequest(
        center_deg=mixed(one.center_deg, two.center_deg),
        size_deg=mixed(one.size_deg, two.size_deg),
        # the nearest even number; an odd one goes up
        pixels=(2 * math.floor(pixels[0] / 2 + 0.5), 2 * math.floor(pixels[1] / 2 + 0.5)),
    )


def placed_fields(rois: Sequence[RoiRequest], depths_um: Sequence[float], gap_rows: int) -> list[PlacedField]:
    """Return the fields of all planes, planes outermost, regions in list order."""
    placed = []
    for plane, z in enumerate(depths_um):
        top = 0
        for number, roi in enumerate(rois):
            field = _at(roi, z)
            if field is None:
                continue
            columns, rows = field.pixels
            placed.append(
                PlacedField(
                    roi=number,
                    name=roi.name or f"ROI {number + 1}",
                    plane=plane,
                    rows=range(top, top + rows),
                    columns=range(columns),
                    center_deg=field.center_deg,
                    size_deg=field.size_deg,
                )
            )
            top += rows + gap_rows
    return placed


def page_size(rois: Sequence[RoiRequest], depths_um: Sequence[float], gap_rows: int) -> tuple[int, int]:
    """Return height and width of the pages."""
    fields = placed_fields(rois, depths_um, gap_rows)
    return max(field.rows.stop for field in fields), max(field.columns.stop for field in fields)
