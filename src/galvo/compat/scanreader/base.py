"""What all scans have: facts of the file and the microscope, and pixels by (field, y, x, channel, frame)."""

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
from galvo.core.recording import Recording
from galvo.errors import Malformed
from galvo.formats.scanimage.header import Header
from galvo.formats.scanimage.packing import Scanner, read_scanner
from galvo.formats.scanimage.stacks import read_timeline
from galvo.formats.scanimage.timeline import Timeline

if TYPE_CHECKING:
    from tifffile import TiffFile

__all__ = ["BaseScan"]

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
