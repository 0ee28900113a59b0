"""The timeline that a header describes: 5.x and later, by ``hStackManager`` and ``hFastZ``.

Fields that go stale (``numSlices``, ``hFastZ.enable``, ``discardFlybackFrames``, ``stackZStepSize``,
``actualNumVolumes``; scanimage spec 1.3) are compared, never relied on.
"""

from __future__ import annotations

import math

from galvo.errors import Malformed, warn
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.older import channel_ids, read_version_3, read_version_4
from galvo.formats.scanimage.timeline import Timeline

__all__ = ["read_timeline"]


def read_timeline(header: Header, path: str) -> Timeline:
    """The timeline that a header describes.

    Raises
    ------
    Malformed
        No saved channels.
    Unsupported
        Averaging that mixes slices or volumes in one page.
    """
    if header.flavour == "state":
        return read_version_3(header, path).logged(path)
    if "SI.hChannels.channelSave" not in header and "SI.channelsSave" in header:
        return read_version_4(header, path).logged(path)
    return _current(header, path).logged(path)


def _current(header: Header, path: str) -> Timeline:
    """In acquired frames."""
    ids, names = _channels(header, path)
    average = header.count("SI.hScan2D.logAverageFactor") or 1
    rate = header.positive("SI.hRoiManager.scanFrameRate")
    depths = header.numbers("SI.hStackManager.zs")
    per_slice = header.number("SI.hStackManager.framesPerSlice") or 1
    if not _stack_enabled(header):
        return Timeline(
            channel_names=names,
            channel_ids=ids,
            average=average,
            frame_rate_hz=rate,
            z_um=(depths[0],) if depths else None,
            announced=int(per_slice // average) if math.isfinite(per_slice) and per_slice > 1 else None,
        )
    acquired = int(per_slice) if math.isfinite(per_slice) else 1
    slow = header.word("SI.hStackManager.stackMode") == "slow" or (
        "SI.hStackManager.stackMode" not in header and not header.flag("SI.hFastZ.enable")
    )
    slices, flyback = _slices(header, acquired, slow, depths, path)
    if slices == 1 and not flyback:
        acquired_volumes = _volume_count(header) or 1
        total = per_slice * acquired_volumes / average
        return Timeline(
            channel_names=names,
            channel_ids=ids,
            average=average,
            slow=slow,
            frame_rate_hz=rate,
            z_um=(depths[0],) if depths else None,
            announced=int(total) if math.isfinite(total) and total > 1 else None,
        )
    cycle = slices * acquired + flyback
    volume_rate = header.positive("SI.hRoiManager.scanVolumeRate") or (rate and rate / cycle)
    return Timeline(
        channel_names=names,
        channel_ids=ids,
        slices=slices,
        repeats=acquired,
        flyback=flyback,
        average=average,
        slow=slow,
        frame_rate_hz=rate,
        volume_rate_hz=volume_rate,
        z_um=_depths(depths, slices, acquired),
        announced=_volume_count(header),
    )


def _first_count(header: Header, *keys: str) -> int | None:
    return next((count for count in map(header.count, keys) if count is not None), None)


def _volume_count(header: Header) -> int | None:
    manager = "SI.hStackManager."
    return _first_count(header, manager + "actualNumVolumes", manager + "numVolumes", "SI.hFastZ.numVolumes")


def _channels(header: Header, path: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names of the saved channels."""
    saved = header.numbers("SI.hChannels.channelSave") or header.numbers("SI.hChannels.channelsActive")
    ids = channel_ids(saved, header.get("SI.hChannels.channelSave"), path)
    names = header.words("SI.hChannels.channelName")
    return ids, tuple(names[number - 1] if number <= len(names) else f"Channel {number}" for number in ids)


def _stack_enabled(header: Header) -> bool:
    if "SI.hStackManager.enable" in header:
        return header.flag("SI.hStackManager.enable")
    # TIFF_FORMAT_VERSION 3 has no such switch
    slices = header.count("SI.hStackManager.slicesPerAcq") or len(header.numbers("SI.hStackManager.zs"))
    return header.flag("SI.hFastZ.enable") or slices > 1


def _slices(header: Header, acquired: int, slow: bool, depths: list[float], path: str) -> tuple[int, int]:
    """Planes and flyback frames of a volume, from the fields that follow the hardware."""
    manager = "SI.hStackManager."
    frames = header.count(manager + "numFramesPerVolume")
    with_flyback = header.count(manager + "numFramesPerVolumeWithFlyback")
    if frames is None and not slow:
        # TIFF_FORMAT_VERSION 3: the fast-z device counts, flyback included
        with_flyback = header.count("SI.hFastZ.numFramesPerVolume")
        discarded = header.count("SI.hFastZ.numDiscardFlybackFrames") or 0
        frames = with_flyback - discarded if with_flyback else None
    claims = {
        "numFramesPerVolume": frames / acquired if frames else None,
        "actualNumSlices": _first_count(header, manager + "actualNumSlices", manager + "slicesPerAcq"),
        "zs": len(depths) / acquired if depths else None,
        "numSlices": header.count(manager + "numSlices"),
    }
    known = {name: value for name, value in claims.items() if value is not None and value >= 1 and value == int(value)}
    if not known:
        raise Malformed("the header describes a stack without slices", path=path, found=str(claims))
    leading, value = next(iter(known.items()))
    differing = {name: int(other) for name, other in known.items() if other != value and name != "numSlices"}
    if differing:
        warn(f"{path}: the header contradicts itself: {leading} says {int(value)} slices, but {differing}")
    slices = int(value)
    flyback = 0 if slow or with_flyback is None else with_flyback - slices * acquired
    if flyback < 0:
        raise Malformed(
            "the header describes volumes shorter than their slices",
            path=path,
            found=f"{with_flyback} frames per volume",
            expected=f"at least {slices} slices x {acquired}",
        )
    return slices, flyback


def _depths(depths: list[float], slices: int, acquired: int) -> tuple[float, ...] | None:
    if len(depths) == slices * acquired:
        return tuple(depths[::acquired])
    return tuple(depths) if len(depths) == slices else None
