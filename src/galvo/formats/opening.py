"""`galvo.open`: from whatever names a recording to the Recording."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from galvo.core.join import join
from galvo.core.recording import Origin, Recording
from galvo.core.registry import Format
from galvo.core.source import file_size
from galvo.errors import FormatError, NotFound, OptionError, UnknownFormat, warn
from galvo.formats import REGISTRY
from galvo.formats.split import channel_files

__all__ = ["natural_key", "open_recording"]

_GENERAL = ("limits", "damaged")


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sorting key under which file2 comes before file10."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), part) if part.isdecimal() else (0, 0, part.lower()) for part in parts if part]


def open_recording(
    source: Any,
    *,
    format: str | None = None,
    series: bool = True,
    axis: Literal["t", "c"] = "t",
    **options: Any,
) -> Recording:
    """Open any recording as one lazy T C Z Y X array.

    Parameters
    ----------
    source : path, list of paths, folder, glob pattern, ndarray or Recording
        One file of a series opens the whole series. The files of a list or a pattern follow each other in T, in the
        given or in natural order. A folder must hold one recording.
    format : str, optional
        Name of the format, instead of detecting it from the file's name and at most 64 KiB of its bytes.
    series : bool
        False: only the named file.
    axis : "t" or "c"
        Along which the files of a list follow each other; "c": one file per channel.
    limits : galvo.Limits, optional
        Bounds against absurd sizes.
    damaged : "raise" or "report"
        "report": open what is there and list what is not in `Recording.damage`.
    **options
        Those of the format (`galvo formats` lists them); for arrays `axes` and `metadata`.

    Returns
    -------
    Recording

    Raises
    ------
    NotFound
        Nothing there.
    UnknownFormat
        No format claims the source, several do, or a folder holds several recordings.
    OptionError
        An option that the format does not take.
    FormatError, UnsafeContent, LimitExceeded
        The file does not keep what its format promises.

    Examples
    --------
    >>> import galvo, numpy
    >>> rec = galvo.open(numpy.zeros((10, 64, 48), "int16"))
    >>> rec.shape
    (10, 1, 1, 64, 48)
    """
    if isinstance(source, Recording):
        if options:
            raise OptionError("an open recording takes no options", found=", ".join(options))
        return source
    if isinstance(source, np.ndarray):
        _check_options(("axes", "metadata"), options, "an array")
        return Recording.from_array(source, **options)
    if axis not in ("t", "c"):
        raise OptionError("axis must be 't' or 'c'", found=repr(axis))
    if options.get("damaged", "raise") not in ("raise", "report"):
        raise OptionError('damaged must be "raise" or "report"', found=repr(options["damaged"]))
    recording = _open_paths(source, format, series, axis, options)
    if recording._origin is None:
        names = _absolute(source)
        kept = {"format": format, "series": series, "axis": axis, **options}
        recording._origin = Origin(open_recording, names, kept)
    return recording


def _absolute(source: Any) -> Any:
    if isinstance(source, str | os.PathLike):
        return os.path.abspath(_path(source))
    return [os.path.abspath(_path(path)) for path in source]


def _open_paths(
    source: Any, format: str | None, series: bool, axis: Literal["t", "c"], options: dict[str, Any]
) -> Recording:
    if isinstance(source, str | os.PathLike):
        path = _path(source)
        if os.path.isdir(path):
            return _open_folder(path, format, options)
        if not os.path.exists(path) and glob.has_magic(path):
            matches = sorted(glob.glob(path, recursive=True), key=natural_key)
            if not matches:
                raise NotFound("no file matches the pattern", path=path)
            return _open_list(matches, format, axis, options)
        entry = _format_of(path, format)
        if series and entry.series is not None:
            return _open_one(entry, entry.series(path), options)
        if not series and "series" in entry.options:
            options = {**options, "series": False}
        return _open_channels(entry, channel_files(path) if series else [path], path, options)
    if isinstance(source, Sequence):
        paths = [_path(item) for item in source]
        if not paths:
            raise OptionError("an empty list names no recording")
        return _open_list(paths, format, axis, options)
    raise OptionError(
        "a recording is a path, a list of paths, a folder, a pattern, an array or a Recording",
        found=type(source).__name__,
    )


def _open_channels(entry: Format, paths: list[str], path: str, options: dict[str, Any]) -> Recording:
    """One recording from the files of its channels, or from the one that was named where they do not fit."""
    whole = _open_one(entry, [path], options)
    if len(paths) == 1 or len(whole.files) > 1:
        return whole
    parts: list[Recording] = []
    try:
        for other in paths:
            is_named = os.path.basename(other) == os.path.basename(path)
            parts.append(whole if is_named else _open_one(_format_of(other, None), [other], options))
        return join(parts, "c")
    except BaseException as error:
        for part in parts:
            if part is not whole:
                part.close()
        if not isinstance(error, FormatError | OptionError):
            whole.close()
            raise
        warn(f"{path}: opened without {len(paths) - 1} files of the same name, which are no channels of it: {error}")
        return whole


def _path(item: Any) -> str:
    try:
        name = os.fspath(item)
    except TypeError:
        raise OptionError("not a path", found=type(item).__name__) from None
    text = os.fsdecode(name)
    if "\0" in text:
        raise OptionError("a path cannot hold a NUL character", found=repr(text))
    return os.path.expanduser(text)


def _format_of(path: str, format: str | None) -> Format:
    return REGISTRY.get(format) if format is not None else REGISTRY.detect(path)


def _format_like(path: str, format: str | None, known: dict[tuple[str, int], Format]) -> Format:
    """The format of one file of many: those of one suffix and size are taken to be of one format."""
    key = (Path(path).suffix.lower(), file_size(path))
    if key not in known:
        known[key] = _format_of(path, format)
    return known[key]


def _open_one(entry: Format, paths: list[str], options: dict[str, Any]) -> Recording:
    _check_options(entry.options + _GENERAL, options, entry.name)
    return entry.open(paths, **options)


def _check_options(known: Sequence[str], options: dict[str, Any], what: str) -> None:
    unknown = [name for name in options if name not in known]
    if unknown:
        raise OptionError(f"{what} takes no option {unknown[0]!r}", expected=f"of {', '.join(sorted(known))}")


def _open_list(paths: list[str], format: str | None, axis: Literal["t", "c"], options: dict[str, Any]) -> Recording:
    known: dict[tuple[str, int], Format] = {}
    formats = [_format_like(path, format, known) for path in paths]
    takes_several = formats[0].series is not None or formats[0].group is not None
    if axis == "t" and len({entry.name for entry in formats}) == 1 and takes_several:
        return _open_one(formats[0], paths, options)
    parts: list[Recording] = []
    try:
        parts += (_open_one(entry, [path], options) for entry, path in zip(formats, paths, strict=True))
        return join(parts, axis)
    except BaseException:
        for part in parts:
            part.close()
        raise


def _open_folder(folder: str, format: str | None, options: dict[str, Any]) -> Recording:
    suffixes = {suffix for entry in REGISTRY.all().values() for suffix in entry.suffixes}
    try:
        with os.scandir(folder) as listing:
            names = {entry.name: entry.is_file() for entry in listing}
    except OSError as error:
        raise NotFound(error.strerror or "cannot be listed", path=folder) from error
    waiting = [name for name, is_file in names.items() if is_file and Path(name).suffix.lower() in suffixes]
    known: dict[tuple[str, int], Format] = {}
    by_format: dict[str, list[str]] = {}
    for name in sorted(waiting, key=natural_key):
        path = os.path.join(folder, name)
        try:
            by_format.setdefault(_format_like(path, format, known).name, []).append(path)
        except UnknownFormat:
            continue
    found = [
        (REGISTRY.get(name), members) for name, paths in by_format.items() for members in _grouped(name, paths)
    ]
    if len(found) == 1:
        entry, members = found[0]
        if entry.series is None and len(channel_files(members[0])) == len(members):
            return _open_channels(entry, members, members[0], options)
        return _open_one(entry, members, options)
    if not found:
        raise UnknownFormat("the folder holds no recording", path=folder, found=f"{len(names)} entries")
    found.sort(key=lambda one: natural_key(one[1][0]))
    listed = "; ".join(f"{Path(members[0]).name} ({entry.name}, {len(members)} files)" for entry, members in found[:8])
    more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
    raise UnknownFormat(
        f"the folder holds {len(found)} recordings",
        path=folder,
        found=listed + more,
        hint="Name one of them, or give a list or a pattern to join them",
    )


def _grouped(name: str, paths: list[str]) -> list[list[str]]:
    """The files of each recording, of all files of one format in a folder."""
    entry = REGISTRY.get(name)
    groups: list[list[str]] = []
    alone: list[str] = []
    taken: set[str] = set()
    for path in paths:
        if os.path.abspath(path) in taken:
            continue
        members = entry.series(path) if entry.series is not None else channel_files(path)
        taken |= {os.path.abspath(member) for member in (*members, path)}
        if len(members) == 1 and entry.group is not None:
            alone.append(path)
        else:
            groups.append(members)
    if entry.group is not None and alone:
        groups += entry.group(alone)
    return groups
