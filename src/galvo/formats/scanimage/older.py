"""The timelines of 3.x and 4.x, whose headers are flat.

3.x: ``state.acq.`` (header of a genuine 3.8 file). 4.x: ``SI4.channelsSave``, ``SI4.acqNumFrames``,
``SI4.stackNumSlices``, ``SI4.fastZ...`` (headers that users published). Both save stacks as ScanImage still does:
channels fastest, then the frames of a slice, then slices.
"""

from __future__ import annotations

from typing import Any

from galvo.errors import Malformed
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.timeline import MOST_CHANNELS, MOST_SLICES, Timeline

__all__ = ["channel_ids", "read_version_3", "read_version_4"]


def channel_ids(saved: list[float], stated: Any, path: str) -> tuple[int, ...]:
    """Numbers of the saved channels.

    Raises
    ------
    Malformed
        None, or such as no microscope has.
    """
    if not saved or any(not 1 <= number <= MOST_CHANNELS or number != int(number) for number in saved):
        raise Malformed(
            "the header names no saved channels",
            path=path,
            found=f"channelSave = {stated}",
            expected="channel numbers from 1",
            hint='Open it as plain pages with format="tiff" (--format tiff)',
        )
    return tuple(int(number) for number in saved)


def read_version_3(header: Header, path: str) -> Timeline:
    """3.x, in acquired frames: ``state.acq``; a stack takes all frames of a slice before the next one."""
    acq = "state.acq."
    count = header.count(acq + "numberOfChannelsSave") or 1
    slices = header.count(acq + "numberOfZSlices") or 1
    if count > MOST_CHANNELS or slices > MOST_SLICES:
        raise Malformed(
            "the header describes an impossible recording", path=path, found=f"{count} channels, {slices} slices"
        )
    saved = [number for number in range(1, 9) if header.flag(f"{acq}savingChannel{number}")]
    if len(saved) != count:
        saved = list(range(1, count + 1))
    average = header.count(acq + "numAvgFramesSave") or 1
    if not header.flag(acq + "averaging"):
        average = 1
    frames = header.count(acq + "numberOfFrames")
    rate = header.positive(acq + "frameRate")
    step = header.number(acq + "zStepSize")
    names = tuple(f"Channel {number}" for number in saved)
    if slices == 1:
        return Timeline(
            channel_names=names,
            channel_ids=tuple(saved),
            average=average,
            frame_rate_hz=rate,
            announced=frames // average if frames else None,
        )
    return Timeline(
        channel_names=names,
        channel_ids=tuple(saved),
        slices=slices,
        repeats=frames or average,
        average=average,
        slow=True,
        frame_rate_hz=rate,
        z_um=tuple(step * plane for plane in range(slices)) if step is not None else None,
        announced=1,
    )


def read_version_4(header: Header, path: str) -> Timeline:
    """4.x, in acquired frames: fast stacks take one per slice and may repeat, slow ones all of a slice once."""
    ids = channel_ids(header.numbers("SI.channelsSave"), header.get("SI.channelsSave"), path)
    names = tuple(f"Channel {number}" for number in ids)
    average = header.count("SI.acqNumAveragedFrames") or 1
    rate = header.positive("SI.scanFrameRate")
    frames = header.count("SI.acqNumFrames")
    fast = header.flag("SI.fastZEnable")
    slices = header.count("SI.stackNumSlices") or 1
    if slices > MOST_SLICES:
        raise Malformed("the header describes an impossible recording", path=path, found=f"{slices} slices")
    flyback = header.count("SI.fastZNumDiscardFrames") or 0 if fast else 0
    if slices == 1:
        return Timeline(
            channel_names=names,
            channel_ids=ids,
            average=average,
            frame_rate_hz=rate,
            announced=frames // average if frames and not fast else None,
        )
    acquired = 1 if fast else frames or 1
    step = header.number("SI.stackZStepSize")
    return Timeline(
        channel_names=names,
        channel_ids=ids,
        slices=slices,
        repeats=acquired,
        flyback=flyback,
        average=average,
        slow=not fast,
        frame_rate_hz=rate,
        volume_rate_hz=rate and rate / (slices * acquired + flyback),
        z_um=tuple(step * plane for plane in range(slices)) if step is not None else None,
        announced=(header.count("SI.fastZNumVolumes") if fast else 1),
    )
