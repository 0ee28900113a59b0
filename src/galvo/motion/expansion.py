"""How solver fields become displacements, as JSON has it."""

from dataclasses import asdict, fields
from importlib import import_module
from typing import Any

from galvo.errors import Malformed
from galvo.motion.estimator import Expansion

__all__ = ["expansion_from_json", "expansion_to_json"]

_KINDS = {
    "cosine": ("galvo.motion.bayes.expansion", "CosineExpansion"),
    "grid": ("galvo.motion.variational.expansion", "GridExpansion"),
}
_MOST_SOLVER_SIDE = 1 << 16


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
