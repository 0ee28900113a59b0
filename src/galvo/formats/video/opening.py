"""Opening videos: which stream, which frames, what is known of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.facts import FrameTimes
from galvo.core.metadata import Damage, Metadata
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source, read_prefix
from galvo.errors import DamagedData, Malformed, OptionError, Truncated, Unsupported, warn
from galvo.formats.kept_json import KeptJson
from galvo.formats.video.containers import Container, examine, kind_of
from galvo.formats.video.cursor import Track
from galvo.formats.video.index import VideoIndex, take_index
from galvo.formats.video.library import open_container, told
from galvo.formats.video.pixels import choose_pixels
from galvo.formats.video.reader import VideoReader
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_video"]

_FULL = 2


def open_video(
    paths: Sequence[str],
    *,
    color: bool | None = None,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A video: its frames in T, red, green and blue in C.

    Parameters
    ----------
    paths : sequence of str
        One file.
    color : bool, optional
        None: pixel formats without color, and what galvo wrote from one channel, give one channel, all others three.
        False: brightness alone. True: always three.
    damaged : "raise" or "report"
        report: the frames that are there.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    Truncated
        The file is shorter than it says.
    DamagedData
        Not one frame is there, or the first that has to be looked at does not decode.
    """
    (path,) = paths
    if color is not None and not isinstance(color, bool):
        raise OptionError("color does not fit", found=repr(color), expected="True or False")
    with opening_source([path]) as source:
        demuxer = kind_of(read_prefix(path, 64), os.path.splitext(path)[1].lower())
        if demuxer is None:
            raise Malformed("neither MP4, Matroska nor AVI", path=path)
        layer = examine(source, demuxer)
        damage: list[Damage] = []
        if layer.announced_bytes > source.size(0):
            damage.append(_cut(path, source.size(0), layer.announced_bytes, damaged))
        kept = None
        if layer.kept is not None and layer.kept.stop <= source.size(0):
            limits.check("text_bytes", len(layer.kept), path=path, offset=layer.kept.start)
            kept = KeptJson.parse(source.read(0, layer.kept.start, len(layer.kept)), path, limits)
        return _opened(source, layer, kept, color, damaged, damage, limits)


def _cut(path: str, found: int, announced: int, damaged: str) -> Damage:
    if damaged != "report":
        raise Truncated(
            "the file ends too early",
            path=path,
            offset=found,
            expected=f"{announced} bytes",
            hint='damaged="report" (--damaged report) opens the frames that are there',
        )
    return Damage(path, found, f"the file ends too early: {found} of {announced} bytes are there")


def _opened(
    source: FileSource,
    layer: Container,
    kept: KeptJson | None,
    color: bool | None,
    damaged: str,
    damage: list[Damage],
    limits: Limits,
) -> Recording:
    path = source.paths[0]
    container = open_container(source, layer.demuxer, limits)
    try:
        number, stream = _video_stream(container, path)
        with told(path):
            context = stream.codec_context
            announced, rate = int(stream.frames), stream.average_rate
            format, size = context.format, (int(context.height), int(context.width))
            limited = int(context.color_range) != _FULL and not str(context.pix_fmt).startswith("yuvj")
            facts = {"codec": context.name, "pixel_format": context.pix_fmt, "time_base": stream.time_base}
        if format is None or min(size) <= 0 or not facts["time_base"]:
            raise DamagedData("the stream does not say what frames it has", path=path)
        index = take_index(container, number, source, layer.demuxer, not damage, limits)
    finally:
        container.close()
    _require_all(index, announced, layer, path, damaged, damage)
    gray = color is None and kept is not None and bool(kept.get("video_gray"))
    palette = format.name == "pal8"
    pixels = choose_pixels(format, False if gray and not palette else color, limited, path)
    # what has checksums has to be the same on all machines; everything else is what ffmpeg shows
    pixels = replace(pixels, exact=kept is not None and pixels.channel_count == kept.shape[1])
    limits.check("frame_bytes", size[0] * size[1] * pixels.dtype.itemsize, path=path)
    shape: Shape = (index.frame_count, pixels.channel_count, 1, *size)
    if kept is not None:
        shape = _kept_shape(kept, shape, path, damaged, damage)
    reader = VideoReader(Track(source, layer.demuxer, number, index, limits), pixels, size, shape)
    try:
        if palette and color is None and not gray:
            reader.settle_palette(choose_pixels(format, True, limited, path))
    except BaseException:
        reader.close()
        raise
    about = f"{facts['codec']}, {facts['pixel_format']}"
    if kept is None or reader.pixels.channel_count != kept.shape[1]:
        seconds = np.asarray(index.frame_pts * float(facts["time_base"]), np.float64)
        metadata = Metadata(
            format="video",
            version=about,
            channel_names=reader.pixels.channel_names,
            frame_rate_hz=_rate(seconds, rate, float(facts["time_base"])),
            attributes={"codec": facts["codec"], "pixel_format": facts["pixel_format"], "bits": pixels.bits},
        )
        return Recording(reader, metadata, files=[path], facts=FrameTimes(seconds), damage=damage)
    metadata = kept.metadata("video")
    loss = kept.get("video_loss")
    stored = f"{about}, with loss: {loss}" if loss else about
    metadata = replace(metadata, attributes={**metadata.attributes, "stored": stored})
    return kept.recording(reader, metadata, [path], damage, not damage)


