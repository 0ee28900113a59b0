"""Getting the whole frames out of an output whose writing was interrupted."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galvo.conversion import ConvertResult, convert
from galvo.core import disk
from galvo.core.atomic import journal_path, partial_path
from galvo.core.checksum import block_checksum
from galvo.core.journal import Journal
from galvo.core.output import Output, Target
from galvo.core.recording import Recording
from galvo.errors import DamagedData, NotFound
from galvo.formats.opening import open_recording
from galvo.progress import ProgressOption

__all__ = ["RecoverResult", "recover"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverResult:
    """What was saved of an interrupted output.

    Attributes
    ----------
    path : str
        The recording that was written.
    partial : str
        Where its frames come from; it is kept.
    recovered, announced : int
        T positions that are whole, and those that the output was to have.
    conversion : ConvertResult
    """

    path: str
    partial: str
    recovered: int
    announced: int
    conversion: ConvertResult


def recover(
    path: str | os.PathLike[str],
    destination: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    progress: ProgressOption = False,
) -> RecoverResult:
    """Write the whole frames of an interrupted output as a recording of their own.

    Nothing but the partial file and its journal is needed; where the source still exists, resuming the conversion
    (``resume=True``) is better, for it gives all frames.

    Parameters
    ----------
    path : path
        The output that was interrupted, or its ``.partial`` file.
    destination : path, optional
        By default ``<stem>.recovered<suffix>`` beside it.
    overwrite : bool
        Replace an existing destination.
    progress : bool or callable

    Returns
    -------
    RecoverResult

    Raises
    ------
    NotFound
        There is no partial file with a whole journal.
    DamagedData
        Not one T is whole, or the file is not what its journal says.
    WriteError
        The output is still being written, or the destination cannot be.
    """
    final = os.fspath(path).rstrip(os.sep)
    final = final.removesuffix(partial_path("")).removesuffix(journal_path(""))
    beside = Path(final).with_suffix(f".recovered{Path(final).suffix}")
    wanted = os.fspath(beside if destination is None else destination)
    journal = _journal(final)
    whole, announced = _whole_frames(journal)
    # back to the last commit, as resuming would do
    target = Target.from_json(final, journal.header)
    Output.resume(target, journal.header).close()
    if whole == 0:
        raise DamagedData("not one whole frame of all channels and planes was written", path=target.partials[0])
    format = str(journal.header["provenance"]["written_format"])
    # frames that were not written are missing, of course; those that were are checked below
    with _under_final_names(target) as source, open_recording(source, format=format, damaged="report") as recording:
        if recording.shape[0] < whole:
            raise DamagedData(
                "the partial output holds fewer frames than its journal says",
                path=target.partials[0],
                found=recording.shape[0],
                expected=whole,
            )
        shown = recording.isel(t=slice(0, whole))
        _check_blocks(shown, journal, target)
        done = convert(shown, wanted, format=format, overwrite=overwrite, progress=progress, verify=True)
    return RecoverResult(path=wanted, partial=target.partials[0], recovered=whole, announced=announced, conversion=done)


@contextmanager
def _under_final_names(target: Target) -> Iterator[str]:
    """What to open: several files find each other by their names, which partial ones do not have yet."""
    if len(target.partials) == 1:
        yield target.partials[0]
        return
    folder = tempfile.mkdtemp(prefix=".galvo-", dir=os.path.dirname(os.path.abspath(target.final)))
    try:
        for place, partial in zip(target.places, target.partials, strict=True):
            name = os.path.join(folder, os.path.basename(place))
            try:
                os.link(partial, name)
            except OSError:
                # no second names on this file system
                os.symlink(os.path.abspath(partial), name)
        yield os.path.join(folder, os.path.basename(target.places[0]))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _journal(final: str) -> Journal:
    try:
        descriptor = disk.reopen(journal_path(final))
    except OSError:
        found = None
    else:
        try:
            found = Journal.read(descriptor)
        finally:
            disk.close(descriptor)
    partials = () if found is None else Target.from_json(final, found.header).partials
    if found is None or not found.commits or not all(map(os.path.exists, partials)):
        raise NotFound(
            "nothing to recover: no partial output with a whole journal",
            path=partial_path(final),
            hint=f"Recovering needs {partial_path(final)} and {journal_path(final)}",
        )
    return found


def _check_blocks(recording: Recording, journal: Journal, target: Target) -> None:
    """Compare the whole frames with the checksums in the journal."""
    for commit in journal.commits:
        if not 0 <= commit.block < len(journal.header["blocks"]):
            continue
        index = tuple(slice(*bounds) for bounds in journal.header["blocks"][commit.block])
        inside = all(part.stop <= length for part, length in zip(index, recording.shape, strict=True))
        if inside and block_checksum(recording[index]) != commit.checksum:
            raise DamagedData(
                f"frames {index[0].start} to {index[0].stop - 1} are not what was written",
                path=target.partials[0],
                hint="Convert again from the source",
            )


def _whole_frames(journal: Journal) -> tuple[int, int]:
    """T positions that are whole, and how many there were to be."""
    blocks, last = journal.header["blocks"], journal.commits[-1].block
    announced, channels, planes = journal.header["shape"][:3]
    # the writing may go through T once for each channel, or each plane
    reached = np.zeros((channels, planes), np.int64)
    for t, c, z in (index[:3] for index in blocks[: last + 1]):
        reached[slice(*c), slice(*z)] = t[1]
    return int(reached.min()), int(announced)
