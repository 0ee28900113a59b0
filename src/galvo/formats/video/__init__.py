"""Video files: MP4 and QuickTime, Matroska, AVI, by PyAV; written as H.264 for viewing or FFV1 without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galvo.core.registry import Format

if TYPE_CHECKING:
    from galvo.core.detect import Probe
    from galvo.core.recording import Recording
    from galvo.core.sink import Sink

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    from galvo.formats.video.containers import kind_of

    return kind_of(probe.head, probe.suffix) is not None


def _open(paths: list[str], **options: Any) -> Recording:
    from galvo.formats.video.opening import open_video

    return open_video(paths, **options)


def _sink(**options: Any) -> Sink:
    from galvo.formats.video.sink import VideoSink

    return VideoSink(**options)


FORMAT = Format(
    name="video",
    title="video files: MP4, Matroska, AVI (galvo[video])",
    suffixes=(".mkv", ".mp4", ".avi", ".mov"),
    detect=_detect,
    open=_open,
    sink=_sink,
    options=("color",),
    write_options=("codec", "color", "crf", "frame_rate", "preset"),
)