def _video_stream(container: Any, path: str) -> tuple[int, Any]:
    with told(path):
        streams = [
            (number, stream)
            for number, stream in enumerate(container.streams.video)
            if not stream.disposition & type(stream.disposition).attached_pic
        ]
        decodable = [(number, stream) for number, stream in streams if stream.codec_context is not None]
    if not streams:
        raise Unsupported("the file holds no video", path=path)
    if not decodable:
        raise Unsupported("this build of PyAV has no decoder for the video", path=path)
    if len(decodable) > 1:
        warn(f"{path}: the first of {len(decodable)} videos in the file is shown")
    return decodable[0]


def _require_all(
    index: VideoIndex, announced: int, layer: Container, path: str, damaged: str, damage: list[Damage]
) -> None:
    """Say so when packets are missing."""
    unusable = int((~index.usable).sum())
    if index.failure is not None or unusable:
        what = f"the frames end early: {index.failure or 'the last one is cut off'}"
    elif layer.demuxer == "mov" and announced > index.pts.size:
        # MP4 has no other index than the one that says so
        what = f"{index.pts.size} of {announced} frames are there"
    else:
        return
    if damaged != "report":
        raise Truncated(what, path=path, hint='damaged="report" (--damaged report) opens the frames that are there')
    damage.append(Damage(path, None, what))


def _kept_shape(kept: KeptJson, shape: Shape, path: str, damaged: str, damage: list[Damage]) -> Shape:
    """The true size of what galvo wrote."""
    t, _, z, y, x = kept.shape
    if z != 1 or y > shape[3] or x > shape[4] or shape[3] - y > 1 + (y < 2) or shape[4] - x > 1 + (x < 2):
        raise Malformed("the frames do not have the shape that is kept", path=path, found=shape, expected=kept.shape)
    if t != shape[0]:
        what = f"{shape[0]} of {t} frames are there"
        if damaged != "report" or shape[0] > t:
            raise Truncated(what, path=path)
        damage.append(Damage(path, None, what))
    return (shape[0], shape[1], 1, y, x)


def _rate(seconds: NDArray[np.float64], stated: Any, tick_s: float) -> float | None:
    """The rate of evenly spaced frames, to the file's own resolution; None for others."""
    if seconds.size < 2:
        return float(stated) if stated else None
    mean = float(seconds[-1] - seconds[0]) / (seconds.size - 1)
    even = seconds[0] + mean * np.arange(seconds.size)
    if mean <= 0 or np.abs(seconds - even).max() > 1.01 * tick_s:
        return None
    if stated and abs(1 / float(stated) - mean) * (seconds.size - 1) <= 2.02 * tick_s:
        return float(stated)
    return 1 / mean
