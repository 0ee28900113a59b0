"""Converting all recordings of a folder: one that fails does not stop the rest."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galvo.conversion import ConvertResult, convert
from galvo.core.atomic import output_name
from galvo.core.source import path_name
from galvo.errors import GalvoError, OptionError, UnknownFormat, WriteError
from galvo.formats import REGISTRY
from galvo.formats.opening import none_text, open_recording, recordings_in
from galvo.progress import ProgressOption, one_of_several, reporting

__all__ = ["BatchResult", "Failure", "convert_folder"]


@dataclass(frozen=True, slots=True)
class Failure:
    """A recording that was not converted.

    Attributes
    ----------
    source : str
        Its first file.
    error : GalvoError
    """

    source: str
    error: GalvoError


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """What became of the recordings of a folder.

    Attributes
    ----------
    converted : tuple of ConvertResult
    skipped : tuple of str
        Outputs that an earlier attempt had completed.
    failed : tuple of Failure
    """

    converted: tuple[ConvertResult, ...]
    skipped: tuple[str, ...]
    failed: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    source: str
    format: str
    destination: str
    nbytes: int


def convert_folder(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    format: str,
    resume: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> BatchResult:
    """Write every recording of a folder in another format.

    Parameters
    ----------
    source : path
        The files of one series, and of the channels of one recording, are one recording.
    destination : path
        Folder of the outputs, made where it does not exist. An output has the name of its recording's first file with
        the suffix of `format`; where two would be called the same, the suffix of the source is put into the name.
    format : str
    resume : bool
        Leave outputs that exist, and go on with those that an earlier attempt began.
    progress : bool or callable
        One for all: called with (bytes done, bytes in all).
    open_options : dict, optional
        Passed to `galvo.open`.
    **options
        Those of `convert`.

    Returns
    -------
    BatchResult

    Raises
    ------
    NotFound, OptionError
        There is no such folder or format; nothing was written.
    UnknownFormat
        The folder holds no recording.
    WriteError
        The folder of the outputs cannot be made.
    """
    folder, out = path_name(source), output_name(destination)
    suffix = _suffix(format)
    opening = dict(open_options or {})
    found, unknown = recordings_in(folder, opening.get("format"))
    if not found:
        raise UnknownFormat("the folder holds no recording", path=folder, found=none_text(unknown))
    failed = [Failure(path, _error(path)) for path in unknown]
    jobs: list[_Job] = []
    skipped: list[str] = []
    names = _output_names([files[0] for _, files in found], suffix)
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise WriteError("the folder of the outputs cannot be made", path=out, found=error.strerror) from error
    covered: set[str] = set()
    for (entry, files), name in zip(found, names, strict=True):
        if os.path.abspath(files[0]) in covered:
            # a file of a recording that is on the list already, such as those of one OME-TIFF
            continue
        final = os.path.join(out, name)
        if resume and os.path.lexists(final):
            skipped.append(final)
            continue
        try:
            with open_recording(files[0], **{**opening, "format": entry.name}) as recording:
                jobs.append(_Job(files[0], entry.name, final, recording.nbytes))
                covered |= {os.path.abspath(path) for path in recording.files}
        except GalvoError as error:
            failed.append(Failure(files[0], error))
    converted: list[ConvertResult] = []
    total, before = sum(job.nbytes for job in jobs), 0
    with reporting(progress, f"{len(jobs)} recordings") as report:
        for job in jobs:
            try:
                one = {**opening, "format": job.format}
                converted.append(
                    convert(
                        job.source,
                        job.destination,
                        format=format,
                        resume=resume,
                        progress=one_of_several(report, before, job.nbytes, total),
                        open_options=one,
                        **options,
                    )
                )
            except GalvoError as error:
                failed.append(Failure(job.source, error))
            before += job.nbytes
            report(before, total)
    return BatchResult(converted=tuple(converted), skipped=tuple(skipped), failed=tuple(failed))


def _suffix(format: str) -> str:
    """What names of outputs end with; nothing for formats whose outputs are folders."""
    entry = REGISTRY.get(format)
    if entry.sink is None:
        raise OptionError(f"galvo does not write {entry.name}")
    return "" if entry.writes_folders else entry.suffixes[0]


def _output_names(sources: list[str], suffix: str) -> list[str]:
    stems = [Path(source).stem for source in sources]
    same = Counter(stems)
    made = [
        stem if same[stem] == 1 else f"{stem}_{Path(source).suffix.lstrip('.').lower()}"
        for stem, source in zip(stems, sources, strict=True)
    ]
    return [f"{stem}{suffix}" for stem in made]


def _error(path: str) -> GalvoError:
    try:
        REGISTRY.detect(path)
    except GalvoError as error:
        return error
    return UnknownFormat("not a recording that galvo knows", path=path)
