"""The suite that every format passes, galvo's own and those of other packages.

A test module subclasses `FormatConformance`, names the format and builds files whose content it knows::

    from galvo.testing.conformance import Case, FormatConformance

    class TestDummy(FormatConformance):
        format_name = "dummy"

        def cases(self, tmp_path):
            ...
            yield Case(paths=[path], pixels=pixels, metadata={"frame_rate_hz": 30.0})

Needs pytest, which this module imports; nothing else in galvo does. Tests marked `harden` repeat the damage with many
more changes (register the marker; deselect it with ``-m "not harden"``).
"""

from __future__ import annotations

import gc
import os
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

import galvo
from galvo.core.array import ArrayReader
from galvo.core.index import Int64
from galvo.core.metadata import Metadata
from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.errors import GalvoError, GalvoWarning, WriteError
from galvo.formats import REGISTRY
from galvo.limits import Limits
from galvo.testing.faults import WRITE_FAULTS, Mutation, bounded, cuts, mutations

__all__ = ["Case", "FormatConformance"]

_LIMITS = Limits(frame_bytes=16 << 20, page_count=200_000, text_bytes=16 << 20, chunk_bytes=16 << 20)
_READ_BYTES = 64 << 20
_SHAPES = ((1, 1, 1, 1, 1), (1, 1, 1, 5, 7), (9, 1, 1, 11, 13), (3, 2, 4, 6, 5), (5, 3, 1, 8, 8), (300, 1, 1, 2, 3))


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
    boundaries: Sequence[int] = ()
    frame_bytes: Sequence[range] = ()

    def open(self, paths: Sequence[Path] | None = None, **options: Any) -> Recording:
        """The recording, of the files themselves or of changed copies of them."""
        paths = self.paths if paths is None else paths
        source: Any = [str(path) for path in paths] if self.as_list else str(paths[0])
        return galvo.open(source, **{**self.options, **options})


@dataclass(slots=True)
class _Outcome:
    """What became of damaged files: an error, or frames by T (None where one could not be read)."""

    error: GalvoError | None = None
    shape: tuple[int, ...] = ()
    dtype: Any = None
    frames: list[NDArray[Any] | None] = field(default_factory=list)
    told: bool = False


class _Times:
    """Uneven times that no rate gives."""

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        return {"timestamp_s": t / 7 + t % 3 / 100}


