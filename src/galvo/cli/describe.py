"""What is known of a recording, as plain values that JSON takes; the table of `galvo info` is made of the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from galvo.core.recording import Recording

__all__ = ["describe", "duration", "is_even"]

_CHECKED_ENDS: Final = 1000
_EVEN_WITHIN: Final = 0.02


def describe(recording: Recording) -> dict[str, Any]:
    """Facts of a recording by name, with the unit in the name where there is one.

    Timestamps of long recordings are looked at in the first and last thousand frames only (`checked_count`), so that
    it stays fast at any length.

    Returns
    -------
    dict of str
        Values of plain types; unknown is None. Lengths and sizes follow the axes T C Z Y X.
    """
    metadata = recording.metadata
    times = _timestamps(recording)
    size = metadata.pixel_size_um
    seconds, origin = duration(recording.shape[0], metadata.frame_rate_hz, times)
    facts = {
        "format": metadata.format,
        "format_version": metadata.version,
        "dims": "".join(recording.dims),
        "shape": list(recording.shape),
        "dtype": str(recording.dtype),
        "pixel_bytes": recording.nbytes,
        "channel_names": list(metadata.channel_names),
        "frame_rate_hz": metadata.frame_rate_hz,
        "duration_s": seconds,
        "duration_from": origin,
        "timestamps": times,
        "start_time": metadata.start_time,
        "pixel_size_um": None if size is None else list(size),
        "field_size_um": None
        if size is None
        else [length * step for length, step in zip(recording.shape[3:], size, strict=True)],
        "z_um": None if metadata.z_um is None else list(metadata.z_um),
        "z_step_um": _step(metadata.z_um),
        "attributes": {name: value for name, value in metadata.attributes.items() if _is_plain(value)},
        "files": [str(path) for path in recording.files],
        "file_bytes": [path.stat().st_size for path in recording.files],
        "fields": [
            {
                "shape": list(field.shape),
                "z_um": None if field.metadata.z_um is None else list(field.metadata.z_um),
                "pixel_size_um": None if field.pixel_size_um is None else list(field.pixel_size_um),
                **{name: value for name, value in field.metadata.attributes["field"].items() if name != "z_um"},
            }
            for field in recording.fields
        ],
        "left_out": [
            {"what": entry.what, "page_count": entry.page_count, "reason": entry.reason} for entry in recording.left_out
        ],
        "damage": [
            {"path": entry.path, "offset_bytes": entry.offset, "message": entry.message} for entry in recording.damage
        ],
    }
    safe = _json_safe(facts)
    return safe if isinstance(safe, dict) else {}


def duration(frame_count: int, rate_hz: float | None, times: dict[str, Any] | None) -> tuple[float | None, str | None]:
    """Seconds from the first frame to the end of the last one, and where that is known from."""
    if times is not None and times["interval_median_s"] is not None:
        return times["last_s"] - times["first_s"] + times["interval_median_s"], "timestamps"
    if rate_hz is not None and rate_hz > 0:
        return frame_count / rate_hz, "frame_rate"
    return None, None


def _timestamps(recording: Recording) -> dict[str, Any] | None:
    import numpy as np

    count = recording.shape[0]
    if count <= 2 * _CHECKED_ENDS:
        parts = [recording.timestamps]
    else:
        parts = [
            recording.isel(t=slice(0, _CHECKED_ENDS)).timestamps,
            recording.isel(t=slice(-_CHECKED_ENDS, None)).timestamps,
        ]
    known = [part for part in parts if part is not None and len(part)]
    if len(known) < len(parts):
        return None
    intervals = np.concatenate([np.diff(part) for part in known])
    missing = bool(np.isnan(intervals).any())
    intervals = intervals[np.isfinite(intervals)]
    if len(known) == 2:
        # what lies between must take as long as it would at this pace
        gap = (known[1][0] - known[0][-1]) / (count - 2 * _CHECKED_ENDS + 1)
        intervals = np.append(intervals, gap) if math.isfinite(gap) else intervals
    times = {
        "first_s": float(known[0][0]),
        "last_s": float(known[-1][-1]),
        "interval_median_s": float(np.median(intervals)) if intervals.size else None,
        "interval_min_s": float(intervals.min()) if intervals.size else None,
        "interval_max_s": float(intervals.max()) if intervals.size else None,
        "checked_count": sum(len(part) for part in known),
    }
    times["evenly_spaced"] = None if intervals.size == 0 else not missing and is_even(times)
    return times


def is_even(times: dict[str, Any]) -> bool:
    """Whether no interval differs from the median by more than 2 %."""
    median = times["interval_median_s"]
    limit = _EVEN_WITHIN * abs(median)
    return bool(median > 0 and max(times["interval_max_s"] - median, median - times["interval_min_s"]) <= limit)


def _step(depths: Sequence[float] | None) -> float | None:
    """Distance of evenly spaced planes, None where they are not."""
    known = [depth for depth in depths or () if not math.isnan(depth)]
    if len(known) < 2:
        return None
    step = (known[-1] - known[0]) / (len(known) - 1)
    even = all(math.isclose(depth, known[0] + n * step, abs_tol=1e-3 * abs(step)) for n, depth in enumerate(known))
    return step if even else None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _json_safe(value: Any) -> Any:
    """`value` with None in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {key: _json_safe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_safe(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
