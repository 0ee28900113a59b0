"""Converting, saving and loading whole recordings."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import DTypeLike, NDArray

from galvo.core import disk
from galvo.core.atomic import journal_path, output_name
from galvo.core.axes import AXES
from galvo.core.blocks import DEFAULT_BLOCK_BYTES, block_selections
from galvo.core.cast import Scale
from galvo.core.metadata import LeftOut
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.core.write import write_recording
from galvo.errors import DamagedData, OptionError
from galvo.formats import REGISTRY
from galvo.formats.opening import open_recording
from galvo.formats.split import divided, new_sink
from galvo.progress import ProgressOption, one_of_several, reporting
from galvo.verification import VerifyResult, compare

__all__ = ["ConvertResult", "convert", "convert_fields", "fields_to_write", "load", "save"]


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
    least_bytes : int
        Its least size as far as that is known: 0 where pixels are compressed.
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
    least_bytes: int = 0
    file_bytes: int | None = None
    seconds: float = 0.0
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    verification: VerifyResult | None = None
    dry_run: bool = False


def convert(
    source: Any,
    destination: str | os.PathLike[str],
    *,
    format: str | None = None,
    channels: Any = None,
    frames: slice | Sequence[int] | None = None,
    fields: Literal["stitch"] | None = None,
    split_channels: bool = False,
    axes: str | None = None,
    dtype: DTypeLike | None = None,
    scale: Scale = None,
    overwrite: bool = False,
    resume: bool = False,
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
    source : anything that galvo.open takes
    destination : path
    format : str, optional
        Name of the format to write, instead of the one that the suffix names.
    channels : int, name, or list of them, optional
        Channels to write; all by default.
    frames : slice or list of int, optional
        T positions to write.
    fields : "stitch", optional
        Write the scan fields of a multi-ROI recording on one canvas per depth (`Recording.stitched`) instead of the
        pages. `convert_fields` writes an output for each.
    split_channels : bool
        One file per channel: ``<stem>_ch1<suffix>`` and so on. Opening one of them opens all.
    axes : str, optional
        Letters of T C Z Y X that the output is to have: an axis left out must have length 1, but planes and channels
        go into T where Z or C is left out (`Recording.fold`).
    dtype : dtype, optional
        Type of the pixels to write.
    scale : optional
        How pixels become `dtype`, as in `Recording.astype`; by default they must fit.
    overwrite : bool
        Replace an existing output.
    resume : bool
        Go on behind the last block that an earlier, interrupted attempt with the same source and options brought to
        the disk; begin where there is none.
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
        if fields not in (None, "stitch"):
            raise OptionError("no such way to write fields", found=repr(fields), expected='"stitch", or convert_fields')
        pages = recording if fields is None else recording.stitched()
        shown = _with_axes(pages.isel(t=frames, c=channels), axes)
        if dtype is not None:
            shown = shown.astype(dtype, scale)
        elif scale is not None:
            raise OptionError("scale says how pixels become another type", hint="Name the type with dtype= (--dtype)")
        return _write(
            shown,
            destination,
            format,
            split_channels,
            overwrite,
            resume,
            verify,
            dry_run,
            progress,
            block_bytes,
            write_options,
        )
    finally:
        if recording is not source:
            recording.close()


def convert_fields(
    source: Any,
    destination: str | os.PathLike[str],
    *,
    format: str | None = None,
    resume: bool = False,
    dry_run: bool = False,
    progress: ProgressOption = False,
    open_options: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[ConvertResult, ...]:
    """Write each scan field of a multi-ROI recording to an output of its own.

    Parameters
    ----------
    source : anything that galvo.open takes
    destination : path
        Of ``out.h5`` become ``out_field1.h5``, ``out_field2.h5``, ..., in the order of `Recording.fields`.
    format : str, optional
    resume : bool
        Leave outputs that exist, and go on with the one that an earlier attempt began.
    dry_run : bool
        Only plan.
    progress : bool or callable
        One for all: called with (bytes done, bytes in all).
    open_options : dict, optional
        Passed to `galvo.open`.
    **options
        Those of `convert`.

    Returns
    -------
    tuple of ConvertResult
        Of those that were written, or would be.

    Raises
    ------
    OptionError
        The recording has no fields.
    WriteError
        An output exists, or cannot be written; nothing of the first kind is found out after something was written.
    """
    recording = open_recording(source, **(open_options or {}))
    try:
        waiting = fields_to_write(recording, destination, format, resume)
        common = {"format": format, "resume": resume, **options}
        plans = tuple(convert(part, name, dry_run=True, **common) for part, name in waiting)
        if dry_run:
            return plans
        results: list[ConvertResult] = []
        total, before = sum(plan.pixel_bytes for plan in plans), 0
        with reporting(progress, f"{len(waiting)} fields") as report:
            for (part, name), plan in zip(waiting, plans, strict=True):
                shown = one_of_several(report, before, plan.pixel_bytes, total)
                results.append(convert(part, name, progress=shown, **common))
                before += plan.pixel_bytes
        return tuple(results)
    finally:
        if recording is not source:
            recording.close()


def fields_to_write(
    recording: Recording, destination: str | os.PathLike[str], format: str | None, resume: bool
) -> list[tuple[Recording, str]]:
    """Each scan field and its output; with `resume`, those whose outputs do not exist.

    Raises
    ------
    OptionError
        The recording has no fields.
    """
    if not recording.fields:
        raise OptionError("the recording has no fields to split", hint="Only multi-ROI recordings have them")
    named = [(field, _field_name(destination, format, n)) for n, field in enumerate(recording.fields, 1)]
    return [(field, name) for field, name in named if not (resume and os.path.lexists(name))]


def _field_name(destination: str | os.PathLike[str], format: str | None, number: int) -> str:
    """``out.h5`` as ``out_field1.h5``; the name of a folder has no suffix to keep."""
    final = output_name(destination)
    entry = REGISTRY.for_writing(final, format)
    suffix = divided(final)[1]
    if entry.writes_folders and suffix.lower() not in entry.suffixes:
        suffix = ""
    return f"{final.removesuffix(suffix)}_field{number}{suffix}"


def save(recording: Any, path: Any, **options: Any) -> ConvertResult:
    """Write a recording or an array to a file; the options are those of `convert`.

    Parameters
    ----------
    recording : Recording or array
        Or anything else that galvo.open takes.
    path : path
        It may also come first: ``save("out.h5", array)``.
    """
    if isinstance(recording, str | os.PathLike) and not isinstance(path, str | os.PathLike):
        recording, path = path, recording
    return convert(recording, path, **options)


def load(source: Any, *, squeeze: bool = True, **options: Any) -> NDArray[Any]:
    """All pixels of a recording as an array.

    Parameters
    ----------
    source : anything that galvo.open takes
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


