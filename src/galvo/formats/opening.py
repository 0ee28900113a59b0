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

__all__ = ["natural_key", "open_recording", "recordings_in"]

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
    axis : {"t", "c"}
        Along which the files of a list follow each other; "c": one file per channel.
    limits : galvo.Limits, optional
        Bounds against absurd sizes.
    damaged : {"raise", "report"}
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
    """One recording from the files of its channels, or only `path`, one of them, where they do not fit."""
    if len(paths) == 1:
        return _open_one(entry, paths, options)
    parts: list[Recording] = []
    try:
        for other in paths:
            parts.append(_open_one(_format_of(other, None), [other], options))
            if len(parts[-1].files) > 1:
                # a set of files that says itself what belongs to it
                break
        else:
            try:
                return join(parts, "c")
            except FormatError as error:
                warn(f"{path}: opened without {len(paths) - 1} files of its name, which are no channels of it: {error}")
        alone = parts.pop(-1 if len(parts) < len(paths) or len(parts[-1].files) > 1 else paths.index(path))
    except BaseException:
        for part in parts:
            part.close()
        raise
    for part in parts:
        part.close()
    return alone


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


def recordings_in(
    folder: str, format: str | None = None, *, group: bool = False
) -> tuple[list[tuple[Format, list[str]]], list[str]]:
    """What recordings a folder holds.

    Parameters
    ----------
    folder : path
    format : str, optional
        Of all of them, instead of detecting it.
    group : bool
        Images whose names differ in their last number only, and files that name each other, are one recording.

    Returns
    -------
    recordings : list of (Format, list of str)
        The files of each, in natural order of the first.
    unknown : list of str
        Files with the suffix of a format that no format claims.

    Raises
    ------
    NotFound
        The folder cannot be listed.
    """
    suffixes = tuple({suffix for entry in REGISTRY.all().values() for suffix in entry.suffixes})
    try:
        with os.scandir(folder) as listing:
            waiting = {one.name for one in listing if one.name.lower().endswith(suffixes) and one.is_file()}
    except OSError as error:
        raise NotFound(error.strerror or "cannot be listed", path=folder) from error
    home = os.path.abspath(folder)
    known: dict[tuple[str, int], Format] = {}
    found: list[tuple[Format, list[str]]] = []
    alone: dict[str, list[str]] = {}
    unknown: list[str] = []
    # no system call per name, and no natural sorting of them all: a folder may be one recording of 20,000 files
    for name in sorted(waiting):
        if name not in waiting:
            continue
        path = os.path.join(folder, name)
        try:
            entry = _format_like(path, format, known)
        except UnknownFormat:
            unknown.append(path)
            continue
        members = entry.series(path) if entry.series is not None else channel_files(path)
        if group and len(members) == 1 and entry.group is not None:
            alone.setdefault(entry.name, []).append(path)
            continue
        found.append((entry, members))
        # members of one folder have one prefix
        prefix = members[0][: len(members[0]) - len(os.path.basename(members[0]))]
        if os.path.abspath(prefix) == home:
            waiting.difference_update([member[len(prefix) :] for member in members if member.startswith(prefix)])
    for format_name, paths in alone.items():
        entry = REGISTRY.get(format_name)
        paths.sort(key=lambda path: natural_key(os.path.basename(path)))
        found += ((entry, members) for members in entry.group(paths)) if entry.group is not None else ()
    found.sort(key=lambda one: natural_key(os.path.basename(one[1][0])))
    return found, unknown


def _open_folder(folder: str, format: str | None, options: dict[str, Any]) -> Recording:
    found, unknown = recordings_in(folder, format, group=True)
    if len(found) == 1:
        entry, members = found[0]
        if entry.series is None and len(channel_files(members[0])) == len(members):
            return _open_channels(entry, members, members[0], options)
        return _open_one(entry, members, options)
    if not found:
        what = f"{len(unknown)} files that are none" if unknown else "no file with the suffix of a format"
        raise UnknownFormat("the folder holds no recording", path=folder, found=what)
    listed = "; ".join(f"{Path(members[0]).name} ({entry.name}, {len(members)} files)" for entry, members in found[:8])
    more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
    raise UnknownFormat(
        f"the folder holds {len(found)} recordings",
        path=folder,
        found=listed + more,
        hint="Name one of them, or give a list or a pattern to join them",
    )
