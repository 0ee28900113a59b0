"""Byte-faithful ScanImage recordings with pixels and times known in closed form, of every version that saves TIFF.

Nothing here reads a file or uses galvo's readers, so a generated recording is an independent truth.

Layout of a file from 2016b on (little endian), from the ScanImage BigTIFF specification; positions confirmed on genuine
files of versions 2021 and 2023::

    0    "II", u16 43, u16 8, u16 0, u64 offset of the first IFD
    16   u32 117637889, u32 TIFF format version, u32 n0, u32 n1
    32   n0 bytes header text with its NUL, n1 bytes ROI text with its NUL, then 1 to 4 NUL up to a multiple of 4
    IFD  u64 18, 18 entries of 20 bytes, u64 offset of the next IFD (0 in the last)
    +376 ImageDescription: 2000 bytes padded with spaces, 8 NUL of which the first is counted
    +2384 pixels (with several strips the two tables of u64 come first)

Every page takes the same number of bytes; Software and Artist of every page point into the static block. Older versions
have no static block, see `galvo.testing.scanimage_classic`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galvo.testing.scanimage_classic import classic_file
from galvo.testing.scanimage_file import write_file
from galvo.testing.scanimage_header import header_entries
from galvo.testing.scanimage_literals import render_json, render_matlab
from galvo.testing.scanimage_older import flat_entries, state_text
from galvo.testing.scanimage_pixels import fill_pixels, page_pixels
from galvo.testing.scanimage_request import ScanImageRequest, require
from galvo.testing.scanimage_roi_text import roi_groups_text
from galvo.testing.scanimage_rois import (
    PlacedField,
    RoiRequest,
    ScanfieldRequest,
    page_size,
    placed_fields,
)
from galvo.testing.scanimage_timeline import FrameTimeline, frame_descriptions, frame_timeline

__all__ = ["PixelSource", "PlacedField", "RoiRequest", "ScanImageRecording", "ScanfieldRequest", "page_pixels"]

PixelSource: TypeAlias = Callable[[int, int], NDArray[Any]]
"""Pixels from outside: `(first_frame, stop_frame)` of the logged stream to an array (F, C, Y, X)."""


@dataclass(frozen=True, kw_only=True)
class ScanImageRecording(ScanImageRequest):
    """One ScanImage recording: what was asked of the microscope, the files that it writes and the truth about them."""

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
        if not self.is_volumetric:
            frames = np.concatenate([start + np.arange(n) for start, n in zip(starts, complete, strict=True)])
            return frames[:, None, None] * len(channels) + channels[:, None]
        average, slices = self.log_average_factor, len(self.slice_z_um)
        require(self.repeats % average == 0 and self.flyback % average == 0, "averages straddle slices or volumes")
        repeats, tail = self.repeats // average, self.flyback // average
        per_volume = slices * repeats + tail
        first = np.concatenate(
            [start + np.arange(n // per_volume) * per_volume for start, n in zip(starts, complete, strict=True)]
        )
        require(flyback == "drop" or repeats == 1, "flyback frames can be kept only where a slice has one frame")
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
            count = self.logged_repeats
            every = self._pixels(table.ravel()).reshape(-1, count, *table.shape[1:], self.height, self.width)
            return np.asarray(every.mean(axis=1, dtype=np.float64), np.float32)
        table = self.page_table(slice_repeats=slice_repeats, flyback=flyback)
        return self._pixels(table.ravel()).reshape(*table.shape, self.height, self.width)

    def expected_timestamps(
        self, *, slice_repeats: int | Literal["interleave", "mean"] | None = None
    ) -> NDArray[np.float64] | None:
        """Return the time in s of the first plane of each T, float64 (T,), as rounded in the file; None without."""
        if not self.has_blocks:
            return None
        table = self.page_table(slice_repeats=0 if slice_repeats == "mean" else slice_repeats)
        return self.timeline.timestamp_s[table[:, 0, 0] // len(self.channels)]

    def expected_frame_numbers(
        self, *, slice_repeats: int | Literal["interleave"] | None = None, flyback: Literal["drop", "keep"] = "drop"
    ) -> NDArray[np.int64]:
        """Return `frameNumbers` of each plane, (T, Z)."""
        table = self.page_table(slice_repeats=slice_repeats, flyback=flyback)
        return self.timeline.frame_number[table[:, 0, :] // len(self.channels)]

    def expected_z_um(self, *, flyback: Literal["drop", "keep"] = "drop") -> NDArray[np.float64] | None:
        """Return the depth of each plane, float64 (Z,); flyback planes have none (NaN)."""
        if not self.is_volumetric:
            return None if self.era in ("3", "4") else np.array(self.slice_z_um[:1])
        tail = self.flyback // self.log_average_factor if flyback == "keep" else 0
        return np.array([*self.slice_z_um, *(math.nan,) * tail])

    def expected_events(
        self,
        *,
        slice_repeats: int | Literal["interleave", "mean"] | None = None,
        flyback: Literal["drop", "keep"] = "drop",
    ) -> list[tuple[int, int, str, float, bytes]]:
        """Return T, plane (-1 for flyback that is dropped), kind, time in s and payload of each event, in order."""
        busy = sorted(self.aux_triggers.keys() | self.i2c.keys())
        first = self.page_table(slice_repeats=0 if slice_repeats == "mean" else slice_repeats)[:, 0, 0]
        first = first // len(self.channels)
        repeats = self.logged_repeats
        slices = len(self.slice_z_um) if self.is_volumetric else 1
        each = 1 if slice_repeats == "interleave" else repeats
        shown = slice_repeats if isinstance(slice_repeats, int) else 0
        tail = self.flyback // self.log_average_factor if self.is_volumetric else 0
        events: list[tuple[int, int, str, float, bytes]] = []
        for t, start in enumerate(first.tolist()):
            repeat = t % repeats if each < repeats else shown
            volume = start - repeat
            for frame in (frame for frame in busy if volume <= frame < volume + slices * repeats + tail):
                z, which = divmod(frame - volume, repeats)
                if z >= slices:
                    after = frame - volume - slices * repeats
                    z, which = (slices + after if flyback == "keep" else -1), repeats - 1
                if each < repeats and which != repeat:
                    continue
                for line, times in sorted(self.aux_triggers.get(frame, {}).items()):
                    events += ((t, z, f"auxTrigger{line}", time, b"") for time in times)
                events += ((t, z, "I2C", time, bytes(data)) for time, data in self.i2c.get(frame, ()))
        return events

    @classmethod
    def multi_roi(cls, rois: Sequence[RoiRequest], **request: Any) -> ScanImageRecording:
        """Return a recording of `rois` whose pages have the size that these take."""
        asked = cls(**request)
        height, width = page_size(rois, asked.slice_z_um, asked.gap_rows)
        return cls(**{"height": height, "width": width, **request}, rois=tuple(rois))

    @property
    def placed_fields(self) -> list[PlacedField]:
        """Where the fields of a multi-ROI recording lie, planes outermost."""
        return placed_fields(self.rois, self.slice_z_um, self.gap_rows)

    @property
    def expected_channel_names(self) -> tuple[str, ...]:
        """Names of the saved channels."""
        return tuple(self.channel_names[c - 1] for c in self.channels)

    @property
    def expected_frame_rate_hz(self) -> float | None:
        """Rate of T as the header gives it: logged frames or volumes (without the stage's moves in slow stacks)."""
        if self.era == "3" and self.is_volumetric:
            return None
        return self.frame_rate_hz / (self.raw_frames_per_volume if self.is_volumetric else self.log_average_factor)

    @property
    def expected_pixel_size_um(self) -> tuple[float, float] | None:
        """Pixel size, y and x, in um; 3.x and 4.x state volts."""
        return None if self.era in ("3", "4") or self.rois else self.pixel_size_um

    # Files

    def header_text(self) -> str:
        """Return the header text without its NUL."""
        if self.era == "3":
            return state_text(self)
        entries = header_entries(self) if self.era != "4" else flat_entries(self)
        if self.json_header:
            return render_json(entries)
        digits = 6 if self.year < 2023 else 16
        own = {"4": "scanimage.SI4.", "5": "scanimage.SI."}.get(self.era, "SI.")
        prefix = own if self.header_prefix is None else self.header_prefix
        shorter = ((key.removeprefix("SI."), value) for key, value in entries.items())
        return "".join(f"{prefix}{key} = {render_matlab(value, digits)}\n" for key, value in shorter)

    def roi_text(self) -> str:
        """Return the ROI group text without its NUL, "" where the version keeps none."""
        if self.era in ("3", "4") or self.saved_again:
            return ""
        if self.tiff_format_version == 1:
            # a MATLAB serialisation
            return "<scanimage.mroi.RoiGroup> [1 2;3 4]\n"
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
                if self.era == "3":
                    name = f"{stem}_{part:03d}" if self.frames_per_file else f"{stem}{acquisition:03d}"
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
            if self.era == "static" and not self.saved_again:
                write_file(path, self, pages, source)
            else:
                path.write_bytes(classic_file(self, pages, source))
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
        require(given.shape == wanted, f"pixels gave shape {given.shape}, wanted {wanted}")
        fits = np.can_cast(given.dtype, recording.dtype, "safe")
        require(fits, f"pixels gave {given.dtype}, wanted {recording.dtype}")
        return given.reshape(-1, recording.height, recording.width)[pages - first * count]
