"""An output appears complete or not at all, and nothing that matters is overwritten."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time

import pytest

from galvo.core import atomic
from galvo.core.atomic import guard_destination, partial_path, publish, write_error
from galvo.errors import NoSpace, WriteError

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture
def final(tmp_path):
    return str(tmp_path / "out.bin")


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def put(path, data=b"old"):
    with open(path, "wb") as stream:
        stream.write(data)


def test_appears_only_when_published(final):
    file = PartialFile(final)
    file.write(b"new data")
    assert not os.path.exists(final)
    assert content(partial_path(final)) == b"new data"
    file.publish()
    assert content(final) == b"new data"
    assert not os.path.exists(partial_path(final))


def test_the_old_file_stays_until_then(final):
    put(final)
    file = PartialFile(final)
    file.write(b"new data")
    assert content(final) == b"old"
    file.publish()
    assert content(final) == b"new data"


def test_discard(final):
    put(final)
    file = PartialFile(final)
    file.write(b"new")
    file.discard()
    file.discard()
    assert content(final) == b"old"
    assert not os.path.exists(partial_path(final))


def test_a_stale_partial_file_is_replaced(final):
    put(partial_path(final), b"left from before" * 100)
    file = PartialFile(final)
    file.write(b"new")
    file.publish()
    assert content(final) == b"new"


def test_order_of_the_steps(final, monkeypatch):
    """The data are on the disk before the name, and the name before success is told."""
    steps = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, name=name, original=original: steps.append(name) or original(*a))
    file = PartialFile(final)
    file.write(b"x")
    file.publish()
    if sys.platform == "linux":
        assert steps == ["fsync", "replace", "fsync"]
    assert "replace" in steps


def test_as_a_file(final):
    file = PartialFile(final)
    assert file.readable()
    assert file.writable()
    assert file.seekable()
    assert file.write(b"0123456789") == 10
    assert file.tell() == 10
    assert file.seek(-3, os.SEEK_END) == 7
    assert file.write(memoryview(b"abcdef")) == 6
    assert file.seek(2) == 2
    assert file.seek(1, os.SEEK_CUR) == 3
    assert file.read(6) == b"3456ab"
    assert file.tell() == 9
    file.seek(100)
    file.write(b"z")
    file.seek(0)
    buffer = bytearray(5)
    assert file.readinto(buffer) == 5
    assert bytes(buffer) == b"01234"
    assert file.truncate(4) == 4
    file.seek(50)
    assert file.read(1) == b""
    file.sync()
    file.publish()
    assert content(final) == b"0123"


# ---- refused before the first byte ----------------------------------------------------------------------------------


def test_existing_output(final):
    put(final)
    with pytest.raises(WriteError, match="exists") as caught:
        guard_destination(final, [], overwrite=False)
    assert "overwrite=True" in caught.value.hint
    guard_destination(final, [], overwrite=True)


@posix
def test_a_dangling_link_is_an_existing_output(final, tmp_path):
    os.symlink(tmp_path / "none", final)
    with pytest.raises(WriteError, match="exists"):
        guard_destination(final, [], overwrite=False)


@posix
def test_a_link_is_replaced_not_followed(final, tmp_path):
    put(tmp_path / "precious")
    os.symlink(tmp_path / "precious", final)
    guard_destination(final, [], overwrite=True)
    file = PartialFile(final)
    file.write(b"new")
    file.publish()
    assert content(tmp_path / "precious") == b"old"
    assert content(final) == b"new"


def test_folders(tmp_path):
    with pytest.raises(WriteError, match="is a folder"):
        guard_destination(str(tmp_path), [], overwrite=True)
    with pytest.raises(WriteError, match="does not exist"):
        guard_destination(str(tmp_path / "none" / "out.bin"), [], overwrite=True)
    put(tmp_path / "file")
    with pytest.raises(WriteError, match="does not exist"):
        guard_destination(str(tmp_path / "file" / "out.bin"), [], overwrite=True)


def spellings(tmp_path, monkeypatch):
    source = tmp_path / "in.bin"
    put(source)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    yield "same", str(source)
    yield "relative", "in.bin"
    yield "dots", os.path.join("sub", "..", ".", "in.bin")
    if os.name != "nt":
        os.symlink(source, tmp_path / "link")
        yield "link", str(tmp_path / "link")
        os.symlink("sub", tmp_path / "linked")
        yield "through a linked folder", os.path.join("linked", "..", "in.bin")
    os.link(source, tmp_path / "hard")
    yield "hard link", str(tmp_path / "hard")


def test_output_equal_to_input_by_any_spelling(tmp_path, monkeypatch):
    source = str(tmp_path / "in.bin")
    for what, output in spellings(tmp_path, monkeypatch):
        for overwrite in (False, True):
            with pytest.raises(WriteError, match="output is an input"):
                guard_destination(output, ["/other.bin", source], overwrite)
            if what == "relative":
                with pytest.raises(WriteError, match="output is an input"):
                    guard_destination(source, [output], overwrite)
    assert content(source) == b"old"


def test_a_partial_file_that_is_an_input(tmp_path):
    source = tmp_path / "out.bin.partial"
    put(source)
    with pytest.raises(WriteError, match="output is an input"):
        guard_destination(str(tmp_path / "out.bin"), [str(source)], overwrite=True)


@posix
def test_a_partial_file_that_links_to_an_input(tmp_path):
    put(tmp_path / "in.bin")
    os.symlink(tmp_path / "in.bin", tmp_path / "out.bin.partial")
    with pytest.raises(WriteError, match="output is an input"):
        guard_destination(str(tmp_path / "out.bin"), [str(tmp_path / "in.bin")], overwrite=True)


@posix
def test_a_stale_link_in_place_of_the_partial_file_is_not_followed(final, tmp_path):
    put(tmp_path / "precious")
    os.symlink(tmp_path / "precious", partial_path(final))
    file = PartialFile(final)
    file.write(b"new")
    file.publish()
    assert content(tmp_path / "precious") == b"old"
    assert content(final) == b"new"
    assert not os.path.islink(final)


# ---- failures while writing -----------------------------------------------------------------------------------------


@pytest.fixture
def full_disk(monkeypatch):
    """Every write beyond 10 bytes fails."""
    real, left = os.write, [10]

    def write(descriptor, data):
        if left[0] <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(descriptor, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(atomic.os, "write", write)
    return left


def test_a_full_disk(final, full_disk):
    put(final)
    file = PartialFile(final)
    assert file.write(b"x" * 8) == 8
    file.check()
    # a library that writes through the file sees no error in the middle of its own work
    assert file.write(b"x" * 8) == 8
    assert file.write(b"x" * 8) == 8
    assert file.tell() == 24
    assert file.truncate(5) == 5
    for attempt in (file.check, file.sync, file.publish):
        with pytest.raises(NoSpace, match="the disk is full") as caught:
            attempt()
    assert caught.value.path == final
    assert "bytes free" in caught.value.found
    file.discard()
    assert content(final) == b"old"
    full_disk[0] = 1000
    again = PartialFile(final)
    again.write(b"now there is room")
    again.publish()
    assert content(final) == b"now there is room"


def test_the_first_failure_is_the_one_told(final, monkeypatch):
    file = PartialFile(final)
    failures = iter([OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "Input/output error")])

    def write(descriptor, data):
        raise next(failures)

    monkeypatch.setattr(atomic.os, "write", write)
    file.write(b"a")
    file.write(b"b")
    with pytest.raises(NoSpace):
        file.check()
    file.discard()


@pytest.mark.parametrize("step", ["fsync", "replace", "ftruncate"])
def test_failures_of_other_steps(final, monkeypatch, step):
    put(final)
    file = PartialFile(final)
    file.write(b"new")

    def fail(*arguments):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, step, fail)
        file.truncate(3)
        with pytest.raises(WriteError, match="Input/output error"):
            file.publish()
    file.discard()
    assert content(final) == b"old"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)])
def test_what_counts_as_full(code, final):
    error = write_error(OSError(code, "x"), final, 12)
    assert isinstance(error, NoSpace)
    assert error.expected == "12 bytes"


def test_other_errors(final, tmp_path):
    error = write_error(OSError(errno.EROFS, "Read-only file system"), final)
    assert isinstance(error, WriteError)
    assert not isinstance(error, NoSpace)
    assert "Read-only" in str(error)
    with pytest.raises(WriteError):
        PartialFile(str(tmp_path / "none" / "out.bin"))
    (tmp_path / "out.bin.partial").mkdir()
    with pytest.raises(WriteError):
        PartialFile(final)
    with pytest.raises(WriteError):
        publish(str(tmp_path / "none.partial"), final)


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WriteError):
        PartialFile(str(tmp_path / "locked" / "out.bin"))


LIMITED = """
import resource, sys
import numpy as np
import galvo
from galvo.core.atomic import PartialFile
from galvo.errors import NoSpace
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
final = sys.argv[1]
file = PartialFile(final)
for _ in range(10):
    file.write(bytes(20_000))
