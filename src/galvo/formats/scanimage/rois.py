"""The regions that a multi-ROI recording scans, from the JSON of its ROI groups.

``RoiGroups.imagingRoiGroup.rois`` (scanimage spec 1.7; older files leave out ``RoiGroups``). A list of one element is
written as the element, an empty one as a typed null. Of a region at depth z there is: in ``discretePlaneMode`` the
scanfield of that depth (of equal depths the last one); its only scanfield, at every depth; or one interpolated linearly
between the two around z, where z lies within its depths.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Literal

from galvo.errors import warn

__all__ = ["NOT_SPLIT", "Roi", "Scanfield", "Tie", "parse_rois"]

NOT_SPLIT = "pages are not split into fields: select the rows of each with rec.isel(y=slice(...))"
"""How warnings end that say why there are no fields."""

Tie = Literal["up", "even"]
Reach = Literal["everywhere", "discrete", "between"]

# depths carry 6 digits in the header and 10 in the ROI groups
_SAME_DEPTH_UM, _SAME_DEPTH = 1e-3, 1e-5
# degrees, µm or pixels
_MOST = 1e9


def _same_depth(one: float, other: float) -> bool:
    """Whether two depths in µm are the same but for the digits with which they are written."""
    return math.isclose(one, other, rel_tol=_SAME_DEPTH, abs_tol=_SAME_DEPTH_UM)


@dataclass(frozen=True, slots=True)
class Scanfield:
    """A rectangle that is scanned, in degrees of scan angle; X before Y, as ScanImage has it.

    Attributes
    ----------
    center_deg, size_deg : (float, float)
        X, Y.
    pixels : (float, float)
        X, Y; between two depths not always whole.
    rotation_deg : float
    """

    center_deg: tuple[float, float]
    size_deg: tuple[float, float]
    pixels: tuple[float, float]
    rotation_deg: float = 0.0

    def toward(self, other: Scanfield, part: float) -> Scanfield:
        """What lies `part` of the way from this one to another."""

        def between(one: tuple[float, float], two: tuple[float, float]) -> tuple[float, float]:
            return one[0] + (two[0] - one[0]) * part, one[1] + (two[1] - one[1]) * part

        turn = self.rotation_deg + (other.rotation_deg - self.rotation_deg) * part
        return Scanfield(
            between(self.center_deg, other.center_deg),
            between(self.size_deg, other.size_deg),
            between(self.pixels, other.pixels),
            turn,
        )

    def whole(self, tie: Tie) -> Scanfield:
        """With the nearest even numbers of pixels; of two equally near, `tie` takes the larger or the multiple of 4."""
        width, height = (_nearest_even(count, tie) for count in self.pixels)
        return Scanfield(self.center_deg, self.size_deg, (width, height), self.rotation_deg)


def _nearest_even(count: float, tie: Tie) -> int:
    # sums of products carry errors of 1e-13: 50.5 must stay a tie
    half = round(count / 2, 9)
    return 2 * (math.floor(half + 0.5) if tie == "up" else round(half))


@dataclass(frozen=True, slots=True)
class Roi:
    """A region: what is scanned of it at which depth.

    Attributes
    ----------
    number : int
        In the file's list, from 0.
    name : str
    reach : "everywhere", "discrete" or "between"
        At which depths it is scanned: all, its own, or also between them.
    scanfields : tuple of (float, Scanfield)
        By depth in µm, in the order of depth.
    """

    number: int
    name: str
    reach: Reach
    scanfields: tuple[tuple[float, Scanfield], ...]

    def at(self, z: float | None, tie: Tie = "up") -> Scanfield | None:
        """What is scanned at a depth, None where nothing is; an unknown depth has only what is scanned at every one."""
        if self.reach == "everywhere":
            return self.scanfields[0][1]
        if z is None:
            return None
        for depth, field in self.scanfields:
            if _same_depth(depth, z):
                return field
        if self.reach == "discrete":
            return None
        for (above, first), (below, second) in zip(self.scanfields, self.scanfields[1:], strict=False):
            if above < z < below:
                return first.toward(second, (z - above) / (below - above)).whole(tie)
        return None


def parse_rois(text: str, path: str) -> tuple[Roi, ...]:
    """The imaging regions of the ROI groups, in the order of the file.

    Parameters
    ----------
    text : str
        JSON.
    path : str
        For messages.

    Returns
    -------
    tuple of Roi
        Without those that are switched off, and without those whose depths or scanfields make no sense: these a warning
        names.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        warn(f"{path}: the ROI groups do not parse ({error}); {NOT_SPLIT}")
        return ()
    groups = tree.get("RoiGroups", tree) if isinstance(tree, dict) else None
    group = groups.get("imagingRoiGroup") if isinstance(groups, dict) else None
    found: list[Roi] = []
    dropped: list[str] = []
    for number, entry in enumerate(_listed(group.get("rois") if isinstance(group, dict) else None)):
        name = str(entry.get("name") or f"ROI {number + 1}") if isinstance(entry, dict) else f"ROI {number + 1}"
        if isinstance(entry, dict) and entry.get("enable", 1) in (0, False):
            continue
        scanfields = _scanfields(entry)
        if scanfields is None:
            dropped.append(f"{number + 1} ({name})")
            continue
        only = len(_listed(entry.get("scanfields"))) == 1
        reach: Reach = "discrete" if entry.get("discretePlaneMode") else "everywhere" if only else "between"
        found.append(Roi(number, name, reach, scanfields))
    if dropped:
        warn(f"{path}: depths or scanfields of ROIs make no sense, they are left out: {', '.join(dropped)}")
    return tuple(found)


def _listed(value: Any) -> list[Any]:
    """The elements of what MATLAB wrote: a list, its only element, or an empty typed array."""
    if isinstance(value, dict) and "_ArrayType_" in value:
        return _listed(value.get("_ArrayData_"))
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """`count` numbers that a microscope could state, None for anything else."""
    items = _listed(value)
    if len(items) != count:
        return None
    if any(isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) < _MOST for item in items):
        return None
    return tuple(float(item) for item in items)


def _scanfields(entry: Any) -> tuple[tuple[float, Scanfield], ...] | None:
    if not isinstance(entry, dict):
        return None
    fields = [_scanfield(one) for one in _listed(entry.get("scanfields"))]
    depths = _numbers(entry.get("zs"), len(fields))
    if not fields or depths is None:
        return None
    known: dict[float, Scanfield] = {}
    for depth, field in zip(depths, fields, strict=True):
        if field is None:
            return None
        known[depth] = field
    return tuple(sorted(known.items(), key=lambda item: item[0]))


def _scanfield(entry: Any) -> Scanfield | None:
    if not isinstance(entry, dict):
        return None
    center, size = _numbers(entry.get("centerXY"), 2), _numbers(entry.get("sizeXY"), 2)
    pixels, turn = _numbers(entry.get("pixelResolutionXY"), 2), _numbers(entry.get("rotationDegrees", 0), 1)
    if center is None or size is None or pixels is None or turn is None:
        return None
    if min(size) <= 0 or any(count < 1 or count != int(count) or count > 0xFFFF for count in pixels):
        return None
    return Scanfield((center[0], center[1]), (size[0], size[1]), (pixels[0], pixels[1]), turn[0])
