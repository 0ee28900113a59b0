"""TIFF as CalSciPy sees it: the pages of a file or of all files of a folder, as one array.

Source: CalSciPy io_tools specification, section 1, and runs of CalSciPy 0.8.3.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.calscipy.places import TIFF, as_path, files_in
from galvo.conversion import save
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import FormatError, NotFound, OptionError, warn
from galvo.formats.opening import open_recording

__all__ = ["COLORS", "colors_last", "load_many", "load_single", "save_many", "save_single"]

COLORS = ("red", "green", "blue", "alpha")

_MOST_FILES = 99999
_CACHED_BYTES = 8 << 20


def load_single(file: str | os.PathLike[str]) -> NDArray[Any]:
    """All pages of one TIFF.

    Parameters
    ----------
    file : path

    Returns
    -------
    ndarray, (frames, y, x) or (frames, y, x, color)
        A single page has frames = 1. Color is red, green, blue. Bits become 0 and 255.

    Raises
    ------
    NotFound
        No such file.
    OptionError
        (a ValueError) No suffix of a TIFF.
    FormatError, ReadError, DamagedData
        It cannot be read.
    """
    path = as_path(file)
    if not TIFF.has(path):
        raise OptionError("no suffix of a TIFF", path=path, expected=", ".join(TIFF.suffixes))
    return _load([path])


def load_many(folder: str | os.PathLike[str]) -> NDArray[Any]:
    """All pages of all TIFFs in a folder, file2 before file10.

    Parameters
    ----------
    folder : path
        Its subfolders do not count.

    Returns
    -------
    ndarray, (frames, y, x) or (frames, y, x, color)

    Raises
    ------
    NotFound
        There is none.
    AssertionError
        They differ in shape or type.
    FormatError, ReadError, DamagedData
        One of them cannot be read.
    """
    place = as_path(folder)
    files = files_in(place, TIFF) if place.is_dir() else []
    if not files:
        raise NotFound("Could not locate any imaging files", path=place, expected=", ".join(TIFF.suffixes))
    try:
        return _load(files)
    except FormatError:
        _check_alike(files)
        raise


def save_single(path: str | os.PathLike[str], images: NDArray[Any]) -> int:
    """One TIFF.

    Parameters
    ----------
    path : path
        Without a suffix it gets .tif.
    images : ndarray, (y, x), (frames, y, x) or (frames, y, x, color)
        Stored as they are, in color with the channels red, green and blue. bool becomes 0 and 255.

    Returns
    -------
    int
        0.

    Raises
    ------
    OptionError
        (a TypeError and ValueError) Another suffix, other axes, or pixels that TIFF does not have.
    WriteError
        It cannot be written.
    """
    file = _with_suffix(path)
    _write(file, np.asarray(images))
    _tell_of_older(file, {file})
    return 0


def save_many(path: str | os.PathLike[str], images: NDArray[Any], size_cap: float = 3.9) -> int:
    """TIFFs ``<name>_00000.tif``, ``<name>_00001.tif`` and so on.

    Parameters
    ----------
    path : path
        Without the number; without a suffix they get .tif.
    images : ndarray, (frames, y, x) or (frames, y, x, color)
    size_cap : float
        Greatest size of the pixels of one file, in 1e9 bytes.

    Returns
    -------
    int
        0.

    Raises
    ------
    ValueError
        Fewer than two frames fit in a file, or there would be more than 99999 files.
    OptionError, WriteError
        As `save_single`.
    """
    file, pixels = _with_suffix(path), np.asarray(images)
    if pixels.ndim < 3 or not pixels.size:
        raise OptionError("no frames to divide into files", found=f"shape {pixels.shape}")
    frame_bytes = (1 if pixels.dtype == np.bool_ else pixels.dtype.itemsize) * pixels[0].size
    per_file = int(size_cap / (frame_bytes * 1e-9))
    if per_file < 2:
        raise OptionError(
            "Block size must be > 1: fewer than two frames fit in a file",
            found=f"size_cap={size_cap!r}",
            expected=f"{2 * frame_bytes * 1e-9:g} or more",
        )
    starts = range(0, len(pixels), per_file)
    if len(starts) > _MOST_FILES:
        raise OptionError(f"{len(starts)} files, which five digits do not number", found=f"size_cap={size_cap!r}")
    written = set()
    for number, start in enumerate(starts):
        part = file.with_name(f"{file.stem}_{number:05d}{file.suffix}")
        _write(part, pixels[start : start + per_file])
        written.add(part)
    _tell_of_older(file, written)
    return 0


def colors_last(recording: Recording, least: int = 1) -> NDArray[Any]:
    """All pixels (frames, y, x, color) of a recording whose planes are frames; gray ones `least` times."""
    t, c, _, y, x = recording.shape
    pixels = np.empty((t, y, x, max(c, least)), recording.dtype)
    for index, block in recording.blocks(_CACHED_BYTES):
        for channel in range(index[1].start, index[1].stop):
            for color in (channel,) if c > 1 else range(pixels.shape[3]):
                pixels[index[0], ..., color] = block[:, channel - index[1].start, 0]
    return pixels


def _load(files: Sequence[Path]) -> NDArray[Any]:
    with _open(files) as recording:
        pixels = recording[:, 0, 0] if recording.shape[1] == 1 else colors_last(recording)
    return _visible(pixels)


def _open(files: Sequence[Path]) -> Recording:
    """Pages as T, and nothing but colors as C."""
    # what other programs say that pages are does not count; that they are colors does
    options: dict[str, Any] = {} if _is_colored(files[0]) else {"axes": "T"}
    source = [str(file) for file in files]
    return open_recording(source if len(source) > 1 else source[0], format="tiff", series=False, **options)


def _is_colored(file: Path) -> bool:
    """Whether colors are pages of their own, as `save_single` stores them."""
    with open_recording(str(file), format="tiff", series=False, axes="T") as pages:
        if "<OME" not in pages.metadata.texts.get("description", ""):
            return False
    with open_recording(str(file), format="tiff", series=False) as described:
        names = described.channel_names
        return described.shape[2] == 1 and len(names) in (3, 4) and names == COLORS[: len(names)]


def _check_alike(files: Sequence[Path]) -> None:
    facts = []
    for file in files:
        with _open([file]) as recording:
            facts.append((recording.shape[1:], recording.dtype))
    for file, (shape, dtype) in zip(files, facts, strict=True):
        if shape != facts[0][0]:
            raise AssertionError(
                f"Images don't maintain consistent shape: {files[0].name} has (c, z, y, x) {facts[0][0]}, "
                f"{file.name} {shape}"
            )
        if dtype != facts[0][1]:
            raise AssertionError(
                f"Images don't maintain consistent bit depth: {files[0].name} has {facts[0][1]}, {file.name} {dtype}"
            )


def _visible(pixels: NDArray[Any]) -> NDArray[Any]:
    """A mask of bits as one that can be looked at, which is how the original gives it."""
    return pixels.astype(np.uint8) * np.uint8(255) if pixels.dtype == np.bool_ else pixels


def _with_suffix(path: str | os.PathLike[str]) -> Path:
    file = as_path(path)
    if not file.suffix:
        return file.with_suffix(TIFF.suffixes[0])
    if not TIFF.has(file):
        raise OptionError("no suffix of a TIFF", path=file, expected=", ".join(TIFF.suffixes))
    return file


def _write(file: Path, pixels: NDArray[Any]) -> None:
    pixels = _visible(pixels)
    names: tuple[str, ...] = ()
    axes = {2: "YX", 3: "TYX", 4: "TYXC"}.get(pixels.ndim)
    if axes is None or (pixels.ndim == 4 and pixels.shape[3] not in (3, 4)):
        raise OptionError(
            "images have the axes (y, x), (frames, y, x) or (frames, y, x, color) with 3 or 4 colors",
            found=f"shape {pixels.shape}",
            hint="galvo.save writes channels and planes",
        )
    if pixels.ndim == 4:
        names = COLORS[: pixels.shape[3]]
    recording = Recording.from_array(pixels, axes, metadata=Metadata(format="array", channel_names=names))
    is_ome = bool(names) or file.stem.lower().endswith(".ome")
    save(recording, file, format="tiff", layout="ome" if is_ome else "plain", overwrite=True)


def _tell_of_older(file: Path, written: set[Path]) -> None:
    """Warn of files that `load_many` would take for a part of what was written."""
    numbered = (other for other in file.parent.glob(f"*{file.suffix}") if other.name.startswith(file.stem))
    older = [
        other.name
        for other in sorted({*numbered} - written)
        if other == file or (len(rest := other.stem[len(file.stem) :]) == 6 and rest[0] == "_" and rest[1:].isdecimal())
    ]
    if older:
        names = ", ".join(older[:8]) + (f" and {len(older) - 8} more" if len(older) > 8 else "")
        warn(f"{file.parent}: older files of this name stay, and load_images of the folder reads them too: {names}")
