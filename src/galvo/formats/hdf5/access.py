"""Opening an HDF5 file for reading: the one place that does, and the one that names its failures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from galvo.core.source import file_size
from galvo.errors import GalvoError, Malformed, ReadError

__all__ = ["opened"]

# What h5py raises on files that libhdf5 cannot make sense of.
_TROUBLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError)


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """An `h5py.File`, open for reading inside the `with`.

    Raises
    ------
    NotFound
        No such file.
    ReadError
        The operating system does not let it be read.
    Malformed
        libhdf5 finds the file's structure wrong.
    """
    file_size(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except GalvoError:
        raise
    except PermissionError as error:
        raise ReadError(error.strerror or "cannot be opened", path=path) from error
    except _TROUBLE as error:
        raise Malformed(f"HDF5 cannot read the file: {error}", path=path) from error
