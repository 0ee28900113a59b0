"""What is asked of a generated ScanImage microscope, checked, and what follows from it in closed form."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np

from galvo.testing.scanimage_pixels import PIXEL_TYPES
from galvo.testing.scanimage_rois import RoiRequest

__all__ = ["ScanImageRequest", "require"]

_DEFAULT_NAMES: Final = ("Channel 1", "Channel 2", "Channel 3", "Channel 4")


def require(condition: bool, message: str) -> None:
    """Raise ValueError with `message` unless the condition holds."""
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True)
class ScanImageRequest:
    """What was asked of the microscope, and the facts that follow from it.

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
    channel_names: tuple[str, ...] = _DEFAULT_NAMES
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
    """ScanImage version: 2019b and later write TIFF format version 4, 2016b to 2019a 3, 5.1 to 2016a 2, 5.0 1; 3.x and
    4.x have none."""
    header_prefix: str | None = None
    """What header keys begin with instead of the version's own ``SI.``, ``scanimage.SI.`` or ``scanimage.SI4.``."""
    saved_again: bool = False
    """Whether another program saved the pages again and kept only the header, in the Software tag."""
    trailing_bytes: int = 0
    """Bytes behind the last page of a file that was saved again, or of version 3.x."""
    big_tiff: bool = False
    """Whether a file of version 5.x or 4.x is BigTIFF."""
    block_style: Literal["plain", "commas", "empty", "underscores"] = "plain"
    """Frame blocks as observed variants: the epoch divided by commas; nothing for times that are none and two spaces
    before flags; names with an underscore behind."""
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
    rois: tuple[RoiRequest, ...] = ()
    """Regions of a multi-ROI recording; `height` and `width` then are those of the packed page (`multi_roi`)."""
    flyto_periods: float = 12.4
    """Time from one field to the next, in periods of the resonant scanner."""
    next_file_markers: Mapping[int, float] = field(default_factory=dict)
    """Logged stream frame to the time in s of a next-file trigger."""
    aux_triggers: Mapping[int, Mapping[int, Sequence[float]]] = field(default_factory=dict)
    """Logged stream frame to auxiliary line (0 to 3) to times in s."""
    i2c: Mapping[int, Sequence[tuple[float, bytes]]] = field(default_factory=dict)
    """Logged stream frame to I2C packets: time in s, bytes."""
    epoch: tuple[int, int, int, int, int, float] = (2025, 4, 24, 16, 43, 57.206)
    """Year, month, day, hour, minute, second of the start."""

    def __post_init__(self) -> None:
        """Refuse values that no recording has."""
        for name in ("height", "width", "frames", "slices", "repeats", "log_average_factor", "acquisitions", "strips"):
            require(getattr(self, name) >= 1, f"{name} must be at least 1")
        for name in ("flyback", "extra_pages", "drop_pages"):
            require(getattr(self, name) >= 0, f"{name} must not be negative")
        for name in ("frame_rate_hz", "zoom", "objective_resolution", "fov_deg"):
            values = np.atleast_1d(getattr(self, name))
            require(bool(np.all(np.isfinite(values) & (values > 0))), f"{name} must be finite and positive")
        for name in ("loop_interval_s", "stage_move_s"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0, f"{name} must be finite and not negative")
        require(max(self.height, self.width) <= 0xFFFF, "height and width are 16-bit tags")
        require(self.strips <= self.height, "strips cannot outnumber the rows")
        require(self.dtype in PIXEL_TYPES, f"dtype must be one of {', '.join(PIXEL_TYPES)}")
        ids = self.channels
        require(bool(ids) and ids == tuple(sorted(set(ids))), "channels must be increasing 1-based ids")
        require(ids[0] >= 1 and ids[-1] <= len(self.channel_names), "channels must each have a name in channel_names")
        require(self.volumes is None or self.volumes >= 1, "volumes must be at least 1")
        require(self.frames_per_file is None or self.frames_per_file >= 1, "frames_per_file must be at least 1")
        require(self.stack_mode in ("fast", "slow"), "stack_mode must be 'fast' or 'slow'")
        require(self.scanner_type in ("resonant", "galvo"), "scanner_type must be 'resonant' or 'galvo'")
        require(self.channel_save_form in ("row", "column", "scalar"), "channel_save_form is row, column or scalar")
        require(self.channel_save_form != "scalar" or len(ids) == 1, "channel_save_form 'scalar' needs one channel")
        if self.zs is not None:
            require(len(self.zs) > 0 and all(map(math.isfinite, self.zs)), "zs must be finite depths")
            require(self.slices in (1, len(self.zs)), "slices must be left out or equal the length of zs")
        stack_only = self.flyback or self.repeats > 1 or self.slices > 1 or self.zs is not None
        require(self.is_stack or not stack_only, "slices, zs, repeats and flyback belong to a stack: give volumes")
        require(self.stack_mode == "fast" or not self.flyback, "a slow stack has no flyback frames")
        known = re.fullmatch(r"[345]\.\d|20(1[5-9]|[2-9]\d)[ab]?", self.version)
        require(known is not None, "version is like '2021', '2018b', '5.1', '4.2' or '3.8'")
        require(self.block_style in ("plain", "commas", "empty", "underscores"), "block_style is unknown")
        require(not self.json_header or self.block_style == "plain", "JSON blocks have one style")
        require(self.trailing_bytes >= 0, "trailing_bytes must not be negative")
        require(not self.json_header or self.era == "static", "JSON belongs to 2016b and later")
        if self.era in ("3", "4"):
            self._check_old()
        announced = self.frames_per_acquisition * len(ids)
        require(announced >= 1, "log_average_factor leaves no logged frame")
        require(self.drop_pages < announced + self.extra_pages, "drop_pages leaves the last acquisition empty")
        frame_count = sum(self.frame_counts)
        for name in ("aux_triggers", "i2c", "next_file_markers"):
            require(all(0 <= f < frame_count for f in getattr(self, name)), f"{name} names a frame that is not logged")
        require(all(0 <= line <= 3 for t in self.aux_triggers.values() for line in t), "aux_triggers has lines 0 to 3")

    def _check_old(self) -> None:
        """What versions 3.x and 4.x could not do."""
        require(self.acquisitions == 1 and not self.file_per_channel, "3.x and 4.x: one acquisition, channels together")
        require(self.zs is None, "3.x and 4.x: uniform stacks only")
        require(self.channel_names == _DEFAULT_NAMES, "3.x and 4.x name no channels")
        slow = self.is_stack and self.stack_mode == "slow"
        require(not self.is_stack or len(self.slice_z_um) > 1, "3.x and 4.x: a stack has several slices")
        require(not slow or self.volumes == 1, "3.x and 4.x: a slow stack is taken once")
        require(not self.is_stack or slow or self.repeats == 1, "3.x and 4.x: a fast stack takes one frame per slice")
        require(not self.is_stack or slow or self.era == "4", "3.x has no fast stacks")

    # Facts that follow from the request

    @property
    def era(self) -> Literal["3", "4", "5", "static"]:
        """Which layout the version writes; "static": a block of its own holds the header, from 2016b on."""
        if self.version[1] != ".":
            return "static" if self.version >= "2016b" else "5"
        return "3" if self.version[0] == "3" else "4" if self.version[0] == "4" else "5"

    @property
    def has_blocks(self) -> bool:
        """Whether pages state the facts of their frames."""
        return self.era != "3" and not self.saved_again

    @property
    def year(self) -> int:
        """Year of the ScanImage version, 2015 for those before."""
        return 2015 if self.version[1] == "." else int(self.version[:4])

    @property
    def tiff_format_version(self) -> int:
        """4 from ScanImage 2019b, 3 from 2016b, 2 before and 1 for 5.0."""
        if self.era == "static":
            return 3 if self.version < "2019b" else 4
        return 1 if self.version == "5.0" else 2

    @property
    def is_stack(self) -> bool:
        """Whether slices are scanned."""
        return self.volumes is not None

    @property
    def is_volumetric(self) -> bool:
        """Whether frames make volumes: one slice without flyback is a planar recording, whatever was asked."""
        return self.is_stack and (len(self.slice_z_um) > 1 or self.flyback > 0)

    @property
    def volume_count(self) -> int:
        """Announced volumes per acquisition; 1 without a stack, as in the header."""
        return 1 if self.volumes is None else self.volumes

    @property
    def logged_repeats(self) -> int:
        """Logged frames per slice that a reader must choose among; 1 without volumes."""
        return self.repeats // self.log_average_factor if self.is_volumetric else 1

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
    def gap_rows(self) -> int:
        """Rows between two fields of a page."""
        if self.scanner_type == "galvo":
            return 0
        return math.ceil(self.flyto_periods) * (2 if self.bidirectional else 1)

    @property
    def flyto_s(self) -> float:
        """Time between two fields (`flytoTimePerScanfield`)."""
        return 0.001 if self.scanner_type == "galvo" else self.flyto_periods / self.scanner_frequency_hz

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
