"""The harness proves itself: with a fault planted in the writing layer, it turns red."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

import galvo
from galvo.core import disk, output, partial
from galvo.core.output import Output
from galvo.core.partial import PartialFile
from galvo.core.target import Target
from galvo.testing.disk_faults import Disk, ShortWriteAt
from galvo.testing.power import Recorder, power_cuts
from galvo.testing.trials import Trial

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PIXELS = np.random.default_rng(0).integers(0, 99, (3, 1, 1, 192, 192)).astype("<i2")


def save(path, resume, progress):
    galvo.save(PIXELS, path, format="hdf5", overwrite=True, resume=resume, progress=progress, block_bytes=1)


@pytest.fixture
def trial(scratch):
    final = str(scratch / "trial" / "out.h5")
    return Trial(scratch / "trial", Target(final=final, files=(final,)), save, {"out.h5": b"old"})


def kills(trial):
    for number in range(len(trial.operations) + 1):
        trial.kill_at(number)


def failures(trial):
    for number in range(len(trial.operations)):
        trial.fail_at(number, errno.EIO)


def cuts(trial):
    trial.cut_power(800)


def cuts_over_own(trial):
    trial.cut_power(400, leftovers="own")


def cuts_over_anothers(trial):
    trial.cut_power(400, leftovers="another's")


# ---- planted --------------------------------------------------------------------------------------------------------


def variant(monkeypatch, **functions):
    """The disk that an output sees, with other functions."""
    known = {name: getattr(disk, name) for name in disk.__all__}
    for module in (output, partial):
        monkeypatch.setattr(module, "disk", SimpleNamespace(**{**known, **functions}))


def without_sync(*where):
    """No sync where the innermost callers are the functions `where`."""

    def plant(monkeypatch):
        def sync(descriptor):
            callers, frame = [], sys._getframe(1)
            for _ in where:
                callers.append(frame.f_code.co_name)
                frame = frame.f_back
            if callers != list(where):
                disk.sync(descriptor)

        variant(monkeypatch, sync=sync)

    return plant


def without_folder_sync(where):
    def plant(monkeypatch):
        def sync_folder(path):
            if sys._getframe(2).f_code.co_name != where:
                disk.sync_folder(path)

        variant(monkeypatch, sync_folder=sync_folder)

    return plant


def swallowed_write_error(monkeypatch):
    def write_at(descriptor, offset, data):
        with suppress(OSError):
            disk.write_at(descriptor, offset, data)

    variant(monkeypatch, write_at=write_at)


def swallowed_sync_error(monkeypatch):
    def sync(descriptor):
        with suppress(OSError):
            disk.sync(descriptor)

    variant(monkeypatch, sync=sync)


def changes_in_place_before_the_journal(monkeypatch):
    append = Output._append

    def early(self, record):
        for file in self.files:
            put_in_place(file)
        append(self, record)

    monkeypatch.setattr(Output, "_append", early)


def put_in_place(file):
    for number, page in file._kept.items():
        disk.write_at(file._descriptor, number * partial._PAGE, bytes(page))


def nothing_kept_aside(monkeypatch):
    def write(self, data):
        view = memoryview(data).cast("B")
        disk.write_at(self._descriptor, self._position, view)
        self._position += len(view)
        self._length = max(self._length, self._position)
        return len(view)

    monkeypatch.setattr(PartialFile, "write", write)


def errors_shown_to_the_library(monkeypatch):
    """What libhdf5 does not survive: here in a form that only ends the write."""
    for kind in (Output, PartialFile):
        monkeypatch.setattr(kind, "check", lambda self: None)


def publishes_without_a_commit(monkeypatch):
    commit = Output.commit

    def bare(self, block, checksum):
        if block != output.COMPLETE:
            return commit(self, block, checksum)
        for file in self.files:
            put_in_place(file)
        return None

    monkeypatch.setattr(Output, "commit", bare)


PLANTED = {
    "no sync before the rename": (without_sync("sync", "publish"), cuts),
    "no sync of the pixels": (without_sync("sync", "_sync"), cuts),
    "no sync of the journal": (without_sync("commit"), cuts),
    "no sync of an old journal's end": (without_sync("_begin"), cuts_over_own),
    "no sync of the folder before the first record": (without_folder_sync("commit"), cuts_over_anothers),
    "no sync of the folder after the rename": (without_folder_sync("publish"), cuts),
    "swallowed write error": (swallowed_write_error, failures),
    "swallowed sync error": (swallowed_sync_error, failures),
    "unchecked failure": (errors_shown_to_the_library, failures),
    "changes in place before the journal": (changes_in_place_before_the_journal, kills),
    "nothing kept aside": (nothing_kept_aside, kills),
    "publishes without a commit": (publishes_without_a_commit, kills),
}


@pytest.mark.harden
@pytest.mark.parametrize("what", PLANTED)
def test_a_planted_fault_is_found(trial, monkeypatch, what):
    plant, check = PLANTED[what]
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises(AssertionError):
            check(trial)
    trial.kill_at(len(trial.operations) // 2)


# ---- the instruments ------------------------------------------------------------------------------------------------


def test_only_the_counted_write_is_short(tmp_path):
    path = str(tmp_path / "x")
    with ShortWriteAt(1) as fault:
        descriptor = disk.create(path)
        disk.write_at(descriptor, 0, b"0123456789")
    disk.close(descriptor)
    assert fault.names == ["open", "write", "write"]
    assert (tmp_path / "x").read_bytes() == b"0123456789"


def test_the_system_is_given_back(tmp_path):
    with Disk():
        assert disk.os is not os
    assert disk.os is os
    with pytest.raises(FileNotFoundError), Disk():
        disk.reopen(str(tmp_path / "none"))
    assert disk.os is os


def test_what_a_power_cut_leaves(tmp_path):
    """A small example, by hand."""
    (tmp_path / "a").write_bytes(b"old")
    with Recorder(str(tmp_path)) as recorder:
        descriptor = disk.create(str(tmp_path / "b"))
        disk.write_at(descriptor, 0, b"new")
        disk.sync(descriptor)
        disk.rename(str(tmp_path / "b"), str(tmp_path / "a"))
        disk.sync_folder(str(tmp_path / "a"))
    disk.close(descriptor)
    assert [one.kind for one in recorder.operations] == ["create", "write", "sync", "rename", "sync folder"]
    seen = {}
    for cut in power_cuts(recorder, 200):
        seen.setdefault(cut.operation, set()).add(tuple(sorted(cut.files.items())))
    old = (("a", b"old"),)
    assert seen[0] == {old}
    assert seen[1] == {old, (("a", b"old"), ("b", b""))}
    assert seen[2] == {old, (("a", b"old"), ("b", b"")), (("a", b"old"), ("b", b"new"))}
    assert seen[3] == {old, (("a", b"old"), ("b", b"new"))}
    assert seen[4] == {old, (("a", b"old"), ("b", b"new")), (("a", b"new"),)}
    assert seen[5] == {(("a", b"new"),)}


def test_a_rename_without_sync_is_seen_to_lose_everything(tmp_path):
    with Recorder(str(tmp_path)) as recorder:
        descriptor = disk.create(str(tmp_path / "b"))
        disk.write_at(descriptor, 0, bytes(range(256)) * 40)
        disk.rename(str(tmp_path / "b"), str(tmp_path / "a"))
    disk.close(descriptor)
    torn = {cut.files["a"] for cut in power_cuts(recorder, 300) if "a" in cut.files}
    assert b"" in torn
    assert len(torn) > 5
