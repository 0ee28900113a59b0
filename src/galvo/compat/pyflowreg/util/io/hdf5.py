"""pyflowreg.util.io.hdf5: HDF5 movies, one dataset per channel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from galvo.compat.pyflowreg.util.io._ds_io import DSFileWriter
from galvo.compat.pyflowreg.util.io._file_writer import FileWriter
from galvo.compat.pyflowreg.util.io._recording import FileReader
from galvo.formats.hdf5.sink import stored_axes

__all__ = ["HDF5FileReader", "HDF5FileWriter"]


class HDF5FileReader(FileReader):
    """Reads HDF5.

    Parameters
    ----------
    file_path : path
    buffer_size, bin_size : int
        As in `VideoReader`.
    dataset_names : str or list of str, optional
        The datasets that are the channels; found by their names otherwise.
    dimension_ordering : (int, int, int), optional
        Where H, W and T stand among the stored axes. What galvo wrote says so itself.
    **kwargs
        Options of `galvo.open` for HDF5, such as `axes`.
    """

    _failure = "Cannot open HDF5 file"

    def _translated(self, options: dict[str, Any]) -> dict[str, Any]:
        renamed = {"dataset_names": "dataset"}
        found = {renamed.get(name, name): value for name, value in options.items() if value is not None}
        if "dimension_ordering" in found:
            found["axes"] = stored_axes(found.pop("dimension_ordering"))
        return found


class HDF5FileWriter(FileWriter):
    """Writes HDF5.

    Parameters
    ----------
    file_path : path
    dataset_names : str or list of str, optional
        A name for each channel; or one with ``*`` for the number of the channel, "ch*" by default; or one that the
        number is put behind where there are several channels.
    dimension_ordering : (int, int, int)
        Where H, W and T stand among the stored axes: (T, H, W) by default, (0, 1, 2) for (H, W, T).
    compression : None, "gzip", "lzf" or "zstd"
    compression_level : int, optional
        1 to 9 for gzip, 4 by default.
    compression_opts : int, optional
        The same.
    chunk_size : int
        Frames of a chunk.
    **kwargs
        Further options of galvo's HDF5.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        *,
        dataset_names: str | Sequence[str] | None = None,
        dimension_ordering: Sequence[int] | None = None,
        compression: str | None = None,
        compression_level: int | None = None,
        compression_opts: int | None = None,
        chunk_size: int = 1,
        split_channels: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {
            **kwargs,
            "dataset_names": dataset_names,
            "dimension_ordering": (1, 2, 0) if dimension_ordering is None else tuple(dimension_ordering),
            "compression": "none" if compression is None else compression,
            "chunk_size": chunk_size,
        }
        if compression is not None:
            options |= {"compression_level": compression_level, "compression_opts": compression_opts}
        self.dataset_names = dataset_names
        super().__init__(file_path, "hdf5", options, split_channels=split_channels)

    get_ds_name = DSFileWriter.get_ds_name
