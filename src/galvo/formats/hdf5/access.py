"""Opening an HDF5 file for reading: the one place that does, and the one that names its failures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py

from galvo.errors import GalvoError, Malformed, NotFound

__all__ = ["opened"]

# What h5py raises on files that libhdf5 cannot make sense of.
_TROUBLE = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError)


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """An `h5py.File`, open for reading inside the `with`.

    Raises
    ------
    NotFound
        No such file.
    Malformed
        libhdf5 finds the file's structure wrong.
    """
    if not os.path.exists(path):
        raise NotFound("no such file", path=path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            yield file
    except GalvoError:
        raise
    except _TROUBLE as error:
        raise Malformed(f"HDF5 cannot read the file: {error}", path=path) from error
