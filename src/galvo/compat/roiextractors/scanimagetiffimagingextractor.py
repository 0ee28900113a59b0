"""ScanImage recordings as roiextractors shows them: one channel, (T, Y, X) or (T, Y, X, Z).

Arguments, attributes, results, exceptions and messages are the original's (roiextractors 0.10.0, by its documentation
and by runs); files, pixels, times and structure are those of `galvo.open`. Where the original is silently wrong, this
is right; docs/coming-from/roiextractors.md has the list.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from functools import cached_property
from operator import index as as_int
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.compat.roiextractors.extraction_tools import PathType
from galvo.compat.roiextractors.inspected import InspectedExtractor
from galvo.compat.roiextractors.legacy import ScanImageLegacyImagingExtractor
from galvo.compat.roiextractors.structure import read_structure, warn_of_neighbours, warn_of_suffix
from galvo.core.recording import Recording
from galvo.errors import FormatError, NotFound, ReadError, warn
from galvo.formats.opening import open_recording

__all__ = ["ScanImageImagingExtractor", "ScanImageLegacyImagingExtractor"]

_BLOCK_BYTES = 4 << 20


class ScanImageImagingExtractor(InspectedExtractor):
    """One channel of a ScanImage recording.

    Parameters
    ----------
    file_path : path, optional
        Any file of the recording; the others are found.
    channel_name : str, optional
        Needed where several channels were saved.
    file_paths : list of path, optional
        The files in order, instead of finding them.
    slice_sample : int, optional
        Which of several frames per slice to show, from 0.
    plane_index : int, optional
        Show this plane alone, as a planar recording.
    interleave_slice_samples : bool
        Show each of several frames per slice as a sample of its own; no effect where `slice_sample` is given.

    Attributes
    ----------
    file_path : Path
    file_paths : list of path
    channel_name : str
    channel_names : list of str
        Saved channels.
    is_volumetric : bool
    num_flyback_frames_per_channel : int

    Raises
    ------
    AssertionError
        Neither `file_path` nor `file_paths`.
    ValueError
        No ScanImage metadata, a channel or plane that does not exist, or a choice that must be made.
    RuntimeError
        A further file of the recording does not open.
    """

    extractor_name = "ScanImageImagingExtractor"

    def __init__(
        self,
        file_path: PathType | None = None,
        channel_name: str | None = None,
        file_paths: list[PathType] | None = None,
        slice_sample: int | None = None,
        plane_index: int | None = None,
        interleave_slice_samples: bool = False,
    ) -> None:
        super().__init__()
        self._fov_root: ScanImageImagingExtractor | None = None
        if isinstance(file_paths, str | os.PathLike):
            raise TypeError("file_paths must be a list of paths")
        given = file_paths if file_paths else [file_path] if file_path is not None else []
        if not given:
            raise AssertionError("file_path or file_paths must be provided")
        self.file_path = Path(given[0])
        warn_of_suffix(self.file_path, f"{self.extractor_name} Extractor")
        header, timeline = read_structure(str(self.file_path))
        is_volumetric = timeline.slices > 1
        repeats = timeline.repeats if is_volumetric else 1
        choice = _chosen_repeat(repeats, slice_sample, interleave_slice_samples)
        recording = self._open(file_paths or self.file_path, choice)
        try:
            self.channel_names = list(recording.channel_names)
            self.channel_name = self._chosen_channel(channel_name)
            self._channel_index = self.channel_names.index(self.channel_name)
            if is_volumetric and plane_index is not None and not 0 <= as_int(plane_index) < timeline.slices:
                raise ValueError(f"plane_index ({plane_index}) must be between 0 and {timeline.slices - 1}")
        except BaseException:
            recording.close()
            raise
        files: list[PathType] = list(recording.files)
        if file_paths:
            self.file_paths = list(file_paths)
        else:
            self.file_paths = files
            warn_of_neighbours(self.file_path, header, list(recording.files))
        self._recording = recording.isel(c=self._channel_index, z=plane_index if is_volumetric else None)
        self.is_volumetric = is_volumetric and plane_index is None
        self._is_multi_channel_data = len(self.channel_names) > 1
        self._num_channels = len(self.channel_names)
        self._frames_per_slice = repeats
        self._slice_sample = slice_sample if repeats > 1 else None
        self._frames_per_volume_per_channel = timeline.slices * repeats
        self._frames_per_volume_with_flyback = timeline.slices * repeats + timeline.flyback
        self.num_flyback_frames_per_channel = timeline.flyback
        self._num_samples, _, self._num_planes, self._num_rows, self._num_columns = self._recording.shape
        self._sampling_frequency = recording.frame_rate_hz
        self._dtype = recording.dtype
        self._row_slice, self._column_slice = slice(0, self._num_rows), slice(0, self._num_columns)

    def _open(self, source: PathType | Sequence[PathType], choice: int | Literal["interleave"]) -> Recording:
        try:
            recording = open_recording(source, format="scanimage", slice_repeats=choice, damaged="report")
        except (FormatError, NotFound, ReadError) as error:
            if error.path is None or Path(error.path) == self.file_path:
                raise
            raise RuntimeError(f"Error opening TIFF file {error.path}: {error}") from error
        for damage in recording.damage:
            warn(f"{damage.path}: {damage.message}")
        return recording

    def _chosen_channel(self, wanted: str | None) -> str:
        names = self.channel_names
        if wanted is None:
            if len(names) > 1:
                raise ValueError(
                    f"Multiple channels available in the data {names}"
                    "Please specify a channel name to extract data from."
                )
            return names[0]
        if wanted not in names:
            raise ValueError(
                f"Channel name ({wanted}) not found in available channels ({names}). "
                "Please specify a valid channel name."
            )
        return wanted

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_tiff_readers"}

    def __del__(self) -> None:
        # a view leaves the files to the extractor that it is of
        if self.__dict__.get("_fov_root") is None:
            for reader in self.__dict__.get("_tiff_readers", ()):
                reader.close()

    # ---- structure --------------------------------------------------------------------------------------------------

    def get_image_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._num_rows, self._num_columns

    def get_num_samples(self) -> int:
        """Number of samples: frames, or volumes."""
        return self._num_samples

    def get_num_planes(self) -> int:
        """Planes of a sample; 1 where it is a frame."""
        return self._num_planes

    def get_volume_shape(self) -> tuple[int, int, int]:
        """Rows, columns and planes."""
        return self._num_rows, self._num_columns, self._num_planes

    def get_sampling_frequency(self) -> float:
        """Samples per second: frames, volumes, or each repeat of a volume where they are interleaved.

        Raises
        ------
        ValueError
            The header states no rate.
        """
        if self._sampling_frequency is None:
            raise ValueError(f"{self.file_path}: the header states no sampling frequency")
        return float(self._sampling_frequency)

    def get_dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._dtype

    # ---- pixels -----------------------------------------------------------------------------------------------------

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Samples from `start_sample` to before `end_sample`.

        Parameters
        ----------
        start_sample, end_sample : int, optional
            All samples by default; negative ones count from the end.

        Returns
        -------
        ndarray, (T, Y, X), or (T, Y, X, Z) where volumetric

        Raises
        ------
        IndexError
            Samples that the recording does not have; nothing has been read.
        ValueError
            The end lies before the start.
        """
        start, end = self._bounds(start_sample, end_sample)
        return self._read(range(start, end))

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples by index, in the order asked for; negative ones count from the end.

        Raises
        ------
        AssertionError
            Indices that the recording does not have.
        """
        return self._read(self._indices(sample_indices))

    def _read(self, samples: range | NDArray[np.int64]) -> NDArray[Any]:
        if not self.is_volumetric:
            return self._read_plane(samples, 0)
        recording = self._recording
        rows, columns, planes = self.get_volume_shape()
        out = np.empty((len(samples), rows, columns, planes), self._dtype)
        # planes come last, so every block is turned on its way, while it is in the cache
        step = max(1, _BLOCK_BYTES // out[:1].nbytes) if out.size else 1
        for at in range(0, len(samples), step):
            block = recording[np.asarray(samples[at : at + step], np.int64), 0]
            for plane in range(planes):
                out[at : at + step, ..., plane] = block[:, plane]
        return out

    def _read_plane(self, samples: range | NDArray[np.int64], plane: int) -> NDArray[Any]:
        key = slice(samples.start, samples.stop) if isinstance(samples, range) else samples
        frames: NDArray[Any] = self._recording[key, 0, plane]
        return frames

    def slice_field_of_view(
        self,
        row_start: int | None = None,
        row_end: int | None = None,
        column_start: int | None = None,
        column_end: int | None = None,
    ) -> ScanImageImagingExtractor:
        """A rectangle of every frame, relative to this one, as an extractor that reads only its rows.

        Raises
        ------
        ValueError
            A rectangle that is empty or reaches beyond the frame.
        """
        rows = _checked(row_start, row_end, self._num_rows, "row", "height")
        columns = _checked(column_start, column_end, self._num_columns, "column", "width")
        view = copy.copy(self)
        view._fov_root = self if self._fov_root is None else self._fov_root
        view._recording = self._recording.isel(y=rows, x=columns)
        view._row_slice, view._column_slice = _inside(self._row_slice, rows), _inside(self._column_slice, columns)
        view._num_rows, view._num_columns = view._recording.shape[3:]
        return view

    # ---- times ------------------------------------------------------------------------------------------------------

    def get_times(self) -> NDArray[Any]:
        """Time of each sample in s, (T,): of its last plane, as the files state it, unless others were set."""
        if self._times is None:
            self._times = self._native_times
        return self._times

    def get_native_timestamps(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> NDArray[np.float64]:
        """Times in s as the files state them, (T,), whatever was set."""
        if self._times is None:
            self._times = self._native_times
        return self._native_times[start_sample:end_sample].copy()

    @cached_property
    def _native_times(self) -> NDArray[np.float64]:
        stated = self._recording.isel(z=-1).timestamps
        times = np.full(self._num_samples, np.nan) if stated is None else stated.copy()
        for sample in np.flatnonzero(np.isnan(times)).tolist():
            warn(f"No frameTimestamps_sec found for sample {sample}. Using calculated timestamp instead.")
            times[sample] = sample / self.get_sampling_frequency()
        return times


def _chosen_repeat(repeats: int, slice_sample: int | None, interleave: bool) -> int | Literal["interleave"]:
    if repeats == 1:
        return 0
    if slice_sample is not None:
        if not 0 <= as_int(slice_sample) < repeats:
            raise ValueError(
                f"slice_sample must be between 0 and {repeats - 1} (frames_per_slice - 1), but got {slice_sample}."
            )
        return int(slice_sample)
    if interleave:
        return "interleave"
    raise ValueError(
        f"Multiple frames per slice detected ({repeats}), but no slice_sample specified. "
        f"Either provide a specific slice_sample (0 to {repeats - 1}) or set interleave_slice_samples=True "
        "to explicitly opt into interleaving all slice samples as separate time points."
    )


def _checked(start: int | None, end: int | None, length: int, axis: str, extent: str) -> slice:
    first, stop = 0 if start is None else start, length if end is None else end
    if not 0 <= first < stop <= length:
        raise ValueError(
            f"Invalid {axis} range: require 0 <= {axis}_start ({first}) < {axis}_end ({stop}) "
            f"<= current {extent} ({length})."
        )
    return slice(as_int(first), as_int(stop))


def _inside(outer: slice, inner: slice) -> slice:
    return slice(outer.start + inner.start, outer.start + inner.stop)
