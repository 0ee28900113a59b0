"""Which file a path means, for loading and for saving.

Source: CalSciPy io_tools specification, section 0 and the facade decisions.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from galvo.errors import NotFound
from galvo.formats.opening import natural_key

__all__ = ["BINARY", "GIF", "TIFF", "VIDEO", "Kind", "as_path", "file_to_load", "file_to_save", "files_in"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What files of one kind are called.

    Attributes
    ----------
    suffixes : tuple of str
        In lower case; new files get the first one.
    name : str
        Of the file in a folder, where none is given.
    """

    suffixes: tuple[str, ...]
    name: str

    def has(self, path: Path) -> bool:
        """Whether `path` has one of the suffixes, in small or capital letters."""
        return path.suffix.lower() in self.suffixes


TIFF = Kind((".tif", ".tiff", ".btf"), "images")
BINARY = Kind((".bin",), "binary_video")
VIDEO = Kind((".mp4",), "video")
GIF = Kind((".gif",), "images")


def as_path(path: str | os.PathLike[str]) -> Path:
    """The path.

    Raises
    ------
    TypeError
        It is none.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path must be a str or a Path, not {type(path).__name__}")
    return Path(path)


def file_to_save(path: str | os.PathLike[str], name: str | None, kind: Kind) -> Path:
    """The file to write: `path` itself if it has a suffix of `kind`, else ``<path>/<name><suffix>``.

    The folder is created. What follows a dot in `name` gives way to the suffix.

    Raises
    ------
    NotFound
        A file was named, and its folder does not exist.
    """
    place = as_path(path)
    if kind.has(place) and not place.is_dir():
        file = place
    else:
        place.mkdir(parents=True, exist_ok=True)
        file = (place / (name or kind.name)).with_suffix(kind.suffixes[0])
    if not file.parent.is_dir():
        raise NotFound("no such folder", path=file.parent)
    return file


def file_to_load(path: str | os.PathLike[str], kind: Kind) -> Path:
    """The file to read: the one that is named, with its suffix or without, or the one in a folder.

    In a folder it is the one of the default name, else the only one of the kind.

    Raises
    ------
    NotFound
        There is none, or none of several in a folder has the default name.
    """
    place = as_path(path)
    if place.is_file():
        return place
    found = files_in(place, kind) if place.is_dir() else []
    usual = [file for file in found if file.stem == kind.name]
    if len(usual) == 1 or len(found) == 1:
        return (usual or found)[0]
    if found:
        raise NotFound(
            f"the folder holds several {kind.suffixes[0]} files, and no {kind.name}{kind.suffixes[0]}",
            path=place,
            found=", ".join(file.name for file in found),
            hint="Name one of them",
        )
    if place.name and (sibling := place.with_suffix(kind.suffixes[0])).is_file():
        return sibling
    what = f"no {kind.suffixes[0]} file in this folder" if place.is_dir() else "no such file or folder"
    raise NotFound(what, path=place)


def files_in(folder: Path, kind: Kind) -> list[Path]:
    """The files of a kind in a folder, hidden ones aside, file2 before file10."""
    found = [file for file in folder.iterdir() if kind.has(file) and not file.name.startswith(".") and file.is_file()]
    return sorted(found, key=lambda file: natural_key(file.name))
