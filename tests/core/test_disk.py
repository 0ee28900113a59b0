"""The system calls: short writes, links, locks, and systems that do less than others."""

from __future__ import annotations

import errno
import os

import pytest

from galvo.core import disk
from galvo.testing.disk_faults import Disk, FailAt, ShortWriteAt

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "file")


@pytest.fixture
def descriptor(path):
    opened = disk.create(path)
    yield opened
    disk.close(opened)


def test_create_and_reopen(path, descriptor):
    disk.write_at(descriptor, 3, b"abc")
    disk.write_at(descriptor, 0, memoryview(b"xyz"))
    assert disk.size(descriptor) == 6
    with pytest.raises(FileExistsError):
        disk.create(path)
    again = disk.reopen(path)
    try:
        assert disk.read_at(again, 1, 100) == b"yzabc"
        assert disk.read_at(again, 100, 5) == b""
        disk.truncate(again, 2)
        disk.sync(again)
    finally:
        disk.close(again)
    assert disk.read_at(descriptor, 0, 9) == b"xy"


def test_every_byte_is_written(descriptor):
    data = bytes(range(256)) * 9
    for number in range(3):
        with ShortWriteAt(number):
            disk.write_at(descriptor, 0, data)
        assert disk.read_at(descriptor, 0, 9999) == data
        disk.truncate(descriptor, 0)


def test_a_write_that_does_nothing_is_an_error(descriptor, monkeypatch):
    monkeypatch.setattr(disk.os, "write", lambda descriptor, data: 0)
    with pytest.raises(OSError, match="nothing was written"):
        disk.write_at(descriptor, 0, b"x")


@posix
def test_only_files_are_reopened(tmp_path, path):
    os.symlink(tmp_path / "precious", path)
    (tmp_path / "precious").write_bytes(b"old")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in (path, str(tmp_path / "pipe"), str(tmp_path / "folder")):
        with pytest.raises(OSError):  # noqa: PT011
            disk.reopen(name)
        assert not disk.is_regular(name)
    with pytest.raises(FileExistsError):
        disk.create(path)
    assert disk.is_regular(str(tmp_path / "precious"))
    assert not disk.is_regular(str(tmp_path / "none"))


def test_one_lock(path, descriptor):
    other = disk.reopen(path)
    try:
        assert disk.lock(descriptor)
        assert not disk.lock(other)
    finally:
        disk.close(other)


@posix
def test_the_only_name(path, descriptor):
    assert disk.is_only_name(descriptor, path)
    os.link(path, path + "2")
    assert not disk.is_only_name(descriptor, path)
    os.unlink(path)
    assert not disk.is_only_name(descriptor, path)
    os.rename(path + "2", path)
    assert disk.is_only_name(descriptor, path)
    with open(path + "3", "wb"):
        pass
    os.replace(path + "3", path)
    assert not disk.is_only_name(descriptor, path)


@posix
def test_systems_without_locks_or_folders_to_sync(path, descriptor):
    for code in (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS):
        with FailAt(0, code):
            assert disk.lock(descriptor)
    with FailAt(0, errno.EIO), pytest.raises(OSError, match="Input/output"):
        disk.lock(descriptor)
    with FailAt(0, errno.EINVAL):
        disk.sync_folder(path)
    with FailAt(0, errno.EIO), pytest.raises(OSError, match="Input/output"):
        disk.sync_folder(path)


def test_removing(path):
    disk.remove(disk.create(path), path)
    assert not os.path.exists(path)
    disk.unlink(path)
    descriptor = disk.create(path)
    if os.name != "nt":
        with FailAt(0, errno.EIO), pytest.raises(OSError, match="Input/output"):
            disk.remove(descriptor, path)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_free_bytes(path, tmp_path):
    assert disk.free_bytes(path) > 0
    assert disk.free_bytes(str(tmp_path / "none" / "file")) is None


def test_operations_are_counted(path):
    with Disk() as counted:
        descriptor = disk.create(path)
        disk.lock(descriptor)
        disk.write_at(descriptor, 0, b"x")
        disk.truncate(descriptor, 0)
        disk.sync(descriptor)
        disk.close(descriptor)
        disk.rename(path, path + "2")
        disk.sync_folder(path)
        disk.unlink(path + "2")
    disk.unlink(path)
    if os.name != "nt":
        expected = ["open", "lock", "write", "truncate", "sync", "rename", "sync folder", "unlink"]
        assert counted.names == expected
