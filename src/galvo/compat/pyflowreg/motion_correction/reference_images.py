"""Reference images in files."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._recording import FileReader
from galvo.compat.pyflowreg.util.io.tiff import TIFFFileWriter
from galvo.errors import OptionError

__all__ = ["read_reference", "write_reference"]

_MOST_CHANNELS = 4


def read_reference(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The image (H, W) or (H, W, C) of a file that holds one.

    Raises
    ------
    FileNotFoundError
        No such file.
    ValueError
        Several frames, or none.
    """
    reader = FileReader(path)
    try:
        frames = reader[:]
    finally:
        reader.close()
    count, _, width, channels = frames.shape
    if count > 1 and width <= _MOST_CHANNELS and channels == 1:
        # (H, W, C) that was written row by row
        return np.ascontiguousarray(frames[..., 0])
    if count != 1:
        raise OptionError("a reference is one image", path=path, found=f"{count} frames")
    return frames[0, ..., 0] if channels == 1 else frames[0]


def write_reference(path: str | os.PathLike[str], image: NDArray[Any]) -> None:
    """Write an image (H, W) or (H, W, C) as TIFF."""
    with TIFFFileWriter(path, bigtiff=None) as writer:
        writer.write_frames(image[np.newaxis] if image.ndim == 3 else image)
