"""Files whose content is known, and comparing what was read with it: the words of the conformance suite."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import galvo
from galvo.core.recording import Recording
from galvo.errors import GalvoError, GalvoWarning
from galvo.limits import Limits
from galvo.testing.faults import Mutation, bounded

__all__ = [
    "LIMITS",
    "Case",
    "Outcome",
    "changed_copies",
    "check_survival",
    "fact",
    "in_native_order",
    "outer_product",
    "random_key",
    "read_damaged",
    "same_pixels",
    "same_value",
    "strange_frame",
]

LIMITS = Limits(frame_bytes=16 << 20, page_count=200_000, text_bytes=16 << 20, chunk_bytes=16 << 20)
_READ_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files whose content is known.

    Attributes
    ----------
    paths : sequence of Path
        In order, in a folder of their own. Opened by the first, as a series, unless `as_list`.
    pixels : ndarray, TCZYX
    metadata : mapping of str
        Attributes of the recording (`frame_rate_hz`, `timestamps`, ...) and their values; floats to 1e-9.
    options : mapping of str
        For `galvo.open`.
    as_list : bool
    beside : sequence of Path
        Files in the same folder that belong to it and are not pixels.
    boundaries : sequence of int
        Where structures begin or end in the first file: it is cut there, and changed near there.
    frame_bytes : sequence of range
        Where each frame's own bytes lie in the first file, frame k = (t, c, z) in C order; a change inside
        must not disturb other frames.
    """

    paths: Sequence[Path]
    pixels: NDArray[Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    as_list: bool = False
    beside: Sequence[Path] = ()
    boundaries: Sequence[int] = ()
    frame_bytes: Sequence[range] = ()

    def open(self, paths: Sequence[Path] | None = None, **options: Any) -> Recording:
        """The recording, of the files themselves or of changed copies of them."""
        paths = self.paths if paths is None else paths
        source: Any = [str(path) for path in paths] if self.as_list else str(paths[0])
        return galvo.open(source, **{**self.options, **options})


@dataclass(slots=True)
class Outcome:
    """What became of damaged files: an error, or frames by T (None where one could not be read)."""

    error: GalvoError | None = None
    shape: tuple[int, ...] = ()
    dtype: Any = None
    frames: list[NDArray[Any] | None] = field(default_factory=list)
    told: bool = False


# ---- comparing ------------------------------------------------------------------------------------------------------


def in_native_order(array: NDArray[Any]) -> NDArray[Any]:
    """`array`, contiguous and in the byte order of the machine."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def same_pixels(got: NDArray[Any], expected: NDArray[Any]) -> None:
    """Check shape, type and every bit; the byte order of `expected` does not count."""
    assert got.shape == expected.shape, f"shape {got.shape} instead of {expected.shape}"
    assert got.dtype == expected.dtype.newbyteorder("="), f"{got.dtype} instead of {expected.dtype}"
    if got.tobytes() != in_native_order(expected).tobytes():
        np.testing.assert_array_equal(got, expected)
        raise AssertionError("values are equal, bytes are not")


def fact(recording: Recording, name: str) -> Any:
    """An attribute of a recording or of its metadata."""
    return getattr(recording if hasattr(recording, name) else recording.metadata, name)


def same_value(name: str, got: Any, expected: Any) -> None:
    """Check that a fact is the expected one, numbers to 1e-9."""
    if expected is None or isinstance(expected, str | bool):
        assert got == expected, f"{name}: {got!r} instead of {expected!r}"
    elif isinstance(expected, tuple) and all(isinstance(item, str) for item in expected):
        assert tuple(got) == expected, f"{name}: {got!r} instead of {expected!r}"
    else:
        assert got is not None, f"{name} is None instead of {expected!r}"
        np.testing.assert_allclose(got, expected, rtol=1e-9, err_msg=name)


def random_key(rng: np.random.Generator, length: int) -> Any:
    """An integer, list, mask or slice for an axis of `length`."""
    kind = int(rng.integers(6))
    if kind == 0:
        return int(rng.integers(-length, length))
    if kind == 1:
        return rng.integers(-length, length, int(rng.integers(0, 6))).tolist()
    if kind == 2:
        return rng.random(length) < 0.5
    if kind == 3:
        return slice(None)
    first, last = sorted(rng.integers(0, length + 1, 2).tolist())
    return slice(first, last, int(rng.integers(1, 4))) if kind == 4 else slice(last, None, -int(rng.integers(1, 4)))


def outer_product(array: NDArray[Any], keys: Sequence[Any]) -> NDArray[Any]:
    """What five keys select, by NumPy alone, one axis after the other."""
    for axis in range(4, -1, -1):
        key = np.array(keys[axis], np.int64) if isinstance(keys[axis], list) else keys[axis]
        array = array[(slice(None),) * axis + (key,)]
    return array


def changed_copies(case: Case, folder: Path) -> list[Path]:
    """Copies of a case's files in a new folder, to be changed."""
    folder.mkdir()
    for path in case.beside:
        shutil.copy(path, folder / path.name)
    return [Path(shutil.copy(path, folder / path.name)) for path in case.paths]


def read_damaged(case: Case, paths: Sequence[Path], place: str, mode: str) -> Outcome:
    """What comes of files that may be damaged; anything but galvo's own errors, or no end, is an AssertionError."""

    def work() -> Outcome:
        outcome = Outcome()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with case.open(paths, damaged=mode, limits=LIMITS) as recording:
                    _examine(recording, outcome)
            except GalvoError as error:
                outcome.error = error
        outcome.told = outcome.told or any(issubclass(one.category, GalvoWarning) for one in caught)
        foreign = [one for one in caught if not issubclass(one.category, GalvoWarning)]
        assert not foreign, f"{place}: warned {foreign[0].message}"
        return outcome

    try:
        return bounded(work, 20)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{place}: {type(error).__name__}: {error}") from error


def check_survival(case: Case, paths: Sequence[Path], mutation: Mutation, place: str) -> None:
    """Check that changed files are read without anything foreign, and that frames without a change are as they were."""
    outcome = read_damaged(case, paths, place, "report" if mutation.offset % 2 else "raise")
    end = mutation.offset + len(mutation.data)
    inside = [k for k, own in enumerate(case.frame_bytes) if own.start <= mutation.offset and end <= own.stop]
    if not inside:
        return
    assert outcome.error is None, f"{place}: the pixels of one frame keep all from opening: {outcome.error}"
    expected = in_native_order(case.pixels)
    for t, frames in enumerate(outcome.frames):
        if frames is not None:
            same = (frames == expected[t]).all(axis=(-1, -2)).ravel()
            changed = {t * same.size + int(k) for k in np.flatnonzero(~same)} - set(inside)
            assert not changed, f"{place}: frames {changed} changed too"


def strange_frame(outcome: Outcome, expected: NDArray[Any]) -> int | None:
    """The first T that is not the expected one, or where losses were told none of those that are still to come."""
    at = 0
    for t, frames in enumerate(outcome.frames):
        if frames is not None:
            while outcome.told and at < len(expected) and frames.tobytes() != expected[at].tobytes():
                at += 1
            if at >= len(expected) or frames.tobytes() != expected[at].tobytes():
                return t
        at += 1
    return None


def _examine(recording: Recording, outcome: Outcome) -> None:
    outcome.shape, outcome.dtype = recording.shape, recording.dtype
    outcome.told = bool(recording.damage)
    repr(recording)
    for ask in (lambda: recording.timestamps, lambda: recording.isel(t=slice(0, 50)).frame_table()):
        try:
            ask()
        except GalvoError:
            outcome.told = True
    per_t = max(1, recording.nbytes // max(1, recording.shape[0]))
    for t in range(min(recording.shape[0], _READ_BYTES // per_t, 400)):
        try:
            outcome.frames.append(recording[t])
        except GalvoError:
            outcome.frames.append(None)
