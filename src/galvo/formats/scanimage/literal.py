"""MATLAB literals as ScanImage writes them into its header, as Python values.

Grammar: numbers, ``true false Inf NaN``, ``'text'`` (``''`` is a quote), ``[a b;c d]``, ``{...}``, ``zeros(m,n)``;
everything else (enums, function handles, ``<nonscalar struct>``) stays text. Nothing is evaluated.
"""

from __future__ import annotations

import re
from typing import Any

from galvo.errors import Malformed

__all__ = ["parse_literal"]

_MAX_DEPTH = 64
# possessive, so that a long row of digits cannot make the search quadratic
_NUMBER = re.compile(
    r"[+-]?+(?:(?:\d++\.?+\d*+|\.\d++)(?:[eEdD][+-]?+\d++)?+|Inf|NaN)(?![\w.])",
    re.ASCII,
)
_WORD = re.compile(r"[^\s,;\[\]{}']+")
_EMPTY = re.compile(r"(?:zeros|cell|ones)\(\s*\d+\s*,\s*\d+\s*\)")
_CONSTANTS = {"true": True, "false": False}


def parse_literal(text: str) -> Any:
    """The value of a literal.

    Parameters
    ----------
    text : str

    Returns
    -------
    bool, int, float, str, list
        A row ``[a b]`` or cell is a flat list; several rows are a list of rows; ``[]``, ``{}`` and ``zeros(1,0)`` are
        empty lists. Text that is no literal comes back as it is.
    """
    text = text.strip()
    value, end = _value(text, 0, 0)
    return value if end == len(text) else text


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    if depth > _MAX_DEPTH:
        raise Malformed("a header value is nested too deeply", found=f"more than {_MAX_DEPTH} levels")
    if at >= len(text):
        return "", at
    if text[at] == "'":
        return _quoted(text, at)
    if text[at] in "[{":
        return _matrix(text, at, depth)
    number = _NUMBER.match(text, at)
    if number:
        return _number(number[0]), number.end()
    empty = _EMPTY.match(text, at)
    if empty:
        return [], empty.end()
    word = _WORD.match(text, at)
    if word is None:
        return "", at
    return _CONSTANTS.get(word[0], word[0]), word.end()


def _number(text: str) -> int | float:
    if text.lstrip("+-").isdigit():
        return int(text) if len(text) < 20 else float(text)
    return float(text.replace("d", "e").replace("D", "e"))


def _quoted(text: str, at: int) -> tuple[str, int]:
    parts = []
    start = at + 1
    while True:
        end = text.find("'", start)
        if end < 0:
            return text[at:], len(text)
        parts.append(text[start:end])
        if text[end + 1 : end + 2] != "'":
            return "'".join(parts), end + 1
        start = end + 2


def _matrix(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    closing = "]" if text[at] == "[" else "}"
    rows: list[list[Any]] = [[]]
    at += 1
    while at < len(text):
        ch = text[at]
        if ch == closing:
            filled = [row for row in rows if row]
            return (filled[0] if len(filled) == 1 else filled), at + 1
        if ch == ";":
            rows.append([])
            at += 1
        elif ch.isspace() or ch == ",":
            at += 1
        else:
            value, end = _value(text, at, depth + 1)
            if end == at:
                break
            rows[-1].append(value)
            at = end
    return [text], len(text) + 1
