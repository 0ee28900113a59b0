"""Dense fields from fields on a coarser grid."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.threads import thread_count


@dataclass(frozen=True)
class GridExpansion:
    """Cubic convolution from a grid over the frame to its pixels.

    Attributes
    ----------
    height, width : int
        Size of the frames.
    rows, columns : int
        Size of the solver's fields.
    """

    height: int
    width: int
    rows: int
    columns: int

    @property
    def solver_shape(self) -> tuple[int, int]:
        """(h, w) of a solver field."""
        return self.rows, self.columns

    @property
    def constant(self) -> NDArray[np.float32]:
        """The solver field (h, w) of a uniform shift by one pixel."""
        return np.ones(self.solver_shape, np.float32)

    def expand(self, fields: NDArray[np.float32], *, threads: int | None = None) -> NDArray[np.float32]:
        """Fields (T, h, w, 2) as (T, Y, X, 2), float32; a field of the frame's size is returned itself."""
        if fields.shape[1:3] == (self.height, self.width):
            return fields
        out = np.empty((len(fields), self.height, self.width, 2), np.float32)
        if len(fields):
            native.flow_expand(np.ascontiguousarray(fields, np.float32), out, thread_count(threads))
        return out
