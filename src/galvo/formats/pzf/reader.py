"""PZF frames as recordings: one blob, a folder of them, or those in an HDF5 file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np

from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.join import join_opened
from galvo.core.metadata import Damage, Metadata
from galvo.core.recording import Recording
from galvo.core.source import read_file, read_prefix
from galvo.errors import DamagedData, FormatError, GalvoError, Malformed, NotFound, OptionError, Truncated, warn
from galvo.formats.kept_json import KeptJson
from galvo.formats.pzf.blob import loads
from galvo.formats.pzf.describe import frame_rate, how_stored, pixel_size
from galvo.formats.pzf.folder import EVENTS, METADATA, FolderBlobs, frame_numbers, is_own_name, series
from galvo.formats.pzf.header import PzfHeader, load_header
from galvo.formats.pzf.sequence import BlobFacts, Blobs, SequenceReader
from galvo.formats.pzf.table import TableBlobs
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_pzf"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LISTED = 8
_ASIDE = "With that file elsewhere, the frames open as they are stored"


def open_pzf(paths: Sequence[str], *, damaged: str = "raise", limits: Limits = DEFAULT_LIMITS) -> Recording:
    """A sequence of PZF frames.

    Parameters
    ----------
    paths : sequence of str
        Frames in order, or HDF5 files that hold them; those of several folders or files follow each other in T.
    damaged : "raise" or "report"
        report: where frames are missing, every T that is whole.
    limits : Limits

    Returns
    -------
    Recording
        Frames follow each other in T, unless galvo wrote them and kept their shape; the Depth of a frame is its Z.

    Raises
    ------
    Truncated
        Frames are missing.
    Malformed
        The frames contradict each other, or what is kept beside them.
    """
    report = damaged == "report"
    named = frame_numbers(paths)
    groups = [list(paths)] if named is not None else [list(group) for _, group in groupby(paths, _container)]

    def opened() -> Iterator[Recording]:
        for group in groups:
            if named is None and _is_hdf5(group[0]):
                yield from (_open_table(path, report, limits) for path in group)
            else:
                yield _open_folder(group, frame_numbers(group) if named is None else named, report, limits)

    return join_opened(opened())


def _container(path: str) -> str:
    return path if _is_hdf5(path) else os.path.dirname(path)


def _is_hdf5(path: str) -> bool:
    return read_prefix(path, len(_HDF5)) == _HDF5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What the files are, before anything is made of it.

    `numbers` say which frames the blobs are, in rising order; `chosen`, in the order given, where the user named them.
    """

    blobs: Blobs
    files: Sequence[str]
    numbers: Int64
    chosen: Int64 | None = None
    content: Mapping[str, Any]
    texts: Mapping[str, str]
    kept: KeptJson | None
    report: bool
    limits: Limits

    def damage(self, error: GalvoError) -> Damage:
        """`error`, unless damage is to be reported: then what is to be told."""
        if not self.report:
            raise error
        return Damage(error.path or self.blobs.path(0), error.offset, error.message)


def _open_table(path: str, report: bool, limits: Limits) -> Recording:
    table = TableBlobs(path, limits)
    try:
        if not len(table):
            raise Truncated("the file holds no frame", path=path)
        kept = None if table.kept is None else KeptJson.parse(table.kept, path, limits)
        found = _Found(
            blobs=table,
            files=[path],
            numbers=table.numbers,
            content={},
            texts={},
            kept=kept,
            report=report,
            limits=limits,
        )
        if kept is not None:
            return _own(found, kept)
        missing = _missing(table.numbers)
        if missing:
            # a program may count frames that it did not store
            warn(f"{path}: the frame numbers leave out {', '.join(missing)}")
        return _foreign(found, [])
    except BaseException:
        table.close()
        raise


def _open_folder(paths: Sequence[str], named: Int64 | None, report: bool, limits: Limits) -> Recording:
    folder = os.path.dirname(paths[0])
    about = os.path.join(folder, METADATA)
    texts = {name: text for name in (METADATA, EVENTS) if (text := _text(os.path.join(folder, name), limits))}
    content = _json(texts.get(METADATA, ""), about)
    numbers = np.arange(len(paths), dtype=np.int64) if named is None else named
    rising = bool((np.diff(numbers) > 0).all())
    # without a gap nothing was left out, and a folder of 20,000 files need not be listed again
    chosen = not rising or bool((np.diff(numbers) > 1).any()) or len(paths) == 1
    chosen = chosen and named is not None and not _is_series(paths)
    if "galvo" in content and named is not None and is_own_name(paths[0]):
        kept = KeptJson(content["galvo"], about, limits)
        if not chosen and numbers.size != math.prod(kept.shape[:3]):
            chosen = not _is_series(paths)
        given, numbers, files = numbers, *_sorted(numbers, paths)
        found = _Found(
            blobs=FolderBlobs(files, limits),
            files=files,
            numbers=numbers,
            chosen=given if chosen else None,
            content=content,
            texts=texts,
            kept=kept,
            report=report,
            limits=limits,
        )
        return _own(found, kept)
    found = _Found(
        blobs=FolderBlobs(paths, limits),
        files=paths,
        numbers=numbers,
        content=content,
        texts=texts,
        kept=None,
        report=report,
        limits=limits,
    )
    return _foreign(found, [] if chosen or named is None else _missing(numbers))


