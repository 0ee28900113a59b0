"""The part of the suite that disturbs writing: errors, kills and power cuts at every operation.

Cases are forked from the warm process where the system has fork, and skipped elsewhere. Without the marker `harden`,
only the first of a format's options is disturbed everywhere.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import galvo
from galvo.core.atomic import journal_path
from galvo.core.blocks import block_selections
from galvo.core.registry import Format
from galvo.core.sink import Sink, WritePlan
from galvo.core.target import Target
from galvo.core.write import Progress
from galvo.errors import WriteError
from galvo.formats import REGISTRY
from galvo.formats.split import new_sink
from galvo.testing.case import same_pixels
from galvo.testing.disk_faults import ShortWriteAt
from galvo.testing.power import place_snapshot, snapshot
from galvo.testing.trials import Trial, scratch_folder

__all__ = ["WritingConformance", "movie"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# two, three and more blocks, whose frames are large enough not to share one
_SMALLEST = (2, 1, 1, 192, 192)
_SMALL = (3, 2, 1, 192, 192)
_BIGGER = (12, 2, 1, 192, 192)


class _CallbackError(Exception):
    """Raised by a caller's own function."""


class WritingConformance:
    """Tests that a format inherits through `FormatConformance`.

    Attributes
    ----------
    format_name : str
    write_options : sequence of mapping
        Sets of options to write with.
    output_name : str
        What an output is called in the tests; by default ``out`` with the format's first suffix.
    power_cut_count : int
        States in all under the marker `harden`, and more where every prefix of the operations needs them.
    every : int
        1, but more where another class writes through the same sink: without the marker `harden`, only every so many
        operations are disturbed; with it, each of them in one way instead of all, and so many times fewer at random.
    written_dtype : str
        Type of the pixels in tests that are about something else.
    written_axes : str
        "TYX" for a format that has no place for channels and planes: they are laid into T.
    """

    format_name: ClassVar[str]
    write_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    output_name: ClassVar[str] = ""
    power_cut_count: ClassVar[int] = 2000
    every: ClassVar[int] = 1
    written_dtype: ClassVar[str] = "<i2"
    written_axes: ClassVar[str] = "TCZYX"

    # ---- stopped by the caller --------------------------------------------------------------------------------------

    @pytest.mark.parametrize("error", [_CallbackError("the caller's own"), KeyboardInterrupt()], ids=repr)
    def test_stopped_by_its_caller(self, tmp_path: Path, error: BaseException) -> None:
        """The old file stays, whole blocks are kept, and resuming or beginning again gives what was to be."""
        pixels, old = self._movie(_SMALL), self._movie((3, 1, 1, 4, 4))
        for options in self.write_options:
            target, folder = self._target(tmp_path, pixels, options), str(tmp_path)
            self._save(pixels, target, overwrite=True, block_bytes=1, **options)
            expected = snapshot(folder)
            self._save(old, target, overwrite=True, **options)
            content = snapshot(folder)
            outputs = set(map(os.path.basename, target.places))
            kept = outputs | set(map(os.path.basename, (journal_path(target.final), *target.partials)))
            for part, resume in ((0.0, True), (0.3, True), (0.7, False), (0.7, True), (1.0, False), (1.0, True)):

                def progress(done: int, total: int, part: float = part) -> None:
                    if done >= part * total:
                        raise error

                with pytest.raises(type(error)):
                    self._save(pixels, target, overwrite=True, progress=progress, block_bytes=1, **options)
                assert content.items() <= snapshot(folder).items()
                assert set(os.listdir(folder)) == (kept if part else outputs)
                self._save(pixels, target, overwrite=True, resume=resume, block_bytes=1, **options)
                assert snapshot(folder) == expected
                place_snapshot(folder, content)
            place_snapshot(folder, {})

    def _target(self, folder: Path, pixels: NDArray[Any], options: Mapping[str, Any]) -> Target:
        """What the format makes of a name; skips the test where galvo does not write it."""
        entry = REGISTRY.get(self.format_name)
        if entry.sink is None:
            pytest.skip(f"galvo does not write {self.format_name}")
        name = self.output_name or f"out{entry.suffixes[0]}"
        return self._sink(entry, options).target(str(folder / name), galvo.Recording.from_array(pixels))

    def _sink(self, entry: Format, options: Mapping[str, Any]) -> Sink:
        if entry.sink is None:
            pytest.skip(f"galvo does not write {self.format_name}")
        own = {name: value for name, value in options.items() if name != "split_channels"}
        return new_sink(entry.sink, own, bool(options.get("split_channels")))

    def writes(self, dtype: str, options: Mapping[str, Any]) -> bool:
        """Whether pixels of a type can be written with these options; formats override it."""
        return True

    def _shown(self, pixels: NDArray[Any], target: Target, options: Mapping[str, Any]) -> NDArray[Any]:
        """What the output has to show: the pixels themselves, unless the options are lossy."""
        entry = REGISTRY.get(self.format_name)
        if entry.sink is None:
            return pixels
        recording, sink = galvo.Recording.from_array(pixels), self._sink(entry, options)
        (whole,) = block_selections(recording.shape, 1, recording.nbytes)
        sink.target(target.final, recording)
        sink.prepare(WritePlan(recording=recording, blocks=(whole,)))
        return sink.shown(whole, recording[...])

    def _movie(self, shape: tuple[int, ...], dtype: str | None = None) -> NDArray[Any]:
        """Noise in the type and the axes that the format takes."""
        pixels = movie(shape, self.written_dtype if dtype is None else dtype)
        if self.written_axes == "TYX":
            return pixels.reshape(-1, 1, 1, *shape[3:])
        return pixels

    def _save(self, pixels: Any, target: Target, **options: Any) -> Any:
        return galvo.save(pixels, target.final, format=self.format_name, **options)

    def test_resumed_with_something_else(self, tmp_path: Path) -> None:
        """Another source or another block size is refused; what was kept can still be resumed."""
        pixels, options = self._movie(_SMALL), self.write_options[0]
        target = self._target(tmp_path, pixels, options)

        def progress(done: int, total: int) -> None:
            if done:
                raise _CallbackError

        with pytest.raises(_CallbackError):
            self._save(pixels, target, progress=progress, block_bytes=1, **options)
        for other, block_bytes in ((pixels + 1, 1), (pixels[:2], 1), (pixels, 1 << 30)):
            with pytest.raises(WriteError, match="another source or with other options"):
                self._save(other, target, resume=True, block_bytes=block_bytes, **options)
        self._save(pixels, target, resume=True, block_bytes=1, verify=True, **options)
        same_pixels(galvo.load(target.places[0], squeeze=False), pixels)

    def test_written_by_two(self, tmp_path: Path) -> None:
        """The second writer of an output is refused, and the first does not notice."""
        pixels, options = self._movie(_SMALL), self.write_options[0]
        target = self._target(tmp_path, pixels, options)

        def progress(done: int, total: int) -> None:
            for resume in (False, True):
                with pytest.raises(WriteError, match="another process is writing"):
                    self._save(pixels + 1, target, resume=resume, block_bytes=1, **options)

        self._save(pixels, target, progress=progress, block_bytes=1, **options)
        same_pixels(galvo.load(target.places[0], squeeze=False), pixels)
        assert sorted(os.listdir(tmp_path)) == sorted(map(os.path.basename, target.places))

    def test_written_by_another_meanwhile(self, tmp_path: Path) -> None:
        """An output that was not there when the writing began is not replaced, but what was written is kept."""
        pixels, options = self._movie(_SMALL), self.write_options[0]
        target = self._target(tmp_path, pixels, options)
        elsewhere = self._target(tmp_path / "other", pixels, options)
        (tmp_path / "other").mkdir()
        self._save(pixels + 1, elsewhere, **options)

        def progress(done: int, total: int) -> None:
            if not any(map(os.path.lexists, target.places)):
                for place, made in zip(target.places, elsewhere.places, strict=True):
                    os.rename(made, place)

        with pytest.raises(WriteError, match="exists"):
            self._save(pixels, target, progress=progress, block_bytes=1, **options)
        same_pixels(galvo.load(target.places[0], squeeze=False), pixels + 1)
        self._save(pixels, target, resume=True, overwrite=True, block_bytes=1, **options)
        same_pixels(galvo.load(target.places[0], squeeze=False), pixels)

    # ---- every operation --------------------------------------------------------------------------------------------

    @pytest.fixture
    def scratch(self, tmp_path: Path) -> Iterator[Path]:
        """An empty folder for trials."""
        with scratch_folder(tmp_path) as folder:
            yield folder

    def _trial(self, tmp_path: Path, shape: tuple[int, ...], options: Mapping[str, Any], old: bool = True) -> Trial:
        pixels = self._movie(shape)
        target = self._target(tmp_path / "trial", pixels, options)
        before: dict[str, bytes] = {}
        if old:
            (tmp_path / "old").mkdir(exist_ok=True)
            self._save(self._movie((1, shape[1], 1, 4, 4)), self._target(tmp_path / "old", pixels, options), **options)
            before = snapshot(str(tmp_path / "old"))
            place_snapshot(str(tmp_path / "old"), {})

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

        return Trial(tmp_path / "trial", target, write, before)

    @needs_fork
    def test_killed_at_every_operation(self, scratch: Path) -> None:
        """Old or complete, and what was committed is resumed to the same bytes."""
        trial = self._trial(scratch, _SMALLEST, self.write_options[0])
        _all(trial.kill_at, range(0, len(trial.operations) + 1, self.every))

    @needs_fork
    def test_killed_at_random(self, scratch: Path) -> None:
        """As before, at ten moments of a longer run."""
        self._kill_at_random(scratch, 10 // self.every, seed=0)

    def test_failing_at_every_operation(self, scratch: Path) -> None:
        """A full disk and a broken one are told, nothing leaks, and the next attempt succeeds."""
        trial = self._trial(scratch, _SMALLEST, self.write_options[0])
        for code, lasting in ((errno.ENOSPC, True), (errno.EIO, False)):
            places = range(0, len(trial.operations), self.every)
            _all(lambda number: trial.fail_at(number, code, lasting), places)  # noqa: B023

    def test_short_writes(self, scratch: Path) -> None:
        """A write that takes only half of its bytes is not an error."""
        trial = self._trial(scratch, _SMALLEST, self.write_options[0], old=False)
        _all(lambda number: _harmless(trial, number), range(0, len(trial.operations), 4))

    def test_power_cuts(self, scratch: Path) -> None:
        """What a power cut leaves is old or complete, and resumable from the last commit."""
        self._trial(scratch, _SMALLEST, self.write_options[0]).cut_power(150)

    @needs_fork
    @pytest.mark.harden
    def test_killed_at_every_operation_of_more(self, scratch: Path) -> None:
        """As above, more blocks, torn writes, beginning again over what was left; at half with other options."""
        for number, options in enumerate(self.write_options):
            trial = self._trial(scratch, _SMALL, options, old=number % 2 == 0)
            everywhere: Sequence[int] = range(len(trial.operations) + 1)
            if number == 0 and self.every == 1:
                _all(trial.kill_at, everywhere)
                # elsewhere that would be the same once more
                everywhere = [n for n in everywhere[:-1] if trial.operations[n] == "write" or n % 4 == 3]
            elif number:
                everywhere = everywhere[number % 2 :: 2]
            _all(lambda place: trial.kill_at(place, torn=True, anew=place % 4 == 3), everywhere)  # noqa: B023
            trial.close()

    @needs_fork
    @pytest.mark.harden
    def test_killed_at_random_often(self, scratch: Path) -> None:
        """As above, 200 times."""
        self._kill_at_random(scratch, 200 // self.every, seed=1)

    @pytest.mark.harden
    def test_failing_at_every_operation_of_more(self, scratch: Path) -> None:
        """As above, with more errors and all options."""
        usual = ((errno.ENOSPC, True), (errno.EIO, False))
        rare = ((errno.ENOSPC, False), (errno.EINTR, False), (errno.EDQUOT, True))
        for index, options in enumerate(self.write_options):
            trial = self._trial(scratch, _SMALLEST, options)
            everywhere = range(len(trial.operations))
            writes = [number for number in everywhere if trial.operations[number] == "write"]
            if index == 0 and self.every == 1:
                for error in usual:
                    _all(lambda number: trial.fail_at(number, *error), everywhere)  # noqa: B023
                _all(lambda number: trial.fail_at(number, *rare[number % 3]), everywhere)  # noqa: B023
                _all(lambda number: _harmless(trial, number), writes)  # noqa: B023
            else:
                _all(lambda number: trial.fail_at(number, *usual[(number + index) % 2]), everywhere)  # noqa: B023
                _all(lambda number: _harmless(trial, number), writes[index % 3 :: 3])  # noqa: B023
            trial.close()

    @needs_fork
    @pytest.mark.harden
    def test_power_cuts_of_more(self, scratch: Path) -> None:
        """As above, with all options, more blocks, more states, and over what an earlier attempt left."""
        for number, options in enumerate(self.write_options):
            trial = self._trial(scratch, _SMALL, options, old=number % 2 == 0)
            count = self.power_cut_count // self.every
            trial.cut_power(count * 2 // 3 // len(self.write_options), seed=number)
            for leftovers in ("own", "another's") if number == 0 else ():
                trial.cut_power(count // 6, seed=number, leftovers=leftovers)
            trial.close()

    def _kill_at_random(self, scratch: Path, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        trial = self._trial(scratch, _BIGGER, self.write_options[0])
        seconds = 0.005
        while trial.kill_after(seconds):
            seconds *= 1.5
        alive = 0
        for _ in range(count):
            lived = trial.kill_after(float(rng.uniform(0, seconds)), anew=bool(rng.integers(2)))
            alive += lived
            # however busy the machine is, about two of three should still be writing
            seconds *= 1.05 if lived else 0.9
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


def movie(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Noise of that shape and type."""
    pixels = np.random.default_rng(len(dtype) + sum(shape)).integers(-120 if dtype[-2] != "u" else 0, 127, shape)
    return pixels.astype(dtype)
