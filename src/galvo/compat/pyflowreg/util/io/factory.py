"""pyflowreg.util.io.factory: the reader of a source, the writer of a format."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._arr import ArrayReader, ArrayWriter
from galvo.compat.pyflowreg.util.io._base import VideoReader, VideoWriter
from galvo.compat.pyflowreg.util.io._files import file_reader
from galvo.compat.pyflowreg.util.io._null import NullVideoWriter
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileWriter
from galvo.compat.pyflowreg.util.io.mat import MATFileWriter
from galvo.compat.pyflowreg.util.io.multifile_wrappers import MULTICHANNELFileReader, MULTIFILEFileWriter
from galvo.compat.pyflowreg.util.io.tiff import TIFFFileWriter
from galvo.errors import OptionError

__all__ = ["get_video_file_reader", "get_video_file_writer"]

_WRITERS: dict[str, Callable[..., VideoWriter]] = {
    "TIFF": TIFFFileWriter,
    "SUITE2P_TIFF": partial(TIFFFileWriter, format="suite2p"),
    "HDF5": HDF5FileWriter,
    "MAT": MATFileWriter,
    "MULTIFILE_TIFF": partial(MULTIFILEFileWriter, file_type="TIFF"),
    "MULTIFILE_MAT": partial(MULTIFILEFileWriter, file_type="MAT"),
    "MULTIFILE_HDF5": partial(MULTIFILEFileWriter, file_type="HDF5"),
    "CAIMAN_HDF5": partial(MULTIFILEFileWriter, file_type="HDF5", dataset_names="mov"),
}
_WITHOUT_FILES: dict[str, Callable[[], VideoWriter]] = {"ARRAY": ArrayWriter, "NULL": NullVideoWriter}


def get_video_file_reader(
    input_source: str | os.PathLike[str] | NDArray[Any] | VideoReader | Sequence[str | os.PathLike[str]],
    buffer_size: int = 500,
    bin_size: int = 1,
    **kwargs: Any,
) -> VideoReader:
    """The reader of a source.

    Parameters
    ----------
    input_source : path, list of path, ndarray or VideoReader
        A list has one file per channel; an array is read by `ArrayReader`; a reader comes back as it is. A file that
        does not exist may have another suffix of its format: .HDF5 .h5 .hdf5 .hdf, .MAT .mat, .TIFF .tiff .tif.
    buffer_size, bin_size : int
        As in `VideoReader`.
    **kwargs
        Of the reader that it gets: `TIFFFileReader`, `HDF5FileReader`, `MATFileReader`, else options of `galvo.open`.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        No recording.
    NotImplementedError
        An .mdf file, and not on Windows, or without pywin32.
    TypeError
        No kind of source.
    """
    if isinstance(input_source, VideoReader):
        return input_source
    if isinstance(input_source, np.ndarray):
        return ArrayReader(input_source, buffer_size, bin_size, **kwargs)
    if isinstance(input_source, list | tuple):
        return MULTICHANNELFileReader(input_source, buffer_size, bin_size, **kwargs)
    if isinstance(input_source, str | os.PathLike):
        return file_reader(input_source, buffer_size, bin_size, **kwargs)
    raise OptionError("expected a path, a list of paths, an array or a reader", found=type(input_source).__name__)


def get_video_file_writer(
    file_path: str | os.PathLike[str] | None, output_format: str | Enum, **kwargs: Any
) -> VideoWriter:
    """The writer of a format.

    Parameters
    ----------
    file_path : path or None
        None for ARRAY and NULL.
    output_format : str
        TIFF, SUITE2P_TIFF, HDF5, MAT, MULTIFILE_TIFF, MULTIFILE_MAT, MULTIFILE_HDF5, CAIMAN_HDF5, ARRAY or NULL.
    **kwargs
        Of the writer.

    Raises
    ------
    ValueError
        No such format.
    NotImplementedError
        BEGONIA.
    """
    name = output_format.value if isinstance(output_format, Enum) else output_format
    if name == "BEGONIA":
        raise NotImplementedError("BEGONIA format not yet implemented")
    if name in _WITHOUT_FILES:
        return _WITHOUT_FILES[name]()
    if name not in _WRITERS:
        raise OptionError(f"Unsupported output format: {name}", expected=", ".join((*_WRITERS, *_WITHOUT_FILES)))
    if file_path is None:
        raise OptionError(f"{name} needs a path")
    return _WRITERS[name](file_path, **kwargs)