def _is_series(paths: Sequence[str]) -> bool:
    """Whether the frames are all of their sequence that there are, rather than those that a user named."""
    try:
        return list(paths) == series(paths[0])
    except Malformed:
        # two files of one number: such a sequence is never opened as a whole
        return False


def _sorted(numbers: Int64, paths: Sequence[str]) -> tuple[Int64, Sequence[str]]:
    """Both in the order of the numbers, each once."""
    unique, first = np.unique(numbers, return_index=True)
    if unique.size == numbers.size and bool((unique == numbers).all()):
        return numbers, paths
    return unique, [paths[position] for position in first.tolist()]


def _text(path: str, limits: Limits) -> str:
    """A text beside the frames, "" where there is none."""
    try:
        return read_file(path, limits.text_bytes).decode()
    except NotFound:
        return ""
    except UnicodeDecodeError as error:
        raise Malformed("no UTF-8 text", path=path, offset=error.start, hint=_ASIDE) from error


def _json(text: str, path: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON", path=path, hint=_ASIDE) from error
    if not isinstance(content, Mapping):
        raise Malformed("no JSON object", path=path, hint=_ASIDE)
    return content


def _first_header(found: _Found, fits: tuple[int, int, int] | None) -> tuple[PzfHeader, list[Damage]]:
    """The first header that can be read, and what is wrong with those before it."""
    damage: list[Damage] = []
    for position in range(len(found.blobs)):
        try:
            return _usable_header(found, position, fits), damage
        except (FormatError, DamagedData) as error:
            damage.append(found.damage(error))
    raise Truncated("not one frame has a header", path=found.blobs.path(0), found=f"{len(found.blobs)} frames")


def _usable_header(found: _Found, position: int, fits: tuple[int, int, int] | None) -> PzfHeader:
    path = found.blobs.path(position)
    header = load_header(found.blobs.read_head(position), path=path)
    if fits is not None and header.shape != fits:
        raise Malformed(
            "the frame does not have the shape that is kept beside it",
            path=path,
            offset=20,
            found=header.shape,
            expected=fits,
        )
    if not header.pixel_count:
        raise Malformed("the frame has no pixels", path=path, offset=20, found=header.shape)
    found.limits.check("frame_bytes", header.nbytes, path=path)
    stored, units = found.blobs.nbytes(position), header.pixel_count if header.quantize else header.nbytes
    if units > 8 * stored:
        # a byte takes one bit at least; a shape that cannot be must not become axes
        raise Truncated(
            "the frame needs more bits than there are",
            path=path,
            offset=20,
            found=f"{stored} bytes",
            expected=f"{-(-units // 8)} bytes or more for {header.shape} of {header.dtype}",
        )
    if header.quantize and header.compression == "raw":
        # the flag may be wrong, which the payload tells
        return loads(found.blobs.read(position), path=path)[1]
    return header


# ---- of other programs ----------------------------------------------------------------------------------------------


def _foreign(found: _Found, missing: Sequence[str]) -> Recording:
    blobs, content = found.blobs, found.content
    damage = []
    if missing:
        error = Truncated(
            f"frames of the sequence are missing: {', '.join(missing)}",
            path=blobs.path(0),
            hint='damaged="report" (--damaged report) opens those that are there',
        )
        damage.append(found.damage(error))
    header, wrong = _first_header(found, None)
    height, width, depth = header.shape
    shape: Shape = (len(blobs), 1, depth, height, width)
    found.limits.check("page_count", len(blobs) * depth, path=blobs.path(0))
    metadata = Metadata(
        format="pzf",
        version=f"v{header.version}",
        frame_rate_hz=frame_rate(content),
        pixel_size_um=pixel_size(content),
        texts=found.texts,
        attributes=how_stored(header),
    )
    return Recording(
        SequenceReader(blobs, shape, header, header.dtype),
        metadata,
        files=found.files,
        facts=BlobFacts(blobs, shape[:3]),
        damage=[*damage, *wrong],
    )


def _missing(numbers: Int64) -> list[str]:
    """The numbers that a sequence leaves out, for people."""
    gaps = np.flatnonzero(np.diff(numbers) > 1).tolist()
    told = []
    for gap in gaps[:_LISTED]:
        first, last = int(numbers[gap]) + 1, int(numbers[gap + 1]) - 1
        told.append(str(first) if first == last else f"{first} to {last}")
    return [*told, f"and {len(gaps) - _LISTED} more gaps"] if len(gaps) > _LISTED else told


# ---- galvo's own ----------------------------------------------------------------------------------------------------


def _own(found: _Found, kept: KeptJson) -> Recording:
    """What galvo wrote, in the shape that it kept."""
    blobs, path, numbers = found.blobs, found.blobs.path(0), found.numbers
    t, c, z, y, x = kept.shape
    announced = t * c * z
    found.limits.check("page_count", announced, path=path)
    selection, damage = {}, []
    is_whole = numbers.size == announced and bool((numbers == np.arange(announced)).all())
    if found.chosen is not None:
        selection = _chosen(found.chosen, kept.shape, path)
    elif not is_whole:
        damage.append(found.damage(_incomplete(numbers, announced, path)))
        first, count = np.unique(numbers[(numbers >= 0) & (numbers < announced)] // (c * z), return_counts=True)
        selection = {"t": first[count == c * z]}
        if not selection["t"].size:
            raise Truncated(
                "not one T is whole", path=path, found=f"{numbers.size} frames", expected=f"{c * z} of one T"
            )
    header, wrong = _first_header(found, (y, x, 1))
    dtype, shift = _pixel_type(kept, header, path)
    metadata = kept.metadata("pzf")
    stored = kept.get("stored")
    told = {"stored": "; ".join(map(str, stored))} if isinstance(stored, list) and stored else {}
    metadata = replace(metadata, attributes={**metadata.attributes, **told})
    reader = SequenceReader(blobs, kept.shape, header, dtype, shift, None if is_whole else numbers)
    recording = kept.recording(reader, metadata, found.files, [*damage, *wrong])
    return recording.isel(**selection) if selection else recording


def _pixel_type(kept: KeptJson, header: PzfHeader, path: str) -> tuple[np.dtype[Any], int]:
    """Type of the pixels, and what was added to store them."""
    name, shift = kept.get("pixel_dtype"), kept.get("pixel_shift")
    is_shifted = name == "int16" and header.dtype == np.uint16
    fits = type(shift) is int and (0 <= shift < 1 << 16 if is_shifted else shift == 0)
    if not fits or not (is_shifted or name == header.dtype.name):
        raise Malformed(
            "the kept type of the pixels does not fit the frames",
            path=path,
            found=f"{name} with a shift of {shift}",
            expected=header.dtype.name,
        )
    return np.dtype(np.int16) if is_shifted else header.dtype, shift


def _chosen(numbers: Int64, shape: Shape, path: str) -> dict[str, Any]:
    """What of a sequence the frames are that a user named."""
    t, c, z, _, _ = shape
    if int(numbers.max()) >= t * c * z:
        raise Malformed(
            "a frame beyond the sequence", path=path, found=int(numbers.max()), expected=f"below {t * c * z}"
        )
    if numbers.size == 1:
        first, channel, plane = (int(part) for part in np.unravel_index(int(numbers[0]), (t, c, z)))
        return {"t": [first], "c": [channel], "z": [plane]}
    times, left = np.divmod(numbers, c * z)
    if (
        numbers.size % (c * z)
        or (left.reshape(-1, c * z) != np.arange(c * z)).any()
        or (times.reshape(-1, c * z) != times[:: c * z, None]).any()
    ):
        raise OptionError(
            "the list does not hold all channels and planes of each T in their order",
            found=f"{numbers.size} frames",
            expected=f"{c} channels x {z} planes for each T",
            hint="Open the folder, and select from it",
        )
    return {"t": times[:: c * z]}


def _incomplete(numbers: Int64, announced: int, path: str) -> FormatError:
    there = int(np.unique(numbers[(numbers >= 0) & (numbers < announced)]).size)
    hint = 'damaged="report" (--damaged report) opens every T that is whole'
    text = f"{there} of {announced} frames are there"
    if there < announced:
        return Truncated(f"frames of the sequence are missing: {text}", path=path, hint=hint)
    return Malformed(
        "there are more frames than the sequence has", path=path, found=numbers.size, expected=announced, hint=hint
    )
