"""The description that tifffile writes: JSON with the shape of the array, and its axes where they were given.

``{"shape": [5, 2, 64, 48], "axes": "TCYX"}``. Every series of a file describes
itself, so that pages which were appended one by one each say ``[1, 64, 48]``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ShapedText", "shaped_text"]

_LONGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class ShapedText:
    """What the description says.

    Attributes
    ----------
    shape : tuple of int
    axes : str
        In capitals; empty where none are given.
    truncated : bool
        Only the first page has an IFD.
    fields : mapping
        All of it.
    """

    shape: tuple[int, ...]
    axes: str
    truncated: bool
    fields: Mapping[str, Any]

    def page_count(self, page_pixels: int) -> int:
        """Pages of so many pixels, samples included, that the shape takes; 0 where it does not fit."""
        whole = math.prod(self.shape)
        return whole // page_pixels if whole % page_pixels == 0 else 0


def shaped_text(description: str) -> ShapedText | None:
    """What a description says; None where it is not tifffile's."""
    if not description.startswith('{"shape":') or len(description) > _LONGEST:
        return None
    try:
        fields = json.loads(description)
    except (ValueError, RecursionError):
        return None
    shape = fields.get("shape")
    if not isinstance(shape, list) or not all(type(length) is int and 0 <= length < 1 << 40 for length in shape):
        return None
    axes = fields.get("axes")
    axes = axes.upper() if isinstance(axes, str) and len(axes) == len(shape) else ""
    return ShapedText(tuple(shape), axes, fields.get("truncated") is True, fields)