class FormatConformance:
    """Tests that a format inherits.

    Attributes
    ----------
    format_name : str
    has_signature : bool
        Whether the bytes alone tell the format.
    mutation_count, hardened_count : int
        Changes per case by default, and under the marker `harden`.
    write_options : sequence of mapping
        Sets of options to write with.
    write_dtypes : sequence of str
    kept_metadata : sequence of str
        What of `channel_names frame_rate_hz pixel_size_um z_um start_time timestamps` a written file keeps.
    stores_checksums : bool
        Whether `galvo.verify` finds changed pixels in what was written.
    """

    format_name: ClassVar[str]
    has_signature: ClassVar[bool] = True
    mutation_count: ClassVar[int] = 60
    hardened_count: ClassVar[int] = 3000
    write_options: ClassVar[Sequence[Mapping[str, Any]]] = ({},)
    write_dtypes: ClassVar[Sequence[str]] = ("u1", "i1", "<u2", ">i2", "<i4", "<f4", ">f8")
    kept_metadata: ClassVar[Sequence[str]] = (
        "channel_names",
        "frame_rate_hz",
        "pixel_size_um",
        "z_um",
        "start_time",
        "timestamps",
    )
    stores_checksums: ClassVar[bool] = True

    def cases(self, tmp_path: Path) -> Iterable[Case]:
        """Files to open, built in folders below `tmp_path`."""
        raise NotImplementedError

    # ---- detecting and opening ------------------------------------------------------------------------------------

    def test_detected(self, tmp_path: Path) -> None:
        """Exactly this format claims each file, by its name and, where it has a signature, by its bytes alone."""
        for number, case in enumerate(self.cases(tmp_path)):
            for path in case.paths:
                assert REGISTRY.detect(str(path)).name == self.format_name, path
            if self.has_signature:
                bare = tmp_path / f"bare{number}"
                shutil.copy(case.paths[0], bare)
                assert REGISTRY.detect(str(bare)).name == self.format_name

    def test_opening_reads_no_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Opening, describing and selecting never ask the reader for pixels."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                kind = type(recording._reader)

            def read(*arguments: Any) -> None:
                raise AssertionError("pixels were read")

            with monkeypatch.context() as patch:
                patch.setattr(kind, "read", read)
                patch.setattr(IndexedReader, "read", read)
                with case.open() as recording:
                    repr(recording.isel(t=0).metadata)
                    recording.frame_table()

    def test_content(self, tmp_path: Path) -> None:
        """Shape, type, metadata and every pixel."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                _same_pixels(recording[...], case.pixels)
                assert recording.shape == case.pixels.shape
                assert recording.dtype == case.pixels.dtype.newbyteorder("=")
                assert recording.metadata.format == self.format_name
                assert len(recording.channel_names) in (0, recording.shape[1])
                for name, value in case.metadata.items():
                    _same_value(name, _fact(recording, name), value)
                table = recording.frame_table()
                assert table.shape == (recording.shape[0] * recording.shape[1] * recording.shape[2],)

    def test_selections(self, tmp_path: Path) -> None:
        """What NumPy gives for an outer product over the axes, direct and through `isel`."""
        rng = np.random.default_rng(0)
        for case in self.cases(tmp_path):
            with case.open() as recording:
                for _ in range(30):
                    keys = [_random_key(rng, length) for length in recording.shape]
                    _same_pixels(recording[tuple(keys)], _outer(case.pixels, keys))
                    first, second = slice(len(recording) // 3, None), slice(None, None, -2)
                    part = recording.isel(t=first, y=second)
                    expected = case.pixels[first][:, :, :, second]
                    keys = [_random_key(rng, length) for length in part.shape]
                    _same_pixels(part[tuple(keys)], _outer(expected, keys))

    def test_blocks(self, tmp_path: Path) -> None:
        """Blocks of any size hold the whole."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                for max_bytes in (1, recording.nbytes // 3 + 1, recording.nbytes):
                    joined = np.empty(recording.shape, recording.dtype)
                    for index, pixels in recording.blocks(max_bytes):
                        joined[index] = pixels
                    _same_pixels(joined, case.pixels)

    # ---- threads, processes, life ---------------------------------------------------------------------------------

    def test_threads(self, tmp_path: Path) -> None:
        """Eight threads share one recording."""
        for case in self.cases(tmp_path):
            with case.open() as recording, ThreadPoolExecutor(8) as pool:
                times = [t % len(recording) for t in range(64)]
                for t, frames in zip(times, pool.map(recording.__getitem__, times), strict=True):
                    _same_pixels(frames, case.pixels[t])

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_forked(self, tmp_path: Path) -> None:
        """A forked child reads the same, and so does its parent afterwards."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                _same_pixels(recording[0], case.pixels[0])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        code = 0 if recording[...].tobytes() == _native(case.pixels).tobytes() else 2
                    finally:
                        os._exit(code)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                _same_pixels(recording[...], case.pixels)

    def test_pickled_into_fresh_processes(self, tmp_path: Path) -> None:
        """A spawned process reads the same from a pickle, of the whole and of a part."""
        code = (
            "import pickle, sys, hashlib\n"
            "sys.path[:], parts = pickle.load(sys.stdin.buffer), pickle.load(sys.stdin.buffer)\n"
            "for part in parts:\n"
            "    with part: print(part.shape, hashlib.sha256(part[...].tobytes()).hexdigest())\n"
        )
        parts: list[Recording] = []
        for case in self.cases(tmp_path):
            recording = case.open()
            parts += [recording, recording.isel(t=slice(None, None, -2), x=slice(1, None))]
        data = pickle.dumps(sys.path) + pickle.dumps(parts)
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(
            [sys.executable, "-c", code], input=data, capture_output=True, env=environment, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr.decode()
        expected = [f"{part.shape} {sha256(part[...].tobytes()).hexdigest()}" for part in parts]
        assert done.stdout.decode().split("\n")[:-1] == expected
        for part in parts:
            part.close()

    @pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts descriptors in /proc")
    def test_closing(self, tmp_path: Path) -> None:
        """No descriptors are left, and reading afterwards is a galvo error."""
        for case in self.cases(tmp_path):
            gc.collect()
            before = sorted(os.listdir("/proc/self/fd"))
            recording = case.open()
            _same_pixels(recording[0], case.pixels[0])
            recording.close()
            recording.close()
            assert sorted(os.listdir("/proc/self/fd")) == before
            with pytest.raises(GalvoError):
                recording[...]
            case.open()[0]
            gc.collect()
            assert sorted(os.listdir("/proc/self/fd")) == before

    # ---- damage ---------------------------------------------------------------------------------------------------

    def test_truncated(self, tmp_path: Path) -> None:
        """A file that is cut gives an error, or what is there and word of what is not; never other pixels."""
        self._truncate(tmp_path, 25)

    def test_mutated(self, tmp_path: Path) -> None:
        """A file with changed bytes gives galvo errors or an array; nothing foreign, no crash, no hang."""
        self._mutate(tmp_path, self.mutation_count, seed=0)

    @pytest.mark.harden
    def test_truncated_everywhere(self, tmp_path: Path) -> None:
        """As `test_truncated`, at many more places."""
        self._truncate(tmp_path, self.hardened_count // 10)

    @pytest.mark.harden
    @pytest.mark.parametrize("seed", range(1, 5))
    def test_mutated_often(self, tmp_path: Path, seed: int) -> None:
        """As `test_mutated`, with many more changes."""
        self._mutate(tmp_path, self.hardened_count, seed)

    def _truncate(self, tmp_path: Path, count: int) -> None:
        for number, case in enumerate(self.cases(tmp_path)):
            content = case.paths[0].read_bytes()
            paths = _copies(case, tmp_path / f"cut{number}")
            expected = _native(case.pixels)
            for size in cuts(content, count, number, case.boundaries):
                paths[0].write_bytes(content[:size])
                for mode in ("raise", "report"):
                    place = f"case {number} cut to {size} of {len(content)} bytes, damaged={mode}"
                    outcome = _read_damaged(case, paths, place, mode)
                    if outcome.error is not None:
                        continue
                    assert outcome.dtype == expected.dtype, place
                    assert outcome.shape[1:] == expected.shape[1:], place
                    assert outcome.shape[0] <= len(expected), place
                    assert outcome.told or outcome.shape[0] == len(expected), f"{place}: frames are missing silently"
                    strange = _strange_frame(outcome, expected)
                    assert strange is None, f"{place}: other pixels at t={strange}"

    def _mutate(self, tmp_path: Path, count: int, seed: int) -> None:
        failures = []
        for number, case in enumerate(self.cases(tmp_path)):
            content = case.paths[0].read_bytes()
            paths = _copies(case, tmp_path / f"changed{number}")
            for mutation in mutations(content, count, seed, case.boundaries):
                paths[0].write_bytes(mutation.apply(content))
                try:
                    _survives(case, paths, mutation, f"case {number}, {mutation.data.hex()} at {mutation.offset}")
                except AssertionError as error:
                    failures.append(str(error))
        assert not failures, f"{len(failures)} changes:\n" + "\n".join(failures[:20])

    # ---- writing --------------------------------------------------------------------------------------------------

    def _suffix(self) -> str:
        entry = REGISTRY.get(self.format_name)
        if entry.sink is None:
            pytest.skip(f"galvo does not write {self.format_name}")
        return entry.suffixes[0]

    @pytest.mark.parametrize("shape", _SHAPES)
    def test_round_trip_of_shapes(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        """Frames, channels, planes and sizes of every kind come back."""
        self._round_trip(tmp_path, _movie(shape, "<i2"))

    def test_round_trip_of_types(self, tmp_path: Path) -> None:
        """Every pixel type comes back, in the byte order of the machine; arrays need not be contiguous."""
        for dtype in self.write_dtypes:
            self._round_trip(tmp_path, _movie((4, 2, 3, 7, 6), dtype))
        self._round_trip(tmp_path, _movie((4, 2, 3, 7, 12), "<i2")[::-1, ..., ::2])

    def _round_trip(self, tmp_path: Path, pixels: NDArray[Any]) -> None:
        path = tmp_path / f"out{self._suffix()}"
        for options in self.write_options:
            for block_bytes in (1, 1 << 20):
                result = galvo.save(
                    Recording.from_array(pixels), path, overwrite=True, verify=True, block_bytes=block_bytes, **options
                )
                assert result.format == self.format_name
                assert result.file_bytes == path.stat().st_size <= result.estimated_bytes
                _same_pixels(galvo.load(path, squeeze=False), pixels)
                assert galvo.verify(path).ok

    def test_metadata_is_kept(self, tmp_path: Path) -> None:
        """What is known of a recording is known of its copy; what is unknown stays unknown."""
        path = tmp_path / f"out{self._suffix()}"
        pixels = _movie((6, 2, 3, 5, 4), "<u2")
        known = Metadata(
            format="array",
            channel_names=("green µ", "channel 2"),
            frame_rate_hz=29.97,
            pixel_size_um=(0.5, 0.25),
            z_um=(-3.5, 0.0, 4.25),
            start_time="2026-01-02T03:04:05.678",
        )
        for options in self.write_options:
            for metadata, facts in ((known, _Times()), (Metadata(format="array"), None)):
                recording = Recording(ArrayReader(pixels), metadata, facts=facts)
                galvo.save(recording, path, overwrite=True, **options)
                with galvo.open(path) as copy:
                    for name in self.kept_metadata:
                        _same_value(name, _fact(copy, name), _fact(recording, name))

    def test_outputs_that_are_refused(self, tmp_path: Path) -> None:
        """An existing output, an output that is its own input, a folder; nothing changes on the disk."""
        path = tmp_path / f"out{self._suffix()}"
        pixels = _movie((3, 1, 1, 4, 4), "<i2")
        galvo.save(pixels, path)
        content = path.read_bytes()
        (tmp_path / "folder").mkdir()
        link = tmp_path / f"link{path.suffix}"
        os.link(path, link)
        for source, output, overwrite in (
            (pixels, path, False),
            (path, path, True),
            (path, tmp_path / "folder" / ".." / path.name, True),
            (path, link, True),
            (path, tmp_path / "folder", True),
            (path, tmp_path / "none" / path.name, True),
        ):
            with pytest.raises(WriteError):
                galvo.convert(source, output, format=self.format_name, overwrite=overwrite)
        assert path.read_bytes() == content
        galvo.convert(path, tmp_path / f"dry{path.suffix}", dry_run=True)
        assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted(["folder", link.name, path.name])

    @pytest.mark.parametrize("fault", WRITE_FAULTS)
    def test_writing_that_fails(self, tmp_path: Path, fault: str) -> None:
        """The old file stays as it was, no partial one is left, and the next attempt succeeds."""
        path = tmp_path / f"out{self._suffix()}"
        old, new = _movie((3, 1, 1, 4, 4), "<i2"), _movie((40, 2, 1, 16, 16), "<i2")
        for options in self.write_options:
            galvo.save(new, path, overwrite=True, **options)
            nbytes = path.stat().st_size
            galvo.save(old, path, overwrite=True, **options)
            content = path.read_bytes()
            for part in (0.0, 0.3, 0.7, 1.0):
                with WRITE_FAULTS[fault].inject(part, nbytes) as progress, pytest.raises(WRITE_FAULTS[fault].error):
                    galvo.save(new, path, overwrite=True, progress=progress, block_bytes=8192, **options)
                assert path.read_bytes() == content
                assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
            galvo.save(new, path, overwrite=True, **options)
            _same_pixels(galvo.load(path, squeeze=False), new)

    def test_verify_finds_changed_pixels(self, tmp_path: Path) -> None:
        """No flipped bit changes pixels unnoticed."""
        path = tmp_path / f"out{self._suffix()}"
        if not self.stores_checksums:
            pytest.skip(f"{self.format_name} stores no checksums")
        pixels = _movie((12, 2, 1, 24, 24), "<i2")
        for options in self.write_options:
            galvo.save(pixels, path, overwrite=True, **options)
            content = path.read_bytes()
            rng = np.random.default_rng(1)
            changed = 0
            for bit in rng.integers(0, len(content) * 8, 150).tolist():
                damaged = bytearray(content)
                damaged[bit // 8] ^= 1 << bit % 8
                path.write_bytes(damaged)
                try:
                    same = galvo.load(path, squeeze=False, limits=_LIMITS).tobytes() == pixels.tobytes()
                    found = not galvo.verify(path, limits=_LIMITS).ok
                except GalvoError:
                    found, same = True, False
                changed += found
                assert found or same, f"bit {bit} changed pixels and verify did not notice ({options})"
            assert changed, "no flipped bit met anything that matters"


# ---- comparing ------------------------------------------------------------------------------------------------------


def _native(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("="))


def _same_pixels(got: NDArray[Any], expected: NDArray[Any]) -> None:
    assert got.shape == expected.shape, f"shape {got.shape} instead of {expected.shape}"
    assert got.dtype == expected.dtype.newbyteorder("="), f"{got.dtype} instead of {expected.dtype}"
    if got.tobytes() != _native(expected).tobytes():
        np.testing.assert_array_equal(got, expected)
        raise AssertionError("values are equal, bytes are not")


def _fact(recording: Recording, name: str) -> Any:
    return getattr(recording if hasattr(recording, name) else recording.metadata, name)


def _same_value(name: str, got: Any, expected: Any) -> None:
    if expected is None or isinstance(expected, str | bool):
        assert got == expected, f"{name}: {got!r} instead of {expected!r}"
    elif isinstance(expected, tuple) and all(isinstance(item, str) for item in expected):
        assert tuple(got) == expected, f"{name}: {got!r} instead of {expected!r}"
    else:
        assert got is not None, f"{name} is None instead of {expected!r}"
        np.testing.assert_allclose(got, expected, rtol=1e-9, err_msg=name)


def _random_key(rng: np.random.Generator, length: int) -> Any:
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


def _outer(array: NDArray[Any], keys: Sequence[Any]) -> NDArray[Any]:
    for axis in range(4, -1, -1):
        key = np.array(keys[axis], np.int64) if isinstance(keys[axis], list) else keys[axis]
        array = array[(slice(None),) * axis + (key,)]
    return array


def _movie(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    pixels = np.random.default_rng(len(dtype) + sum(shape)).integers(-120 if dtype[-2] != "u" else 0, 127, shape)
    return pixels.astype(dtype)


def _copies(case: Case, folder: Path) -> list[Path]:
    folder.mkdir()
    return [Path(shutil.copy(path, folder / path.name)) for path in case.paths]


def _read_damaged(case: Case, paths: Sequence[Path], place: str, mode: str) -> _Outcome:
    def work() -> _Outcome:
        outcome = _Outcome()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                with case.open(paths, damaged=mode, limits=_LIMITS) as recording:
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


def _survives(case: Case, paths: Sequence[Path], mutation: Mutation, place: str) -> None:
    """Check that changed files are read without anything foreign, and that frames without a change are as they were."""
    outcome = _read_damaged(case, paths, place, "report" if mutation.offset % 2 else "raise")
    end = mutation.offset + len(mutation.data)
    inside = [k for k, own in enumerate(case.frame_bytes) if own.start <= mutation.offset and end <= own.stop]
    if not inside:
        return
    assert outcome.error is None, f"{place}: the pixels of one frame keep all from opening: {outcome.error}"
    expected = _native(case.pixels)
    for t, frames in enumerate(outcome.frames):
        if frames is not None:
            same = (frames == expected[t]).all(axis=(-1, -2)).ravel()
            changed = {t * same.size + int(k) for k in np.flatnonzero(~same)} - set(inside)
            assert not changed, f"{place}: frames {changed} changed too"


def _strange_frame(outcome: _Outcome, expected: NDArray[Any]) -> int | None:
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


def _examine(recording: Recording, outcome: _Outcome) -> None:
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
