"""The files of an OME-TIFF: one, or several that name each other, with or without a companion file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galvo.core.index import Int64
from galvo.core.source import FileSource, file_size, read_file
from galvo.errors import NotFound, OptionError, ReadError
from galvo.formats.tiff.ifd import read_header, read_ifd
from galvo.formats.tiff.ome import OmeDocument, OmeImage, looks_like_ome, parse_ome
from galvo.limits import Limits

__all__ = ["OmeFiles", "find_ome", "first_description"]



@dataclass(frozen=True, slots=True)
class OmeFiles:
    """An OME document and the files that its pages are in.

    Attributes
    ----------
    document : OmeDocument
    image : OmeImage
        The one to open.
    number : int
        Of that image.
    paths : tuple of str
        Files that are there.
    file_of : ndarray of int64
        For each TiffData of the image its file; -1 where that is not there.
    missing : tuple of str
        Names of files that are not there.
    """

    document: OmeDocument
    image: OmeImage
    number: int
    paths: tuple[str, ...]
    file_of: Int64
    missing: tuple[str, ...]


def first_description(path: str, limits: Limits) -> str:
    """The ImageDescription of the first page of a TIFF file."""
    source = FileSource([path])
    try:
        header = read_header(source)
        return read_ifd(source, 0, header, header.first_ifd, limits).description
    finally:
        source.close()


def _beside(path: str, name: str) -> str:
    """A file of that name in the folder of `path`: nothing outside it is ever looked at."""
    return os.path.join(os.path.dirname(path), re.split(r"[/\\]", name)[-1] or "?")


def _is_there(path: str) -> bool:
    try:
        file_size(path)
    except (NotFound, ReadError):
        return False
    return True


def find_ome(path: str, text: str | None, limits: Limits, image: int | str | None = None) -> OmeFiles | None:
    """The files of the OME document that a file holds or belongs to.

    Parameters
    ----------
    path : str
        A TIFF file, or a companion file, which is OME-XML.
    text : str or None
        Description of the TIFF file; None for a companion file.
    limits : Limits
    image : int or str, optional
        Number or name of the image.

    Returns
    -------
    OmeFiles or None
        None where there is no OME-XML, it has no pixels, or it is in a file that is not there.

    Raises
    ------
    Malformed, UnsafeContent
        Impossible or dangerous XML.
    OptionError
        No such image.
    """
    if text is None:
        text = read_file(path, limits.text_bytes).decode("utf-8-sig", "replace")
    elif not looks_like_ome(text):
        return None
    document, holder = parse_ome(text, path, limits), path
    if document.metadata_file is not None:
        holder = _beside(path, document.metadata_file)
        if not _is_there(holder):
            return None
        is_tiff = holder.lower().endswith((".tif", ".tiff", ".tf2", ".tf8", ".btf"))
        if is_tiff:
            whole = first_description(holder, limits)
        else:
            whole = read_file(holder, limits.text_bytes).decode("utf-8-sig")
        document = parse_ome(whole, holder, limits)
    if not document.images:
        return None
    number = _number_of(document.images, image, path)
    chosen = document.images[number]
    if not len(chosen.tiff_data):
        if path != holder or chosen.plane_count < 1:
            return None
        # all planes in the order of the pages
        return OmeFiles(document, chosen, number, (path,), np.zeros(0, np.int64), ())
    return _resolved(document, chosen, number, path, holder)


def _resolved(document: OmeDocument, image: OmeImage, number: int, path: str, holder: str) -> OmeFiles | None:
    """Where the files of each TiffData are."""
    files = image.tiff_data.files
    names = set(os.listdir(os.path.dirname(holder) or os.curdir))
    # a file alone may have been renamed after it was written
    alone = len({name for name, _ in files}) == 1 and holder == path and not (document.uuid and files[0][1])
    alone = alone and files[0][0] is not None and os.path.basename(_beside(holder, files[0][0])) not in names
    present: dict[str, int] = {}
    missing: dict[str, None] = {}
    numbers: list[int] = []
    for name, uuid in files:
        own = name is None or (uuid != "" and uuid == document.uuid) or alone
        place = holder if own else _beside(holder, name or "")
        there = place in (path, holder) or (os.path.basename(place) in names and _is_there(place))
        if place.lower().endswith(".ome") or not there:
            missing[os.path.basename(place)] = None
            numbers.append(-1)
        else:
            numbers.append(present.setdefault(place, len(present)))
    if not present or (path not in present and path != holder):
        return None
    file_of = np.array(numbers, np.int64)[np.array(image.tiff_data.file, np.int64)]
    return OmeFiles(document, image, number, tuple(present), file_of, tuple(missing))


def _number_of(images: Sequence[OmeImage], wanted: int | str | None, path: str) -> int:
    if wanted is None:
        return 0
    names = [image.name for image in images]
    if isinstance(wanted, str):
        if names.count(wanted) == 1:
            return names.index(wanted)
    elif type(wanted) is int and -len(images) <= wanted < len(images):
        return wanted % len(images)
    listed = ", ".join(f"{number} {name!r}" if name else str(number) for number, name in enumerate(names[:20]))
    raise OptionError("no such image", path=path, found=repr(wanted), expected=f"one of {listed}")
