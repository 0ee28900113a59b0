"""Least squares in the space of modes: ``(Phi^T J Phi + P^-1) d = g`` without ever making the matrix of a frame.

``Phi`` is separable, so a product takes four small matrix products. Conjugate gradients need one or two of them when
preconditioned by the inverse of the nominal matrix, in which a mean J stands for that of the frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo import native

__all__ = ["ModeSpace"]

_TOLERANCE_PX = 1e-4
_MAX_STEPS = 100

Float64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class ModeSpace:
    """Modes seen at the centres of blocks.

    Attributes
    ----------
    rows, columns : ndarray, (By, Ky), (Bx, Kx)
        Cosines at the centres.
    active : ndarray of bool, (2, Ky, Kx)
        Coefficients that are solved for; the others stay 0.
    """

    rows: Float64
    columns: Float64
    active: Mask

    @property
    def size(self) -> int:
        """Coefficients that are solved for."""
        return int(np.count_nonzero(self.active))

    def gather(self, score: Float64) -> Float64:
        """``Phi^T b``: (T, N) of block scores (T, 2, By, Bx)."""
        grid: Float64 = self.rows.T @ score @ self.columns
        return grid[:, self.active]

    def spread(self, vectors: Float64) -> Float64:
        """Coefficient grids (T, 2, Ky, Kx) of vectors (T, N)."""
        grids = np.zeros((len(vectors), *self.active.shape))
        grids[:, self.active] = vectors
        return grids

    def product(self, information: Float64, vectors: Float64) -> Float64:
        """``Phi^T J Phi`` times vectors (T, N), with J11, J12, J22 as (T, 3, By, Bx)."""
        return self.gather(self.weigh(information, self.spread(vectors)))

    def weigh(self, information: Float64, grids: Float64) -> Float64:
        """J times the displacement at the centres of blocks, (T, 2, By, Bx), of grids (T, 2, Ky, Kx)."""
        field = self.rows @ grids @ self.columns.T
        j11, j12, j22 = information[:, 0], information[:, 1], information[:, 2]
        u, v = field[:, 0], field[:, 1]
        return np.stack([j11 * u + j12 * v, j12 * u + j22 * v], 1)

    def matrix(self, information: Float64) -> Float64:
        """``Phi^T J Phi`` of one J (3, By, Bx), (N, N)."""
        ky, kx = self.rows.shape[1], self.columns.shape[1]
        pairs_y = (self.rows[:, :, None] * self.rows[:, None, :]).reshape(len(self.rows), -1)
        pairs_x = (self.columns[:, :, None] * self.columns[:, None, :]).reshape(len(self.columns), -1)
        whole = pairs_y.T @ information @ pairs_x
        # (3, Ky Ky', Kx Kx') to rows (Ky, Kx) and columns (Ky', Kx')
        whole = whole.reshape(3, ky, ky, kx, kx).transpose(0, 1, 3, 2, 4).reshape(3, ky * kx, ky * kx)
        x, y = (np.flatnonzero(part) for part in self.active)
        cross = whole[1][np.ix_(x, y)]
        return np.block([[whole[0][np.ix_(x, x)], cross], [cross.T, whole[2][np.ix_(y, y)]]])

    def diagonal(self, information: Float64) -> Float64:
        """Diagonal of `matrix` for all coefficients, (2, Ky, Kx)."""
        power: Float64 = (self.rows**2).T @ information[[0, 2]] @ self.columns**2
        return power

    def solve(
        self, information: Float64, precision: Float64, right: Float64, nominal: Float64, threads: int
    ) -> Float64:
        """Conjugate gradients (Hestenes & Stiefel 1952) for T frames.

        Parameters
        ----------
        information : ndarray, (T, 3, By, Bx)
        precision : ndarray, (N,) or (T, N)
            Diagonal of ``P^-1``.
        right : ndarray, (T, N)
        nominal : ndarray, (N, N)
            Inverse of the nominal matrix.
        """
        solution, _ = native.bayes_solve(
            np.ascontiguousarray(information, np.float32),
            np.ascontiguousarray(right, np.float32),
            self.rows.astype(np.float32),
            self.columns.astype(np.float32),
            np.flatnonzero(self.active),
            np.ascontiguousarray(np.atleast_2d(precision), np.float32),
            np.ascontiguousarray(nominal, np.float32),
            tolerance=_TOLERANCE_PX,
            step_limit=_MAX_STEPS,
            threads=threads,
        )
        return solution.astype(np.float64)
