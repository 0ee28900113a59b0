"""Which reader a file gets."""

from __future__ import annotations

import os
from typing import Any

from galvo.compat.pyflowreg.util.io._recording import CannotOpen, FileReader, existing
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileReader
from galvo.compat.pyflowreg.util.io.mat import MATFileReader
from galvo.compat.pyflowreg.util.io.mdf import MDFFileReader
from galvo.compat.pyflowreg.util.io.tiff import TIFFFileReader
from galvo.errors import FormatError
from galvo.formats import REGISTRY

__all__ = ["file_reader"]

_BY_SUFFIX: dict[str, type[FileReader]] = {
    ".tif": TIFFFileReader,
    ".tiff": TIFFFileReader,
    ".h5": HDF5FileReader,
    ".hdf5": HDF5FileReader,
    ".hdf": HDF5FileReader,
    ".mat": MATFileReader,
    ".mdf": MDFFileReader,
}
_BY_FORMAT: dict[str, type[FileReader]] = {
    "tiff": TIFFFileReader,
    "scanimage": TIFFFileReader,
    "hdf5": HDF5FileReader,
    "matlab": MATFileReader,
}


def file_reader(source: str | os.PathLike[str], buffer_size: int = 500, bin_size: int = 1, **kwargs: Any) -> FileReader:
    """The reader of a file, not yet opened: by its suffix, else by its content.

    Raises
    ------
    NotFound
        No such file, nor one with another suffix of its format.
    CannotOpen
        Neither suffix nor content say what it is, or a folder is not one recording.
    """
    path = existing(source)
    if path.is_dir():
        reader = FileReader(path, buffer_size, bin_size, **kwargs)
        try:
            reader._ensure_initialized()
        except CannotOpen as error:
            raise CannotOpen(f"Folder {source} does not contain images that are one recording: {error}") from error
        return reader
    kind = _BY_SUFFIX.get(path.suffix.lower())
    if kind is None:
        try:
            kind = _BY_FORMAT.get(REGISTRY.detect(str(path)).name, FileReader)
        except FormatError as error:
            raise CannotOpen(f"Unsupported file format: {path.suffix}: {error}") from error
    return kind(path, buffer_size, bin_size, **kwargs)
