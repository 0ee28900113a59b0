"""Scans: recordings of ScanImage as arrays of five axes (field, y, x, channel, frame)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.scanreader.base import BaseScan
from galvo.compat.scanreader.keys import AxisKey, positions
from galvo.compat.scanreader.multiroi import Field
from galvo.core.recording import Recording
from galvo.core.scanfield import FieldPart, LineClock
from galvo.errors import Malformed
from galvo.formats.scanimage.packing import flyback_rows
from galvo.formats.scanimage.rois import Roi, parse_rois

__all__ = ["BaseScan", "NewerScan", "ScanMultiROI"]


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
