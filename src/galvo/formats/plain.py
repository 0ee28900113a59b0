"""What formats refuse that hold nothing but frames in a row: all at once, with the options that would help."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from galvo.core.recording import Recording
from galvo.errors import OptionError

__all__ = ["rate_note", "require_plain", "shown_hz"]

_ASSUMED_HZ = 30.0


def shown_hz(recording: Recording, wanted_hz: float | None) -> float:
    """At which rate players show the frames: as it is wanted, as they were recorded, or as is usual."""
    return wanted_hz or recording.frame_rate_hz or _ASSUMED_HZ


def rate_note(recording: Recording, wanted_hz: float | None) -> tuple[str, ...]:
    """That the rate is an assumption, where it is one."""
    if wanted_hz or recording.frame_rate_hz:
        return ()
    return (f"the recording has no frame rate: players show {_ASSUMED_HZ:g} frames a second (frame_rate=)",)


def require_plain(
    recording: Recording, what: str, dtypes: Sequence[str], channel_count: int = 1, more: str = ""
) -> None:
    """Refuse other types of pixels, and planes and channels that have no place.

    Parameters
    ----------
    recording : Recording
    what : str
        The format, as a message calls it.
    dtypes : sequence of str
    channel_count : int
    more : str
        What else would help.

    Raises
    ------
    OptionError
    """
    dtype, (_, channels, planes, _, _) = recording.dtype, recording.shape
    hints = []
    if not any(dtype == np.dtype(name) for name in dtypes):
        hints.append(
            'dtype="uint8" (--dtype) with scale="percentile", "clip", "wrap" or (low, high) (--scale) makes such pixels'
        )
    if planes > 1 or channels != channel_count:
        hints.append(
            'axes="TYX" (--axes TYX) puts planes and channels into T, channels= (--channels) takes one of them, '
            "split_channels=True (--split-channels) makes a file of each"
        )
    if hints:
        kind = "one channel" if channel_count == 1 else f"{channel_count} channels"
        raise OptionError(
            f"{what} holds frames in a row, {kind} of {' or '.join(dtypes)}",
            found=f"shape {recording.shape}, {dtype}",
            hint="; ".join(hints) + more,
        )
