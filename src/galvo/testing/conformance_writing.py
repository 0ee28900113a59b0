"""The part of the suite that disturbs writing: errors, kills and power cuts at every operation.

Cases are forked from the warm process where the system has fork, and skipped elsewhere. Without the marker `harden`,
only the first of a format's options is disturbed everywhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import galvo
from galvo.core.atomic import journal_path, partial_path
from galvo.core.write import Progress
from galvo.errors import WriteError
from galvo.formats import REGISTRY
from galvo.testing.case import same_pixels
from galvo.testing.disk_faults import ShortWriteAt
from galvo.testing.trials import Trial

__all__ = ["WritingConformance", "movie", "suffix"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# two, three and more blocks, whose frames are large enough not to share one
_SMALLEST = (2, 1, 1, 192, 192)
_SMALL = (3, 2, 1, 192, 192)
_BIGGER = (24, 2, 1, 192, 192)


class _CallbackError(Exception):
    """Raised by a caller's own function."""


class WritingConformance:
    """Tests that a format inherits through `FormatConformance`.

    Attributes
    ----------
    format_name : str
    write_options : sequence of mapping
        Sets of options to write with.
    power_cut_count : int
        States per set of options under the marker `harden`.
    """

    format_name: ClassVar[str]
    write_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    power_cut_count: ClassVar[int] = 700

    # ---- stopped by the caller --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("error", [_CallbackError("the caller's own"), KeyboardInterrupt()], ids=repr)
    def test_stopped_by_its_caller(self, tmp_path: Path, error: BaseException) -> None:
        """The old file stays, whole blocks are kept, and resuming or beginning again gives what was to be."""
        path = tmp_path / f"out{suffix(self.format_name)}"
        pixels, old = movie(_SMALL, "<i2"), movie((3, 1, 1, 4, 4), "<i2")
        for options in self.write_options:
            galvo.save(pixels, path, overwrite=True, block_bytes=1, **options)
            expected = path.read_bytes()
            galvo.save(old, path, overwrite=True, **options)
            content = path.read_bytes()
            for part, resume in ((0.0, True), (0.3, True), (0.7, False), (0.7, True), (1.0, False), (1.0, True)):

                def progress(done: int, total: int, part: float = part) -> None:
                    if done >= part * total:
                        raise error

                with pytest.raises(type(error)):
                    galvo.save(pixels, path, overwrite=True, progress=progress, block_bytes=1, **options)
                assert path.read_bytes() == content
                names = [str(path)] if part == 0 else [str(path), journal_path(str(path)), partial_path(str(path))]
                assert sorted(str(entry) for entry in tmp_path.iterdir()) == sorted(names)
                galvo.save(pixels, path, overwrite=True, resume=resume, block_bytes=1, **options)
                assert path.read_bytes() == expected
                assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
                path.write_bytes(content)

    def test_resumed_with_something_else(self, tmp_path: Path) -> None:
        """Another source or another block size is refused; what was kept can still be resumed."""
        path = tmp_path / f"out{suffix(self.format_name)}"
        pixels = movie(_SMALL, "<i2")

        def progress(done: int, total: int) -> None:
            if done:
                raise _CallbackError

        with pytest.raises(_CallbackError):
            galvo.save(pixels, path, progress=progress, block_bytes=1)
        for other, block_bytes in ((pixels + 1, 1), (pixels[:2], 1), (pixels, 1 << 30)):
            with pytest.raises(WriteError, match="another source or with other options"):
                galvo.save(other, path, resume=True, block_bytes=block_bytes)
        galvo.save(pixels, path, resume=True, block_bytes=1, verify=True)
        same_pixels(galvo.load(path, squeeze=False), pixels)

    def test_written_by_two(self, tmp_path: Path) -> None:
        """The second writer of an output is refused, and the first does not notice."""
        path = tmp_path / f"out{suffix(self.format_name)}"
        pixels = movie(_SMALL, "<i2")

        def progress(done: int, total: int) -> None:
            for resume in (False, True):
                with pytest.raises(WriteError, match="another process is writing"):
                    galvo.save(pixels + 1, path, resume=resume, block_bytes=1)

        galvo.save(pixels, path, progress=progress, block_bytes=1)
        same_pixels(galvo.load(path, squeeze=False), pixels)
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]

    # ---- every operation --------------------------------------------------------------------------------------------

    def _trial(self, tmp_path: Path, shape: tuple[int, ...], options: Mapping[str, Any], old: bytes | None) -> Trial:
        pixels = movie(shape, "<i2")

        def write(path: Path, resume: bool, progress: Progress) -> None:
            galvo.save(
                pixels,
                path,
                format=self.format_name,
                overwrite=True,
                resume=resume,
                progress=progress,
                block_bytes=1,
                **options,
            )

        return Trial(tmp_path / "trial", f"out{suffix(self.format_name)}", write, old)

    @needs_fork
    def test_killed_at_every_operation(self, tmp_path: Path) -> None:
        """Old or complete, and what was committed is resumed to the same bytes."""
        trial = self._trial(tmp_path, _SMALLEST, self.write_options[0], b"old")
        _all(trial.kill_at, range(len(trial.operations) + 1))

    @needs_fork
    def test_killed_at_random(self, tmp_path: Path) -> None:
        """As before, at ten moments of a longer run."""
        self._kill_at_random(tmp_path, 10, seed=0)

    def test_failing_at_every_operation(self, tmp_path: Path) -> None:
        """A full disk and a broken one are told, nothing leaks, and the next attempt succeeds."""
        trial = self._trial(tmp_path, _SMALLEST, self.write_options[0], b"old")
        for code, lasting in ((errno.ENOSPC, True), (errno.EIO, False)):
            _all(lambda number: trial.fail_at(number, code, lasting), range(len(trial.operations)))  # noqa: B023

    def test_short_writes(self, tmp_path: Path) -> None:
        """A write that takes only half of its bytes is not an error."""
        trial = self._trial(tmp_path, _SMALLEST, self.write_options[0], None)
        _all(lambda number: _harmless(trial, number), range(0, len(trial.operations), 4))

    def test_power_cuts(self, tmp_path: Path) -> None:
        """What a power cut leaves is old or complete, and resumable from the last commit."""
        self._trial(tmp_path, _SMALLEST, self.write_options[0], b"old").cut_power(150)

    @needs_fork
    @pytest.mark.harden
    def test_killed_at_every_operation_of_more(self, tmp_path: Path) -> None:
        """As above, with all options, more blocks, torn writes, and beginning again over what was left."""
        for number, options in enumerate(self.write_options):
            trial = self._trial(tmp_path, _SMALL, options, None if number % 2 else b"old")
            _all(lambda place: trial.kill_at(place), range(len(trial.operations) + 1))  # noqa: B023
            _all(lambda place: trial.kill_at(place, True, place % 2 == 0), range(len(trial.operations)))  # noqa: B023
            trial.close()

    @needs_fork
    @pytest.mark.harden
    def test_killed_at_random_often(self, tmp_path: Path) -> None:
        """As above, 200 times."""
        self._kill_at_random(tmp_path, 200, seed=1)

    @pytest.mark.harden
    def test_failing_at_every_operation_of_more(self, tmp_path: Path) -> None:
        """As above, with more errors and all options."""
        for options in self.write_options:
            trial = self._trial(tmp_path, _SMALLEST, options, b"old")
            everywhere = range(len(trial.operations))
            for code, lasting in (
                (errno.ENOSPC, True),
                (errno.ENOSPC, False),
                (errno.EIO, False),
                (errno.EINTR, False),
                (errno.EDQUOT, True),
            ):
                _all(lambda number: trial.fail_at(number, code, lasting), everywhere)  # noqa: B023
            _all(lambda number: _harmless(trial, number), everywhere)  # noqa: B023
            trial.close()

    @needs_fork
    @pytest.mark.harden
    def test_power_cuts_of_more(self, tmp_path: Path) -> None:
        """As above, with all options, more blocks, more states, and over what an earlier attempt left."""
        for number, options in enumerate(self.write_options):
            trial = self._trial(tmp_path, _SMALL, options, None if number % 2 else b"old")
            trial.cut_power(self.power_cut_count, seed=number)
            for leftovers in ("own", "another's"):
                trial.cut_power(self.power_cut_count // 4, seed=number, leftovers=leftovers)
            trial.close()

    def _kill_at_random(self, tmp_path: Path, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        trial = self._trial(tmp_path, _BIGGER, self.write_options[0], b"old")
        seconds = 0.05
        while trial.kill_after(seconds):
            seconds *= 1.5
        alive = 0
        for _ in range(count):
            alive += trial.kill_after(float(rng.uniform(0, seconds)), anew=bool(rng.integers(2)))
        assert alive > count // 4, "the kills came too late"


def _harmless(trial: Trial, number: int) -> None:
    assert not trial.disturb(ShortWriteAt(number), f"short write at operation {number}")


def _all(check: Callable[[int], Any], numbers: Sequence[int]) -> None:
    """Every number, and all failures together."""
    failures = []
    for number in numbers:
        try:
            check(number)
        except AssertionError as error:
            failures.append(str(error))
    assert not failures, f"{len(failures)} of {len(numbers)}:\n" + "\n".join(failures[:20])


def suffix(format_name: str) -> str:
    """What names of a format's files end with; skips the test where galvo does not write it."""
    entry = REGISTRY.get(format_name)
    if entry.sink is None:
        pytest.skip(f"galvo does not write {format_name}")
    return entry.suffixes[0]


def movie(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Noise of that shape and type."""
    pixels = np.random.default_rng(len(dtype) + sum(shape)).integers(-120 if dtype[-2] != "u" else 0, 127, shape)
    return pixels.astype(dtype)
