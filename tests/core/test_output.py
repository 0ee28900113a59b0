"""An output that can go back to its last commit, and appears complete or not at all."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
from contextlib import nullcontext

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from galvo.core import disk, partial
from galvo.core.atomic import journal_path, partial_path
from galvo.core.journal import COMPLETE
from galvo.core.output import Output
from galvo.core.target import Target
from galvo.errors import DamagedData, NoSpace, WriteError
from galvo.testing.disk_faults import Disk, FailAt

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture
def final(tmp_path):
    return str(tmp_path / "out.bin")


class OneFile:
    """An output of one file, and that file, as one."""

    def __init__(self, output):
        self.output = output
        (self.file,) = output.files

    def __getattr__(self, name):
        return getattr(self.output if name == "commits" or hasattr(Output, name) else self.file, name)


def create(final, header, needed=None):
    return OneFile(Output.create(Target(final=final, files=(final,)), header, True, needed))


def resume(final, header, needed=None):
    return OneFile(Output.resume(Target(final=final, files=(final,)), header, True, needed))


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def put(path, data=b"old"):
    with open(path, "wb") as stream:
        stream.write(data)


def names(final):
    return sorted(os.listdir(os.path.dirname(final)))


def test_appears_only_when_published(final):
    put(final)
    file = create(final, {})
    file.write(b"new data")
    assert content(final) == b"old"
    assert content(partial_path(final)) == b"new data"
    file.publish()
    assert content(final) == b"new data"
    assert names(final) == ["out.bin"]


def test_order_of_the_steps(final):
    """The data are on the disk before the name, and the name before success is told."""
    file = create(final, {})
    file.write(b"x")
    with Disk() as counted:
        file.publish()
    if os.name != "nt":
        steps = [name for name in counted.names if name != "write"]
        assert steps == ["sync", "sync folder", "sync", "rename", "sync folder", "unlink"]


def test_as_a_file(final):
    file = create(final, {})
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
    file.flush()
    file.seek(0)
    buffer = bytearray(5)
    assert file.readinto(buffer) == 5
    assert bytes(buffer) == b"01234"
    file.seek(99)
    buffer = bytearray(b"dirty")
    assert file.readinto(buffer) == 2
    # libhdf5 does not look at what readinto says
    assert bytes(buffer) == b"\0z\0\0\0"
    assert file.truncate(4) == 4
    file.seek(50)
    assert file.read(1) == b""
    file.publish()
    assert content(final) == b"0123"


# ---- commits --------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 20_000), st.integers(1, 9000)),
        st.tuples(st.just("truncate"), st.integers(0, 20_000), st.just(0)),
        st.tuples(st.just("commit"), st.just(0), st.just(0)),
        st.tuples(st.just("read"), st.integers(0, 20_000), st.integers(1, 9000)),
        st.tuples(st.just("crash"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


@hypothesis.given(steps=STEPS, seed=st.integers(0, 99))
def test_against_a_model(tmp_path_factory, steps, seed):
    """A file that, when reopened, is as it was at its last commit."""
    final = str(tmp_path_factory.mktemp("model") / "out.bin")
    rng = np.random.default_rng(seed)
    file, now, committed, blocks = create(final, {"a": 1}), bytearray(), b"", 0
    for what, at, length in steps:
        if what == "write":
            data = rng.bytes(length)
            now.extend(bytes(max(0, at - len(now))))
            now[at : at + length] = data
            file.seek(at)
            assert file.write(data) == length
        elif what == "truncate":
            now = now[:at] + bytes(max(0, at - len(now)))
            assert file.truncate(at) == at
        elif what == "commit":
            file.commit(blocks, blocks * 3)
            committed, blocks = bytes(now), blocks + 1
        elif what == "read":
            file.seek(at)
            assert file.read(length) == now[at : at + length]
        else:
            file.close()
            file = resume(final, {"a": 1})
            now = bytearray(committed)
            assert [(one.block, one.checksum) for one in file.commits] == [(n, 3 * n) for n in range(blocks)]
            assert content(partial_path(final)) == committed
    file.seek(0)
    assert file.read() == now
    file.publish()
    assert content(final) == now
    assert names(final) == ["out.bin"]


def test_leaving(final):
    file = create(final, {})
    file.write(b"x")
    assert not file.leave()
    assert names(final) == []
    file = create(final, {})
    file.commit(0, 0)
    assert file.leave()
    assert file.leave()
    assert names(final) == ["out.bin.journal", "out.bin.partial"]
    assert not create(final, {}).leave()
    assert names(final) == []


def test_a_complete_output_only_lacks_its_name(final, monkeypatch):
    file = create(final, {})
    file.write(b"abc")
    file.commit(0, 0)
    file.seek(1)
    file.write(b"X")

    def rename(old, new):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", rename)
        with pytest.raises(WriteError, match="Permission denied"):
            file.publish()
    assert file.leave()
    assert names(final) == ["out.bin.journal", "out.bin.partial"]
    file = resume(final, {})
    assert file.complete
    assert file.commits[-1].block == COMPLETE
    file.publish()
    assert content(final) == b"aXc"


def test_resuming_what_is_not_there(final):
    for left in (
        {},
        {"partial": b"data"},
        {"journal": b""},
        {"journal": b"galvoJ1\n", "partial": b"data"},
        {"journal": b"of another program", "partial": b"data"},
    ):
        for kind, data in left.items():
            put(f"{final}.{kind}", data)
        file = resume(final, {})
        assert file.commits == []
        file.write(b"new")
        file.publish()
        assert content(final) == b"new"
        assert names(final) == ["out.bin"]


def test_resuming_something_else(final):
    file = create(final, {"a": 1})
    file.write(b"abc")
    file.commit(0, 0)
    file.close()
    with pytest.raises(WriteError, match="another source"):
        resume(final, {"a": 2})
    os.truncate(partial_path(final), 2)
    with pytest.raises(DamagedData, match="shorter") as caught:
        resume(final, {"a": 1})
    assert (caught.value.found, caught.value.expected) == ("2 bytes", "3 bytes")
    os.unlink(partial_path(final))
    file = resume(final, {"a": 1})
    assert file.commits == []
    file.leave()


def test_a_file_that_shrinks_and_grows(final):
    """What an old commit changed must not come back over what was written there later."""
    file = create(final, {})
    file.write(b"a" * 10_000)
    file.commit(0, 0)
    file.seek(9000)
    file.write(b"b" * 500)
    file.commit(1, 0)
    file.truncate(5000)
    file.commit(2, 0)
    file.seek(5000)
    file.write(b"c" * 10_000)
    file.commit(3, 0)
    file.close()
    file = resume(final, {})
    file.publish()
    assert content(final) == b"a" * 5000 + b"c" * 10_000


# ---- leftovers and strangers ----------------------------------------------------------------------------------------


def test_what_is_left_is_replaced(final):
    put(partial_path(final), b"left from before" * 100)
    put(journal_path(final), b"too")
    file = create(final, {})
    file.write(b"new")
    file.publish()
    assert content(final) == b"new"
    assert names(final) == ["out.bin"]


def test_an_old_journal_is_void_before_the_partial_file_changes(final):
    file = create(final, {})
    file.write(b"abc")
    file.commit(0, 0)
    file.close()
    with Disk() as counted:
        file = create(final, {})
    file.leave()
    if os.name != "nt":
        assert counted.names == ["open", "open", "lock", "truncate", "sync", "unlink", "open", "write"]


@posix
@pytest.mark.parametrize("name", [partial_path, journal_path])
def test_links_are_not_followed(final, tmp_path, name):
    put(tmp_path / "precious")
    for make in (os.symlink, os.link):
        for begin in (create, resume):
            make(tmp_path / "precious", name(final))
            file = begin(final, {})
            file.write(b"new")
            file.publish()
            assert content(tmp_path / "precious") == b"old"
            assert content(final) == b"new"
            assert not os.path.islink(final)
    make(tmp_path / "precious", final + "2")
    os.mkfifo(name(final))
    create(final, {}).leave()


@posix
def test_a_link_is_replaced_not_followed(final, tmp_path):
    put(tmp_path / "precious")
    os.symlink(tmp_path / "precious", final)
    file = create(final, {})
    file.write(b"new")
    file.publish()
    assert content(tmp_path / "precious") == b"old"
    assert content(final) == b"new"
    assert not os.path.islink(final)


@pytest.mark.parametrize("name", [partial_path, journal_path])
@pytest.mark.parametrize("begin", [create, resume])
def test_folders(final, tmp_path, name, begin):
    with pytest.raises(WriteError):
        begin(str(tmp_path / "none" / "out.bin"), {})
    os.mkdir(name(final))
    with pytest.raises(WriteError):
        begin(final, {})
    assert names(final) == [os.path.basename(name(final))]


@posix
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(WriteError):
        create(str(tmp_path / "locked" / "out.bin"), {})


# ---- two writers ----------------------------------------------------------------------------------------------------


def test_twice_in_one_process(final):
    file = create(final, {})
    file.write(b"first")
    file.commit(0, 0)
    for begin in (create, resume):
        with pytest.raises(WriteError, match="another process is writing"):
            begin(final, {})
    file.publish()
    assert content(final) == b"first"


HOLDING = """
import sys
from galvo.core.output import Output
from galvo.core.target import Target
output = Output.create(Target(final=sys.argv[1], files=(sys.argv[1],)), {})
output.files[0].write(b"x" * 1000)
output.commit(0, 0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_another_process(final):
    command = [sys.executable, "-c", HOLDING, final]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"ready"
        for begin in (create, resume):
            with pytest.raises(WriteError, match="another process is writing"):
                begin(final, {})
        process.kill()
    file = resume(final, {})
    assert [one.block for one in file.commits] == [0]
    file.leave()
    create(final, {}).leave()


@posix
def test_the_lock_is_held_until_the_name_is_taken(final, monkeypatch):
    """Whoever begins in between would empty what is about to be published."""
    file = create(final, {})
    file.write(b"first")
    real, refused = disk.rename, []

    def rename(old, new):
        for moment in ("before", "after"):
            with pytest.raises(WriteError, match="another process is writing"):
                create(final, {})
            refused.append(moment)
            if moment == "before":
                real(old, new)

    monkeypatch.setattr(disk, "rename", rename)
    file.publish()
    assert refused == ["before", "after"]
    assert content(final) == b"first"


@posix
def test_a_journal_whose_writer_ends_meanwhile(final, monkeypatch):
    """Who waits for the lock of an output that is then published does not touch it."""
    first = create(final, {})
    first.write(b"first")
    first.commit(0, 0)
    real, published = disk.lock, []

    def lock(descriptor):
        if not published:
            published.append(True)
            first.publish()
        return real(descriptor)

    monkeypatch.setattr(disk, "lock", lock)
    second = resume(final, {})
    assert second.commits == []
    assert content(final) == b"first"
    second.write(b"second")
    second.publish()
    assert content(final) == b"second"


# ---- failures while writing -----------------------------------------------------------------------------------------


def test_a_full_disk(final):
    put(final)
    file = create(final, {}, 12345)
    file.write(b"12345678")
    file.commit(0, 0)
    with FailAt(0, errno.ENOSPC, lasting=True):
        # a library that writes through the file sees no error in the middle of its own work, and what it wrote
        file.seek(6)
        assert file.write(b"x" * 8192) == 8192
        assert file.write(b"y" * 8) == 8
        file.seek(4)
        assert file.read(6) == b"56xxxx"
        file.seek(-10, os.SEEK_END)
        assert file.read() == b"xxyyyyyyyy"
        assert file.truncate(5) == 5
        assert file.seek(0, os.SEEK_END) == 5
        file.write(b"z")
        file.seek(3)
        assert file.read(9) == b"45z"
    for attempt in (file.check, lambda: file.commit(1, 0), file.publish):
        with pytest.raises(NoSpace, match="the disk is full") as caught:
            attempt()
    assert caught.value.path == final
    assert "bytes free" in caught.value.found
    assert caught.value.expected == "12345 bytes"
    assert file.leave()
    assert content(final) == b"old"
    again = resume(final, {})
    again.seek(0, os.SEEK_END)
    again.write(b"now there is room")
    again.publish()
    assert content(final) == b"12345678now there is room"


def test_the_first_failure_is_the_one_told(final):
    file = create(final, {})
    with FailAt(0, errno.ENOSPC):
        file.write(b"a")
    with FailAt(0, errno.EIO):
        file.write(b"b")
    with pytest.raises(NoSpace):
        file.check()
    assert not file.leave()
    assert names(final) == []


def test_memory_that_ends(final, monkeypatch):
    file = create(final, {})

    def write_at(descriptor, offset, data):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(partial.disk, "write_at", write_at)
        assert file.write(b"abc") == 3
    with pytest.raises(MemoryError):
        file.check()
    file.leave()


def test_reading_back_may_fail_too(final, monkeypatch):
    file = create(final, {})
    file.write(b"abc")

    def read_at(descriptor, offset, nbytes):
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(partial.disk, "read_at", read_at)
        file.seek(0)
        assert file.read(3) == bytes(3)
    with pytest.raises(WriteError, match="Input/output"):
        file.check()
    file.leave()


@posix
@pytest.mark.parametrize("leftovers", [False, True])
def test_every_step_of_beginning(final, leftovers):
    """Nothing is left of an output that could not be begun; descriptors are closed."""

    def prepare():
        for name in (partial_path(final), journal_path(final)):
            disk.unlink(name)
            if leftovers:
                put(name)

    prepare()
    with Disk() as counted:
        create(final, {}).close()
    for number, step in enumerate(counted.names):
        prepare()
        with FailAt(number, errno.EIO), pytest.raises(WriteError, match="Input/output"):
            create(final, {})
        # without the lock it may be somebody else's
        unlocked = number <= counted.names.index("lock")
        assert names(final) == [] or unlocked, step


def test_closed_while_another_thread_writes(final):
    """A second Ctrl-C: nothing reaches a descriptor that may be somebody else's by now."""
    file = create(final, {})
    stop = threading.Event()

    def write():
        while not stop.is_set():
            file.seek(0)
            file.write(bytes(1000))
            file.read(10)

    thread = threading.Thread(target=write)
    thread.start()
    file.leave()
    others = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]
    stop.set()
    thread.join()
    for other in others:
        os.close(other)
    file.write(b"x")
    with pytest.raises(WriteError, match="Bad file descriptor"):
        file.check()


