"""Lines scanned backwards that are shifted against those scanned forwards: how much, and put right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.mosaic import on_canvas
from galvo.core.over import ReaderOver
from galvo.core.reader import Reader
from galvo.core.selection import Indices, Selection, outer_index
from galvo.errors import OptionError

if TYPE_CHECKING:
    from galvo.core.lazy import LazyArray

__all__ = ["PhaseReader", "estimate_phase", "phase_areas"]

# standard deviations of the correlation of independent pixels
_SIGNIFICANT = 5.0

_SAMPLED_FRAMES = 64

_FloatImage = NDArray[np.float64]


def _line_shift(images: Sequence[_FloatImage], most: int) -> float:
    """By how many pixels odd rows lie to the right of even ones.

    Parameters
    ----------
    images : sequence of ndarray, (Y, X)
        Means over time, of all fields; row 0 is scanned forwards.
    most : int
        Largest shift that is looked for.

    Returns
    -------
    float
        0.0 where rows have nothing in common that noise would not have.

    Notes
    -----
    Each odd row is compared with the mean of its two neighbours; correlations of all rows and images are summed for
    every whole shift, over the columns that all shifts share, and a parabola through the best and its neighbours gives
    the fraction.
    """
    shifts = np.arange(-most, most + 1)
    products = np.zeros(shifts.size)
    energies = np.zeros((2, shifts.size))
    compared = 0
    for image in images:
        height, width = image.shape
        inner = width - 2 * most
        pairs = (height - 1) // 2
        if pairs < 1 or inner < 4:
            continue
        odd = image[1 : 2 * pairs : 2]
        around = (image[0 : 2 * pairs : 2] + image[2 : 2 * pairs + 1 : 2]) / 2
        compared += pairs * inner
        still = _centered(around[:, most : most + inner])
        for number, shift in enumerate(shifts.tolist()):
            moved = _centered(odd[:, most + shift : most + shift + inner])
            products[number] += float((still * moved).sum())
            energies[0, number] += float((still**2).sum())
            energies[1, number] += float((moved**2).sum())
    scale = np.sqrt(energies[0] * energies[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.where(scale > 0, products / scale, 0.0)
    best = int(np.argmax(correlation))
    if not compared or correlation[best] < _SIGNIFICANT / np.sqrt(compared):
        return 0.0
    if not 0 < best < shifts.size - 1:
        return float(shifts[best])
    left, peak, right = correlation[best - 1 : best + 2]
    bend = left - 2 * peak + right
    fraction = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return float(shifts[best] + fraction)


def _centered(rows: _FloatImage) -> _FloatImage:
    centered: _FloatImage = rows - rows.mean(axis=1, keepdims=True)
    return centered


@dataclass(frozen=True, slots=True)
class _Area:
    plane: int | None
    rows: range
    columns: range


class PhaseReader(ReaderOver):
    """A reader whose odd rows are shifted back.

    Parameters
    ----------
    reader : Reader
    shift : float
        Pixels by which odd rows of the page lie too far to the right. Whole shifts move pixels; fractions interpolate
        linearly between two, rounded for integer types.
    areas : sequence of (int or None, range, range)
        Plane (None: all), rows and columns within which rows are shifted: fields, or the whole page. At the edges of an
        area, what the shift leaves open repeats the last pixel.
    """

    def __init__(self, reader: Reader, shift: float, areas: Sequence[tuple[int | None, range, range]]) -> None:
        super().__init__(reader)
        self._shift = shift
        self._areas = [_Area(*area) for area in areas]

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`; whole rows of the areas concerned are read."""
        y = np.asarray(selection.y, np.int64)
        met = [area for area in self._areas if self._meets(area, selection.z, y)]
        if not met or not (y % 2).any():
            self._reader.read(selection, out)
            return
        wanted = np.asarray(selection.x, np.int64)
        first = min(int(wanted.min()), *(area.columns.start for area in met))
        stop = max(int(wanted.max()) + 1, *(area.columns.stop for area in met))
        part = Selection(selection.t, selection.c, selection.z, selection.y, range(first, stop))
        pixels = np.empty(part.shape, self.dtype)
        self._reader.read(part, pixels)
        for number, plane in enumerate(selection.z):
            for area in met:
                if area.plane in (None, int(plane)):
                    self._put_right(pixels[:, :, number], area, y, first)
        out[...] = pixels[outer_index([*(range(length) for length in part.shape[:4]), wanted - first])]

    def _meets(self, area: _Area, planes: Indices, y: Int64) -> bool:
        if area.plane is not None and area.plane not in (int(plane) for plane in planes):
            return False
        return bool(((y >= area.rows.start) & (y < area.rows.stop)).any())

    def _put_right(self, pixels: NDArray[Any], area: _Area, y: Int64, first: int) -> None:
        """Shift the odd rows of an area in `pixels` (T, C, Y, X)."""
        rows = np.flatnonzero((y >= area.rows.start) & (y < area.rows.stop) & (y % 2 == 1))
        columns = slice(area.columns.start - first, area.columns.stop - first)
        width = len(area.columns)
        source = np.clip(np.arange(width) + self._shift, 0, width - 1)
        low = np.floor(source).astype(np.int64)
        part = source - low
        lines = pixels[:, :, rows, columns]
        moved = lines[..., low]
        if part.any():
            above = lines[..., np.minimum(low + 1, width - 1)]
            between = moved * (1 - part) + above * part
            moved = (np.rint(between) if self.dtype.kind in "iu" else between).astype(self.dtype)
        pixels[:, :, rows, columns] = moved


Area = tuple[int | None, range, range]


def phase_areas(recording: LazyArray) -> list[Area]:
    """Within which planes, rows and columns of its pages lines are scanned: its fields, or whole pages."""
    parts = [(field.plane, part) for field in recording._fields for part in field.parts]
    if parts:
        return [(plane, part.rows, part.columns) for plane, part in parts]
    height, width = recording._reader.shape[3:]
    return [(None, range(height), range(width))]


def estimate_phase(recording: LazyArray, most: int) -> float:
    """By how many pixels rows scanned backwards lie to the right; see `Recording.estimate_bidirectional_phase`."""
    if on_canvas(recording._reader):
        raise OptionError("a canvas has no lines", hint="Ask before fields are joined or stitched")
    shown = recording._selection
    rows, columns = shown.y, shown.x
    if not isinstance(rows, range) or not isinstance(columns, range) or rows.step != 1 or columns.step != 1:
        raise OptionError("only rows and columns that follow each other show the phase of lines")
    count = recording.shape[0]
    times = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED_FRAMES)).astype(np.int64))
    total = np.zeros(recording.shape[2:])
    for t in times.tolist():
        total += recording[t].sum(axis=0, dtype=np.float64)
    images = []
    for z, plane in enumerate(shown.z):
        for area_plane, area_rows, area_columns in phase_areas(recording):
            if area_plane not in (None, int(plane)):
                continue
            top, bottom = max(area_rows.start, rows.start), min(area_rows.stop, rows.stop)
            left, right = max(area_columns.start, columns.start), min(area_columns.stop, columns.stop)
            # row 0 of an image is an even row of the page
            top += top % 2
            if top < bottom and left < right:
                images.append(
                    total[z, top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
                )
    return _line_shift(images, most)
