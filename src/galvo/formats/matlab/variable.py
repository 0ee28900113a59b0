"""An array of a .mat file: its name, class and shape, and where its numbers lie."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from galvo.core.source import FileSource
from galvo.errors import LimitExceeded, Truncated
from galvo.limits import Limits

__all__ = ["CLASSES", "Content", "Part", "Span", "Variable", "check_array", "listing", "read_text"]

# numeric classes and their types
CLASSES: dict[str, np.dtype[Any]] = {
    "double": np.dtype("f8"),
    "single": np.dtype("f4"),
    "logical": np.dtype("?"),
    **{name: np.dtype(name) for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")},
}
_MOST_VARIABLES = 100_000
_LISTED = 12


class Content(Protocol):
    """The bytes of a variable by position."""

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly these bytes, or a galvo error."""

    def forward_only(self) -> bool:
        """Whether positions are cheap only in rising order."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a file.

    Attributes
    ----------
    source : FileSource
    start : int
        Offset in the file.
    """

    source: FileSource
    start: int

    def read(self, offset: int, nbytes: int) -> bytes:
        """Exactly these bytes, or `Truncated`."""
        return self.source.read(0, self.start + offset, nbytes)

    def forward_only(self) -> bool:
        """False."""
        return False


@dataclass(frozen=True, slots=True)
class Part:
    """The real or the imaginary numbers of an array, column-major.

    Attributes
    ----------
    offset : int
        In the variable's content.
    dtype : numpy.dtype
        As stored, which may be narrower than the class; byte order included.
    nbytes : int
    """

    offset: int
    dtype: np.dtype[Any]
    nbytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One array, numeric or not.

    Attributes
    ----------
    name : str
    kind : str
        MATLAB's class.
    shape : tuple of int
        As MATLAB shows it.
    dtype : numpy.dtype or None
        Of its values in native byte order; None for what holds no numbers.
    parts : tuple of Part
        Real part, imaginary part.
    content : Content or None
        None in version 7.3, and for what was never written.
    fields : callable or None
        Of a struct of one element: gives its fields by name.
    """

    name: str
    kind: str
    shape: tuple[int, ...] = ()
    dtype: np.dtype[Any] | None = None
    parts: tuple[Part, ...] = ()
    content: Content | None = None
    fields: Callable[[], dict[str, Variable]] | None = None

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        lengths = "x".join(map(str, self.shape))
        kind = f"complex {self.kind}" if self.dtype is not None and self.dtype.kind == "c" else self.kind
        return f"{self.name} {lengths} {kind}" if lengths else f"{self.name} {kind}"


def check_array(path: str, offset: int, end: int, size: int, count: int) -> None:
    """Refuse the `count`-th array of a file, from `offset` to `end`, where it is cut off or one too many."""
    if end > size:
        raise Truncated(
            "an array reaches beyond the end of the file",
            path=path,
            offset=offset,
            found=f"{size} bytes",
            expected=f"{end}",
            hint="The arrays before it can be read by naming one with variable= (--open-option variable=NAME)",
        )
    if count > _MOST_VARIABLES:
        raise LimitExceeded("more arrays than a recording has", path=path, found=f"over {_MOST_VARIABLES}")


def listing(variables: Sequence[Variable]) -> str:
    """What a file holds, for messages."""
    shown = ", ".join(map(str, variables[:_LISTED]))
    return shown + (f" and {len(variables) - _LISTED} more" if len(variables) > _LISTED else "")


def read_text(variable: Variable, path: str, limits: Limits) -> str | None:
    """The characters of a text; None for what is no text."""
    if variable.kind != "char" or variable.content is None or len(variable.parts) != 1:
        return None
    (part,) = variable.parts
    limits.check("text_bytes", part.nbytes, path=path)
    try:
        data = variable.content.read(part.offset, part.nbytes)
    except Truncated:
        return None
    if part.dtype.itemsize > 2:
        return None
    order = "utf-16-be" if part.dtype.byteorder == ">" else "utf-16-le"
    return data.decode(order if part.dtype.itemsize == 2 else "utf-8", "replace")
