"""What PYME's metadata.json and a blob's header say, in galvo's names and units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from galvo.formats.pzf.header import PzfHeader

__all__ = ["frame_rate", "how_stored", "pixel_size"]


def how_stored(header: PzfHeader) -> dict[str, str]:
    """What users should know of how the pixels are stored."""
    if not header.quantize:
        return {}
    scale, offset = header.quantize_scale, header.quantize_offset
    return {"stored": f"quantised with loss: steps of {scale:g} in the square root above {offset:g}"}


def _entry(content: Mapping[str, Any], *names: str) -> Any:
    """An entry of PYME's metadata, whose names are nested or have dots."""
    flat = content.get(".".join(names))
    nested: Any = content
    for name in names:
        nested = nested.get(name) if isinstance(nested, Mapping) else None
    return nested if flat is None else flat


def _positive(value: Any) -> float | None:
    # integers of JSON have any length
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 1e-12 < value < 1e12
    return float(value) if usable else None


def pixel_size(content: Mapping[str, Any]) -> tuple[float, float] | None:
    """Height and width of a pixel in µm; PYME's x is the first axis of an array, galvo's Y."""
    if _entry(content, "voxelsize", "units") not in (None, "um", "µm"):
        return None
    sizes = (_positive(_entry(content, "voxelsize", "x")), _positive(_entry(content, "voxelsize", "y")))
    return None if sizes[0] is None or sizes[1] is None else (sizes[0], sizes[1])


def frame_rate(content: Mapping[str, Any]) -> float | None:
    """Frames per second, by the camera's cycle time."""
    cycle_s = _positive(_entry(content, "Camera", "CycleTime"))
    return None if cycle_s is None else 1 / cycle_s
