"""Which page of a ScanImage stream is which frame: channels, planes, repeats, volumes, flyback.

Pages lie with the channel fastest, then repeats of a slice, slices, volumes (scanimage spec 1.4): page
``(volume * F + slice * repeats + repeat) * C + c``; of the F frames of a fast volume the last ones are flyback.

One slice is no volume: its frames are T, whatever ``framesPerSlice`` counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from galvo.errors import Unsupported

__all__ = ["MOST_CHANNELS", "MOST_SLICES", "Timeline"]

MOST_CHANNELS = 64
"""More than any microscope saves."""
MOST_SLICES = 1 << 20
"""More than any stack has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """The cycle in which pages repeat.

    Attributes
    ----------
    channel_names : tuple of str, (C,)
        Saved channels in page order.
    channel_ids : tuple of int, (C,)
        Their numbers from 1.
    slices : int
        Planes of a volume without flyback; 1 for planar recordings.
    repeats : int
        Pages per plane and channel in one volume.
    flyback : int
        Flyback frames that end each volume.
    average : int
        Acquired frames that make one logged frame.
    slow : bool
        Slices follow each other slowly: acquisition counters restart at each.
    frame_rate_hz : float or None
        Logged frames per second.
    volume_rate_hz : float or None
    z_um : tuple of float, (Z,), or None
    announced : int or None
        Volumes (frames, when planar) that the header expects of one acquisition.
    """

    channel_names: tuple[str, ...]
    channel_ids: tuple[int, ...]
    slices: int = 1
    repeats: int = 1
    flyback: int = 0
    average: int = 1
    slow: bool = False
    frame_rate_hz: float | None = None
    volume_rate_hz: float | None = None
    z_um: tuple[float, ...] | None = None
    announced: int | None = None

    @property
    def channel_count(self) -> int:
        """Saved channels."""
        return len(self.channel_names)

    @property
    def is_volumetric(self) -> bool:
        """Whether frames make volumes."""
        return self.slices > 1 or self.flyback > 0

    def logged(self, path: str) -> Timeline:
        """The timeline in logged frames, of one whose repeats, flyback and frame rate count acquired ones.

        Raises
        ------
        Unsupported
            A page that averages frames of two slices, or of a slice and flyback, belongs to no plane.
        """
        average, rate = self.average, self.frame_rate_hz
        logged = replace(self, frame_rate_hz=rate and rate / average)
        if not self.is_volumetric:
            return logged
        if self.repeats % average or self.flyback % average:
            raise Unsupported(
                "frames were averaged across slices, so that a page belongs to no single plane",
                path=path,
                found=f"{average} averaged frames, {self.repeats} frames per slice, {self.flyback} flyback frames",
                expected="an averaging factor that divides both",
            )
        return replace(logged, repeats=self.repeats // average, flyback=self.flyback // average)

    @property
    def cycle(self) -> int:
        """Logged frames from one volume to the next, flyback included."""
        return self.slices * self.repeats + self.flyback
