"""pyflowreg.util.io.mat: MATLAB files, one variable per channel."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from galvo.compat.pyflowreg.util.io._ds_io import DSFileWriter
from galvo.compat.pyflowreg.util.io._file_writer import FileWriter
from galvo.compat.pyflowreg.util.io._recording import FileReader

__all__ = ["MATFileReader", "MATFileWriter"]


class MATFileReader(FileReader):
    """Reads .mat files of every version.

    Parameters
    ----------
    file_path : path
    buffer_size, bin_size : int
        As in `VideoReader`.
    dataset_names : str or list of str, optional
        The variables that are the channels; found by their names otherwise.
    dimension_ordering : (int, int, int), optional
        Where H, W and T stand among the axes as MATLAB shows them, (0, 1, 2) by default.
    **kwargs
        Options of `galvo.open` for MATLAB files, such as `axes`.
    """

    _failure = "Cannot open MAT file"

    def _translated(self, options: dict[str, Any]) -> dict[str, Any]:
        renamed = {"dataset_names": "variable"}
        return {renamed.get(name, name): value for name, value in options.items() if value is not None}


class MATFileWriter(FileWriter):
    """Writes .mat files, each channel an array (H, W, T).

    Parameters
    ----------
    file_path : path
    dataset_names : str or list of str, optional
        Names of the variables, "ch*" by default, as for HDF5; "mov" names the only one.
    use_v73 : bool
        Version 7.3 (HDF5) in any case. Otherwise version 7, or 7.3 where a channel has 2 GB or more.
    **kwargs
        Further options of galvo's MATLAB files.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        *,
        dataset_names: str | Sequence[str] | None = None,
        use_v73: bool = False,
        split_channels: bool = False,
        **kwargs: Any,
    ) -> None:
        options = {"compression": "gzip", **kwargs, "dataset_names": dataset_names}
        if use_v73:
            options["version"] = "7.3"
        self.dataset_names = dataset_names
        super().__init__(file_path, "matlab", options, split_channels=split_channels)

    get_ds_name = DSFileWriter.get_ds_name
