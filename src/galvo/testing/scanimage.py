"""Byte-faithful ScanImage recordings with pixels and times known in closed form (TIFF format versions 3 and 4).

Nothing here reads a file or uses galvo's readers, so a generated recording is an independent truth.

Layout of a file (little endian), from the ScanImage BigTIFF specification; positions confirmed on genuine files of
versions 2021 and 2023::

    0    "II", u16 43, u16 8, u16 0, u64 offset of the first IFD
    16   u32 117637889, u32 TIFF format version, u32 n0, u32 n1
    32   n0 bytes header text with its NUL, n1 bytes ROI text with its NUL, then 1 to 4 NUL up to a multiple of 4
    IFD  u64 18, 18 entries of 20 bytes, u64 offset of the next IFD (0 in the last)
    +376 ImageDescription: 2000 bytes padded with spaces, 8 NUL of which the first is counted
    +2384 pixels (with several strips the two tables of u64 come first)

Every page takes the same number of bytes; Software and Artist of every page point into the static block.
The older flavours (classic TIFF of versions 3.x and 5.x) have no static block and are not written here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galvo.testing.scanimage_file import write_file
from galvo.testing.scanimage_header import header_entries, render_json, render_matlab, roi_groups_text
from galvo.testing.scanimage_pixels import PIXEL_TYPES, fill_pixels, page_pixels
from galvo.testing.scanimage_timeline import FrameTimeline, frame_descriptions, frame_timeline

__all__ = ["PixelSource", "ScanImageRecording", "page_pixels"]

PixelSource: TypeAlias = Callable[[int, int], NDArray[Any]]
"""Pixels from outside: `(first_frame, stop_frame)` of the logged stream to an array (F, C, Y, X)."""


@dataclass(frozen=True, kw_only=True)
class ScanImageRecording:
    """One ScanImage recording: what was asked of the microscope, the files that it writes and the truth about them.

    Counts of a stack (`repeats`, `flyback`) are raw frames of the scanner, as in the header; `frames` counts logged
    frames.  Pages follow one another as channel, frame of a slice, slice, flyback, volume, acquisition.

    Raises
    ------
    ValueError
        When a value cannot belong to a recording; the message names the parameter.
    """

    height: int = 32
    """Rows of a page."""
    width: int = 24
    """Columns of a page."""
    frames: int = 10
    """Logged frames per acquisition of a recording without a stack."""
    channels: tuple[int, ...] = (1,)
    """Saved channels, 1-based ids in increasing order."""
    channel_names: tuple[str, ...] = ("Channel 1", "Channel 2", "Channel 3", "Channel 4")
    """Names of all channels of the microscope, saved or not."""
    dtype: str = "int16"
    """Pixel type: int8, uint8, int16, uint16, int32 or uint32."""
    frame_rate_hz: float = 30.0
    """Rate of raw frames."""
    slices: int = 1
    """Slices of a stack; left out when `zs` gives them."""
    flyback: int = 0
    """Raw flyback frames after the slices of a volume of a fast stack."""
    volumes: int | None = None
    """Volumes per acquisition; None for a recording without a stack."""
    repeats: int = 1
    """Raw frames per slice of a stack (`framesPerSlice`)."""
    stack_mode: Literal["fast", "slow"] = "fast"
    """Fast (piezo, lens) or slow (stage) stack."""
    zs: tuple[float, ...] | None = None
    """Depths of an arbitrary stack, in um."""
    z_step_um: float = 2.0
    """Distance of the slices of a uniform stack."""
    log_average_factor: int = 1
    """Raw frames averaged into one logged frame."""
    frames_per_file: int | None = None
    """Logged frames per file (`logFramesPerFile`); None is Inf."""
    acquisitions: int = 1
    """Acquisitions; more than one makes a loop."""
    loop_interval_s: float = 10.0
    """Least time from the start of one acquisition to the next."""
    stage_move_s: float = 0.25
    """Time between two slices of a slow stack."""
    version: str = "2021"
    """ScanImage version: 2016b to 2019a write TIFF format version 3, 2019b and later 4."""
    channel_save_form: Literal["row", "column", "scalar"] = "row"
    """How the header spells `channelSave`: ``[1 2]``, ``[1;2]`` or, for one channel only, ``1``."""
    file_per_channel: bool = False
    """Whether each channel has files of its own (`logFilePerChannel`)."""
    json_header: bool = False
    """Whether header and descriptions are JSON (`useJsonHeaderFormat`)."""
    strips: int = 1
    """Strips per page, contiguous."""
    extra_header: Mapping[str, str] = field(default_factory=dict)
    """Header lines added or replaced: full key to literal text."""
    omit_header: tuple[str, ...] = ()
    """Header keys left out."""
    extra_pages: int = 0
    """Pages logged after the announced end of the last acquisition."""
    drop_pages: int = 0
    """Announced pages of the last acquisition that were never logged."""
    stale_header: bool = False
    """Whether `numSlices`, `numVolumes` and `stackZStepSize` still hold an earlier request."""
    bidirectional: bool = True
    """Whether the resonant scanner images in both directions."""
    scanner_type: Literal["resonant", "galvo"] = "resonant"
    """Galvo scans log flyback frames filled with zeros and times with 6 digits."""
    zoom: float = 1.0
    """Scan zoom factor."""
    objective_resolution: float = 15.0
    """Micrometres per degree of scan angle."""
    fov_deg: tuple[float, float] = (18.0, 18.0)
    """Scanned field at zoom 1, x and y, in degrees."""
    aux_triggers: Mapping[int, Mapping[int, Sequence[float]]] = field(default_factory=dict)
    """Logged stream frame to auxiliary line (0 to 3) to times in s."""
    i2c: Mapping[int, Sequence[tuple[float, bytes]]] = field(default_factory=dict)
    """Logged stream frame to I2C packets: time in s, bytes."""
    epoch: tuple[int, int, int, int, int, float] = (2025, 4, 24, 16, 43, 57.206)
    """Year, month, day, hour, minute, second of the start."""

    def __post_init__(self) -> None:
        """Refuse values that no recording has."""
        for name in ("height", "width", "frames", "slices", "repeats", "log_average_factor", "acquisitions", "strips"):
            _require(getattr(self, name) >= 1, f"{name} must be at least 1")
        for name in ("flyback", "extra_pages", "drop_pages"):
            _require(getattr(self, name) >= 0, f"{name} must not be negative")
        for name in ("frame_rate_hz", "zoom", "objective_resolution", "fov_deg"):
            values = np.atleast_1d(getattr(self, name))
            _require(bool(np.all(np.isfinite(values) & (values > 0))), f"{name} must be finite and positive")
        for name in ("loop_interval_s", "stage_move_s"):
            value = getattr(self, name)
            _require(math.isfinite(value) and value >= 0, f"{name} must be finite and not negative")
        _require(max(self.height, self.width) <= 0xFFFF, "height and width are 16-bit tags")
        _require(self.strips <= self.height, "strips cannot outnumber the rows")
        _require(self.dtype in PIXEL_TYPES, f"dtype must be one of {', '.join(PIXEL_TYPES)}")
        ids = self.channels
        _require(bool(ids) and ids == tuple(sorted(set(ids))), "channels must be increasing 1-based ids")
        _require(ids[0] >= 1 and ids[-1] <= len(self.channel_names), "channels must each have a name in channel_names")
        _require(self.volumes is None or self.volumes >= 1, "volumes must be at least 1")
        _require(self.frames_per_file is None or self.frames_per_file >= 1, "frames_per_file must be at least 1")
        _require(self.stack_mode in ("fast", "slow"), "stack_mode must be 'fast' or 'slow'")
        _require(self.scanner_type in ("resonant", "galvo"), "scanner_type must be 'resonant' or 'galvo'")
        _require(self.channel_save_form in ("row", "column", "scalar"), "channel_save_form is row, column or scalar")
        _require(self.channel_save_form != "scalar" or len(ids) == 1, "channel_save_form 'scalar' needs one channel")
        if self.zs is not None:
            _require(len(self.zs) > 0 and all(map(math.isfinite, self.zs)), "zs must be finite depths")
            _require(self.slices in (1, len(self.zs)), "slices must be left out or equal the length of zs")
        stack_only = self.flyback or self.repeats > 1 or self.slices > 1 or self.zs is not None
        _require(self.is_stack or not stack_only, "slices, zs, repeats and flyback belong to a stack: give volumes")
        _require(self.stack_mode == "fast" or not self.flyback, "a slow stack has no flyback frames")
        _require(self.version[:4].isdigit() and self.version[4:] in ("", "a", "b"), "version is like '2021' or '2018b'")
        _require(self.version >= "2016b", "version must be 2016b or later")
        announced = self.frames_per_acquisition * len(ids)
        _require(announced >= 1, "log_average_factor leaves no logged frame")
        _require(self.drop_pages < announced + self.extra_pages, "drop_pages leaves the last acquisition empty")
        frame_count = sum(self.frame_counts)
        for name in ("aux_triggers", "i2c"):
            _require(all(0 <= f < frame_count for f in getattr(self, name)), f"{name} names a frame that is not logged")
        _require(all(0 <= line <= 3 for t in self.aux_triggers.values() for line in t), "aux_triggers has lines 0 to 3")

    # Facts that follow from the request

    @property
    def year(self) -> int:
        """Year of the ScanImage version."""
        return int(self.version[:4])

    @property
    def tiff_format_version(self) -> int:
        """3 up to ScanImage 2019a, 4 from 2019b."""
        return 3 if self.version < "2019b" else 4

    @property
    def is_stack(self) -> bool:
        """Whether slices are scanned."""
        return self.volumes is not None

    @property
    def volume_count(self) -> int:
        """Announced volumes per acquisition; 1 without a stack, as in the header."""
        return 1 if self.volumes is None else self.volumes

    @property
    def slice_z_um(self) -> tuple[float, ...]:
        """Depth of each slice in um."""
        if self.zs is not None:
            return self.zs
        return tuple(float(k * self.z_step_um) for k in range(self.slices))

    @property
    def raw_frames_per_volume(self) -> int:
        """Raw frames of one volume with flyback; 1 without a stack, as in the header."""
        return len(self.slice_z_um) * self.repeats + self.flyback

    @property
    def raw_frames_per_acquisition(self) -> int:
        """Raw frames announced for one acquisition."""
        if self.volumes is None:
            return self.frames * self.log_average_factor
        return self.volumes * self.raw_frames_per_volume

    @property
    def frames_per_acquisition(self) -> int:
        """Logged frames announced for one acquisition."""
        return self.raw_frames_per_acquisition // self.log_average_factor

    @property
    def frame_counts(self) -> tuple[int, ...]:
        """Logged frames of each acquisition, the last perhaps without all of its channels."""
        pages = self.frames_per_acquisition * len(self.channels) + self.extra_pages - self.drop_pages
        last = -(-pages // len(self.channels))
        return (self.frames_per_acquisition,) * (self.acquisitions - 1) + (last,)

    @property
    def page_count(self) -> int:
        """Pages of the whole recording."""
        announced = self.frames_per_acquisition * self.acquisitions * len(self.channels)
        return announced + self.extra_pages - self.drop_pages

    @property
    def scan_size_deg(self) -> tuple[float, float]:
        """Scanned field, x and y, in degrees."""
        return self.fov_deg[0] / self.zoom, self.fov_deg[1] / self.zoom

    @property
    def pixel_size_um(self) -> tuple[float, float]:
        """Pixel size, y and x, in um."""
        size_x, size_y = (size * self.objective_resolution for size in self.scan_size_deg)
        return size_y / self.height, size_x / self.width

    @property
    def _flyback_lines(self) -> int:
        # Frame period = (rows + lines) x line period; the resonant scanner flies back in whole periods.
        return 0 if self.scanner_type == "galvo" else 26 if self.bidirectional else 13

    @property
    def line_period_s(self) -> float:
        """Time per line."""
        return 1 / (self.frame_rate_hz * (self.height + self._flyback_lines))

    @property
    def scanner_frequency_hz(self) -> float:
        """Resonant frequency; NaN for galvo scanners, as in the header."""
        if self.scanner_type == "galvo":
            return math.nan
        return 1 / (self.line_period_s * (2 if self.bidirectional else 1))

    @property
    def frame_flyback_s(self) -> float:
        """Time between frames (`flybackTimePerFrame`), rounded up by the scanner to 13 of its periods."""
        return 0.0 if self.scanner_type == "galvo" else 12.5 / self.scanner_frequency_hz

    # The truth

    @cached_property
    def timeline(self) -> FrameTimeline:
        """Columns over the logged frames: numbers, times, ends."""
        return frame_timeline(self)

    def page_table(
        self, *, slice_repeats: int | Literal["interleave"] | None = None, flyback: Literal["drop", "keep"] = "drop"
    ) -> NDArray[np.int64]:
        """Return which stream page is where, (T, C, Z), complete volumes only.

        Parameters
        ----------
        slice_repeats : int or "interleave", optional
            Needed when a slice has several logged frames: the one to take, from 0, or all of them along T in the
            order volume, repeat.
        flyback : {"drop", "keep"}
            Whether flyback frames follow the slices along Z (not together with several repeats).

        Raises
        ------
        ValueError
            Averages that straddle slices or volumes, or a missing or meaningless `slice_repeats`.
        """
        channels = np.arange(len(self.channels), dtype=np.int64)
        complete = [*self.frame_counts]
        complete[-1] -= 1 if self.page_count % len(self.channels) else 0
        starts = np.cumsum([0, *self.frame_counts[:-1]])
        if not self.is_stack:
            frames = np.concatenate([start + np.arange(n) for start, n in zip(starts, complete, strict=True)])
            return frames[:, None, None] * len(channels) + channels[:, None]
        average, slices = self.log_average_factor, len(self.slice_z_um)
        _require(self.repeats % average == 0 and self.flyback % average == 0, "averages straddle slices or volumes")
        repeats, tail = self.repeats // average, self.flyback // average
        per_volume = slices * repeats + tail
        first = np.concatenate(
            [start + np.arange(n // per_volume) * per_volume for start, n in zip(starts, complete, strict=True)]
        )
        _require(flyback == "drop" or repeats == 1, "flyback frames can be kept only where a slice has one frame")
        if repeats == 1:
            planes = np.arange(slices + (tail if flyback == "keep" else 0))
            frames = first[:, None] + planes
        elif slice_repeats == "interleave":
            inside = np.arange(slices) * repeats + np.arange(repeats)[:, None]
            frames = (first[:, None, None] + inside).reshape(-1, slices)
        else:
            if not isinstance(slice_repeats, int) or not 0 <= slice_repeats < repeats:
                raise ValueError(f"each slice has {repeats} frames: slice_repeats must say which, or 'interleave'")
            frames = first[:, None] + np.arange(slices) * repeats + slice_repeats
        return frames[:, None, :].astype(np.int64) * len(channels) + channels[:, None]

    def expected_pages(self, first: int = 0, stop: int | None = None) -> NDArray[Any]:
        """Return the pixels of stream pages `first` to `stop`, (P, Y, X)."""
        return self._pixels(np.arange(first, self.page_count if stop is None else stop))

    def _pixels(self, pages: NDArray[np.int64]) -> NDArray[Any]:
        out = np.empty((len(pages), self.height, self.width), self.dtype)
        fill_pixels(pages, out)
        if self.scanner_type == "galvo" and self.flyback:
            out[self._is_flyback(pages)] = 0
        return out

    def _is_flyback(self, pages: NDArray[np.int64]) -> NDArray[np.bool_]:
        position = self.timeline.position[pages // len(self.channels)]
        raw = position * self.log_average_factor % self.raw_frames_per_volume
        return raw >= len(self.slice_z_um) * self.repeats

    def expected(
        self,
        *,
        slice_repeats: int | Literal["interleave", "mean"] | None = None,
        flyback: Literal["drop", "keep"] = "drop",
    ) -> NDArray[Any]:
        """Return the recording, (T, C, Z, Y, X); see `page_table`.  "mean" averages the repeats to float32."""
        if slice_repeats == "mean":
            table = self.page_table(slice_repeats="interleave", flyback=flyback)
            count = self.repeats // self.log_average_factor if self.is_stack else 1
            every = self._pixels(table.ravel()).reshape(-1, count, *table.shape[1:], self.height, self.width)
            return np.asarray(every.mean(axis=1, dtype=np.float64), np.float32)
        table = self.page_table(slice_repeats=slice_repeats, flyback=flyback)
        return self._pixels(table.ravel()).reshape(*table.shape, self.height, self.width)

    def expected_timestamps(
        self, *, slice_repeats: int | Literal["interleave", "mean"] | None = None
    ) -> NDArray[np.float64]:
        """Return the time in s of the first plane of each T, float64 (T,), as rounded in the file."""
        table = self.page_table(slice_repeats=0 if slice_repeats == "mean" else slice_repeats)
        return self.timeline.timestamp_s[table[:, 0, 0] // len(self.channels)]

    def expected_frame_numbers(
        self, *, slice_repeats: int | Literal["interleave"] | None = None, flyback: Literal["drop", "keep"] = "drop"
    ) -> NDArray[np.int64]:
        """Return `frameNumbers` of each plane, (T, Z)."""
        table = self.page_table(slice_repeats=slice_repeats, flyback=flyback)
        return self.timeline.frame_number[table[:, 0, :] // len(self.channels)]

    def expected_z_um(self, *, flyback: Literal["drop", "keep"] = "drop") -> NDArray[np.float64]:
        """Return the depth of each plane, float64 (Z,); flyback planes have none (NaN)."""
        tail = self.flyback // self.log_average_factor if flyback == "keep" else 0
        return np.array([*self.slice_z_um, *(math.nan,) * tail])

    @property
    def expected_channel_names(self) -> tuple[str, ...]:
        """Names of the saved channels."""
        return tuple(self.channel_names[c - 1] for c in self.channels)

    @property
    def expected_frame_rate_hz(self) -> float:
        """Rate of T as the header gives it: logged frames or volumes (without the stage's moves in slow stacks)."""
        return self.frame_rate_hz / (self.raw_frames_per_volume if self.is_stack else self.log_average_factor)

    # Files

    def header_text(self) -> str:
        """Return the header text without its NUL."""
        entries = header_entries(self)
        if self.json_header:
            return render_json(entries)
        digits = 6 if self.year < 2023 else 16
        return "".join(f"{key} = {render_matlab(value, digits)}\n" for key, value in entries.items())

    def roi_text(self) -> str:
        """Return the ROI group text without its NUL."""
        return roi_groups_text(self)

    def descriptions(self, first: int = 0, stop: int | None = None) -> list[str]:
        """Return the per-frame text of logged frames `first` to `stop`."""
        return frame_descriptions(self, first, stop)

    def file_names(self, stem: str = "rec") -> list[str]:
        """Return the names of the files in the order in which they are written."""
        return [name for name, _ in self._file_pages(stem)]

    def _file_pages(self, stem: str) -> Iterator[tuple[str, NDArray[np.int64]]]:
        # Acquisition counter, sub counter where files roll over, channel where each has a file of its own.
        count = len(self.channels)
        start = 0
        for acquisition, frame_count in enumerate(self.frame_counts, 1):
            step = self.frames_per_file or frame_count
            for part, first in enumerate(range(0, frame_count, step), 1):
                name = f"{stem}_{acquisition:05d}" + (f"_{part:05d}" if self.frames_per_file else "")
                stop = start + min(first + step, frame_count)
                pages = np.arange((start + first) * count, min(stop * count, self.page_count))
                if not self.file_per_channel:
                    yield f"{name}.tif", pages
                    continue
                for index, channel in enumerate(self.channels):
                    own = pages[pages % count == index]
                    if len(own):
                        yield f"{name}_chn{channel}.tif", own
            start += frame_count

    def write(self, folder: str | Path, stem: str = "rec", pixels: PixelSource | None = None) -> list[Path]:
        """Write the recording's files into `folder` (made where missing) and return their paths in order.

        Parameters
        ----------
        folder : path
            Where the files go; files of the same name are replaced.
        stem : str
            First part of the names, before the counters.
        pixels : callable, optional
            Pixels from outside instead of the closed form: `(first_frame, stop_frame)` of the logged stream to an
            array (F, C, Y, X) that the recording's dtype holds.  Called in increasing order within a file.

        Raises
        ------
        ValueError
            A frame block over 2000 characters, or `pixels` of another shape or type.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        source = self._pixels if pixels is None else _Outside(self, pixels)
        paths = []
        for name, pages in self._file_pages(stem):
            path = folder / name
            write_file(path, self, pages, source)
            paths.append(path)
        return paths


@dataclass(frozen=True)
class _Outside:
    """Pages out of a caller's frames, checked against what the recording announces."""

    recording: ScanImageRecording
    pixels: PixelSource

    def __call__(self, pages: NDArray[np.int64]) -> NDArray[Any]:
        recording = self.recording
        count = len(recording.channels)
        first, stop = int(pages[0]) // count, int(pages[-1]) // count + 1
        given = np.asarray(self.pixels(first, stop))
        wanted = (stop - first, count, recording.height, recording.width)
        _require(given.shape == wanted, f"pixels gave shape {given.shape}, wanted {wanted}")
        fits = np.can_cast(given.dtype, recording.dtype, "safe")
        _require(fits, f"pixels gave {given.dtype}, wanted {recording.dtype}")
        return given.reshape(-1, recording.height, recording.width)[pages - first * count]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
