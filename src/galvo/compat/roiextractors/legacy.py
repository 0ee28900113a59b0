"""Every page of a file as a frame, as roiextractors' extractor for old ScanImage files shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.compat.roiextractors.base import ImagingExtractor
from galvo.compat.roiextractors.extraction_tools import PathType
from galvo.compat.roiextractors.structure import warn_of_suffix
from galvo.formats.opening import open_recording

__all__ = ["ScanImageLegacyImagingExtractor"]


class ScanImageLegacyImagingExtractor(ImagingExtractor):
    """Every page of one file as a frame, whatever its header says.

    Parameters
    ----------
    file_path : path
    sampling_frequency : float
        Frames per second.

    Raises
    ------
    NotImplementedError
        The file has further axes.
    """

    extractor_name = "ScanImageLegacyImagingExtractor"

    def __init__(self, file_path: PathType, sampling_frequency: float) -> None:
        super().__init__()
        self.file_path = Path(file_path)
        warn_of_suffix(self.file_path, self.extractor_name)
        self._sampling_frequency = sampling_frequency
        recording = open_recording(self.file_path, format="tiff", series=False)
        if recording.shape[1:3] != (1, 1):
            recording.close()
            raise NotImplementedError(
                "Extractor cannot handle 4D TIFF data. Please raise an issue to request this feature: "
                "https://github.com/catalystneuro/roiextractors/issues "
            )
        self._recording = recording
        self._num_channels = 1
        self._num_samples, _, _, self._num_rows, self._num_columns = recording.shape

    def _get_single_frame(self, idx: int) -> NDArray[Any]:
        """One frame, (1, Y, X)."""
        return self.get_samples([idx])

    def get_series(self, start_sample: int | None = None, end_sample: int | None = None) -> NDArray[Any]:
        """Frames from `start_sample` to before `end_sample`, (T, Y, X); negative ones count from the end."""
        start, end = self._bounds(start_sample, end_sample)
        frames: NDArray[Any] = self._recording[start:end, 0, 0]
        return frames

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Frames by index, (T, Y, X), in the order asked for."""
        frames: NDArray[Any] = self._recording[self._indices(sample_indices), 0, 0]
        return frames

    def get_dtype(self) -> np.dtype[Any]:
        """Type of the pixels."""
        return self._recording.dtype

    def get_image_shape(self) -> tuple[int, int]:
        """Rows and columns of a frame."""
        return self._num_rows, self._num_columns

    def get_num_samples(self) -> int:
        """Number of frames."""
        return self._num_samples

    def get_sampling_frequency(self) -> float:
        """Frames per second, as given."""
        return self._sampling_frequency

    def get_native_timestamps(self, start_sample: int | None = None, end_sample: int | None = None) -> None:
        """None: it does not read what pages say."""
        return
