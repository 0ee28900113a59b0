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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
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
from galvo.errors import GalvoError, WriteError
from galvo.formats import REGISTRY
from galvo.testing.case import (
    LIMITS,
    Case,
    changed_copies,
    check_survival,
    fact,
    in_native_order,
    outer_product,
    random_key,
    read_damaged,
    same_pixels,
    same_value,
    strange_frame,
)
from galvo.testing.conformance_writing import WritingConformance
from galvo.testing.faults import cuts, mutations
from galvo.testing.power import place_snapshot, snapshot

__all__ = ["Case", "FormatConformance"]

_SHAPES = ((1, 1, 1, 1, 1), (1, 1, 1, 5, 7), (9, 1, 1, 11, 13), (3, 2, 4, 6, 5), (5, 3, 1, 8, 8), (300, 1, 1, 2, 3))


class _Times:
    """Uneven times that no rate gives."""

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        return {"timestamp_s": t / 7 + t % 3 / 100}


class FormatConformance(WritingConformance):
    """Tests that a format inherits.

    Attributes
    ----------
    format_name : str
    has_signature : bool
        Whether the bytes alone tell the format.
    mutation_count : int
        Changes per case.
    hardened_count : int
        Changes in all under the marker `harden`.
    write_options : sequence of mapping
        Sets of options to write with.
    write_dtypes : sequence of str
    kept_metadata : sequence of str
        What of `channel_names frame_rate_hz pixel_size_um z_um start_time timestamps` a written file keeps.
    stores_checksums : bool
        Whether `galvo.verify` finds changed pixels in what was written.
    """

    has_signature: ClassVar[bool] = True
    mutation_count: ClassVar[int] = 60
    hardened_count: ClassVar[int] = 4000
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
                same_pixels(recording[...], case.pixels)
                assert recording.shape == case.pixels.shape
                assert recording.dtype == case.pixels.dtype.newbyteorder("=")
                assert recording.metadata.format == self.format_name
                assert len(recording.channel_names) in (0, recording.shape[1])
                for name, value in case.metadata.items():
                    same_value(name, fact(recording, name), value)
                table = recording.frame_table()
                assert table.shape == (recording.shape[0] * recording.shape[1] * recording.shape[2],)

    def test_selections(self, tmp_path: Path) -> None:
        """What NumPy gives for an outer product over the axes, direct and through `isel`."""
        rng = np.random.default_rng(0)
        for case in self.cases(tmp_path):
            with case.open() as recording:
                for _ in range(30):
                    keys = [random_key(rng, length) for length in recording.shape]
                    same_pixels(recording[tuple(keys)], outer_product(case.pixels, keys))
                    first, second = slice(len(recording) // 3, None), slice(None, None, -2)
                    part = recording.isel(t=first, y=second)
                    expected = case.pixels[first][:, :, :, second]
                    keys = [random_key(rng, length) for length in part.shape]
                    same_pixels(part[tuple(keys)], outer_product(expected, keys))

    def test_blocks(self, tmp_path: Path) -> None:
        """Blocks of any size hold the whole."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                for max_bytes in (1, recording.nbytes // 3 + 1, recording.nbytes):
                    joined = np.empty(recording.shape, recording.dtype)
                    for index, pixels in recording.blocks(max_bytes):
                        joined[index] = pixels
                    same_pixels(joined, case.pixels)

    # ---- threads, processes, life ---------------------------------------------------------------------------------

    def test_threads(self, tmp_path: Path) -> None:
        """Eight threads share one recording."""
        for case in self.cases(tmp_path):
            with case.open() as recording, ThreadPoolExecutor(8) as pool:
                times = [t % len(recording) for t in range(64)]
                for t, frames in zip(times, pool.map(recording.__getitem__, times), strict=True):
                    same_pixels(frames, case.pixels[t])

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
    def test_forked(self, tmp_path: Path) -> None:
        """A forked child reads the same, and so does its parent afterwards."""
        for case in self.cases(tmp_path):
            with case.open() as recording:
                same_pixels(recording[0], case.pixels[0])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        code = 0 if recording[...].tobytes() == in_native_order(case.pixels).tobytes() else 2
                    finally:
                        os._exit(code)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
                same_pixels(recording[...], case.pixels)

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
            same_pixels(recording[0], case.pixels[0])
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
        self._mutate(tmp_path, list(self.cases(tmp_path)), self.mutation_count, seed=0)

    @pytest.mark.harden
    def test_truncated_everywhere(self, tmp_path: Path) -> None:
        """As `test_truncated`, at many more places."""
        self._truncate(tmp_path, 150)

    @pytest.mark.harden
    def test_mutated_often(self, tmp_path: Path) -> None:
        """As `test_mutated`, with many more changes."""
        cases = list(self.cases(tmp_path))
        self._mutate(tmp_path, cases, -(-self.hardened_count // len(cases)), seed=1)

    def _truncate(self, tmp_path: Path, count: int) -> None:
        for number, case in enumerate(self.cases(tmp_path)):
            content = case.paths[0].read_bytes()
            paths = changed_copies(case, tmp_path / f"cut{number}")
            expected = in_native_order(case.pixels)
            for size in cuts(content, count, number, case.boundaries):
                paths[0].write_bytes(content[:size])
                for mode in ("raise", "report"):
                    place = f"case {number} cut to {size} of {len(content)} bytes, damaged={mode}"
                    outcome = read_damaged(case, paths, place, mode)
                    if outcome.error is not None:
                        continue
                    assert outcome.dtype == expected.dtype, place
                    assert outcome.shape[1:] == expected.shape[1:], place
                    assert outcome.shape[0] <= len(expected), place
                    assert outcome.told or outcome.shape[0] == len(expected), f"{place}: frames are missing silently"
                    strange = strange_frame(outcome, expected)
                    assert strange is None, f"{place}: other pixels at t={strange}"

    def _mutate(self, tmp_path: Path, cases: Sequence[Case], count: int, seed: int) -> None:
        failures = []
        for number, case in enumerate(cases):
            content = case.paths[0].read_bytes()
            paths = changed_copies(case, tmp_path / f"changed{number}")
            for mutation in mutations(content, count, seed, case.boundaries):
                paths[0].write_bytes(mutation.apply(content))
                try:
                    check_survival(case, paths, mutation, f"case {number}, {mutation.data.hex()} at {mutation.offset}")
                except AssertionError as error:
                    failures.append(str(error))
        assert not failures, f"{len(failures)} changes:\n" + "\n".join(failures[:20])

    # ---- writing --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("shape", _SHAPES)
    def test_round_trip_of_shapes(self, tmp_path: Path, shape: tuple[int, ...]) -> None:
        """Frames, channels, planes and sizes of every kind come back."""
        self._round_trip(tmp_path, self._movie(shape))

    def test_round_trip_of_types(self, tmp_path: Path) -> None:
        """Every pixel type comes back, in the byte order of the machine; arrays need not be contiguous."""
        for dtype in self.write_dtypes:
            self._round_trip(tmp_path, self._movie((4, 2, 3, 7, 6), dtype))
        self._round_trip(tmp_path, self._movie((4, 2, 3, 7, 12))[::-1, ..., ::2])

    def _round_trip(self, tmp_path: Path, pixels: NDArray[Any]) -> None:
        for options in self.write_options:
            if not self.writes(pixels.dtype.str, options):
                continue
            target = self._target(tmp_path, pixels, options)
            path, expected = target.places[0], self._shown(pixels, target, options)
            for block_bytes in (1, 1 << 20):
                result = self._save(pixels, target, overwrite=True, verify=True, block_bytes=block_bytes, **options)
                nbytes = sum(map(len, snapshot(str(tmp_path)).values()))
                assert result.format == self.format_name
                assert result.file_bytes == nbytes <= result.estimated_bytes
                same_pixels(galvo.load(path, squeeze=False), expected)
                assert galvo.verify(path).ok
            place_snapshot(str(tmp_path), {})

    def test_metadata_is_kept(self, tmp_path: Path) -> None:
        """What is known of a recording is known of its copy; what is unknown stays unknown."""
        pixels = self._movie((6, 2, 3, 5, 4))
        known = Metadata(
            format="array",
            channel_names=("green µ", "channel 2")[: pixels.shape[1]],
            frame_rate_hz=29.97,
            pixel_size_um=(0.5, 0.25),
            z_um=(-3.5, 0.0, 4.25)[: pixels.shape[2]],
            start_time="2026-01-02T03:04:05.678",
        )
        for options in self.write_options:
            target = self._target(tmp_path, pixels, options)
            for metadata, facts in ((known, _Times()), (Metadata(format="array"), None)):
                recording = Recording(ArrayReader(pixels), metadata, facts=facts)
                self._save(recording, target, overwrite=True, **options)
                with galvo.open(target.places[0]) as copy:
                    for name in self.kept_metadata:
                        same_value(name, fact(copy, name), fact(recording, name))

    def test_outputs_that_are_refused(self, tmp_path: Path) -> None:
        """An existing output, an output that is its own input, a folder; nothing changes on the disk."""
        pixels, options = self._movie((3, 1, 1, 4, 4)), self.write_options[0]
        target = self._target(tmp_path, pixels, options)
        self._save(pixels, target, **options)
        path, final = Path(target.places[0]), Path(target.final)
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "something else").write_bytes(b"")
        wrong = [
            (pixels, final, False),
            (path, final, True),
            (path, tmp_path / "folder" / ".." / final.name, True),
            (path, tmp_path / "none" / final.name, True),
        ]
        if target.places == (target.final,):
            wrong.append((path, tmp_path / "folder", True))
        if target.files == (target.final,):
            link = tmp_path / f"link{path.suffix}"
            os.link(path, link)
            wrong.append((path, link, True))
        content = snapshot(str(tmp_path))
        for source, output, overwrite in wrong:
            with pytest.raises(WriteError):
                galvo.convert(source, output, format=self.format_name, overwrite=overwrite, **options)
        galvo.convert(path, tmp_path / f"dry{final.suffix}", format=self.format_name, dry_run=True, **options)
        assert snapshot(str(tmp_path)) == content

    def test_verify_finds_changed_pixels(self, tmp_path: Path) -> None:
        """No flipped bit changes pixels unnoticed."""
        if not self.stores_checksums:
            pytest.skip(f"{self.format_name} stores no checksums")
        pixels = self._movie((12, 2, 1, 24, 24))
        for options in self.write_options:
            target = self._target(tmp_path, pixels, options)
            path, expected = target.places[0], self._shown(pixels, target, options).tobytes()
            self._save(pixels, target, overwrite=True, **options)
            content = snapshot(str(tmp_path))
            rng = np.random.default_rng(1)
            names = sorted(content)
            weights = np.array([len(content[name]) for name in names], float)
            changed = 0
            for name in rng.choice(names, 150, p=weights / weights.sum()):
                damaged = bytearray(content[name])
                bit = int(rng.integers(0, len(damaged) * 8))
                damaged[bit // 8] ^= 1 << bit % 8
                place_snapshot(str(tmp_path), {**content, name: bytes(damaged)})
                try:
                    same = galvo.load(path, squeeze=False, limits=LIMITS).tobytes() == expected
                    found = not galvo.verify(path, limits=LIMITS).ok
                except GalvoError:
                    found, same = True, False
                changed += found
                assert found or same, f"bit {bit} of {name} changed pixels and verify did not notice ({options})"
            assert changed, "no flipped bit met anything that matters"
            place_snapshot(str(tmp_path), {})
