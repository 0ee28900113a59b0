"""One linearisation: what the pixels of a frame say about a change of its displacement, in sums over blocks.

The gradient is that of the reference (inverse compositional; Baker & Matthews 2004), weighted by the information of a
pixel and by how well its neighbourhood agrees with the reference: activity is coherent over a cell, shot noise is not,
so weights come from the energy of the residual in a box, and are normalised by the frame's own 70th percentile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.motion.bayes.levels import Level

__all__ = ["Sums", "linearise", "own_information"]

_FINE_BOX, _COARSE_BOX = 7, 3

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Evidence of T frames.

    Attributes
    ----------
    blocks : ndarray, (T, C, 5, By, Bx)
        Sums of ``w gx gx``, ``w gx gy``, ``w gy gy``, ``-w gx e``, ``-w gy e`` over 8 x 8 pixels.
    energy : ndarray, (T, C)
        70th percentile of the local energy of the residual.
    regression : ndarray, (T, C, 5)
        Sums of ``w``, ``w r``, ``w r r``, ``w f``, ``w r f``: brightness of frame over reference.
    """

    blocks: Float64
    energy: Float64
    regression: Float64


def linearise(
    level: Level, frames: NDArray[Any], coefficients: Float64, brightness: Float64, *, cubic: bool, threads: int
) -> Sums:
    """Sums of frames (T, Y, X, C) at displacements (T, 2, Ky, Kx) with brightness (T, C, 2)."""
    rows, columns = level.node_waves
    nodes = native.bayes_synthesize(coefficients.astype(np.float32), rows, columns, threads)
    fine = level.scale == 1
    sums = native.bayes_normal_equations(
        frames,
        level.scale,
        level.planes,
        nodes,
        brightness.astype(np.float32),
        box=_FINE_BOX if fine else _COARSE_BOX,
        power=2 if fine else 1,
        cubic=cubic,
        threads=threads,
    )
    blocks, energy, regression = sums
    return Sums(blocks.astype(np.float64), energy.astype(np.float64), regression)


def own_information(level: Level) -> Float64:
    """J11, J12, J22 of the reference itself, (C, 3, By, Bx)."""
    _, along_x, along_y, information = np.moveaxis(level.planes.astype(np.float64), 1, 0)
    products = np.stack([along_x * along_x, along_x * along_y, along_y * along_y], 1) * information[:, None]
    rows, columns = len(level.block_waves[0]), len(level.block_waves[1])
    full = np.zeros((*products.shape[:2], rows * level.block, columns * level.block))
    full[..., : products.shape[2], : products.shape[3]] = products
    sums: Float64 = full.reshape(*products.shape[:2], rows, level.block, columns, level.block).sum(axis=(3, 5))
    return sums
