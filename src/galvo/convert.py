"""The verbs on whole recordings: convert, save, load, verify."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.atomic import guard_destination
from galvo.core.checksum import block_checksum
from galvo.core.metadata import LeftOut
from galvo.core.recording import DEFAULT_BLOCK_BYTES, Recording, block_selections
from galvo.core.sink import WritePlan
from galvo.core.write import Progress, write_recording
from galvo.errors import DamagedData, OptionError
from galvo.formats import REGISTRY
from galvo.formats.opening import open_recording

__all__ = ["ConvertResult", "VerifyResult", "convert", "load", "save", "verify"]

ProgressOption = bool | Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertResult:
    """What was written, or would be.

    Attributes
    ----------
    path : str
    format : str
    files : tuple of str
        Sources.
    shape : (T, C, Z, Y, X)
    dtype : str
    pixel_bytes : int
        Uncompressed.
    estimated_bytes : int
        Greatest size of the output.
    file_bytes : int or None
        Its real size; None for a dry run.
    seconds : float
    left_out : tuple of LeftOut
    notes : tuple of str
        What users should know of this output.
    verification : VerifyResult or None
    dry_run : bool
    """

    path: str
    format: str
    files: tuple[str, ...]
    shape: tuple[int, int, int, int, int]
    dtype: str
    pixel_bytes: int
    estimated_bytes: int
    file_bytes: int | None = None
    seconds: float = 0.0
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    verification: VerifyResult | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """What a verification found.

    Attributes
    ----------
    path : str
    against : str or None
    method : str
        "checksums" (stored ones, recomputed), "compared" (with the other recording) or "read" (no checksums are stored:
        everything was read and decoded, which cannot find changed pixels).
    frame_count : int
        Frames that were read.
    differences : tuple of str
        Empty when all is well.
    left_out : tuple of LeftOut
        Pages that the files hold and the recording does not show; they are not verified.
    """

    path: str
    against: str | None
    method: str
    frame_count: int
    differences: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()

    @property
    def ok(self) -> bool:
        """Nothing differs."""
        return not self.differences


def convert(
    source: Any,
    destination: str | os.PathLike[str],
    *,
    format: str | None = None,
    channels: Any = None,
    frames: slice | Sequence[int] | None = None,
    overwrite: bool = False,
    verify: bool = False,
    dry_run: bool = False,
    progress: ProgressOption = False,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    open_options: dict[str, Any] | None = None,
    **write_options: Any,
) -> ConvertResult:
    """Write a recording in another format.

    The output appears under its name only when it is complete and on the disk.

    Parameters
    ----------
    source : anything that `galvo.open` takes
    destination : path
    format : str, optional
        Name of the format to write, instead of the one that the suffix names.
    channels : int, name, or list of them, optional
        Channels to write; all by default.
    frames : slice or list of int, optional
        T positions to write.
    overwrite : bool
        Replace an existing output.
    verify : bool
        Read the output back and compare its pixels and metadata with the source.
    dry_run : bool
        Only plan: sizes, notes, errors that can be foreseen.
    progress : bool or callable
        True: a bar in the terminal; a callable gets (bytes done, bytes in all).
    block_bytes : int
        Pixels moved together.
    open_options : dict, optional
        Passed to `galvo.open`.
    **write_options
        Those of the format, such as ``compression="gzip"`` for HDF5.

    Returns
    -------
    ConvertResult

    Raises
    ------
    OptionError
        An option does not exist or does not fit.
    WriteError
        The output exists, is an input, or cannot be written; nothing was published.
    DamagedData
        `verify` found a difference.
    """
    recording = open_recording(source, **(open_options or {}))
    try:
        shown = recording.isel(t=frames, c=channels)
        return _write(
            shown, destination, format, overwrite, verify, dry_run, progress, block_bytes, write_options
        )
    finally:
        if recording is not source:
            recording.close()


def save(recording: Recording | NDArray[Any], path: str | os.PathLike[str], **options: Any) -> ConvertResult:
    """Write a recording or an array to a file; the options are those of `convert`."""
    return convert(recording, path, **options)


def load(source: Any, *, squeeze: bool = True, **options: Any) -> NDArray[Any]:
    """All pixels of a recording as an array.

    Parameters
    ----------
    source : anything that `galvo.open` takes
    squeeze : bool
        Leave out the axes of length 1.
    **options
        Passed to `galvo.open`.

    Returns
    -------
    ndarray, TCZYX or what `squeeze` leaves of it
    """
    recording = open_recording(source, **options)
    try:
        pixels = recording[...]
    finally:
        if recording is not source:
            recording.close()
    return pixels.squeeze() if squeeze else pixels


def _write(
    recording: Recording,
    destination: str | os.PathLike[str],
    format: str | None,
    overwrite: bool,
    check: bool,
    dry_run: bool,
    progress: ProgressOption,
    block_bytes: int,
    options: dict[str, Any],
) -> ConvertResult:
    final = os.path.expanduser(os.fspath(destination))
    entry = REGISTRY.for_writing(final, format)
    unknown = [name for name in options if name not in entry.write_options]
    if unknown or entry.sink is None:
        raise OptionError(
            f"{entry.name} takes no write option {unknown[0]!r}", expected=f"of {', '.join(entry.write_options)}"
        )
    sink = entry.sink(**options)
    files = tuple(str(path) for path in recording.files)
    guard_destination(final, files, overwrite)
    if recording.size == 0:
        raise OptionError("nothing to write: the selection is empty", found=f"shape {recording.shape}")
    blocks = tuple(block_selections(recording.shape, recording.dtype.itemsize, block_bytes))
    plan = WritePlan(recording=recording, blocks=blocks, provenance=_provenance(recording, files, options))
    estimated = sink.estimate(plan)
    facts: dict[str, Any] = {
        "path": final,
        "format": entry.name,
        "files": files,
        "shape": recording.shape,
        "dtype": str(recording.dtype),
        "pixel_bytes": recording.nbytes,
        "estimated_bytes": estimated,
        "left_out": recording.left_out,
    }
    if dry_run:
        return ConvertResult(**facts, dry_run=True)
    started = time.perf_counter()
    with _reporting(progress, "writing") as report:
        write_recording(plan, sink, final, report)
    seconds = time.perf_counter() - started
    verification = None
    if check:
        verification = _compare(final, recording, progress)
        if not verification.ok:
            raise DamagedData(
                f"the output differs from its source: {'; '.join(verification.differences)}",
                path=final,
                hint="The output is kept; the source is untouched",
            )
    return ConvertResult(**facts, file_bytes=os.path.getsize(final), seconds=seconds, verification=verification)


def _provenance(recording: Recording, files: Sequence[str], options: dict[str, Any]) -> dict[str, Any]:
    from galvo import __version__

    return {
        "galvo_version": __version__,
        "written_options": {name: value for name, value in options.items() if value is not None},
        "source_format": recording.metadata.format,
        "source_files": [os.path.basename(name) for name in files],
        "source_bytes": [os.path.getsize(name) for name in files],
        "left_out": [
            {"what": entry.what, "page_count": entry.page_count, "reason": entry.reason} for entry in recording.left_out
        ],
    }


# ---- verification ---------------------------------------------------------------------------------------------------


def verify(
    path: Any,
    against: Any = None,
    *,
    progress: ProgressOption = False,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    **options: Any,
) -> VerifyResult:
    """Check a recording against its own checksums, or against another one.

    Parameters
    ----------
    path : anything that `galvo.open` takes
    against : anything that `galvo.open` takes, optional
        Pixels and metadata must be equal.
    progress : bool or callable
    block_bytes : int
    **options
        Passed to `galvo.open` for `path`.

    Returns
    -------
    VerifyResult

    Raises
    ------
    FormatError, DamagedData
        A recording cannot be read.
    """
    recording = open_recording(path, **options)
    try:
        if against is not None:
            return _compare(against, recording, progress, block_bytes, name=path)
        return _check(recording, str(path), progress, block_bytes)
    finally:
        if recording is not path:
            recording.close()


def _check(recording: Recording, path: str, progress: ProgressOption, block_bytes: int) -> VerifyResult:
    stored = recording.metadata.attributes.get("block_checksums")
    differences = list(recording.metadata.attributes.get("metadata_damage", ()))
    blocks: list[tuple[tuple[slice, ...], int | None]]
    if stored is None:
        blocks = [(index, None) for index in block_selections(recording.shape, recording.dtype.itemsize, block_bytes)]
    else:
        blocks = [(tuple(slice(*pair) for pair in pairs), crc) for pairs, crc in stored]
    done = 0
    with _reporting(progress, "verifying") as report:
        for index, crc in blocks:
            try:
                pixels = recording[index]
                if crc is not None and block_checksum(pixels) != crc:
                    differences.append(f"frames {index[0].start} to {index[0].stop - 1}: the checksum does not match")
                done += pixels.nbytes
            except DamagedData as error:
                differences.append(f"frames {index[0].start} to {index[0].stop - 1}: {error}")
            report(done, recording.nbytes)
    return VerifyResult(
        path=path,
        against=None,
        method="read" if stored is None else "checksums",
        frame_count=math.prod(recording.shape[:3]),
        differences=tuple(differences),
        left_out=recording.left_out,
    )


def _compare(
    other: Any,
    recording: Recording,
    progress: ProgressOption,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    name: Any = None,
) -> VerifyResult:
    second = open_recording(other)
    try:
        differences = _metadata_differences(recording, second)
        frames = 0
        if recording.shape != second.shape or recording.dtype != second.dtype:
            differences.insert(
                0, f"{recording.shape} {recording.dtype} against {second.shape} {second.dtype}: pixels were not compared"
            )
        else:
            frames = math.prod(recording.shape[:3])
            with _reporting(progress, "comparing") as report:
                done = 0
                for index, pixels in recording.blocks(block_bytes):
                    differences += _pixel_differences(index, pixels, second[index])
                    done += pixels.nbytes
                    report(done, recording.nbytes)
        shown = recording.files[0] if name is None and recording.files else name
        return VerifyResult(
            path=str(other) if name is None else str(name),
            against=str(shown) if name is None else str(other),
            method="compared",
            frame_count=frames,
            differences=tuple(differences),
            left_out=recording.left_out,
        )
    finally:
        if second is not other:
            second.close()


def _pixel_differences(index: tuple[slice, ...], one: NDArray[Any], other: NDArray[Any]) -> Iterator[str]:
    # bytes, so that NaN equals NaN and -0.0 differs from 0.0
    if one.tobytes() == other.tobytes():
        return
    unequal = one.view(np.uint8).reshape(*one.shape, -1) != other.view(np.uint8).reshape(*one.shape, -1)
    frames = np.argwhere(unequal.any(axis=(3, 4, 5)))
    t, c, z = frames[0] + [part.start for part in index[:3]]
    yield f"pixels of {len(frames)} frames differ, first at t={t}, c={c}, z={z}"


def _metadata_differences(one: Recording, other: Recording) -> list[str]:
    found = []
    for what in ("channel_names", "frame_rate_hz", "pixel_size_um", "start_time"):
        mine, theirs = getattr(one.metadata, what), getattr(other.metadata, what)
        if mine != theirs:
            found.append(f"{what}: {mine} against {theirs}")
    for what in ("z_um", "timestamps"):
        mine, theirs = getattr(one, what), getattr(other, what)
        if (mine is None) != (theirs is None) or (mine is not None and not np.array_equal(mine, theirs, equal_nan=True)):
            found.append(f"{what} differ")
    found += [
        f"the vendor's {name} text differs"
        for name in ("header", "roi")
        if one.metadata.texts.get(name) != other.metadata.texts.get(name)
    ]
    return found


# ---- progress -------------------------------------------------------------------------------------------------------


@contextmanager
def _reporting(progress: ProgressOption, what: str) -> Iterator[Progress]:
    """A function to call with (bytes done, bytes in all)."""
    if callable(progress):
        yield progress
        return
    if not progress:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=False) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield report


