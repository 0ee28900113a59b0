"""Frozen facts of a recording: what the vendor wrote, in galvo's names and units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from galvo.core.selection import Indices, Selection

if TYPE_CHECKING:
    from galvo.core.scanfield import ScanField

__all__ = ["Damage", "LeftOut", "Metadata"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Pages that are in the files and not in the recording.

    Attributes
    ----------
    what : str
        "flyback", "incomplete volume", "slice repeats", ...
    page_count : int
        How many pages.
    reason : str
        One line for people.
    """

    what: str
    page_count: int
    reason: str


@dataclass(frozen=True, slots=True)
class Damage:
    """Something that is missing or wrong in the files of a recording opened with ``damaged="report"``.

    Attributes
    ----------
    path : str
    offset : int or None
        Position in that file, in bytes.
    message : str
        What is wrong, and what was done about it.
    """

    path: str
    offset: int | None
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is known of a recording besides its pixels. Unknown is None, never invented.

    Attributes
    ----------
    format : str
        Name of the format that was read, as in `galvo formats`.
    version : str or None
        The vendor's version, for people.
    channel_names : tuple of str, (C,)
    frame_rate_hz : float or None
        Rate of the T axis: the volume rate for volumes.
    pixel_size_um : (float, float) or None
        Height and width of a pixel (Y, X) in the sample.
    z_um : tuple of float, (Z,), or None
        Depth of each plane as the vendor states it; NaN for a flyback plane.
    start_time : str or None
        Wall clock of the first frame, ISO 8601 without a zone.
    header : mapping of str
        The vendor's header by key, parsed on demand.
    texts : mapping of str to str
        The vendor's texts untouched: "header", "roi", "description".
    attributes : mapping of str
        Further facts of this format.
    scan_field : ScanField or None
        Of a field of a multi-ROI recording: where it lies.
    """

    format: str
    version: str | None = None
    channel_names: tuple[str, ...] = ()
    frame_rate_hz: float | None = None
    pixel_size_um: tuple[float, float] | None = None
    z_um: tuple[float, ...] | None = None
    start_time: str | None = None
    header: Mapping[str, Any] = field(default_factory=dict, repr=False)
    texts: Mapping[str, str] = field(default_factory=dict, repr=False)
    attributes: Mapping[str, Any] = field(default_factory=dict, repr=False)
    scan_field: ScanField | None = None

    def select(self, selection: Selection) -> Metadata:
        """The metadata of a part: names, depths, rate and pixel size follow the selection."""
        names = tuple(self.channel_names[i] for i in selection.c) if self.channel_names else ()
        depths = None if self.z_um is None else tuple(self.z_um[i] for i in selection.z)
        rate = self.frame_rate_hz
        if rate is not None and len(selection.t) > 1:
            step = _step(selection.t)
            rate = rate / step if step else None
        size = self.pixel_size_um
        if size is not None:
            steps = (_step(selection.y), _step(selection.x))
            size = (size[0] * steps[0], size[1] * steps[1]) if steps[0] and steps[1] else None
        place = None if self.scan_field is None else self.scan_field.cropped(selection.y, selection.x)
        return replace(self, channel_names=names, z_um=depths, frame_rate_hz=rate, pixel_size_um=size, scan_field=place)


def _step(positions: Indices) -> int | None:
    """Spacing of evenly spaced forward positions, else None."""
    if not isinstance(positions, range) or positions.step < 0:
        return None
    return positions.step if len(positions) > 1 else 1
