"""What scripts look up in an extractor besides pixels and times: where frames lie in the files, the vendor's texts."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.roiextractors.base import ImagingExtractor
from galvo.compat.roiextractors.extraction_tools import PathType
from galvo.compat.roiextractors.structure import (
    as_dictionary,
    frames_per_slice,
    read_structure,
    roi_groups,
    time_of_page,
)
from galvo.compat.roiextractors.tables import page_counts, place_table, regular_table
from galvo.core.recording import Recording

__all__ = ["InspectedExtractor"]


class InspectedExtractor(ImagingExtractor):
    """The look-ups of an extractor over a ScanImage recording.

    Attributes
    ----------
    file_paths : list of path
    """

    file_paths: list[PathType]
    _recording: Recording
    _channel_index: int
    _frames_per_slice: int
    _num_planes: int
    _slice_sample: int | None

    # ---- places in the files ----------------------------------------------------------------------------------------

    @property
    def _ifds_per_file(self) -> list[int]:
        """Pages of each file."""
        return page_counts(self._recording)

    @property
    def _num_frames_in_dataset(self) -> int:
        return sum(self._ifds_per_file)

    @cached_property
    def _frames_to_ifd_table(self) -> NDArray[np.void]:
        """Where each plane of each sample lies, one row per (T, Z)."""
        is_chosen = self._frames_per_slice == 1 or self._slice_sample is not None
        return place_table(
            self._recording,
            self._channel_index,
            repeats=1 if is_chosen else self._frames_per_slice,
            repeat=self._slice_sample or 0,
        )

    def get_original_frame_indices(self, plane_index: int | None = None) -> NDArray[np.int64]:
        """The page of each sample, counted through all files, (T,).

        Parameters
        ----------
        plane_index : int, optional
            Of which plane; the last one by default.

        Raises
        ------
        AssertionError
            No such plane.
        """
        plane = self._num_planes - 1 if plane_index is None else plane_index
        if not 0 <= plane < self._num_planes:
            raise AssertionError(f"Plane index {plane_index} exceeds number of planes {self._num_planes}.")
        table = self._frames_to_ifd_table[plane :: self._num_planes]
        first = np.cumsum([0, *self._ifds_per_file[:-1]], dtype=np.int64)
        pages: NDArray[np.int64] = first[table["file_index"]] + table["IFD_index"]
        return pages

    @staticmethod
    def _create_frame_to_ifd_table(
        num_channels: int,
        num_planes: int,
        num_acquisition_cycles: int,
        ifds_per_file: list[int],
        num_frames_per_slice: int = 1,
        num_flyback_frames_per_channel: int = 0,
    ) -> NDArray[np.void]:
        """Where the pages of a regular series lie: one row per (cycle, plane, repeat, channel), without flyback."""
        return regular_table(
            (num_acquisition_cycles, num_planes, num_frames_per_slice, num_channels),
            num_flyback_frames_per_channel,
            ifds_per_file,
        )

    def _find_data_files(self) -> list[Path]:
        """The files of the recording, in order."""
        return list(self._recording.files)

    @cached_property
    def _tiff_readers(self) -> list[Any]:
        """One open ``tifffile.TiffFile`` per file, for scripts that look at tags."""
        from tifffile import TiffFile

        return [TiffFile(path) for path in self.file_paths]

    # ---- the vendor's texts -----------------------------------------------------------------------------------------

    @cached_property
    def _general_metadata(self) -> dict[str, Any]:
        """Format version, header by key and ROI groups, parsed when first asked for."""
        metadata = self._recording.metadata
        return {
            "version": metadata.attributes.get("tiff_format_version"),
            "FrameData": as_dictionary(metadata.header),
            "RoiGroups": roi_groups(metadata.texts.get("roi", "")),
        }

    @property
    def _metadata(self) -> dict[str, Any]:
        frame_data: dict[str, Any] = self._general_metadata["FrameData"]
        return frame_data

    @staticmethod
    def get_available_channel_names(file_path: PathType) -> list[str]:
        """Names of the channels that a file's recording saved."""
        return list(read_structure(os.fspath(file_path))[1].channel_names)

    @staticmethod
    def get_available_num_planes(file_path: PathType) -> int:
        """Planes of a volume, 1 where the recording is planar."""
        return read_structure(os.fspath(file_path))[1].slices

    @staticmethod
    def get_frames_per_slice(file_path: PathType) -> int:
        """Frames of each slice."""
        return frames_per_slice(*read_structure(os.fspath(file_path)))

    @staticmethod
    def extract_timestamp_from_page(page: Any) -> float | None:
        """Time in s that a ``tifffile.TiffPage`` states in its ImageDescription, None where it states none."""
        return time_of_page(page)
