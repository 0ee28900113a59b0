"""CalSciPy.io_tools: images as arrays (frames, y, x) from and to .tif, .bin, .mp4 and .gif, in one line each.

The names, arguments, defaults, file names and kinds of errors are the original's; docs/coming-from/calscipy.md lists
what differs.

Source: CalSciPy io_tools specification, and runs of CalSciPy 0.8.3.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from operator import index as as_int
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.calscipy.movies import load_movie, save_movie
from galvo.compat.calscipy.places import BINARY, GIF, TIFF, VIDEO, as_path, file_to_load, file_to_save
from galvo.compat.calscipy.tiffs import load_many as _load_many_tif
from galvo.compat.calscipy.tiffs import load_single as _load_single_tif
from galvo.compat.calscipy.tiffs import save_many as _save_many_tif
from galvo.compat.calscipy.tiffs import save_single as _save_single_tif
from galvo.conversion import save
from galvo.errors import NotFound, OptionError
from galvo.formats.opening import open_recording
from galvo.formats.raw.sidecar import describing_path, read_description

__all__ = [
    "_load_many_tif",
    "_load_single_tif",
    "_save_many_tif",
    "_save_single_tif",
    "load_binary",
    "load_gif",
    "load_images",
    "load_video",
    "save_binary",
    "save_gif",
    "save_images",
    "save_video",
]

_LENGTHS = ("frames", "y", "x")
_KEYS = ("dtype", *_LENGTHS)
# loading never begins with erasing
_MODES = {"w+": "r+", "write": "r+"}


def load_images(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The images of a TIFF, or of all TIFFs in a folder.

    Parameters
    ----------
    path : str or Path
        A file .tif, .tiff or .btf, or a folder. The files of a folder follow each other, file2 before file10; its
        subfolders do not count.

    Returns
    -------
    ndarray, (frames, y, x) or (frames, y, x, color)
        Pages in the order of the file, whatever it says of channels and planes, in the stored type; bits become 0 and
        255. Color is red, green, blue.

    Raises
    ------
    NotFound
        (a FileNotFoundError) Nothing there, or no TIFF in the folder.
    AssertionError
        The files of a folder differ in shape or type.
    OptionError, FormatError
        (ValueErrors) No suffix of a TIFF; no TIFF, or a damaged one.
    TypeError
        No path.
    """
    place = as_path(path)
    if place.is_dir():
        return _load_many_tif(place)
    if not place.exists():
        raise NotFound("Unable to locate files", path=place)
    return _load_single_tif(place)


def save_images(
    path: str | os.PathLike[str], images: NDArray[Any], name: str | None = None, size_cap: float = 3.9
) -> int:
    """Write a TIFF, or several where they are larger than `size_cap`.

    Parameters
    ----------
    path : str or Path
        A file .tif, .tiff or .btf, or a folder, which is created.
    images : ndarray, (y, x), (frames, y, x) or (frames, y, x, color)
        Stored as they are; bool becomes 0 and 255.
    name : str, optional
        Of the file in the folder, "images" by default.
    size_cap : float
        Greatest size of the pixels of one file, in 1e9 bytes. Above it the files are ``<name>_00000.tif``,
        ``<name>_00001.tif`` and so on.

    Returns
    -------
    int
        0.

    Raises
    ------
    OptionError
        (a TypeError and ValueError) Fewer than two frames fit in a file; other axes; pixels that TIFF does not have.
    NotFound
        The folder of a named file does not exist.
    WriteError
        (an OSError) A file cannot be written.
    """
    file, pixels = file_to_save(path, name, TIFF), np.asarray(images)
    if pixels.nbytes * 1e-9 <= size_cap:
        return _save_single_tif(file, pixels)
    return _save_many_tif(file, pixels, size_cap)


def load_binary(
    path: str | os.PathLike[str],
    mapped: bool = False,
    mode: str = "r+",
    missing_metadata: Mapping[str, Any] | None = None,
) -> NDArray[Any]:
    """The images of a raw binary.

    Parameters
    ----------
    path : str or Path
        The .bin file, with or without its suffix, its .json file, or a folder: its binary_video.bin, else its only
        .bin file.
    mapped : bool
        Give the file as an array whose parts are read when they are used.
    mode : str
        Of the mapped array: "r", "r+" or "c", as `numpy.memmap` takes them. "w+" is taken as "r+".
    missing_metadata : mapping, optional
        "dtype" and two or three of "frames", "y" and "x", instead of the .json file.

    Returns
    -------
    ndarray or numpy.memmap, (frames, y, x)

    Raises
    ------
    NotFound
        (a FileNotFoundError) No such file, or several in the folder; no .json file and no `missing_metadata`.
    AttributeError
        The type is missing, or two lengths are.
    TypeError
        `missing_metadata` has another key, or a type or length is none.
    FormatError, OptionError
        (ValueErrors) The file does not have the size that it should, which both numbers tell. It never grows.
    """
    file = file_to_load(path, BINARY)
    if not BINARY.has(file):
        file = file_to_load(file.with_suffix(BINARY.suffixes[0]), BINARY)
    told = _told(missing_metadata) if missing_metadata else _described(file)
    with open_recording(str(file), format="bin", series=False, **told) as recording:
        if not mapped:
            return recording[:, 0, 0]
        t, _, _, y, x = recording.shape
    # a view of the file is what was asked for; opening has shown that it is of this size
    return np.memmap(file, told["dtype"], _MODES.get(mode, mode), shape=(t, y, x))  # type: ignore[call-overload,no-any-return] # noqa: TID251


