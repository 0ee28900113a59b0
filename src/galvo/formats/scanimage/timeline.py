"""Which page of a ScanImage stream is which frame: channels, planes, repeats, volumes, flyback.

Pages lie with the channel fastest, then repeats of a slice, slices, volumes (scanimage spec 1.4): page
``(volume * F + slice * repeats + repeat) * C + c``; of the F frames of a fast volume the last ones are flyback. Fields
of the header that go stale (``numSlices``, ``hFastZ.enable``, ``discardFlybackFrames``, ``stackZStepSize``,
``actualNumVolumes``) are compared, never relied on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from galvo.errors import Malformed, Unsupported, warn
from galvo.formats.scanimage.header import Header

__all__ = ["Timeline", "read_timeline"]

_MOST_CHANNELS = 64
_MOST_SLICES = 1 << 20


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

    @property
    def cycle(self) -> int:
        """Logged frames from one volume to the next, flyback included."""
        return self.slices * self.repeats + self.flyback


def read_timeline(header: Header, path: str) -> Timeline:
    """The timeline that a header describes.

    Raises
    ------
    Malformed
        No saved channels.
    Unsupported
        Averaging that mixes slices or volumes in one page.
    """
    return _legacy(header, path) if header.flavour == "state" else _current(header, path)


def _current(header: Header, path: str) -> Timeline:
    ids, names = _channels(header, path)
    average = header.count("SI.hScan2D.logAverageFactor") or 1
    rate = _positive(header.number("SI.hRoiManager.scanFrameRate"))
    depths = header.numbers("SI.hStackManager.zs")
    per_slice = header.number("SI.hStackManager.framesPerSlice") or 1
    if not _stack_enabled(header):
        return Timeline(
            channel_names=names,
            channel_ids=ids,
            average=average,
            frame_rate_hz=rate and rate / average,
            z_um=(depths[0],) if depths else None,
            announced=int(per_slice // average) if math.isfinite(per_slice) and per_slice > 1 else None,
        )
    acquired = int(per_slice) if math.isfinite(per_slice) else 1
    slow = header.word("SI.hStackManager.stackMode") == "slow" or (
        "SI.hStackManager.stackMode" not in header and not header.flag("SI.hFastZ.enable")
    )
    slices, flyback = _slices(header, acquired, slow, depths, path)
    if slices == 1 and not flyback:
        acquired_volumes = header.count("SI.hStackManager.actualNumVolumes") or 1
        total = per_slice * acquired_volumes / average
        return Timeline(
            channel_names=names,
            channel_ids=ids,
            average=average,
            frame_rate_hz=rate and rate / average,
            z_um=(depths[0],) if depths else None,
            announced=int(total) if math.isfinite(total) and total > 1 else None,
        )
    if acquired % average or flyback % average:
        raise Unsupported(
            "frames were averaged across slices, so that a page belongs to no single plane",
            path=path,
            found=f"logAverageFactor {average}, {acquired} frames per slice, {flyback} flyback frames",
            expected="an averaging factor that divides both",
        )
    cycle = slices * acquired + flyback
    volume_rate = _positive(header.number("SI.hRoiManager.scanVolumeRate")) or (rate and rate / cycle)
    return Timeline(
        channel_names=names,
        channel_ids=ids,
        slices=slices,
        repeats=acquired // average,
        flyback=flyback // average,
        average=average,
        slow=slow,
        frame_rate_hz=rate and rate / average,
        volume_rate_hz=volume_rate,
        z_um=_depths(depths, slices, acquired),
        announced=_first_count(
            header, "SI.hStackManager.actualNumVolumes", "SI.hStackManager.numVolumes", "SI.hFastZ.numVolumes"
        ),
    )


def _positive(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) and value > 0 else None


def _first_count(header: Header, *keys: str) -> int | None:
    return next((count for count in map(header.count, keys) if count is not None), None)


def _channels(header: Header, path: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Numbers and names of the saved channels."""
    saved = header.numbers("SI.hChannels.channelSave") or header.numbers("SI.hChannels.channelsActive")
    if not saved or any(not 1 <= number <= _MOST_CHANNELS or number != int(number) for number in saved):
        raise Malformed(
            "the header names no saved channels",
            path=path,
            found=f"channelSave = {header.get('SI.hChannels.channelSave')}",
            expected="channel numbers from 1",
            hint='Open it as plain pages with format="tiff"',
        )
    names = header.words("SI.hChannels.channelName")
    ids = tuple(int(number) for number in saved)
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


def _legacy(header: Header, path: str) -> Timeline:
    """3.x: ``state.acq``; a stack takes all frames of a slice before the next one."""
    acq = "state.acq."
    count = header.count(acq + "numberOfChannelsSave") or 1
    slices = header.count(acq + "numberOfZSlices") or 1
    if count > _MOST_CHANNELS or slices > _MOST_SLICES:
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
    repeats = max(1, (frames or 1) // average)
    rate = _positive(header.number(acq + "frameRate"))
    step = header.number(acq + "zStepSize")
    names = tuple(f"Channel {number}" for number in saved)
    if slices == 1:
        announced = repeats if frames else None
        return Timeline(
            channel_names=names,
            channel_ids=tuple(saved),
            average=average,
            frame_rate_hz=rate and rate / average,
            announced=announced,
        )
    return Timeline(
        channel_names=names,
        channel_ids=tuple(saved),
        slices=slices,
        repeats=repeats,
        average=average,
        slow=True,
        frame_rate_hz=rate and rate / average,
        z_um=tuple(step * plane for plane in range(slices)) if step is not None else None,
        announced=1,
    )
