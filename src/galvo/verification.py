"""Proving that a file still holds what was written into it, or what another one holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import DEFAULT_BLOCK_BYTES, BlockIndex, block_selections
from galvo.core.checksum import block_checksum
from galvo.core.metadata import LeftOut
from galvo.core.recording import Recording
from galvo.errors import DamagedData
from galvo.formats.opening import open_recording
from galvo.progress import ProgressOption, reporting

__all__ = ["VerifyResult", "compare", "verify"]

_TABLE_ROWS = 65536


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
    lossy : bool
        What was compared is not the recording itself but what a lossy format makes of it, and that differs.
    """

    path: str
    against: str | None
    method: str
    frame_count: int
    differences: tuple[str, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    lossy: bool = False

    @property
    def ok(self) -> bool:
        """Nothing differs."""
        return not self.differences


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
    path : anything that galvo.open takes
    against : anything that galvo.open takes, optional
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
            return compare(recording, against, progress, block_bytes)
        return _check(recording, progress, block_bytes)
    finally:
        if recording is not path:
            recording.close()


def _check(recording: Recording, progress: ProgressOption, block_bytes: int) -> VerifyResult:
    stored = recording.checksums
    differences: list[str] = []
    blocks: Sequence[tuple[tuple[slice, ...], int | None]]
    if stored is None:
        blocks = [(index, None) for index in block_selections(recording.shape, recording.dtype.itemsize, block_bytes)]
    else:
        differences += stored.metadata_damage()
        blocks = stored.blocks()
    recording.prove()
    done = 0
    with reporting(progress, "verifying") as report:
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
        path=_name(recording),
        against=None,
        method="read" if stored is None else "checksums",
        frame_count=math.prod(recording.shape[:3]),
        differences=tuple(differences),
        left_out=recording.left_out,
    )


def compare(
    recording: Recording,
    other: Any,
    progress: ProgressOption = False,
    block_bytes: int = DEFAULT_BLOCK_BYTES,
    shown: Callable[[BlockIndex, NDArray[Any]], NDArray[Any]] | None = None,
    blocks: Sequence[BlockIndex] | None = None,
) -> VerifyResult:
    """Check that two recordings are equal in pixels and metadata.

    Parameters
    ----------
    recording : Recording
    other : anything that galvo.open takes
    progress : bool or callable
    block_bytes : int
    shown : callable, optional
        What `other` has to show for a block of `recording`, given where it is, where it was written with loss.
    blocks : sequence of BlockIndex, optional
        In which it was written, instead of `block_bytes`.

    Returns
    -------
    VerifyResult
        Its `path` and `against` name the first file of each.
    """
    second = open_recording(other)
    try:
        lossy = False
        differences = _metadata_differences(recording, second)
        frames = 0
        if recording.shape != second.shape or recording.dtype != second.dtype:
            kinds = f"{recording.shape} {recording.dtype} against {second.shape} {second.dtype}"
            differences.insert(0, f"{kinds}: pixels were not compared")
        else:
            frames = math.prod(recording.shape[:3])
            done = 0
            with reporting(progress, "comparing") as report:
                if blocks is None:
                    blocks = list(block_selections(recording.shape, recording.dtype.itemsize, block_bytes))
                for index in blocks:
                    pixels = recording[index]
                    expected = pixels if shown is None else shown(index, pixels)
                    lossy = lossy or (expected is not pixels and not np.array_equal(expected, pixels))
                    differences += _pixel_differences(index, expected, second[index])
                    done += pixels.nbytes
                    report(done, recording.nbytes)
        return VerifyResult(
            path=_name(recording),
            against=_name(second),
            method="compared",
            frame_count=frames,
            differences=tuple(differences),
            left_out=recording.left_out,
            lossy=lossy,
        )
    finally:
        if second is not other:
            second.close()


def _name(recording: Recording) -> str:
    return str(recording.files[0]) if recording.files else "an array"


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
        same = mine is theirs or (
            mine is not None and theirs is not None and np.array_equal(mine, theirs, equal_nan=True)
        )
        if not same:
            found.append(f"{what} differ")
    found += [
        f"the vendor's {name} text differs"
        for name in sorted({*one.metadata.texts, *other.metadata.texts})
        if one.metadata.texts.get(name) != other.metadata.texts.get(name)
    ]
    if one.scan_fields != other.scan_fields:
        found.append(f"scan fields differ: {len(one.scan_fields)} against {len(other.scan_fields)}")
    if one.shape[:3] == other.shape[:3]:
        found += _frame_differences(one, other)
        mine, theirs = one.events(), other.events()
        if mine.dtype != theirs.dtype or mine.tobytes() != theirs.tobytes():
            found.append(f"events differ: {mine.size} against {theirs.size}")
    return found


def _frame_differences(one: Recording, other: Recording) -> Iterator[str]:
    """Columns of the frame table that both have and that differ; where frames lie may differ, and does."""
    for first in range(0, one.shape[0], _TABLE_ROWS):
        t = slice(first, first + _TABLE_ROWS)
        mine, theirs = one.isel(t=t).frame_table(), other.isel(t=t).frame_table()
        differing = [
            name
            for name in mine.dtype.names or ()
            if name in (theirs.dtype.names or ())
            and name not in ("file", "page")
            and not np.array_equal(mine[name], theirs[name], equal_nan=mine[name].dtype.kind == "f")
        ]
        if differing:
            yield f"facts of single frames differ: {', '.join(differing)}"
            return
