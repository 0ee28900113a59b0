"""Opening an HDF5 file: the one place that does, and the one that names its failures.

HDF5 writes through `PartialFile`, which never lets it see an error: libhdf5 crashes the process when a write fails in
the middle of its own bookkeeping.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import h5py
import numpy as np

from galvo.core.output import Outlet
from galvo.core.source import file_size
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, Truncated

__all__ = ["counts_from_start", "opened", "written"]

# What h5py raises on files that libhdf5 cannot make sense of.
_TROUBLE = (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError, MemoryError)
# its word for a file that is shorter than its superblock says
_CUT = re.compile(r"truncated file: eof = (?P<found>\d+),.*stored_eof = (?P<expected>\d+)")


@contextmanager
def opened(path: str) -> Iterator[Any]:
    """An `h5py.File`, open for reading inside the `with`.

    Raises
    ------
    NotFound
        No such file.
    ReadError
        The operating system does not let it be read.
    Truncated
        The file is shorter than it says itself.
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
        cut = _CUT.search(str(error))
        if cut is not None:
            raise Truncated(
                "the HDF5 file ends too early",
                path=path,
                offset=int(cut["found"]),
                found=f"{cut['found']} bytes",
                expected=f"{cut['expected']} bytes",
                hint="Take it from its source again; if galvo was writing it, resume that (--resume)",
            ) from error
        raise Malformed(f"HDF5 cannot read the file: {error}", path=path) from error


@contextmanager
def written(output: Outlet, mode: str, number: int = 0, userblock_bytes: int = 0) -> Iterator[Any]:
    """A file of an output as an `h5py.File`, open for writing inside the `with` and whole behind it.

    It is opened anew for each block: what HDF5 keeps in memory between blocks would be lost in a crash, and an output
    that was resumed would differ from one that was not.

    Parameters
    ----------
    output : Output
    mode : "w" or "r+"
    number : int
        Which of its files.
    userblock_bytes : int
        Room before the HDF5 file, which is not touched; for mode "w".
    """
    try:
        # version 1.8 of the format: read by every HDF5 of the last decade, MATLAB's too, with checksums on its headers
        options = {"userblock_size": userblock_bytes} if userblock_bytes else {}
        with h5py.File(output.files[number], mode, libver=("v108", "v108"), **options) as file:
            yield file
    except (OSError, RuntimeError, ValueError, KeyError, GalvoError) as error:
        # where HDF5 fails to read back what the disk did not take, the disk's failure is the one to tell
        output.check()
        if isinstance(error, GalvoError) or mode == "w":
            raise
        raise DamagedData(
            f"HDF5 cannot go on with the partial output: {error}",
            path=output.files[number].path,
            hint="Start again without resume",
        ) from error


@cache
def counts_from_start() -> bool:
    """Whether libhdf5 counts the places of chunks from the file's first byte where something lies before the HDF5 file.

    Its documentation does not say, and versions differ; so it is asked.
    """
    image, block, pattern = io.BytesIO(), 512, np.arange(1, 101, dtype=np.uint8)
    with h5py.File(image, "w", userblock_size=block) as file:
        chunked = file.create_dataset("chunked", data=pattern, chunks=pattern.shape).id
        whole = file.create_dataset("whole", data=pattern).id
        infos: list[Any] = []
        chunked.chunk_iter(infos.append)
        places = (infos[0].byte_offset, whole.get_offset())
        size = file.id.get_filesize()
    content = image.getvalue()
    return size == len(content) and all(content[at : at + pattern.size] == pattern.tobytes() for at in places)
