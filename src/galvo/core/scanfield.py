"""Where a scan field lies: on the page that it was recorded in, in the sample, and in time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.selection import Indices
from galvo.errors import OptionError

__all__ = ["FieldPart", "LineClock", "ScanField", "describe_field"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineClock:
    """How the beam moves along lines.

    Attributes
    ----------
    line_period_s : float
        From the start of one line to that of the next.
    bidirectional : bool
        Odd rows of the page are scanned backwards.
    fill_fraction : float
        Part of a line's time in which pixels are taken, around its middle.
    """

    line_period_s: float
    bidirectional: bool = False
    fill_fraction: float = 1.0

    def within_line(self, width: int) -> NDArray[np.float64]:
        """When each of `width` pixels of a forward line is taken, as a part of the line period, (X,).

        Notes
        -----
        ``(sin(angle) + 1) / 2``, angles evenly spaced between +-pi/2 * `fill_fraction`, its ends left out: the
        definition of scanreader's field offsets.
        """
        most = np.pi / 2 * self.fill_fraction
        return (np.sin(np.linspace(-most, most, width + 2)[1:-1]) + 1) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPart:
    """A rectangle of the page that became a rectangle of a field.

    Attributes
    ----------
    rows, columns : range
        Of the page.
    top, left : int
        Where its first pixel is in the field.
    line_pixels : int
        Pixels of a whole scanned line, of which the columns may be a part.
    start_s : float
        When its first line starts, from the start of the volume (of the frame, when planar).
    """

    rows: range
    columns: range
    line_pixels: int
    top: int = 0
    left: int = 0
    start_s: float = 0.0

    def shifted(self, top: int, left: int) -> FieldPart:
        """The same part elsewhere in a larger field."""
        return replace(self, top=self.top + top, left=self.left + left)

    def times_s(self, clock: LineClock) -> NDArray[np.float64]:
        """When each pixel is taken, (Y, X)."""
        forward = clock.within_line(self.line_pixels)
        within = np.tile(forward[self.columns.start : self.columns.stop], (len(self.rows), 1))
        if clock.bidirectional:
            backward = np.array(self.rows) % 2 == 1
            within[backward] = 1 - within[backward]
        return self.start_s + (np.arange(len(self.rows))[:, None] + within) * clock.line_period_s

    def cropped(self, rows: range, columns: range, line_period_s: float) -> FieldPart | None:
        """What of it lies in these rows and columns of the field, placed relative to them."""
        top, left = max(rows.start, self.top), max(columns.start, self.left)
        bottom = min(rows.stop, self.top + len(self.rows))
        right = min(columns.stop, self.left + len(self.columns))
        if top >= bottom or left >= right:
            return None
        return replace(
            self,
            rows=self.rows[top - self.top : bottom - self.top],
            columns=self.columns[left - self.left : right - self.left],
            top=top - rows.start,
            left=left - columns.start,
            start_s=self.start_s + (top - self.top) * line_period_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanField:
    """One scanned rectangle at one depth.

    Attributes
    ----------
    name : str
        As the user named the region.
    rois : tuple of int
        Positions of its regions in the vendor's list, from 0; several when fields were joined.
    plane : int
        Its Z in the whole recording.
    z_um : float or None
        Depth.
    center_deg, size_deg : (float, float)
        Y and X in degrees of scan angle.
    rotation_deg : float
        By which the scanner turned it.
    um_per_deg : float or None
        Resolution of the objective.
    parts : tuple of FieldPart
        The rectangles of the page that it is made of, one unless fields were joined.
    clock : LineClock or None
    """

    name: str
    rois: tuple[int, ...]
    plane: int
    z_um: float | None
    center_deg: tuple[float, float]
    size_deg: tuple[float, float]
    parts: tuple[FieldPart, ...]
    rotation_deg: float = 0.0
    um_per_deg: float | None = None
    clock: LineClock | None = None

    @property
    def height(self) -> int:
        """Rows."""
        return max(part.top + len(part.rows) for part in self.parts)

    @property
    def width(self) -> int:
        """Columns."""
        return max(part.left + len(part.columns) for part in self.parts)

    @property
    def center_um(self) -> tuple[float, float] | None:
        """Centre, Y and X, in µm from the centre of the scanner's range."""
        return self._um(self.center_deg)

    @property
    def size_um(self) -> tuple[float, float] | None:
        """Height and width in µm."""
        return self._um(self.size_deg)

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Height and width of a pixel in µm."""
        size = self.size_um
        return None if size is None else (size[0] / self.height, size[1] / self.width)

    def _um(self, degrees: tuple[float, float]) -> tuple[float, float] | None:
        if self.um_per_deg is None:
            return None
        return degrees[0] * self.um_per_deg, degrees[1] * self.um_per_deg

    @property
    def corner_deg(self) -> tuple[float, float]:
        """Y and X of the upper left corner, before any rotation."""
        return self.center_deg[0] - self.size_deg[0] / 2, self.center_deg[1] - self.size_deg[1] / 2

    @property
    def rows(self) -> range:
        """Its rows of the page.

        Raises
        ------
        OptionError
            Fields were joined: look at `parts`.
        """
        return self._only_part().rows

    @property
    def columns(self) -> range:
        """Its columns of the page; raises like `rows`."""
        return self._only_part().columns

    def _only_part(self) -> FieldPart:
        if len(self.parts) > 1:
            raise OptionError("a joined field has rows and columns of several fields", hint="Look at its parts")
        return self.parts[0]

    def line_times_s(self) -> NDArray[np.float64]:
        """When each row starts to be scanned, in s from the start of the volume, float64 (Y,).

        Raises
        ------
        OptionError
            Fields were joined side by side, so that a row was scanned in several lines, or the header does not say
            how long a line takes.
        """
        if len({part.left for part in self.parts}) > 1:
            raise OptionError(
                "the rows of fields joined side by side were scanned in several lines", hint="Use pixel_times_s"
            )
        clock = self._known_clock()
        times = np.empty(self.height)
        for part in self.parts:
            lines = np.arange(len(part.rows))
            times[part.top : part.top + lines.size] = part.start_s + lines * clock.line_period_s
        return times

    def pixel_times_s(self) -> NDArray[np.float64]:
        """When each pixel is taken, in s from the start of the volume, float64 (Y, X).

        Raises
        ------
        OptionError
            The header does not say how long a line takes.
        """
        clock = self._known_clock()
        times = np.empty((self.height, self.width))
        for part in self.parts:
            found = part.times_s(clock)
            times[part.top : part.top + found.shape[0], part.left : part.left + found.shape[1]] = found
        return times

    def cropped(self, y: Indices, x: Indices) -> ScanField | None:
        """The part of it in rows `y` and columns `x` of the recording that shows it; None for what is no rectangle.

        Parameters
        ----------
        y, x : range or ndarray of int64
            Of the page, or of the field itself when it was joined.
        """
        first = self.parts[0]
        origin = (first.rows.start, first.columns.start) if len(self.parts) == 1 else (0, 0)
        if not isinstance(y, range) or not isinstance(x, range) or y.step != 1 or x.step != 1 or not y or not x:
            return None
        rows, columns = (range(axis.start - o, axis.stop - o) for axis, o in zip((y, x), origin, strict=True))
        if rows == range(self.height) and columns == range(self.width):
            return self
        period = self.clock.line_period_s if self.clock is not None else 0.0
        parts = [part.cropped(rows, columns, period) for part in self.parts]
        step = (self.size_deg[0] / self.height, self.size_deg[1] / self.width)
        shift = [
            ((axis.start + axis.stop) / 2 - length / 2) * size
            for axis, length, size in zip((rows, columns), (self.height, self.width), step, strict=True)
        ]
        turn = np.deg2rad(self.rotation_deg)
        down = shift[0] * np.cos(turn) + shift[1] * np.sin(turn)
        right = shift[1] * np.cos(turn) - shift[0] * np.sin(turn)
        return replace(
            self,
            center_deg=(float(self.center_deg[0] + down), float(self.center_deg[1] + right)),
            size_deg=(len(rows) * step[0], len(columns) * step[1]),
            parts=tuple(part for part in parts if part is not None),
        )

    def _known_clock(self) -> LineClock:
        if self.clock is None:
            raise OptionError("the header does not say how long a line takes")
        return self.clock


def describe_field(field: ScanField) -> dict[str, Any]:
    """What is known of a field as plain values that JSON takes, Y before X."""
    return {
        "name": field.name,
        "rois": list(field.rois),
        "plane": field.plane,
        "z_um": field.z_um,
        "center_um": None if field.center_um is None else list(field.center_um),
        "size_um": None if field.size_um is None else list(field.size_um),
        "center_deg": list(field.center_deg),
        "size_deg": list(field.size_deg),
        "rotation_deg": field.rotation_deg,
        "rows": [[part.rows.start, part.rows.stop] for part in field.parts],
        "columns": [[part.columns.start, part.columns.stop] for part in field.parts],
    }
