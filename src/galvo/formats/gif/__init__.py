"""Animated GIFs (GIF87a, GIF89a): any are read, gray ones written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galvo.core.registry import Format

if TYPE_CHECKING:
    from galvo.core.detect import Probe
    from galvo.core.recording import Recording
    from galvo.core.sink import Sink

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    return probe.head[:6] in (b"GIF87a", b"GIF89a")


def _open(paths: list[str], **options: Any) -> Recording:
    from galvo.formats.gif.reader import open_gif

    return open_gif(paths, **options)


def _sink(**options: Any) -> Sink:
    from galvo.formats.gif.sink import GifSink

    return GifSink(**options)


FORMAT = Format(
    name="gif",
    title="animated GIF",
    suffixes=(".gif",),
    detect=_detect,
    open=_open,
    sink=_sink,
    write_options=("frame_rate", "loop", "color"),
)
