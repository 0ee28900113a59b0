"""Animated GIFs (GIF87a, GIF89a): any are read, gray ones written."""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    return probe.head[:6] in (b"GIF87a", b"GIF89a")


FORMAT = Format(
    name="gif",
    title="animated GIF",
    suffixes=(".gif",),
    detect=_detect,
    open=deferred("galvo.formats.gif.reader:open_gif"),
    sink=deferred("galvo.formats.gif.sink:GifSink"),
    write_options=("frame_rate", "loop", "color"),
)
