"""Scanbox recordings, byte by byte, with a truth in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.testing.matlab import MatBuilder

__all__ = ["ScanboxRecording"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanboxRecording:
    """A .sbx and its .mat.

    Attributes
    ----------
    rows, columns, frames : int
        `frames` of all planes together.
    channels : int
        1: both, 2: only green, 3: only red.
    planes : int
        Settings of the tunable lens; 1 where it does not move.
    bidirectional : bool
    resonance_hz : float
    version : int
        Of Scanbox; from 3 on the number of channels is in `chan.nchan`.
    more : mapping of str
        Fields of `info` that are added or replaced; None leaves one out.
    """

    rows: int = 12
    columns: int = 10
    frames: int = 7
    channels: int = 1
    planes: int = 1
    bidirectional: bool = False
    resonance_hz: float = 7930.0
    version: int = 2
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def channel_count(self) -> int:
        """Channels of a frame."""
        return 2 if self.channels == 1 else 1

    def signal(self) -> NDArray[np.uint16]:
        """The signal (T, C, Z, Y, X), volumes that are not whole left out."""
        shape = (self.frames // self.planes, self.channel_count, self.planes, self.rows, self.columns)
        t, c, z, y, x = np.indices(shape)
        return self._pixel(t * self.planes + z, c, y, x)

    @staticmethod
    def _pixel(frame: NDArray[Any], c: NDArray[Any], y: NDArray[Any], x: NDArray[Any]) -> NDArray[np.uint16]:
        # 7919 and 104729 are primes: no shift of the axes gives the same numbers
        found: NDArray[np.uint16] = ((frame * 104729 + c * 30011 + y * 7919 + x * 251) % 65536).astype(np.uint16)
        return found

    def stored(self) -> bytes:
        """The bytes of the .sbx."""
        frame, y, x, c = np.indices((self.frames, self.rows, self.columns, self.channel_count))
        return (65535 - self._pixel(frame, c, y, x)).astype("<u2").tobytes()

    @property
    def frame_rate_hz(self) -> float:
        """Rate of the volumes."""
        return self.resonance_hz * (2 if self.bidirectional else 1) / self.rows / self.planes

    def info(self) -> dict[str, Any]:
        """The struct of the .mat, numbers as MATLAB has them."""
        found: dict[str, Any] = {
            "resfreq": self.resonance_hz,
            "recordsPerBuffer": self.rows // 2 if self.bidirectional else self.rows,
            "scanmode": 0 if self.bidirectional else 1,
            "scanbox_version": self.version,
            "sz": [self.rows, self.columns],
            "frame": np.array([[3.0], [5.0]]),
            "config": {"wavelength": 920.0, "magnification_list": "1.0", "knobby": {"pos": [1.0, -2.5, 40.0]}},
            "messages": "µ",
        }
        if self.version < 3:
            found["channels"] = self.channels
        else:
            found["chan"] = {"nchan": self.channel_count, "sample": [1, 1, 0, 0]}
        if self.planes > 1:
            found |= {"volscan": 1, "otwave": np.linspace(100, 900, self.planes), "otparam": [100, 900, self.planes]}
        found |= self.more
        return {name: _as_matlab(value) for name, value in found.items() if value is not None}

    def write(self, folder: Path, name: str = "ms1_000_001", deflated: bool = True) -> Path:
        """Write both files; the path of the .sbx."""
        builder = MatBuilder()
        builder.struct("info", self.info(), deflated)
        (folder / f"{name}.mat").write_bytes(builder.build())
        path = folder / f"{name}.sbx"
        path.write_bytes(self.stored())
        return path


def _as_matlab(value: Any) -> Any:
    """Numbers as arrays of doubles with two dimensions."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {name: _as_matlab(one) for name, one in value.items()}
    return np.atleast_2d(np.asarray(value, np.float64))
