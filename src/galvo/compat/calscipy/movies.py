"""Pixels of any type as the 8 bits of videos and gifs, and back as (frames, y, x, color).

Source: CalSciPy io_tools specification, sections 3 and 4 and the facade decisions.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.calscipy.tiffs import COLORS, colors_last
from galvo.conversion import save
from galvo.core.cast import settled_scale
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import OptionError, warn
from galvo.formats.opening import open_recording

__all__ = ["load_movie", "save_movie"]

_BYTE = np.dtype(np.uint8)
_MOST_GIF_HZ = 100


def load_movie(file: Path, format: str) -> NDArray[Any]:
    """All frames (frames, y, x, 3); gray ones with three equal colors."""
    with open_recording(str(file), format=format, series=False) as recording:
        return colors_last(recording, least=3)


def save_movie(file: Path, images: NDArray[Any], frame_rate: float, format: str, wrap: bool) -> None:
    """Write frames (frames, y, x) or (frames, y, x, color) in 8 bits."""
    rate = float(frame_rate)
    if not (math.isfinite(rate) and rate > 0):
        raise OptionError("no such frame_rate", found=repr(frame_rate), expected="a number above 0, in Hz")
    if format == "gif" and rate > _MOST_GIF_HZ:
        warn(f"a gif shows {_MOST_GIF_HZ} frames per second at most, and so does this one")
    recording = _in_bytes(_recording(np.asarray(images), rate), wrap)
    options = {"color": True} if recording.shape[1] > 1 else {}
    save(recording, file, format=format, overwrite=True, **options)


def _recording(pixels: NDArray[Any], frame_rate_hz: float) -> Recording:
    if pixels.ndim == 3:
        return Recording.from_array(pixels, "TYX", metadata=Metadata(format="array", frame_rate_hz=frame_rate_hz))
    if pixels.ndim != 4 or pixels.shape[3] not in (3, 4):
        raise OptionError(
            "images have the axes (frames, y, x) or (frames, y, x, color) with 3 or 4 colors",
            found=f"shape {pixels.shape}",
        )
    if pixels.shape[3] == 4:
        if bool((pixels[..., 3] != 255).any()):
            raise OptionError("videos and gifs have no transparency", found="an alpha that is not 255 everywhere")
        pixels = pixels[..., :3]
    metadata = Metadata(format="array", channel_names=COLORS[:3], frame_rate_hz=frame_rate_hz)
    return Recording.from_array(pixels, "TYXC", metadata=metadata)


def _in_bytes(recording: Recording, wrap: bool) -> Recording:
    if recording.dtype == _BYTE:
        return recording
    if wrap:
        return _wrapped(recording)
    if all(_fits(frames) for frames in recording):
        return recording.astype(_BYTE)
    scale = settled_scale(recording, _BYTE, "percentile")
    if isinstance(scale, tuple):
        warn(
            f"{recording.dtype} pixels are scaled to 8 bits: {scale[0]:g} becomes 0 and {scale[1]:g} 255, and what is "
            "beyond is clipped; wrap=True takes them modulo 256 as CalSciPy does"
        )
    return recording.astype(_BYTE, scale)


def _fits(pixels: NDArray[Any]) -> bool:
    """Whether all values are whole numbers from 0 to 255."""
    if pixels.dtype.kind == "c":
        return False
    within = bool(((pixels >= 0) & (pixels <= 255)).all())
    return within and (pixels.dtype.kind != "f" or bool((pixels == np.floor(pixels)).all()))


def _wrapped(recording: Recording) -> Recording:
    if recording.dtype.kind in "biu":
        # a bool has one bit to take
        return recording.astype(_BYTE, None if recording.dtype.kind == "b" else "wrap")
    pixels = recording[...]
    if pixels.dtype.kind == "c" or not bool(np.isfinite(pixels).all()):
        raise OptionError("these pixels have no value modulo 256", found=f"{pixels.dtype}, not all of them finite")
    whole = np.mod(np.trunc(pixels), 256).astype(_BYTE)
    return Recording.from_array(whole, "TCZYX", metadata=recording.metadata)
