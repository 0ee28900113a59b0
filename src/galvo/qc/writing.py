"""`galvo.report`: one HTML file that shows how a correction went."""

from __future__ import annotations

import os
from typing import Any

from galvo.core.atomic import guard_destination, output_name, write_file
from galvo.qc.page import page_of
from galvo.qc.subject import opened_subject

__all__ = ["report", "report_path"]


def report(
    corrected: Any,
    output: str | os.PathLike[str] | None = None,
    *,
    source: Any = None,
    motion: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    open_options: dict[str, Any] | None = None,
) -> str:
    """Write the report of a correction: a page without links to anything, of less than 5 MB, that opens in any browser.

    Parameters
    ----------
    corrected : path or Correction
        The corrected movie, the file of a motion, or what `galvo.correct` and `galvo.open_correction` return.
    output : path, optional
        By default ``<corrected>_report.html``.
    source : anything that `galvo.open` takes, optional
        The recording before it was corrected. By default that of the `Correction`, or the file that the motion names,
        where it lies beside it with the size that it had; without, it is made again from the corrected frames.
    motion : path, optional
        The file of the motion where it is not beside the movie by its usual name.
    overwrite : bool
        Replace an existing file.
    open_options : dict, optional
        Passed to `galvo.open` for the source.

    Returns
    -------
    str
        The path that was written.

    Raises
    ------
    NotFound
        There is no motion of such a movie.
    OptionError
        Movie, motion and source do not belong together.
    FormatError, ReadError, DamagedData
        A file does not hold what it promised.
    WriteError
        The output exists, or cannot be written.

    Examples
    --------
    >>> correction = galvo.correct("rec_00001_00001.tif", "corrected.h5")             # doctest: +SKIP
    >>> galvo.report(correction)                                                # doctest: +SKIP
    'corrected_report.html'
    """
    with opened_subject(corrected, source, motion, open_options or {}) as subject:
        final = report_path(subject.name) if output is None else output_name(output)
        guard_destination(final, subject.files, overwrite)
        write_file(final, page_of(subject).encode(), sources=subject.files, overwrite=overwrite)
    return final


def report_path(movie: str) -> str:
    """Where the report of a movie goes: ``movie.h5`` has ``movie_report.html`` beside it."""
    return f"{os.path.splitext(movie.rstrip(os.sep))[0]}_report.html"