try:
    file.publish()
except NoSpace:
    file.discard()
else:
    sys.exit("published")
array = np.random.default_rng(0).integers(0, 9999, (40, 64, 64), "int16")
for options in ({}, {"compression": "gzip"}):
    try:
        galvo.save(array, sys.argv[2], overwrite=True, **options)
    except NoSpace:
        pass
    else:
        sys.exit("saved")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
galvo.save(array, sys.argv[2] + ".h5", verify=True)
print("usable")
"""


@posix
def test_a_limit_of_the_system_in_a_process_of_its_own(tmp_path, final):
    """The library underneath survives: the process can go on and write elsewhere."""
    put(final)
    movie = str(tmp_path / "movie.h5")
    put(movie)
    done = subprocess.run([sys.executable, "-c", LIMITED, final, movie], capture_output=True, text=True, timeout=60)
    assert done.stdout == "usable\n", done.stderr
    assert content(final) == content(movie) == b"old"
    assert sorted(os.listdir(tmp_path)) == ["movie.h5", "movie.h5.h5", "out.bin"]


KILLED = """
import sys
from galvo.core.atomic import PartialFile
print("ready", flush=True)
for number in range(1, 1_000_000):
    file = PartialFile(sys.argv[1])
    for _ in range(50):
        file.write(bytes([number % 200 + 1]) * 2000)
    file.publish()
"""


@posix
@pytest.mark.parametrize("delay", [0.0, 0.003, 0.01, 0.02, 0.05])
def test_a_process_that_is_killed_leaves_a_complete_file(final, delay):
    put(final, bytes(100_000))
    with subprocess.Popen([sys.executable, "-c", KILLED, final], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        time.sleep(delay)
        process.kill()
    data = content(final)
    assert len(data) == 100_000
    assert len(set(data)) == 1
