"""Video files: MP4 and QuickTime, Matroska, AVI, by PyAV; written as H.264 for viewing or FFV1 without loss."""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    from galvo.formats.video.containers import kind_of

    return kind_of(probe.head, probe.suffix) is not None


FORMAT = Format(
    name="video",
    title="video files: MP4, Matroska, AVI (galvo[video])",
    suffixes=(".mkv", ".mp4", ".avi", ".mov"),
    detect=_detect,
    open=deferred("galvo.formats.video.opening:open_video"),
    sink=deferred("galvo.formats.video.sink:VideoSink"),
    options=("color",),
    write_options=("codec", "color", "crf", "frame_rate", "preset"),
)
