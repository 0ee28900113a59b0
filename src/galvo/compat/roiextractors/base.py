"""What all extractors share: times, samples by index, lazy parts, a description.

Where roiextractors is installed its ``ImagingExtractor`` is the base, so that programs which ask for one accept ours;
every method that it defines is defined here again, so that an installed original changes nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from operator import index as as_int
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ImagingExtractor", "original_class"]


def original_class(name: str) -> type | None:
    """A class of the installed original's ``imagingextractor``, None where there is none that imports."""
    try:
        return getattr(import_module("roiextractors.imagingextractor"), name, None)
    except Exception:  # noqa: BLE001 - code of others, which may be older than the libraries that it meets
        return None


if TYPE_CHECKING:
    _Parent = ABC
else:
    _Parent = original_class("ImagingExtractor") or ABC


class ImagingExtractor(_Parent):
    """A recording as samples: (T, Y, X), or (T, Y, X, Z) where `is_volumetric`.

    Attributes
    ----------
    name : str
    is_volumetric : bool
    """

    extractor_name = "ImagingExtractor"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._args = args
        self._kwargs = kwargs
        self._times: NDArray[Any] | None = None
        self.name = type(self).__name__
        self.is_volumetric = False

    # ---- what an extractor says of itself ---------------------------------------------------------------------------

    @abstractmethod
    def get_image_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""

    @abstractmethod
    def get_num_samples(self) -> int:
        """Number of samples: frames, or volumes."""

    @abstractmethod
    def get_sampling_frequency(self) -> float:
        """Samples per second."""

    @abstractmethod
    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Samples from `start_sample` to before `end_sample`, (T, Y, X) or (T, Y, X, Z)."""

    @abstractmethod
    def get_native_timestamps(
        self, start_sample: int | None = None, end_sample: int | None = None
    ) -> NDArray[np.float64] | None:
        """Times in s as the files state them, (T,); None where they state none."""

    def get_dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self.get_series(0, 1).dtype

    def get_frame_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self.get_image_shape()

    def get_sample_shape(self) -> tuple[int, int] | tuple[int, int, int]:
        """Rows, columns and, where volumetric, planes of a sample."""
        return self.get_volume_shape() if self.is_volumetric else self.get_image_shape()

    def get_num_planes(self) -> int:
        """Planes of a volume; NotImplementedError where samples are frames."""
        raise NotImplementedError(
            "This extractor is not volumetric. The get_num_planes method is only available for volumetric extractors."
        )

    def get_volume_shape(self) -> tuple[int, int, int]:
        """Rows, columns and planes; NotImplementedError where samples are frames."""
        if not self.is_volumetric:
            raise NotImplementedError(
                "This extractor is not volumetric. "
                "The get_volume_shape method is only available for volumetric extractors."
            )
        return *self.get_image_shape(), self.get_num_planes()

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples by index, in the order asked for; negative ones count from the end."""
        parts = [self.get_series(at, at + 1) for at in self._indices(sample_indices).tolist()]
        return np.concatenate(parts) if parts else self.get_series(0, 0)

    def _read_plane(self, samples: range | NDArray[np.int64], plane: int) -> NDArray[Any]:
        """One plane of samples that there are, (T, Y, X)."""
        if isinstance(samples, range):
            return self.get_series(samples.start, samples.stop)[..., plane]
        return self.get_samples(samples)[..., plane]

    def _indices(self, sample_indices: ArrayLike) -> NDArray[np.int64]:
        """Indices of samples from 0."""
        wanted = np.asarray(sample_indices)
        if wanted.ndim == 0:
            raise TypeError("iteration over a 0-d array: 'sample_indices' must be a list of indices")
        if wanted.ndim > 1:
            raise ValueError(f"'sample_indices' must have one dimension, not {wanted.ndim}")
        if wanted.size == 0:
            return np.empty(0, np.int64)
        whole = wanted.dtype.kind in "iu" or (wanted.dtype.kind == "f" and bool((wanted == np.floor(wanted)).all()))
        if not whole:
            raise TypeError(f"'sample_indices' must be whole numbers, not {wanted.dtype}")
        count = self.get_num_samples()
        if (wanted >= count).any() or (wanted < -count).any():
            raise AssertionError("'sample_indices' range beyond number of available samples!")
        wanted = wanted.astype(np.int64)
        return np.where(wanted < 0, wanted + count, wanted)

    def _bounds(self, start_sample: int | None, end_sample: int | None) -> tuple[int, int]:
        """First sample, and the one after the last; negative ones count from the end."""
        count = self.get_num_samples()
        start, end = (
            default if value is None else _whole_number(value)
            for value, default in ((start_sample, 0), (end_sample, count))
        )
        start, end = (value + count if value < 0 else value for value in (start, end))
        if start < 0 or end < 0:
            raise IndexError(f"index {min(start, end) - count} is out of bounds for axis 0 with size {count}")
        if end < start:
            raise ValueError(f"negative dimensions are not allowed: samples {start} to {end}")
        if end > count and end > start:
            raise IndexError(f"index {max(start, count)} is out of bounds for axis 0 with size {count}")
        return start, end

    # ---- times ------------------------------------------------------------------------------------------------------

    def get_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Times in s, (T,): those set, else those of the files, else samples divided by the rate."""
        if self._times is None:
            self._times = self.get_native_timestamps()
        if self._times is not None:
            return self._times[start_sample:end_sample]
        positions = np.arange(self.get_num_samples())[start_sample:end_sample]
        return positions / self.get_sampling_frequency()

    def time_to_sample_indices(self, times: float | ArrayLike) -> Any:
        """Last sample that has begun at each time in s; the nearest one where samples have no times of their own."""
        if self._times is None:
            self._times = self.get_native_timestamps()
        wanted = np.asarray(times, np.float64)
        if self._times is None:
            return np.round(wanted * self.get_sampling_frequency()).astype(np.int64)[()]
        return (np.searchsorted(self._times, wanted, side="right") - 1).astype(np.int64)[()]

    def set_times(self, times: ArrayLike) -> None:
        """Give each sample a time in s; ValueError unless there are as many."""
        given, count = np.asarray(times), self.get_num_samples()
        if given.ndim != 1 or given.size != count:
            raise ValueError(
                f"Mismatch between the number of samples and timestamps: {count} samples, but "
                f"{len(given) if given.ndim else 1} timestamps provided. "
                "Ensure the length of 'times' matches the number of samples."
            )
        self._times = given.copy()

    def has_time_vector(self) -> bool:
        """Whether times were set or have been read."""
        return self._times is not None

    def copy_times(self, extractor: ImagingExtractor) -> None:
        """Take over the times that another extractor has, if it has any."""
        if extractor._times is not None:
            self.set_times(extractor._times)

    # ---- lazy parts -------------------------------------------------------------------------------------------------

    def slice_samples(self, start_sample: int | None = None, end_sample: int | None = None) -> ImagingExtractor:
        """Samples from `start_sample` to before `end_sample`, as an extractor that reads nothing yet."""
        from galvo.compat.roiextractors.views import SampleSlicedImagingExtractor

        return SampleSlicedImagingExtractor(self, start_sample, end_sample)

    def slice_field_of_view(
        self,
        row_start: int | None = None,
        row_end: int | None = None,
        column_start: int | None = None,
        column_end: int | None = None,
    ) -> ImagingExtractor:
        """A rectangle of every frame, as an extractor that reads nothing yet."""
        from galvo.compat.roiextractors.views import _FieldOfViewSlicedImagingExtractor

        return _FieldOfViewSlicedImagingExtractor(self, row_start, row_end, column_start, column_end)

    def select_plane(self, plane_index: int) -> ImagingExtractor:
        """One plane of every volume, as an extractor that reads nothing yet."""
        from galvo.compat.roiextractors.views import _SinglePlaneImagingExtractor

        return _SinglePlaneImagingExtractor(self, plane_index)

    # ---- for people -------------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return self._repr_text()

    def _repr_text(self) -> str:
        count, shape, rate = self.get_num_samples(), self.get_sample_shape(), float(self.get_sampling_frequency())
        dtype = self.get_dtype()
        planes = f"x {shape[2]} planes" if len(shape) == 3 else ""
        stated = f"{rate:.1f}Hz" if rate.is_integer() else f"{rate:.6f} Hz"
        nbytes = count * int(np.prod(shape)) * dtype.itemsize
        return "\n  ".join(
            [
                self.name,
                f"Number of samples: {count:,} ",
                f"Sample shape: {shape[0]} rows x {shape[1]} columns {planes} ",
                f"Sampling rate: {stated}",
                f"Duration: {_duration(count / rate)}",
                f"Imaging data memory: {_size(nbytes)} ({dtype} dtype)",
            ]
        )


def _whole_number(value: Any) -> int:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    return as_int(value)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}s"
    return f"{seconds / 60:.1f}min" if seconds < 3600 else f"{seconds / 3600:.1f}h"


def _size(nbytes: int) -> str:
    if nbytes < 1 << 10:
        return f"{nbytes}B"
    for unit, shift in (("KiB", 10), ("MiB", 20)):
        if nbytes < 1 << shift + 10:
            return f"{nbytes / (1 << shift):.1f}{unit}"
    return f"{nbytes / (1 << 30):.1f}GiB"
