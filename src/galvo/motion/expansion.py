"""How solver fields become displacements: from a grid, and any kind of them as JSON has it."""

from dataclasses import asdict, dataclass, fields
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.threads import thread_count
from galvo.errors import Malformed
from galvo.motion.estimator import Expansion

__all__ = ["GridExpansion", "expansion_from_json", "expansion_to_json"]

_KINDS = {
    "cosine": ("galvo.motion.bayes.expansion", "CosineExpansion"),
    "grid": ("galvo.motion.expansion", "GridExpansion"),
}
_MOST_SOLVER_SIDE = 1 << 16


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


def expansion_to_json(expansion: Expansion) -> dict[str, Any]:
    """Its kind and its numbers."""
    kinds = {name: kind for kind, (_, name) in _KINDS.items()}
    return {"kind": kinds[type(expansion).__name__], **asdict(expansion)}  # type: ignore[call-overload]


def expansion_from_json(told: Any, size: tuple[int, ...], path: str) -> Expansion:
    """The expansion that a file tells of, for images of a size (Y, X).

    Raises
    ------
    Malformed
        It is unknown, lacks a number, or is for other images.
    """
    numbers = dict(told) if isinstance(told, dict) else {}
    kind = numbers.pop("kind", None)
    if kind not in _KINDS:
        raise Malformed("fields of an unknown kind", path=path, found=kind, expected=", ".join(_KINDS))
    module, name = _KINDS[kind]
    made = getattr(import_module(module), name)
    known = {entry.name for entry in fields(made)}
    fit = set(numbers) == known and all(
        isinstance(value, int | float) and 0 <= value <= _MOST_SOLVER_SIDE for value in numbers.values()
    )
    if not fit or (numbers.get("height"), numbers.get("width")) != tuple(size):
        raise Malformed("the numbers of the fields do not fit", path=path, found=numbers, expected=sorted(known))
    expansion: Expansion = made(**numbers)
    return expansion
