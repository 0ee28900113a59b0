"""Modes whose variances are learned together.

Bands are shells of the order of a mode. The motion of tissue has no direction, so both components and all directions
of a shell share a variance; lines scanned one after another may shift on their own, so modes that are constant along x
make a class of their own for each component.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo.motion.bayes.basis import CosineBasis

__all__ = ["CLASSES", "EDGES", "RIGID", "Bands", "non_increasing"]

EDGES = (0.5, 1.2, 1.7, 2.5, 3.5, 4.5, 6.0, 8.0, 11.0, 15.0, 20.0)
CLASSES = ("isotropic", "rows along x", "rows along y")
RIGID = 0

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """Shell and class of every coefficient.

    Attributes
    ----------
    shell : ndarray of intp, (2, Ky, Kx)
        0 for the rigid shift, else 1 + the place in `EDGES` of the lower edge.
    group : ndarray of intp, (2, Ky, Kx)
        Place in `CLASSES`.
    """

    shell: NDArray[np.intp]
    group: NDArray[np.intp]

    @classmethod
    def of(cls, basis: CosineBasis) -> Bands:
        """The bands of a basis."""
        # an elongated image has modes below the first edge that are not rigid
        shell = np.maximum(1, np.digitize(basis.order, EDGES))
        shell[0, 0] = RIGID
        group = np.zeros((2, *basis.grid), np.intp)
        group[0, 1:, 0] = 1
        group[1, 1:, 0] = 2
        return cls(np.stack([shell, shell]), group)

    @property
    def rigid(self) -> NDArray[np.bool_]:
        """The coefficients of the rigid shift, (2, Ky, Kx)."""
        rigid: NDArray[np.bool_] = self.shell == RIGID
        return rigid

    @property
    def index(self) -> NDArray[np.intp]:
        """One number per band and class, (2, Ky, Kx)."""
        return self.group * (len(EDGES) + 1) + self.shell


def non_increasing(values: Float64, weights: Float64) -> Float64:
    """Closest values that do not increase, by weighted squares (pool adjacent violators; Barlow et al. 1972)."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] < pool[0]:
            before = pools.pop()
            total = before[1] + pool[1]
            pool = ((before[0] * before[1] + pool[0] * pool[1]) / total, total, before[2] + pool[2])
        pools.append(pool)
    return np.repeat([value for value, _, _ in pools], [count for _, _, count in pools])
