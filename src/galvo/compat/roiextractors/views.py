"""Lazy parts of an extractor: a range of its samples, a rectangle of its frames, one of its planes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.compat.roiextractors.base import ImagingExtractor, original_class

__all__ = ["SampleSlicedImagingExtractor", "_FieldOfViewSlicedImagingExtractor", "_SinglePlaneImagingExtractor"]


class _View(ImagingExtractor):
    """A part that has its parent's facts where it does not say otherwise."""

    def __init__(self, parent_imaging: ImagingExtractor) -> None:
        super().__init__()
        self._parent_imaging = parent_imaging
        self.is_volumetric = parent_imaging.is_volumetric
        self._times = parent_imaging._times

    def get_image_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._parent_imaging.get_image_shape()

    def get_num_samples(self) -> int:
        """Number of samples."""
        return self._parent_imaging.get_num_samples()

    def get_num_planes(self) -> int:
        """Planes of a volume."""
        return self._parent_imaging.get_num_planes()

    def get_sampling_frequency(self) -> float:
        """Samples per second."""
        return self._parent_imaging.get_sampling_frequency()

    def get_dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._parent_imaging.get_dtype()

    def get_native_timestamps(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> NDArray[np.float64] | None:
        """Times in s as the files state them."""
        return self._parent_imaging.get_native_timestamps(start_sample, end_sample)

    def _bounds(self, start_sample: int | None, end_sample: int | None) -> tuple[int, int]:
        return self._parent_imaging._bounds(start_sample, end_sample)


class _NoOriginal:
    """Stands where the original is not installed."""


if TYPE_CHECKING:
    _Sliced = _NoOriginal
else:
    _Sliced = original_class("SampleSlicedImagingExtractor") or _NoOriginal


class SampleSlicedImagingExtractor(_View, _Sliced):
    """A range of another extractor's samples; made by `slice_samples`.

    Parameters
    ----------
    parent_imaging : ImagingExtractor
    start_sample, end_sample : int, optional
        All samples of it by default.
    """

    extractor_name = "SampleSlicedImagingExtractor"

    def __init__(
        self, parent_imaging: ImagingExtractor, start_sample: int | None = None, end_sample: int | None = None
    ) -> None:
        super().__init__(parent_imaging)
        count = parent_imaging.get_num_samples()
        start = 0 if start_sample is None else start_sample
        end = count if end_sample is None else end_sample
        if start < 0 or end < 0 or start > count or end > count:
            raise AssertionError(f"samples {start} to {end} are not within the {count} samples of the parent")
        if start >= end:
            raise AssertionError("'start_sample' must be smaller than 'end_sample'!")
        self._start_sample, self._end_sample, self._num_samples = start, end, end - start
        self._times = None if self._times is None else self._times[start:end]

    def get_num_samples(self) -> int:
        """Number of samples."""
        return self._num_samples

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Samples from `start_sample` to before `end_sample`; neither may be negative."""
        start, end = self._bounds(start_sample, end_sample)
        return self._parent_imaging.get_series(start + self._start_sample, end + self._start_sample)

    def _bounds(self, start_sample: int | None, end_sample: int | None) -> tuple[int, int]:
        for name, value in (("start_sample", start_sample), ("end_sample", end_sample)):
            if value is not None and value < 0:
                raise AssertionError(
                    f"'{name}' must be greater than or equal to zero! Received '{value}'.\n"
                    "Negative slicing semantics are not supported."
                )
        return ImagingExtractor._bounds(self, start_sample, end_sample)

    def _read_plane(self, samples: range | NDArray[np.int64], plane: int) -> NDArray[Any]:
        first = self._start_sample
        if isinstance(samples, range):
            return self._parent_imaging._read_plane(range(samples.start + first, samples.stop + first), plane)
        return self._parent_imaging._read_plane(samples + first, plane)

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples by index."""
        return self._parent_imaging.get_samples(self._indices(sample_indices) + self._start_sample)

    def get_native_timestamps(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> NDArray[np.float64] | None:
        """Times in s as the files state them."""
        times = self._parent_imaging.get_native_timestamps(self._start_sample, self._end_sample)
        return None if times is None else times[start_sample:end_sample]


class _FieldOfViewSlicedImagingExtractor(_View):
    """A rectangle of another extractor's frames; made by `slice_field_of_view`."""

    extractor_name = "FieldOfViewSlicedImagingExtractor"

    def __init__(
        self,
        parent_imaging: ImagingExtractor,
        row_start: int | None = None,
        row_end: int | None = None,
        column_start: int | None = None,
        column_end: int | None = None,
    ) -> None:
        super().__init__(parent_imaging)
        height, width = parent_imaging.get_image_shape()
        self._row_slice = _checked(row_start, row_end, height, "row", "height")
        self._column_slice = _checked(column_start, column_end, width, "column", "width")
        rows, columns = self._row_slice, self._column_slice
        self._image_shape = rows.stop - rows.start, columns.stop - columns.start

    def get_image_shape(self) -> tuple[int, int]:
        """Rows and columns of the rectangle."""
        return self._image_shape

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Samples from `start_sample` to before `end_sample`."""
        return self._parent_imaging.get_series(start_sample, end_sample)[:, self._row_slice, self._column_slice]

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples by index."""
        return self._parent_imaging.get_samples(sample_indices)[:, self._row_slice, self._column_slice]


def _checked(start: int | None, end: int | None, length: int, axis: str, extent: str) -> slice:
    start = 0 if start is None else start
    end = length if end is None else end
    if not 0 <= start < length:
        raise AssertionError(f"'{axis}_start' ({start}) must be >= 0 and < parent {extent} ({length})")
    if not 0 < end <= length:
        raise AssertionError(f"'{axis}_end' ({end}) must be > 0 and <= parent {extent} ({length})")
    if end <= start:
        raise AssertionError(f"'{axis}_end' ({end}) must be greater than '{axis}_start' ({start})")
    return slice(start, end)


class _SinglePlaneImagingExtractor(_View):
    """One plane of another extractor's volumes; made by `select_plane`."""

    extractor_name = "SinglePlaneImagingExtractor"

    def __init__(self, parent_imaging: ImagingExtractor, plane_index: int) -> None:
        if not parent_imaging.is_volumetric:
            raise ValueError("select_plane is only valid for volumetric extractors.")
        count = parent_imaging.get_num_planes()
        if not 0 <= plane_index < count:
            raise ValueError(f"plane_index ({plane_index}) must satisfy 0 <= plane_index < num_planes ({count}).")
        super().__init__(parent_imaging)
        self._plane_index = plane_index
        self.is_volumetric = False

    def get_num_planes(self) -> int:
        """NotImplementedError: its samples are frames."""
        return ImagingExtractor.get_num_planes(self)

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Samples from `start_sample` to before `end_sample`, (T, Y, X)."""
        samples = range(*self._bounds(start_sample, end_sample))
        return self._parent_imaging._read_plane(samples, self._plane_index)

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples by index, (T, Y, X)."""
        return self._parent_imaging._read_plane(self._indices(sample_indices), self._plane_index)
