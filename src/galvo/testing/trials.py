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
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from galvo.core import disk
from galvo.core.atomic import journal_path, partial_path
from galvo.core.journal import COMPLETE, Journal
from galvo.core.output import Output, Target
from galvo.core.write import Progress
from galvo.errors import NoSpace, WriteError
from galvo.testing.disk_faults import Disk, FailAt, KillAt, PowerCut, Recorder, power_cuts

__all__ = ["Trial"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
    name : str
        Of the output.
    write : callable
        Given a destination, whether to resume and a progress callback, writes it, replacing what is there.
    old : bytes or None
        What has the final name before.
    """

    folder: Path
    name: str
    write: Callable[[Path, bool, Progress], Any]
    old: bytes | None = None
    expected: bytes = field(init=False)
    operations: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._prepare()
        with Disk() as counted:
            self.write(self.path, False, _silent)
        self.expected = self.path.read_bytes()
        self.operations = counted.names
        assert os.listdir(self.folder) == [self.name], f"left behind: {os.listdir(self.folder)}"
        self._prepare()

    @property
    def path(self) -> Path:
        """The final path."""
        return self.folder / self.name

    def _prepare(self) -> None:
        for entry in self.folder.iterdir():
            entry.unlink()
        if self.old is not None:
            self.path.write_bytes(self.old)

    # ---- what must hold ---------------------------------------------------------------------------------------------

    def _is_complete(self, where: str) -> bool:
        """Whether the final path is the new file; it must be that or as before."""
        content = self.path.read_bytes() if self.path.exists() else None
        if content == self.expected:
            return True
        assert content == self.old, f"{where}: the final path is neither old nor complete"
        return False

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
        assert self.path.read_bytes() == self.expected, f"{where}: another result when resumed"
        assert os.listdir(self.folder) == [self.name], f"{where}: left behind: {os.listdir(self.folder)}"
        assert seen[0] >= committed, f"{where}: {committed} bytes were committed, {seen[0]} were not repeated"

    def _is_written_anew(self, where: str) -> None:
        with _Unsynced():
            self.write(self.path, False, _silent)
        assert self.path.read_bytes() == self.expected, f"{where}: another result over what was left"
        assert os.listdir(self.folder) == [self.name], f"{where}: left behind: {os.listdir(self.folder)}"

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
        leftovers = {entry.name for entry in self.folder.iterdir()} - {self.name}
        pair = {os.path.basename(name(str(self.path))) for name in (partial_path, journal_path)}
        if told and not self._is_complete(where):
            if seen[-1]:
                assert leftovers == pair, f"{where}: {leftovers} are kept of {seen[-1]} bytes"
            elif leftovers:
                # removing them may be what failed; a record may be whole although its sync failed
                assert leftovers <= pair, f"{where}: left behind: {leftovers}"
        elsewhere = self.folder.with_name(f"{self.folder.name}.elsewhere{Path(self.name).suffix}")
        with _Unsynced():
            self.write(elsewhere, False, _silent)
        assert elsewhere.read_bytes() == self.expected, f"{where}: the process is not usable afterwards"
        elsewhere.unlink()
        self._goes_on(where, seen[-1], anew=False)
        return told

    def cut_power(self, count: int, seed: int = 0, leftovers: str = "none") -> int:
        """All prefixes and about `count` states that a power cut could leave; how many there were.

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
        states = 0
        for cut in power_cuts(recorder, count, seed):
            states += 1
            where = f"power cut after operation {cut.operation}, on the disk: {cut.what}"
            cut.place(str(self.folder))
            # those of before are given up at some moment
            committed = self._committed(cut) if leftovers == "none" else 0
            self._goes_on(where, committed, anew=states % 7 == 3, others=leftovers == "another's")
            if cut.operation == len(recorder.operations):
                # success was told
                assert cut.files.get(self.name) == self.expected, f"{where}: the output is lost"
        return states

    def _write_until(self, number: int) -> None:
        with KillAt(number):
            self.write(self.path, False, _silent)

    def _leave_anothers(self) -> None:
        nbytes = 2 * len(self.expected)
        target = Target(final=str(self.path), files=(str(self.path),))
        other = Output.create(target, {"another": "recording"})
        for block in range(3):
            other.files[0].write(bytes([170 + block]) * (nbytes // 3))
            other.commit(block, 0)
        other.leave()

    def _committed(self, cut: PowerCut) -> int:
        """Bytes of blocks that are on the disk for certain."""
        journal = cut.safe.get(os.path.basename(journal_path(self.name)))
        if journal is None or os.path.basename(partial_path(self.name)) not in cut.safe:
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
        for commit in found.commits:
            if 0 <= commit.block < COMPLETE:
                nbytes = item
                for start, stop in blocks[commit.block]:
                    nbytes *= stop - start
                done += nbytes
        return done

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("done", "journal"):
            self.folder.with_name(f"{self.folder.name}.{name}").unlink(missing_ok=True)


def _silent(done: int, total: int) -> None:
    pass


def _last_number(path: Path) -> int:
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    path.unlink(missing_ok=True)
    return int(lines[-1]) if lines else 0


def _descriptors() -> list[str]:
    folder = "/proc/self/fd"
    return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