def save_binary(path: str | os.PathLike[str], images: NDArray[Any], name: str | None = None) -> int:
    """Write a raw binary ``<name>.bin`` and its ``<name>.json``: frames, y, x and dtype.

    Parameters
    ----------
    path : str or Path
        A .bin file, or a folder, which is created.
    images : ndarray, (frames, y, x)
    name : str, optional
        Of the files in the folder, "binary_video" by default.

    Returns
    -------
    int
        0.

    Raises
    ------
    OptionError
        (a TypeError and ValueError) Other axes, or no numbers.
    NotFound
        The folder of a named file does not exist.
    WriteError
        (an OSError) A file cannot be written.
    """
    pixels = np.asarray(images)
    if pixels.ndim != 3:
        raise OptionError(
            "a binary has the axes (frames, y, x)",
            found=f"shape {pixels.shape}",
            hint="galvo.save writes channels and planes too",
        )
    save(pixels, file_to_save(path, name, BINARY), format="bin", overwrite=True)
    return 0


def load_video(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The frames of a video.

    Parameters
    ----------
    path : str or Path
        A video file, an .mp4 file without its suffix, or a folder: its video.mp4, else its only .mp4 file.

    Returns
    -------
    ndarray, (frames, y, x, 3)
        Red, green and blue, equal where the video is gray; uint8, unless the video has more than 8 bits.

    Raises
    ------
    NotFound
        (a FileNotFoundError) No such file, or several in the folder.
    MissingExtra
        (an ImportError) PyAV is not installed.
    FormatError, DamagedData
        No video, or a damaged one.
    """
    return load_movie(file_to_load(path, VIDEO), "video")


def save_video(
    path: str | os.PathLike[str],
    images: NDArray[Any],
    frame_rate: float = 30,
    name: str | None = None,
    *,
    wrap: bool = False,
) -> int:
    """Write an .mp4 that browsers and presentations play (H.264).

    Parameters
    ----------
    path : str or Path
        An .mp4 file, or a folder, which is created.
    images : ndarray, (frames, y, x) or (frames, y, x, color)
        Whole numbers from 0 to 255 in any type are kept. Anything else is scaled from 0.1 to 99.9 % of its pixels,
        and a warning gives the two values.
    frame_rate : float
        In Hz.
    name : str, optional
        Of the file in the folder, "video" by default.
    wrap : bool
        Take other values modulo 256, fractions cut off, as CalSciPy does.

    Returns
    -------
    int
        0.

    Raises
    ------
    OptionError
        (a TypeError and ValueError) Other axes, a frame rate or values that make no video.
    NotFound
        The folder of a named file does not exist.
    MissingExtra
        (an ImportError) PyAV is not installed.
    WriteError
        (an OSError) The file cannot be written.

    Warns
    -----
    GalvoWarning
        Pixels were scaled.
    """
    save_movie(file_to_save(path, name, VIDEO), images, frame_rate, "video", wrap)
    return 0


def load_gif(path: str | os.PathLike[str]) -> NDArray[Any]:
    """The frames of a gif.

    Parameters
    ----------
    path : str or Path
        A .gif file, with or without its suffix, or a folder: its images.gif, else its only .gif file.

    Returns
    -------
    ndarray of uint8, (frames, y, x, 3)
        Red, green and blue, equal where the gif is gray.

    Raises
    ------
    NotFound
        (a FileNotFoundError) No such file, or several in the folder.
    FormatError, DamagedData
        No gif, or a damaged one.
    """
    return load_movie(file_to_load(path, GIF), "gif")


def save_gif(
    path: str | os.PathLike[str],
    images: NDArray[Any],
    frame_rate: float = 30,
    name: str | None = None,
    *,
    wrap: bool = False,
) -> int:
    """Write a .gif.

    Parameters
    ----------
    path : str or Path
        A .gif file, or a folder, which is created.
    images : ndarray, (frames, y, x) or (frames, y, x, color)
        As `save_video` takes them.
    frame_rate : float
        In Hz, 100 at most. Times of frames are whole multiples of 10 ms in a gif.
    name : str, optional
        Of the file in the folder, "images" by default.
    wrap : bool
        As in `save_video`.

    Returns
    -------
    int
        0.

    Raises
    ------
    OptionError, NotFound, WriteError
        As `save_video`.

    Warns
    -----
    GalvoWarning
        Pixels were scaled, or the gif is slower than was asked for.
    """
    save_movie(file_to_save(path, name, GIF), images, frame_rate, "gif", wrap)
    return 0


def _described(file: Path) -> dict[str, Any]:
    found = read_description(str(file))
    if found is None:
        raise NotFound(
            "nothing says what the pixels are",
            path=describing_path(str(file)),
            hint='Give missing_metadata={"dtype": ..., "frames": ..., "y": ...}; one length may be left out',
        )
    return _complete(found)


def _told(metadata: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        raise TypeError(f"missing_metadata must be a mapping, not {type(metadata).__name__}")
    unknown = [key for key in metadata if key not in _KEYS]
    if unknown:
        raise TypeError(f"missing_metadata has the unexpected key {unknown[0]!r}; its keys are {', '.join(_KEYS)}")
    return _complete(metadata)


def _complete(found: Mapping[str, Any]) -> dict[str, Any]:
    """What `galvo.open` needs; the length that is to be told from the size of the file left out."""
    if not found.get("dtype"):
        raise AttributeError("dtype not found")
    # -1 as in NumPy
    lengths = {name: as_int(found[name]) for name in _LENGTHS if found.get(name) and found[name] != -1}
    if len(lengths) < 2:
        raise AttributeError("Require at least 2/3 shape keys: frames, y, x")
    return {"dtype": np.dtype(found["dtype"]), **lengths}
