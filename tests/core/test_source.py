"""Positioned reads: threads, forks, files that come, change and go."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from galvo.core import source as source_module
from galvo.core.source import FileSource, file_size, read_prefix
from galvo.errors import NotFound, ReadError, Truncated

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def paths(tmp_path):
    names = []
    for number in range(5):
        path = tmp_path / f"{number}.bin"
        path.write_bytes(bytes((number + k) % 251 for k in range(1000)))
        names.append(str(path))
    return names


def piece(number, offset, nbytes):
    return bytes((number + k) % 251 for k in range(offset, offset + nbytes))


def open_descriptors(paths):
    """Which of these files are open in this process; nothing where that cannot be told."""
    return [one.path for one in psutil.Process().open_files() if one.path in paths] if hasattr(os, "fork") else []


def in_child(check):
    """Whether `check` is true in a forked child, which has 20 s for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    timer = threading.Timer(20, lambda: psutil.Process(child).kill())
    timer.start()
    _, status = os.waitpid(child, 0)
    timer.cancel()
    timer.join()
    return os.waitstatus_to_exitcode(status) == 0


def test_reads_what_is_there(paths):
    source = FileSource(paths)
    assert source.sizes == (1000,) * 5
    assert source.size(3) == 1000
    assert source.read(3, 7, 20) == piece(3, 7, 20)
    assert source.read(0, 0, 1000) == piece(0, 0, 1000)
    assert source.read(0, 1000, 0) == b""
    assert source.read_upto(1, 990, 50) == piece(1, 990, 10)
    assert source.read_upto(1, 2000, 50) == b""
    assert source.read_upto(1, 2**64 - 1, 50) == b""
    assert source.read_upto(1, -5, 50) == b""
    source.close()
    assert read_prefix(paths[2], 4) == piece(2, 0, 4)
    assert read_prefix(paths[2], 4000) == piece(2, 0, 1000)
    assert file_size(paths[0]) == 1000


@pytest.mark.parametrize(("offset", "nbytes"), [(990, 11), (1000, 1), (2**40, 1), (2**64, 5)])
def test_missing_bytes_are_an_error(paths, offset, nbytes):
    source = FileSource(paths)
    with pytest.raises(Truncated) as caught:
        source.read(0, offset, nbytes)
    assert caught.value.path == paths[0]
    assert caught.value.offset == offset
    source.close()


def test_no_such_file(tmp_path, paths):
    with pytest.raises(NotFound):
        FileSource([str(tmp_path / "none")])
    with pytest.raises(NotFound):
        file_size(str(tmp_path / "none"))
    source = FileSource(paths)
    os.remove(paths[0])
    with pytest.raises(NotFound):
        source.read(0, 0, 1)
    source.close()


@posix
def test_what_is_no_file_is_refused_at_once(tmp_path):
    pipe, end = tmp_path / "pipe", tmp_path / "socket"
    os.mkfifo(pipe)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(end))
    for path, kind in ((pipe, "pipe"), (end, "socket"), (tmp_path, "folder"), ("/dev/null", "device")):
        with pytest.raises(ReadError, match=kind):
            FileSource([str(path)])
    listener.close()


def test_a_file_that_changed_is_refused(paths):
    source = FileSource(paths)
    with open(paths[0], "ab") as stream:
        stream.write(b"more")
    with pytest.raises(ReadError, match="changed"):
        source.read(0, 0, 1)
    assert source.read(1, 0, 1) == piece(1, 0, 1)
    source.close()


def test_closed(paths):
    source = FileSource(paths)
    source.read(0, 0, 1)
    source.close()
    source.close()
    with pytest.raises(ReadError, match="closed"):
        source.read(0, 0, 1)


def test_closing_while_a_read_holds_the_file(paths):
    source = FileSource(paths)
    with source.lease((0, 1)) as descriptors:
        source.close()
        assert os.fstat(descriptors[0]).st_size == 1000
        with pytest.raises(ReadError, match="closed"), source.lease((2,)):
            pass
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(descriptors[0])


def test_a_lease_that_fails_half_way_gives_back(paths):
    source = FileSource(paths)
    os.remove(paths[3])
    with pytest.raises(NotFound) as caught, source.lease((0, 1, 3)):
        pass
    source.close()
    # the error that is still there holds no file
    assert not open_descriptors(paths)
    assert caught.value.path == paths[3]


def test_dropped_without_closing(paths):
    FileSource(paths).read(0, 0, 1)


@pytest.mark.skipif(os.name == "nt", reason="counts POSIX descriptors")
def test_idle_descriptors_are_few(paths, monkeypatch):
    monkeypatch.setattr(source_module, "_OPEN_FILES", 2)
    source = FileSource(paths)
    before = psutil.Process().num_fds()
    for _ in range(3):
        for number in range(5):
            assert source.read(number, 3, 4) == piece(number, 3, 4)
            assert psutil.Process().num_fds() - before <= 2
    with source.lease(range(5)) as descriptors:
        assert len(set(descriptors.values())) == 5
    assert psutil.Process().num_fds() - before == 2
    source.close()
    assert psutil.Process().num_fds() == before


def test_leases_share_a_descriptor(paths):
    source = FileSource(paths)
    with source.lease((0,)) as one, source.lease((0, 0, 1)) as other:
        assert one[0] == other[0]
    source.close()


def test_many_threads_on_few_descriptors(paths, monkeypatch):
    monkeypatch.setattr(source_module, "_OPEN_FILES", 1)
    source = FileSource(paths)
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        for k in range(200):
            number, offset = (seed + k) % 5, (seed * 31 + k * 7) % 900
            assert source.read(number, offset, 50) == piece(number, offset, 50)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert len(open_descriptors(paths)) <= 1
    source.close()
    assert not open_descriptors(paths)


def test_closing_under_threads_gives_clean_errors_only(paths):
    source = FileSource(paths)
    start, outcomes = threading.Barrier(5), []

    def work(number):
        start.wait()
        try:
            for k in range(100_000):
                assert source.read(number, k % 900, 50) == piece(number, k % 900, 50)
        except ReadError as error:
            outcomes.append(error.message)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    start.wait()
    source.close()
    for thread in threads:
        thread.join()
    assert outcomes == ["the recording is closed"] * 4


@posix
def test_fork_while_idle_and_while_locked(paths):
    source = FileSource(paths)
    source.read(0, 0, 1)
    assert in_child(lambda: source.read(0, 5, 9) == piece(0, 5, 9) and source.read(4, 0, 3) == piece(4, 0, 3))
    with source._lock:
        assert in_child(lambda: source.read(0, 5, 9) == piece(0, 5, 9))
    assert source.read(0, 5, 9) == piece(0, 5, 9)
    source.close()


@posix
def test_fork_under_reading_threads(paths):
    source = FileSource(paths)
    stop = threading.Event()

    def work(number):
        while not stop.is_set():
            assert source.read(number, 1, 40) == piece(number, 1, 40)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            assert in_child(lambda: all(source.read(number, 2, 30) == piece(number, 2, 30) for number in range(5)))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    source.close()


@posix
def test_child_and_parent_have_no_common_position(paths):
    source = FileSource(paths)
    source.read(0, 0, 1)
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=_read_often, args=(source, seed)) for seed in range(3)]
        for child in children:
            child.start()
    _read_often(source, 9)
    for child in children:
        child.join(20)
        assert child.exitcode == 0
        child.close()
    source.close()


def _read_often(source, seed):
    for k in range(300):
        offset = (seed * 97 + k * 13) % 900
        assert source.read(0, offset, 60) == piece(0, offset, 60)
