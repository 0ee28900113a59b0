"""Scans: recordings of ScanImage as arrays of five axes (field, y, x, channel, frame)."""

from __future__ import annotations

import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from galvo.compat.scanreader.exceptions import FieldDimensionMismatch
from galvo.compat.scanreader.keys import AxisKey, checked, positions, split_key
from galvo.compat.scanreader.multiroi import Field
from galvo.core.recording import Recording
from galvo.core.scanfield import FieldPart, LineClock
from galvo.errors import Malformed
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.packing import Scanner, flyback_rows, read_scanner
from galvo.formats.scanimage.rois import Roi, parse_rois
from galvo.formats.scanimage.stacks import read_timeline
from galvo.formats.scanimage.timeline import Timeline

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["BaseScan", "NewerScan", "ScanMultiROI"]

_UNLIMITED_FRAMES = 10**9


class BaseScan(ABC):
    """A scan as a lazy array (field, y, x, channel, frame).

    Parameters
    ----------
    recording : Recording
        Repeats of slices interleaved in T.
    filenames : list of str
    """

    ndim = 5

    def __init__(self, recording: Recording, filenames: list[str]) -> None:
        self._recording = recording
        self.filenames = filenames

    # ---- the file ----------------------------------------------------------------------------------------------

    @property
    def _header(self) -> Header:
        header = self._recording.metadata.header
        if not isinstance(header, Header):
            raise Malformed("no ScanImage header", path=self.filenames[0])
        return header

    @property
    def header(self) -> str:
        """The vendor's header as the first file has it."""
        return self._recording.metadata.texts["header"]

    @cached_property
    def _timeline(self) -> Timeline:
        return read_timeline(self._header, self.filenames[0])

    @cached_property
    def _scanner(self) -> Scanner:
        return read_scanner(self._header)

    @cached_property
    def tiff_files(self) -> list[TiffFile]:
        """The files as tifffile opens them; galvo itself does not need them."""
        from tifffile import TiffFile

        stack = ExitStack()
        files = [stack.enter_context(TiffFile(name)) for name in self.filenames]
        weakref.finalize(self, stack.close)
        return files

    @property
    def version(self) -> str:
        """Of ScanImage, such as "2016b", "5.2" or "2023"."""
        return str(self._header["SI.VERSION_MAJOR"])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._recording.dtype

    @property
    def is_multiROI(self) -> bool:
        """Whether several regions were scanned."""
        return self._header.flag("SI.hRoiManager.mroiEnable")

    # ---- lengths -----------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def num_fields(self) -> int:
        """Scanned rectangles."""

    @property
    @abstractmethod
    def field_depths(self) -> list[float]:
        """Depth of each field in µm."""

    @property
    def num_channels(self) -> int:
        """Saved channels."""
        return self._recording.shape[1]

    @property
    def num_frames(self) -> int:
        """Frames of each field: whole volumes; where slices were taken repeatedly, times the repeats."""
        return self._recording.shape[0]

    @property
    def num_requested_frames(self) -> int:
        """Frames that the user asked for, 1e9 where that is without end."""
        manager = "SI.hStackManager."
        slow, fast = (manager + "framesPerSlice",), (manager + "numVolumes", "SI.hFastZ.numVolumes")
        keys: tuple[str, ...] = slow if self.is_slow_stack else fast
        found = next((number for number in map(self._header.number, keys) if number is not None), 1.0)
        return int(found) if math.isfinite(found) else _UNLIMITED_FRAMES

    @property
    def num_scanning_depths(self) -> int:
        """Slices of a volume, flyback not among them."""
        return self._recording.shape[2]

    @property
    def scanning_depths(self) -> list[float]:
        """Depth of each slice in µm; empty where the header states none."""
        return list(self._recording.metadata.z_um or ())

    @property
    def requested_scanning_depths(self) -> list[float]:
        """Depths as the header lists them: `framesPerSlice` times each from 2019b on."""
        return self._header.numbers("SI.hStackManager.zs")

    @property
    def _num_pages(self) -> int:
        left_out = sum(entry.page_count for entry in self._recording.left_out)
        return math.prod(self._recording.shape[:3]) + left_out

    @property
    def page_height(self) -> int:
        """Rows of a page."""
        return self._recording.shape[3]

    @property
    def page_width(self) -> int:
        """Columns of a page."""
        return self._recording.shape[4]

    _page_height = page_height
    _page_width = page_width

    # ---- facts of the microscope -------------------------------------------------------------------------------

    @property
    def is_slow_stack(self) -> bool:
        """Whether slices follow each other slowly; recordings without a stack: whether the fast-z device is off."""
        if self._timeline.is_volumetric:
            return self._timeline.slow
        return not self._header.flag("SI.hFastZ.enable")

    @property
    def is_slow_stack_with_fastZ(self) -> bool:
        """Whether the fast-z device takes the steps of a slow stack."""
        if self._header.flag("SI.hStackManager.slowStackWithFastZ"):
            return True
        return self.is_slow_stack and self._header.word("SI.hStackManager.stackActuator") == "fastZ"

    @property
    def fps(self) -> float | None:
        """Frames of a field per second: the volume rate; of repeats in a slow stack the rate inside a slice."""
        if self.is_slow_stack and self._timeline.repeats > 1:
            return self._timeline.frame_rate_hz
        return self._recording.metadata.frame_rate_hz

    @property
    def is_bidirectional(self) -> bool:
        """Whether odd lines are scanned backwards."""
        return self._scanner.bidirectional

    @property
    def scanner_frequency(self) -> float:
        """Of the resonant mirror in Hz; NaN for linear scanners."""
        return self._scanner.frequency_hz or math.nan

    @property
    def seconds_per_line(self) -> float | None:
        """From one line to the next."""
        return self._scanner.seconds_per_line

    @property
    def spatial_fill_fraction(self) -> float | None:
        """Part of a line's way in which pixels are taken."""
        return self._header.number("SI.hScan2D.fillFractionSpatial")

    @property
    def temporal_fill_fraction(self) -> float:
        """Part of a line's time in which pixels are taken."""
        return self._scanner.fill_fraction

    @property
    def scanner_type(self) -> str | None:
        """Such as "Resonant", "RGG" or "GG"."""
        return self._header.word("SI.hScan2D.scannerType")

    @property
    def zoom(self) -> float | None:
        """Scan zoom factor."""
        return self._header.number("SI.hRoiManager.scanZoomFactor")

    @property
    def motor_position_at_zero(self) -> list[float]:
        """X, y and z of the stage at the origin of the scan, in µm."""
        return self._motors[:3]

    @property
    def initial_secondary_z(self) -> float | None:
        """Of the stage's second z axis in µm, None where it has none."""
        return self._motors[3] if len(self._motors) > 3 else None

    @property
    def _motors(self) -> list[float]:
        header = self._header
        stated = header.get("SI.hMotors.motorPosition") or header.get("SI.hMotors.samplePosition")
        if not isinstance(stated, list):
            return []
        # an unknown axis keeps its place; JSON has null for it
        return [float(one) if isinstance(one, int | float) else math.nan for one in stated]

    @property
    def has_external_trigger(self) -> bool:
        """Whether a trigger from outside started the scan."""
        return self._header.flag("SI.extTrigEnable")

    @property
    def power_percent(self) -> float | list[float] | None:
        """Of the beam in % of its range, a list of several beams."""
        found = self._header.numbers("SI.hBeams.powers")
        return found[0] if len(found) == 1 else found or None

    # ---- pixels ------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def field_heights(self) -> list[int]:
        """Rows of each field."""

    @property
    @abstractmethod
    def field_widths(self) -> list[int]:
        """Columns of each field."""

    @property
    @abstractmethod
    def field_offsets(self) -> list[Any]:
        """Seconds from the start of the scan until each pixel of each field is taken."""

    @abstractmethod
    def _read(self, fields: AxisKey, rest: tuple[AxisKey, ...]) -> NDArray[Any]:
        """The pixels of checked keys, (field, y, x, channel, frame); integers drop their axis."""

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Pixels, read now.

        Parameters
        ----------
        key : int, slice, list, tuple or 1-D array of int, ..., or a tuple of them
            Relative to field, y, x, channel and frame. Integers drop their axis; lists on several axes select their
            outer product.

        Returns
        -------
        ndarray of `dtype`
            Frames lie beside each other in memory, so the last axis has the largest stride.

        Raises
        ------
        IndexError
            Out of bounds, or more than five keys.
        TypeError
            A key of another kind.
        FieldDimensionMismatch
            Fields of different heights or widths.
        """
        fields, y, x, channel, frame = split_key(key)
        checked(fields, self.num_fields, "field")
        chosen = positions(fields, self.num_fields)
        for one, lengths, axis, what in (
            (y, self.field_heights, "y", "heights"),
            (x, self.field_widths, "x", "widths"),
        ):
            for number in chosen:
                checked(one, lengths[number], axis)
            if len({len(positions(one, lengths[number])) for number in chosen}) > 1:
                raise FieldDimensionMismatch(
                    f"the fields have different {what}",
                    path=self.filenames[0],
                    found=", ".join(str(lengths[number]) for number in chosen),
                    hint="Take them one by one, or as many rows and columns of each",
                )
        checked(channel, self.num_channels, "channel")
        checked(frame, self.num_frames, "frame")
        return self._read(fields, (y, x, channel, frame))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All pixels, read now; `copy=False` is impossible."""
        if copy is False:
            raise ValueError("a scan is not in memory: its pixels cannot be given without a copy")
        pixels = self[:]
        return pixels if dtype is None else pixels.astype(dtype, copy=False)

    def __len__(self) -> int:
        return self.num_fields

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Each field in turn, (y, x, channel, frame)."""
        for number in range(self.num_fields):
            yield self[number]

    def close(self) -> None:
        """Close the files."""
        self._recording.close()
        for file in vars(self).get("tiff_files", ()):
            file.close()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "tiff_files"}

    def __repr__(self) -> str:
        sizes = f"{self.num_fields} fields, {self.num_channels} channels, {self.num_frames} frames"
        return f"<{type(self).__name__} {self.version}: {sizes} {self.dtype}>"


def _frames_last(pixels: NDArray[Any], order: tuple[int, ...], keys: tuple[AxisKey, ...]) -> NDArray[Any]:
    """Axes of the recording that were kept, in the order of a scan.

    Parameters
    ----------
    pixels : ndarray
    order : tuple of int
        Per axis of the recording its place in a scan.
    keys : tuple
        Per axis of the recording.
    """
    kept = [place for place, key in zip(order, keys, strict=True) if not isinstance(key, int)]
    return pixels.transpose(np.argsort(kept)) if kept else pixels[()]


class NewerScan(BaseScan):
    """A scan whose fields are the whole pages of its depths."""

    @property
    def num_fields(self) -> int:
        """One per depth."""
        return self.num_scanning_depths

    @property
    def field_depths(self) -> list[float]:
        """As `scanning_depths`."""
        return self.scanning_depths

    @property
    def shape(self) -> tuple[int, int, int, int, int]:
        """Lengths of the five axes."""
        return self.num_fields, self.page_height, self.page_width, self.num_channels, self.num_frames

    @property
    def image_height(self) -> int:
        """Rows."""
        return self.page_height

    @property
    def image_width(self) -> int:
        """Columns."""
        return self.page_width

    @property
    def image_height_in_microns(self) -> float | None:
        """From the corners of the field of view; None where the header has none."""
        pixel = self._recording.pixel_size_um
        return None if pixel is None else pixel[0] * self.page_height

    @property
    def image_width_in_microns(self) -> float | None:
        """From the corners of the field of view; None where the header has none."""
        pixel = self._recording.pixel_size_um
        return None if pixel is None else pixel[1] * self.page_width

    @property
    def field_heights(self) -> list[int]:
        """Rows of a page, per depth."""
        return [self.page_height] * self.num_fields

    @property
    def field_widths(self) -> list[int]:
        """Columns of a page, per depth."""
        return [self.page_width] * self.num_fields

    @property
    def field_offsets(self) -> list[NDArray[np.float32]]:
        """Seconds from the start of the scan until each pixel is taken, float32 (Y, X) per depth.

        Raises
        ------
        Malformed
            The header does not say how long a line takes.
        """
        scanner, height, width = self._scanner, self.page_height, self.page_width
        period = scanner.seconds_per_line
        if period is None:
            raise Malformed("the header does not say how long a line takes", path=self.filenames[0])
        clock = LineClock(
            line_period_s=period, bidirectional=scanner.bidirectional, fill_fraction=scanner.fill_fraction
        )
        frame_s = (height + flyback_rows(scanner, height)) * period
        if not scanner.resonant:
            frame_s = scanner.frame_period_s or height * period
        frames = self._timeline.repeats * self._timeline.average
        found = []
        for plane in range(self.num_fields):
            start_s = plane * frames * frame_s
            part = FieldPart(rows=range(height), columns=range(width), line_pixels=width, start_s=start_s)
            found.append(part.times_s(clock).astype(np.float32))
        return found

    def _read(self, fields: AxisKey, rest: tuple[AxisKey, ...]) -> NDArray[Any]:
        y, x, channel, frame = rest
        keys = (frame, channel, fields, y, x)
        return _frames_last(self._recording[keys], (4, 3, 0, 1, 2), keys)


class ScanMultiROI(BaseScan):
    """A scan of several regions, each at its depths a field.

    Parameters
    ----------
    recording : Recording
    filenames : list of str
    join_contiguous : bool
        Fields that touch along a whole edge are one.
    """

    def __init__(self, recording: Recording, filenames: list[str], *, join_contiguous: bool = False) -> None:
        super().__init__(recording.join_contiguous() if join_contiguous else recording, filenames)
        self.join_contiguous = join_contiguous
        if not recording.fields:
            raise Malformed(
                "multi-ROI is on, but pages do not hold the fields that the file describes",
                path=filenames[0],
                hint="A warning before this says why; galvo.open reads the pages as they are",
            )

    @cached_property
    def rois(self) -> list[Roi]:
        """The scanned regions, without those that the file describes in a way that makes no sense."""
        return list(parse_rois(self._recording.metadata.texts["roi"], self.filenames[0]))

    @property
    def num_rois(self) -> int:
        """Scanned regions."""
        return len(self.rois)

    @cached_property
    def fields(self) -> list[Field]:
        """Where each field lies; depths outermost, regions in the order of `rois`."""
        ids = {roi.number: position for position, roi in enumerate(self.rois)}
        return [Field(field.field, ids) for field in self._recording.fields if field.field is not None]

    @property
    def num_fields(self) -> int:
        """Of all depths."""
        return len(self._recording.fields)

    @property
    def field_heights(self) -> list[int]:
        """Rows of each field."""
        return [field.shape[3] for field in self._recording.fields]

    @property
    def field_widths(self) -> list[int]:
        """Columns of each field."""
        return [field.shape[4] for field in self._recording.fields]

    @property
    def field_depths(self) -> list[float]:
        """Depth of each field in µm; NaN where the header states none."""
        return [math.nan if field.depth is None else field.depth for field in self.fields]

    @property
    def field_slices(self) -> list[int]:
        """Position of each field's depth among `scanning_depths`."""
        return [field.slice_id for field in self.fields]

    @property
    def field_rois(self) -> list[list[int]]:
        """Regions of each field, as positions in `rois`."""
        return [field.roi_ids for field in self.fields]

    @property
    def field_masks(self) -> list[NDArray[Any]]:
        """`roi_mask` of each field."""
        return [field.roi_mask for field in self.fields]

    @property
    def field_offsets(self) -> list[NDArray[np.float32]]:
        """`offset_mask` of each field."""
        return [field.offset_mask for field in self.fields]

    @property
    def field_heights_in_microns(self) -> list[float] | None:
        """None where the header does not state the objective's resolution."""
        return self._in_microns([field.height_in_degrees for field in self.fields])

    @property
    def field_widths_in_microns(self) -> list[float] | None:
        """None where the header does not state the objective's resolution."""
        return self._in_microns([field.width_in_degrees for field in self.fields])

    def _in_microns(self, degrees: list[float]) -> list[float] | None:
        resolution = self._header.positive("SI.objectiveResolution")
        return None if resolution is None else [size * resolution for size in degrees]

    def _read(self, fields: AxisKey, rest: tuple[AxisKey, ...]) -> NDArray[Any]:
        y, x, channel, frame = rest
        keys = (frame, channel, 0, y, x)
        order = (4, 3, 0, 1, 2)
        if isinstance(fields, int):
            return _frames_last(self._recording.fields[fields][keys], order, keys)
        chosen = positions(fields, self.num_fields)
        # without any field, the first one gives lengths and axes
        parts = [_frames_last(self._recording.fields[number][keys], order, keys) for number in chosen or [0]]
        if len(parts) == 1:
            return parts[0][None] if chosen else parts[0][None][:0]
        return np.stack(parts)
