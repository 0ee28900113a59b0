"""Values as ScanImage writes them into its header: MATLAB literals, or the JSON of the option `useJsonHeaderFormat`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

__all__ = ["Cell", "Literal", "Matrix", "Row", "render_json", "render_matlab"]


@dataclass(frozen=True)
class Row:
    """A MATLAB row vector; one element is written bare, as MATLAB does."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Matrix:
    """A MATLAB matrix by rows; rows of one element make a column vector."""

    rows: tuple[tuple[Any, ...], ...]


@dataclass(frozen=True)
class Cell:
    """A MATLAB cell row."""

    items: tuple[Any, ...]


@dataclass(frozen=True)
class Literal:
    """Text that goes into the header as it is (enumerations, stale or malformed values)."""

    text: str


def render_matlab(value: object, digits: int = 6) -> str:
    """Return `value` as the MATLAB literal that ScanImage writes, with `digits` significant digits."""
    match value:
        case Literal(text):
            return text
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            if math.isnan(value):
                return "NaN"
            if math.isinf(value):
                return "Inf" if value > 0 else "-Inf"
            return f"{value:.{digits}g}"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case Row(items):
            if len(items) == 1:
                return render_matlab(items[0], digits)
            return "[" + " ".join(render_matlab(item, digits) for item in items) + "]"
        case Matrix(rows):
            if len(rows) == 1:
                return render_matlab(Row(rows[0]), digits)
            return "[" + ";".join(" ".join(render_matlab(item, digits) for item in row) for row in rows) + "]"
        case Cell(items):
            return "{" + " ".join(render_matlab(item, digits) for item in items) + "}"
    raise TypeError(f"no MATLAB literal for {type(value).__name__}")


def _plain(value: object) -> object:
    match value:
        case Literal(text):
            try:
                return json.loads(text)
            except ValueError:
                return text
        case float() if not math.isfinite(value):
            return None
        case Row(items):
            return _plain(items[0]) if len(items) == 1 else [_plain(item) for item in items]
        case Matrix(rows):
            return [[_plain(item) for item in row] for row in rows]
        case Cell(items):
            return [_plain(item) for item in items]
    return value


def render_json(entries: dict[str, object]) -> str:
    """Return dotted `entries` as the nested JSON object of the option `useJsonHeaderFormat`."""
    tree: dict[str, Any] = {}
    for key, value in entries.items():
        *parents, leaf = key.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = _plain(value)
    return json.dumps(tree, indent=2) + "\n"
