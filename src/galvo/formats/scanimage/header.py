"""A ScanImage header as a mapping that parses only what is asked for, however large the text is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from galvo.errors import Malformed
from galvo.formats.scanimage.literal import parse_literal

__all__ = ["Header", "is_header"]

_ABSENT = object()
_MOST = 2**31


_START = re.compile(r"(?:^|[\r\n])(?:scanimage\.)?SI[45]?\.[A-Za-z][\w.]*\s*=|^state\.\w|^\s*\{\s*\"SI\"\s*:")
_PREFIX = re.compile(r"^(scanimage\.)?(SI[45]?)\.[A-Za-z]", re.MULTILINE)


def is_header(text: str) -> bool:
    """Whether a text, or the beginning of one, holds a ScanImage header."""
    # most TIFFs are others', and looking for two letters is much faster
    return ("SI" in text or text.startswith("state.")) and _START.search(text) is not None


class Header(Mapping[str, Any]):
    """The vendor's header by key, as in ``header["SI.hChannels.channelSave"]``.

    Parameters
    ----------
    text : str
        Lines ``key = literal`` (SI), ``key=literal`` divided by carriage returns (3.x), or JSON.
    path : str, optional
        The file that it is of, for messages.

    Notes
    -----
    Keys are given without the ``scanimage.`` that 4.x and 5.x put before them. ``SI.`` in a key that is asked for
    also stands for the ``SI4.`` or ``SI5.`` of a header that is written so.
    """

    def __init__(self, text: str, path: str | None = None) -> None:
        self.text = text
        self._path = path
        self._cache: dict[str, Any] = {}

    @property
    def flavour(self) -> str:
        """The kind of text: "json", "state" (3.x) or "SI"."""
        start = self.text[:64].lstrip()
        if start.startswith("{"):
            return "json"
        return "state" if start.startswith("state.") else "SI"

    @cached_property
    def _lines(self) -> dict[str, tuple[int, int]]:
        """Begin and end of each key's value in the text."""
        text: str = self.text
        found: dict[str, tuple[int, int]] = {}
        end_mark = "\r" if self.flavour == "state" and "\n" not in text[:4096] else "\n"
        at = 0
        while at < len(text):
            stop = text.find(end_mark, at)
            stop = len(text) if stop < 0 else stop
            equals = text.find("=", at, stop)
            if equals > 0:
                key = text[at:equals].strip()
                found.setdefault(key.removeprefix("scanimage."), (equals + 1, stop))
            at = stop + 1
        return found

    @cached_property
    def _tree(self) -> dict[str, Any]:
        try:
            tree = json.loads(self.text)
        except (ValueError, RecursionError) as error:
            raise Malformed(f"the JSON header does not parse: {error}", path=self._path) from None
        flat: dict[str, Any] = {}
        waiting: list[tuple[str, Any]] = [("", tree)]
        while waiting:
            prefix, node = waiting.pop()
            if isinstance(node, dict):
                waiting += [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in node.items()]
            else:
                flat[prefix] = node
        return flat

    @cached_property
    def _prefix(self) -> tuple[str, str]:
        """What is written before each key: ``scanimage.`` or nothing, and ``SI``, ``SI4`` or ``SI5``."""
        match = _PREFIX.search(self.text)
        return (match[1] or "", match[2]) if match else ("", "SI")

    @property
    def family(self) -> str:
        """First part of the keys: "state", "SI", "SI4" or "SI5"."""
        return {"state": "state", "json": "SI"}.get(self.flavour) or self._prefix[1]

    def _find(self, key: str) -> str | None:
        """The text of a key's value."""
        if self.flavour == "state":
            where = self._lines.get(key)
            return None if where is None else self.text[where[0] : where[1]]
        # A search per key, not an index of lines: users' properties make texts of 100 MB.
        before, family = self._prefix
        if key.startswith("SI."):
            mark = f"{before}{family}{key[2:]} ="
        else:
            mark = f"{before}{key} =" if key.startswith(family + ".") else f"{key} ="
        at = 0 if self.text.startswith(mark) else self.text.find("\n" + mark) + 1
        if not at and not self.text.startswith(mark):
            return None
        stop = self.text.find("\n", at)
        return self.text[at + len(mark) : stop if stop >= 0 else None]

    def __getitem__(self, key: str) -> Any:
        """The value of a key, parsed.

        Raises
        ------
        KeyError
            The header has no such key.
        """
        if key not in self._cache:
            if self.flavour == "json":
                self._cache[key] = self._tree.get(key, _ABSENT)
            else:
                text = self._find(key)
                self._cache[key] = _ABSENT if text is None else self._parse(key, text)
        value = self._cache[key]
        if value is _ABSENT:
            raise KeyError(key)
        return value

    def _parse(self, key: str, text: str) -> Any:
        try:
            return parse_literal(text)
        except Malformed as error:
            raise Malformed(f"{key}: {error.message}", path=self._path, found=error.found) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree if self.flavour == "json" else self._lines)

    def __len__(self) -> int:
        return len(self._tree if self.flavour == "json" else self._lines)

    # ---- typed look-ups: ScanImage writes one thing in several forms -----------------------------------------------

    def number(self, key: str) -> float | None:
        """A finite or infinite number, or None where the key is absent, empty or no number."""
        values = self.numbers(key)
        return values[0] if len(values) == 1 else None

    def positive(self, key: str) -> float | None:
        """A finite number above 0, or None."""
        value = self.number(key)
        return value if value is not None and math.isfinite(value) and value > 0 else None

    def count(self, key: str) -> int | None:
        """A positive whole number, or None; more than could be counted in a file is None too."""
        value = self.number(key)
        return int(value) if value is not None and 1 <= value <= _MOST and value == int(value) else None

    def numbers(self, key: str) -> list[float]:
        """All numbers of a scalar, row, column, matrix or cell; empty where the key is absent."""
        found: list[float] = []
        waiting = [self.get(key, [])]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += reversed(value)
            elif isinstance(value, int | float):
                found.append(float(value))
            elif isinstance(value, str) and value.strip("_") in ("Inf", "NaN", "-Inf"):
                found.append(float(value.strip("_")))
        return [value for value in found if not math.isnan(value)]

    def flag(self, key: str) -> bool:
        """Whether a key is true or a nonzero number."""
        return self.number(key) not in (None, 0.0)

    def word(self, key: str) -> str | None:
        """A text, or None."""
        value = self.get(key)
        return value if isinstance(value, str) and value else None

    def words(self, key: str) -> list[str]:
        """The texts of a cell, in any of the forms that it is written in."""
        found: list[str] = []
        waiting = [self.get(key, [])]
        while waiting:
            value = waiting.pop()
            if isinstance(value, list):
                waiting += reversed(value)
            elif isinstance(value, str):
                found.append(value)
        return found