def test_forgotten(final):
    """An output that nobody closes gives back its descriptors, and no others."""
    file = create(final, {})
    descriptor = file._descriptor
    file.close()
    taken = os.open(os.devnull, os.O_RDONLY)
    assert taken <= descriptor + 1
    del file
    os.fstat(taken)
    os.close(taken)


# ---- several files, and folders -------------------------------------------------------------------------------------

MEMBERS = re.compile(r"frame\d+\.bin|about\.json")


def several(tmp_path):
    return Target(final=str(tmp_path / "out.bin"), files=tuple(str(tmp_path / f"out_ch{n}.bin") for n in (1, 2, 3)))


def folder_of(tmp_path):
    return Target(final=str(tmp_path / "out"), members=MEMBERS)


def test_several_files_share_a_journal(tmp_path):
    target = several(tmp_path)
    output = Output.create(target, {"a": 1})
    for number, file in enumerate(output.files):
        file.write(bytes([number]) * 5000)
    output.commit(0, 7)
    for file in output.files:
        file.seek(0)
        file.write(b"changed, and never committed")
        file.seek(0, os.SEEK_END)
        file.write(b"more")
    assert output.leave()
    assert sorted(os.listdir(tmp_path)) == ["out.bin.journal"] + [f"out_ch{n}.bin.partial" for n in (1, 2, 3)]
    output = Output.resume(target, {"a": 1})
    output.files[1].seek(5)
    output.files[1].write(b"x")
    output.publish()
    expected = [bytes([number]) * 5000 for number in range(3)]
    expected[1] = expected[1][:5] + b"x" + expected[1][6:]
    assert [content(path) for path in target.files] == expected
    assert sorted(os.listdir(tmp_path)) == [f"out_ch{n}.bin" for n in (1, 2, 3)]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_killed_between_the_names_of_several_files(tmp_path, monkeypatch, at):
    """Resuming renames the rest, and nothing is written again."""
    target = several(tmp_path)
    for path in target.files:
        put(path)
    output = Output.create(target, {}, overwrite=True)
    for file in output.files:
        file.write(b"new")
    output.commit(0, 0)
    renamed = []

    def rename(old, new):
        if len(renamed) == at:
            raise KeyboardInterrupt
        renamed.append(new)
        os.replace(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            output.publish()
    output.close()
    assert [content(path) for path in target.files] == [b"new"] * at + [b"old"] * (3 - at)
    output = Output.resume(target, {}, overwrite=True)
    assert output.complete
    output.publish()
    assert [content(path) for path in target.files] == [b"new"] * 3
    assert sorted(os.listdir(tmp_path)) == [f"out_ch{n}.bin" for n in (1, 2, 3)]


def test_a_published_file_that_was_replaced_meanwhile(tmp_path, monkeypatch):
    """Another file of that name and size is not taken for it."""
    target = several(tmp_path)
    output = Output.create(target, {})
    for file in output.files:
        file.write(b"new")

    def rename(old, new):
        os.replace(old, new)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", rename)
        with pytest.raises(KeyboardInterrupt):
            output.publish()
    output.close()
    put(str(tmp_path / "other"), b"own")
    os.replace(tmp_path / "other", target.files[0])
    output = Output.resume(target, {})
    assert not output.complete
    assert not output.commits
    output.leave()
    assert content(target.files[0]) == b"own"


def test_a_folder(tmp_path):
    target = folder_of(tmp_path)
    output = Output.create(target, {})
    for number in range(3):
        output.add(f"frame{number}.bin", bytes([number]) * 100)
        output.commit(number, 0)
    output.add("frame1.bin", b"torn")
    assert output.leave()
    assert sorted(os.listdir(tmp_path)) == ["out.journal", "out.partial"]
    output = Output.resume(target, {})
    assert [one.block for one in output.commits] == [0, 1, 2]
    output.add("frame1.bin", b"again")
    output.publish()
    assert os.listdir(tmp_path) == ["out"]
    found = [content(os.path.join(target.final, f"frame{n}.bin")) for n in range(3)]
    assert found == [bytes(100), b"again", b"\2" * 100]


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("resumed", [False, True])
def test_a_folder_that_replaces_another(tmp_path, monkeypatch, at, resumed):
    """Wherever it is killed between its names, the old folder or the new one is there and comes back."""
    target = folder_of(tmp_path)
    os.mkdir(target.final)
    put(os.path.join(target.final, "frame7.bin"))
    output = Output.create(target, {}, overwrite=True)
    output.add("frame0.bin", b"new")
    output.commit(0, 0)
    calls = []

    def rename(old, new):
        if len(calls) == at:
            raise KeyboardInterrupt
        calls.append(new)
        os.replace(old, new)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "rename", rename)
        if at < 2:
            with pytest.raises(KeyboardInterrupt):
                output.publish()
        else:
            patch.setattr(disk, "remove_folder", lambda path: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                output.publish()
    output.close()
    assert (tmp_path / "out").exists() == (at != 1)
    if resumed:
        output = Output.resume(target, {}, overwrite=True)
        assert output.complete
    else:
        output = Output.create(target, {}, overwrite=True)
        assert os.listdir(target.final) == (["frame0.bin"] if at == 2 else ["frame7.bin"])
        output.add("frame0.bin", b"new")
    output.publish()
    assert os.listdir(tmp_path) == ["out"]
    assert os.listdir(target.final) == ["frame0.bin"]


@pytest.mark.parametrize("where", ["out", "out.partial", "out.replaced"])
def test_folders_of_others_are_never_removed(tmp_path, where):
    target = folder_of(tmp_path)
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / where).mkdir(exist_ok=True)
    (tmp_path / where / "thesis.docx").write_bytes(b"years")

    def write():
        output = Output.create(target, {}, overwrite=True)
        try:
            output.add("frame0.bin", b"new")
            output.publish()
        finally:
            output.leave()

    for _ in range(2):
        with pytest.raises(WriteError, match="holds other files"):
            write()
    with pytest.raises(WriteError, match="holds other files") if where == "out" else nullcontext():
        target.guard([], True)
    assert (tmp_path / where / "thesis.docx").read_bytes() == b"years"


def test_a_target_in_a_journal(tmp_path):
    for target in (several(tmp_path), folder_of(tmp_path)):
        assert Target.from_json(target.final, json.loads(json.dumps(target.to_json()))) == target
