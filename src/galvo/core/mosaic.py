"""Rectangles of the pages of a recording laid side by side on another canvas: joined fields, stitched fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.over import ReaderOver
from galvo.core.reader import Reader
from galvo.core.selection import Indices, Selection, compact

__all__ = ["MosaicReader", "Tile", "fill_value", "on_canvas"]


@dataclass(frozen=True, slots=True)
class Tile:
    """Pixels of a page as a rectangle of the canvas.

    Attributes
    ----------
    top, left : int
        Its first pixel on the canvas.
    rows, columns : range or ndarray of int64
        For each of its rows and columns on the canvas, the one of the page.
    """

    top: int
    left: int
    rows: Indices
    columns: Indices


def fill_value(dtype: np.dtype[Any]) -> float:
    """What stands where nothing was scanned: NaN, and 0 for types that have none."""
    return float("nan") if dtype.kind in "fc" else 0


def on_canvas(reader: Reader) -> bool:
    """Whether rows that a reader shows are those of a canvas, not of pages."""
    below: Any = reader
    while below is not None:
        if isinstance(below, MosaicReader):
            return True
        below = getattr(below, "_reader", None)
    return False


class MosaicReader(ReaderOver):
    """Shows tiles of another reader's pages on a canvas of its own; later tiles cover earlier ones.

    Parameters
    ----------
    reader : Reader
    size : (int, int)
        Height and width of the canvas.
    tiles : mapping of int to sequence of Tile
        Those of each plane of `reader`.
    """

    def __init__(self, reader: Reader, size: tuple[int, int], tiles: Mapping[int, Sequence[Tile]]) -> None:
        super().__init__(reader)
        self._tiles = dict(tiles)
        self.shape = (*reader.shape[:3], *size)
        self.chunks = (1, 1, 1, *size)

    def coverage(self, z: Indices, y: Indices, x: Indices) -> NDArray[np.bool_]:
        """Which pixels were scanned, (Z, Y, X)."""
        found = np.zeros((len(z), *self.shape[3:]), np.bool_)
        for number, plane in enumerate(z):
            for tile in self._tiles.get(int(plane), ()):
                rows, columns = len(tile.rows), len(tile.columns)
                found[number, tile.top : tile.top + rows, tile.left : tile.left + columns] = True
        return found[:, np.asarray(y, np.int64)[:, None], np.asarray(x, np.int64)]

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`: each tile that meets the selection is read, and only there."""
        out[...] = fill_value(self.dtype)
        for number, plane in enumerate(selection.z):
            for tile in self._tiles.get(int(plane), ()):
                y, rows = _meeting(selection.y, tile.top, tile.rows)
                x, columns = _meeting(selection.x, tile.left, tile.columns)
                if not len(y) or not len(x):
                    continue
                part = Selection(selection.t, selection.c, range(int(plane), int(plane) + 1), rows, columns)
                pixels = np.empty(part.shape, self.dtype)
                self._reader.read(part, pixels)
                _place(out[:, :, number], y, x, pixels[:, :, 0])


def _meeting(wanted: Indices, first: int, source: Indices) -> tuple[Indices, Indices]:
    """Positions in the selection that meet a tile, and what they are on the page."""
    stop = first + len(source)
    if isinstance(wanted, range) and wanted.step == 1 and isinstance(source, range):
        start, end = max(wanted.start, first), min(wanted.stop, stop)
        if start >= end:
            return range(0), range(0)
        return range(start - wanted.start, end - wanted.start), source[start - first : end - first]
    positions = np.asarray(wanted, np.int64)
    met = np.flatnonzero((positions >= first) & (positions < stop)).astype(np.int64)
    return compact(met), compact(np.asarray(source, np.int64)[positions[met] - first])


def _place(out: NDArray[Any], y: Indices, x: Indices, pixels: NDArray[Any]) -> None:
    if isinstance(y, range) and isinstance(x, range) and y.step == 1 and x.step == 1:
        out[:, :, y.start : y.stop, x.start : x.stop] = pixels
    else:
        out[:, :, np.asarray(y, np.int64)[:, None], np.asarray(x, np.int64)] = pixels
