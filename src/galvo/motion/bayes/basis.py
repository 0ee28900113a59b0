"""Displacements as sums of cosines: a coefficient is a length in pixels, its mode has a mean square of 1.

``phi_k(x) = prod_d sqrt(2)**(k_d > 0) cos(pi k_d (x_d + 1/2 + p) / L_d)`` with ``L_d = size_d + 2 p``: a cosine series
has no slope at its ends, so these lie p pixels outside the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CosineBasis", "cosines"]

_MAX_MODES = 20
_LEAST_HALF_WAVE = 14.0

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=False)
class CosineBasis:
    """The modes of one component of the displacement of a height x width image.

    Coefficients are grids (..., 2, Ky, Kx): component (x before y), half waves along y, half waves along x.
    """

    height: int
    width: int

    @property
    def padding(self) -> int:
        """Pixels between the image and the ends of the cosines."""
        return min(self.height, self.width) // 8

    @property
    def lengths(self) -> tuple[int, int]:
        """Period of half a wave along y and along x, in pixels."""
        return self.height + 2 * self.padding, self.width + 2 * self.padding

    @property
    def grid(self) -> tuple[int, int]:
        """Modes along y and along x: (Ky, Kx)."""
        ky, kx = (max(1, int(min(_MAX_MODES, length / _LEAST_HALF_WAVE))) for length in self.lengths)
        return ky, kx

    @cached_property
    def frequency(self) -> Float64:
        """Half waves per pixel of each mode, (Ky, Kx)."""
        ky, kx = (np.arange(count) / length for count, length in zip(self.grid, self.lengths, strict=True))
        return np.hypot(ky[:, None], kx)

    @cached_property
    def order(self) -> Float64:
        """Half waves across a square of the image's area, (Ky, Kx)."""
        return self.frequency * float(np.sqrt(np.prod(self.lengths)))

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """Modes inside the disc of equal resolution in all directions, (Ky, Kx)."""
        finest = max((count - 1) / length for count, length in zip(self.grid, self.lengths, strict=True))
        return self.frequency <= finest + 1e-9

    def along_y(self, positions: ArrayLike) -> Float64:
        """Cosines at positions in pixels, (N, Ky)."""
        return self._cosines(positions, 0)

    def along_x(self, positions: ArrayLike) -> Float64:
        """Cosines at positions in pixels, (N, Kx)."""
        return self._cosines(positions, 1)

    def _cosines(self, positions: ArrayLike, axis: int) -> Float64:
        return cosines(positions, self.grid[axis], self.lengths[axis], self.padding)


def cosines(positions: ArrayLike, count: int, length: int, margin: int) -> Float64:
    """The first `count` cosines of a period of half a wave of `length` pixels that begins `margin` before 0, (N, K)."""
    order = np.arange(count)
    place = (np.asarray(positions, np.float64) + 0.5 + margin) / length
    waves: Float64 = np.cos(np.pi * np.outer(place, order)) * np.where(order > 0, np.sqrt(2.0), 1.0)
    return waves
