"""Trials of writing: a convert that is disturbed, and what must hold afterwards.

At every moment the final path is absent, or the old file, or the complete new one. What was brought to the disk is
kept, and resuming gives the same bytes as a run that nothing disturbed.
"""

from __future__ import annotations

import errno
import gc
import os
import shutil
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galvo.core import disk
from galvo.core.atomic import journal_path, replaced_path
from galvo.core.journal import Journal
from galvo.core.output import Output
from galvo.core.target import Target
from galvo.core.write import Progress
from galvo.errors import NoSpace, WriteError
from galvo.testing.disk_faults import Disk, FailAt, KillAt
from galvo.testing.power import PowerCut, Recorder, place_snapshot, power_cuts, snapshot

__all__ = ["Trial", "scratch_folder"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_MEMORY = "/dev/shm"
_LEAST_FREE_BYTES = 64 << 20


@contextmanager
def scratch_folder(otherwise: Path) -> Iterator[Path]:
    """An empty folder: in memory where the system has room there, `otherwise` where it has not.

    What is killed, and what fails, is the same on any file system; a sync costs nothing in memory.
    """
    if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _LEAST_FREE_BYTES:
        yield otherwise
        return
    with tempfile.TemporaryDirectory(prefix="galvo-", dir=_MEMORY) as folder:
        yield Path(folder)


class _Unsynced(Disk):
    """Syncs nothing, which does not matter to what a living process sees."""

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        return None if name.startswith("sync") else call(*arguments)


@dataclass
class Trial:
    """A convert to disturb. Its checks raise AssertionError where something does not hold.

    Parameters
    ----------
    folder : Path
        Empty; left so.
    target : Target
        What is written, in that folder.
    write : callable
        Given a destination, whether to resume and a progress callback, writes it, replacing what is there.
    old : dict of str to bytes
        What has the final names before (`power.snapshot`).
    """

    folder: Path
    target: Target
    write: Callable[[Path, bool, Progress], Any]
    old: Mapping[str, bytes] = field(default_factory=dict)
    expected: dict[str, bytes] = field(init=False)
    operations: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._prepare()
        with Disk() as counted:
            self.write(self.path, False, _silent)
        self.expected = self._content()
        self.operations = counted.names
        names = sorted(map(os.path.basename, self.target.places))
        assert sorted(os.listdir(self.folder)) == names, f"left behind: {os.listdir(self.folder)}"
        self._prepare()

    @property
    def path(self) -> Path:
        """The final path."""
        return Path(self.target.final)

    @property
    def _leftovers(self) -> set[str]:
        """Names of what may be kept."""
        return {os.path.basename(name) for name in (*self.target.partials, journal_path(self.target.final))}

    def _prepare(self) -> None:
        place_snapshot(str(self.folder), self.old)

    def _content(self) -> dict[str, bytes]:
        return snapshot(str(self.folder))

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def _is_complete(self, where: str) -> bool:
        """Whether the final paths are the new files; each must be that or as before, a replaced folder aside."""
        content = self._content()
        for place in self.target.places:
            name = os.path.basename(place)
            found, new, old = (_below(files, name) for files in (content, self.expected, self.old))
            if not found:
                found = _below(content, os.path.basename(replaced_path(place)))
            assert found in (new, old), f"{where}: {name} is neither old nor complete"
        return self._has(content, self.expected)

    def _has(self, content: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> bool:
        names = map(os.path.basename, self.target.places)
        return all(_below(content, name) == _below(wanted, name) for name in names)

    def _is_resumed(self, where: str, committed: int, others: bool) -> None:
        """The leftovers give the same bytes, and none of the blocks that were committed is repeated."""
        seen: list[int] = []
        try:
            with _Unsynced():
                self.write(self.path, True, lambda done, total: seen.append(done))
        except Exception as error:
            if others and isinstance(error, WriteError) and "another source" in error.message:
                self._is_written_anew(where)
                return
            raise AssertionError(f"{where}: cannot be resumed: {error!r}") from error
        content = self._content()
        assert self._has(content, self.expected), f"{where}: another result when resumed"
        assert content == self.expected, f"{where}: left behind: {os.listdir(self.folder)}"
        assert seen[0] >= committed, f"{where}: {committed} bytes were committed, {seen[0]} were not repeated"

    def _is_written_anew(self, where: str) -> None:
        with _Unsynced():
            self.write(self.path, False, _silent)
        content = self._content()
        assert self._has(content, self.expected), f"{where}: another result over what was left"
        assert content == self.expected, f"{where}: left behind: {os.listdir(self.folder)}"

    def _goes_on(self, where: str, committed: int, anew: bool, others: bool = False) -> None:
        if self._is_complete(where):
            return
        if anew:
            self._is_written_anew(where)
        else:
            self._is_resumed(where, committed, others)

    # ---- disturbances -----------------------------------------------------------------------------------------------

    def kill_at(self, number: int, torn: bool = False, anew: bool = False) -> None:
        """Kill it at an operation; then resume it, or write it anew."""
        where = f"killed at operation {number}{' in the middle' if torn else ''}"
        self._prepare()
        done = self.folder.with_name(f"{self.folder.name}.done")

        def work() -> None:
            with KillAt(number, torn), done.open("wb", buffering=0) as told:
                self.write(self.path, False, lambda done, total: told.write(f"{done}\n".encode()))

        self._check_child(work, where)
        committed = _last_number(done)
        self._goes_on(where, committed, anew)

    def kill_after(self, seconds: float, anew: bool = False) -> bool:
        """Kill it after a time; whether it still lived."""
        where = f"killed after {seconds * 1e3:.2f} ms"
        self._prepare()
        done = self.folder.with_name(f"{self.folder.name}.done")

        def work() -> None:
            with done.open("wb", buffering=0) as told:
                self.write(self.path, False, lambda done, total: told.write(f"{done}\n".encode()))

        killed = self._check_child(work, where, seconds)
        self._goes_on(where, _last_number(done), anew)
        return killed

    def _check_child(self, work: Callable[[], None], where: str, seconds: float | None = None) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                gc.freeze()
                signal.alarm(30)
                work()
                code = 0
            finally:
                os._exit(code)
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), f"{where}: ended with {status}"
        return status != 0

    def fail_at(self, number: int, code: int, lasting: bool = False) -> bool:
        """An operation fails; whether the caller was told."""
        name = self.operations[number] if number < len(self.operations) else "?"
        where = f"{errno.errorcode[code]} at operation {number} ({name}){' and after' if lasting else ''}"
        told = self._disturb(FailAt(number, code, lasting), where, full=code in _FULL)
        assert told or name in ("unlink", "?"), f"{where}: nothing was told"
        return told

    def disturb(self, fault: Disk, where: str) -> bool:
        """Write it behind a fault that may do no harm; whether the caller was told of one."""
        return self._disturb(fault, where, full=None)

    def _disturb(self, fault: Disk, where: str, full: bool | None) -> bool:
        self._prepare()
        before, threads, seen = _descriptors(), set(threading.enumerate()), [0]
        error: Exception | None = None
        with fault:
            try:
                self.write(self.path, False, lambda done, total: seen.append(done))
            except Exception as caught:  # noqa: BLE001  looked at below
                error = caught
        told = error is not None
        if error is not None:
            assert isinstance(error, WriteError), f"{where}: told as {error!r}"
            assert full is None or isinstance(error, NoSpace) == full, f"{where}: told as {error!r}"
            assert not full or (error.found and error.expected), f"{where}: bytes needed and free are not told"
            # its frames hold what was open
            error.__traceback__ = None
        assert told or self._is_complete(where), f"{where}: nothing was told"
        assert set(threading.enumerate()) <= threads, f"{where}: threads are left"
        if _descriptors() != before:
            gc.collect()
        assert _descriptors() == before, f"{where}: descriptors are left"
        if told and not self._is_complete(where):
            self._check_leftovers(where, seen[-1])
        elsewhere = self.folder.with_name(f"{self.folder.name}.elsewhere")
        elsewhere.mkdir()
        with _Unsynced():
            self.write(elsewhere / self.path.name, False, _silent)
        assert snapshot(str(elsewhere)) == self.expected, f"{where}: the process is not usable afterwards"
        shutil.rmtree(elsewhere)
        self._goes_on(where, seen[-1], anew=False)
        return told

    def _check_leftovers(self, where: str, done: int) -> None:
        """What is kept after an error is all that whole blocks need, and nothing is kept where there is none."""
        leftovers = {entry.name for entry in self.folder.iterdir()} - set(map(os.path.basename, self.target.places))
        if done:
            kept = leftovers - {os.path.basename(replaced_path(self.target.final))}
            gone = self._leftovers - kept
            content, renamed = self._content(), set()
            for place, partial in zip(self.target.places, self.target.partials, strict=True):
                name = os.path.basename(place)
                if _below(content, name) == _below(self.expected, name):
                    renamed.add(os.path.basename(partial))
            assert kept <= self._leftovers, f"{where}: {leftovers} are kept of {done} bytes"
            assert gone <= renamed, f"{where}: {gone} are not kept of {done} bytes"
        elif leftovers:
            # removing them may be what failed; a record may be whole although its sync failed
            assert leftovers <= self._leftovers, f"{where}: left behind: {leftovers}"

    def cut_power(self, count: int, seed: int = 0, leftovers: str = "none") -> int:
        """All prefixes and about `count` states that a power cut could leave; how many there were.

        What is equal to an earlier state is counted, and not tried again.

        Parameters
        ----------
        count, seed : int
        leftovers : "none", "own" or "another's"
            Begin over whole blocks of an earlier attempt, or of another recording.
        """
        self._prepare()
        if leftovers == "own":
            self._check_child(lambda: self._write_until(len(self.operations) * 2 // 3), "leftovers")
        elif leftovers == "another's":
            self._leave_anothers()
        recorder = Recorder(str(self.folder))
        with recorder:
            self.write(self.path, False, _silent)
        states, seen = 0, set()
        for cut in power_cuts(recorder, count, seed):
            states += 1
            lasts = cut.operation == len(recorder.operations)
            state = hash((lasts, *sorted(cut.files.items()), *sorted(cut.safe.items())))
            if state in seen:
                continue
            seen.add(state)
            where = f"power cut after operation {cut.operation}, on the disk: {cut.what}"
            place_snapshot(str(self.folder), cut.files)
            # those of before are given up at some moment
            committed = self._committed(cut) if leftovers == "none" else 0
            self._goes_on(where, committed, anew=states % 7 == 3, others=leftovers == "another's")
            if lasts:
                # success was told
                assert self._has(cut.files, self.expected), f"{where}: the output is lost"
        return states

    def _write_until(self, number: int) -> None:
        with KillAt(number):
            self.write(self.path, False, _silent)

    def _leave_anothers(self) -> None:
        nbytes = 2 * sum(map(len, self.expected.values()))
        other = Output.create(self.target, {"another": "recording"}, overwrite=True)
        for block in range(3):
            for file in other.files:
                file.write(bytes([170 + block]) * (nbytes // 3))
            for number, name in enumerate([] if other.files else self.expected):
                if number % 3 == block:
                    other.add(os.path.basename(name), bytes([170 + block]) * (nbytes // len(self.expected)))
            other.commit(block, 0)
        other.leave()

    def _committed(self, cut: PowerCut) -> int:
        """Bytes of blocks that are on the disk for certain."""
        journal = cut.safe.get(os.path.basename(journal_path(self.target.final)))
        partials = [os.path.basename(path) for path in self.target.partials]
        # a file that has its final name is known by its identity, which this folder does not have
        if journal is None or not all(_below(cut.safe, name) and _below(cut.files, name) for name in partials):
            return 0
        scratch = self.folder.with_name(f"{self.folder.name}.journal")
        scratch.write_bytes(journal)
        descriptor = disk.reopen(str(scratch))
        try:
            found = Journal.read(descriptor)
        finally:
            disk.close(descriptor)
        if found is None:
            return 0
        blocks, item = found.header["blocks"], int(found.header["dtype"][2:])
        done = 0
        for bounds, _ in zip(blocks, found.commits, strict=False):
            nbytes = item
            for start, stop in bounds:
                nbytes *= stop - start
            done += nbytes
        return done

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("done", "journal"):
            self.folder.with_name(f"{self.folder.name}.{name}").unlink(missing_ok=True)


def _below(content: Mapping[str, bytes], name: str) -> dict[str, bytes]:
    """A file or a folder of a snapshot, by paths relative to it."""
    inside = {path[len(name) :]: data for path, data in content.items() if path.startswith(f"{name}/")}
    return {"": content[name]} if name in content else inside


def _silent(done: int, total: int) -> None:
    pass


def _last_number(path: Path) -> int:
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    path.unlink(missing_ok=True)
    return int(lines[-1]) if lines else 0


def _descriptors() -> list[str]:
    folder = "/proc/self/fd"
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
