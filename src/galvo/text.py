"""Quantities as people read them."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["byte_text", "count_text", "duration_text", "number_text", "printable", "shape_text", "sizes_text"]


def printable(text: str) -> str:
    """`text` without control characters: names come from files."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def byte_text(nbytes: float) -> str:
    """Bytes in decimal units with three digits: ``78.6 MB``."""
    if nbytes < 1000:
        return f"{nbytes:.0f} bytes"
    amount, unit = float(nbytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if amount < 999.5 and unit != "bytes":
            break
        amount, unit = amount / 1000, larger
    digits = 0 if amount >= 99.95 else 1 if amount >= 9.995 else 2
    return f"{amount:.{digits}f} {unit}"


def duration_text(seconds: float) -> str:
    """Seconds as ``33.3 ms``, ``9.97 s``, ``2 min 05 s`` or ``1 h 02 min 05 s``."""
    if not math.isfinite(seconds):
        return "unknown"
    if abs(seconds) < 1:
        return f"{number_text(seconds * 1000, 3)} ms"
    if abs(seconds) < 99.5:
        return f"{number_text(seconds, 3)} s"
    sign, whole = "-" if seconds < 0 else "", round(abs(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return sign + (f"{hours} h {minutes:02d} min {left:02d} s" if hours else f"{minutes} min {left:02d} s")


def number_text(value: float, digits: int = 4) -> str:
    """`digits` significant digits without an exponent where that stays short."""
    if math.isfinite(value) and abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def count_text(count: int, noun: str) -> str:
    """``1 page``, ``12,000 pages``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shape_text(shape: Sequence[int]) -> str:
    """A shape (T, C, Z, Y, X) with what each axis counts."""
    t, c, z, y, x = shape
    moment = "frame" if z == 1 else "volume"
    parts = (f"T {count_text(t, moment)}", f"C {count_text(c, 'channel')}", f"Z {count_text(z, 'plane')}")
    return ", ".join((*parts, f"Y {y:,}", f"X {x:,} pixels"))


def sizes_text(shape: Sequence[int], dtype: object) -> str:
    """A shape (T, C, Z, Y, X) and a type in one short line."""
    return " ".join(f"{axis}={length}" for axis, length in zip("TCZYX", shape, strict=True)) + f" {dtype}"