def _with_axes(recording: Recording, axes: str | None) -> Recording:
    """The recording with no axes but those."""
    if axes is None:
        return recording
    letters = axes.upper() if isinstance(axes, str) else "?"
    if set(letters) - set(AXES) or len(set(letters)) < len(letters) or not {"Y", "X"} <= set(letters):
        raise OptionError("no such axes", found=repr(axes), expected="letters of T C Z Y X, Y and X among them")
    lengths = {"C": recording.shape[1], "Z": recording.shape[2]}
    folded = "".join(letter for letter, length in lengths.items() if letter not in letters and length > 1)
    shown = recording.fold(folded) if folded else recording
    if "T" not in letters and shown.shape[0] > 1:
        raise OptionError("there is more than one T", found=f"shape {recording.shape}", expected=f"axes {letters}")
    return shown


def _write(
    recording: Recording,
    destination: str | os.PathLike[str],
    format: str | None,
    split: bool,
    overwrite: bool,
    resume: bool,
    check: bool,
    dry_run: bool,
    progress: ProgressOption,
    block_bytes: int,
    options: dict[str, Any],
) -> ConvertResult:
    final = output_name(destination)
    entry = REGISTRY.for_writing(final, format)
    unknown = [name for name in options if name not in entry.write_options]
    if unknown or entry.sink is None:
        raise OptionError(
            f"{entry.name} takes no write option {unknown[0]!r}", expected=f"one of {', '.join(entry.write_options)}"
        )
    sink = new_sink(entry.sink, options, split)
    files = tuple(str(path) for path in recording.files)
    target = sink.target(final, recording)
    # what is to be resumed may be published in part
    target.guard(files, overwrite or (resume and os.path.exists(journal_path(final))))
    if recording.size == 0:
        raise OptionError("nothing to write: the selection is empty", found=f"shape {recording.shape}")
    multiple = sink.t_multiple(recording)
    order = sink.block_order
    # one channel behind the other: few blocks of each, of which the last is small, would make memory a matter of length
    apart = recording.shape[1] > 1 and order[0] in "Cc"
    most_bytes = min(block_bytes, DEFAULT_BLOCK_BYTES // 2) if apart else block_bytes
    blocks = tuple(block_selections(recording.shape, recording.dtype.itemsize, most_bytes, multiple, order))
    provenance = _provenance(recording, entry.name, {**options, "split_channels": split or None})
    plan = WritePlan(recording=recording, blocks=blocks, provenance=provenance)
    sink.prepare(plan)
    estimated = sink.estimate(plan)
    facts: dict[str, Any] = {
        "path": final,
        "format": entry.name,
        "files": files,
        "shape": recording.shape,
        "dtype": str(recording.dtype),
        "pixel_bytes": recording.nbytes,
        "estimated_bytes": estimated,
        "least_bytes": 0 if sink.compresses else estimated,
        "left_out": recording.left_out,
        "notes": sink.notes,
    }
    if dry_run:
        return ConvertResult(**facts, dry_run=True)
    started = time.perf_counter()
    with reporting(progress, "writing") as report:
        write_recording(plan, sink, target, report, resume, overwrite)
    seconds = time.perf_counter() - started
    verification = None
    if check:
        verification = compare(recording, target.places[0], progress, shown=sink.shown, blocks=blocks)
        if not verification.ok:
            raise DamagedData(
                f"the output differs from its source: {'; '.join(verification.differences)}",
                path=final,
                hint="The output is kept; the source is untouched",
            )
    file_bytes = sum(map(disk.nbytes_of, target.places))
    # how much was lost is known only now
    facts["notes"] = sink.notes
    return ConvertResult(**facts, file_bytes=file_bytes, seconds=seconds, verification=verification)


def _provenance(recording: Recording, format: str, options: dict[str, Any]) -> dict[str, Any]:
    from galvo import __version__

    return {
        "galvo_version": __version__,
        "written_format": format,
        "written_options": {name: value for name, value in options.items() if value is not None},
        "source_format": recording.metadata.format,
        "source_files": [path.name for path in recording.files],
        "source_bytes": [path.stat().st_size for path in recording.files],
        "left_out": [
            {"what": entry.what, "page_count": entry.page_count, "reason": entry.reason} for entry in recording.left_out
        ],
    }
