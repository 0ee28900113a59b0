"""The loop that writes: whatever fails and whoever fails, the final path is as it was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import galvo
from galvo import Recording
from galvo.core import disk
from galvo.core.atomic import journal_path, partial_path
from galvo.core.blocks import block_selections
from galvo.core.checksum import block_checksum
from galvo.core.sink import WritePlan
from galvo.core.target import Target
from galvo.core.write import write_recording
from galvo.errors import DamagedData, NoSpace, WriteError
from galvo.testing.disk_faults import Disk, FailAt

PIXELS = np.random.default_rng(0).integers(0, 999, (10, 1, 1, 4, 6)).astype(np.int16)


class PlainSink:
    """Pixels one after the other; raises `error` in the step called `fails`."""

    def __init__(self, fails=None, error=None, at=0):
        self.fails, self.error, self.at = fails, error, at
        self.calls = []
        self.checksums = None

    def _step(self, name):
        self.calls.append(name)
        if name == self.fails and self.calls.count(name) > self.at:
            raise self.error

    compresses = False

    def t_multiple(self, recording):
        return 1

    def estimate(self, plan):
        return plan.recording.nbytes

    notes = ()
    block_order = "TCZ"

    def shown(self, index, block):
        return block

    def prepare(self, plan):
        pass

    def begin(self, output):
        (self.file,) = output.files
        self._step("begin")

    def reopen(self, output):
        (self.file,) = output.files
        self._step("reopen")

    def encode(self, index, block):
        return block

    def put(self, index, block):
        self.file.seek(0, os.SEEK_END)
        self.file.write(block.tobytes())
        self._step("put")

    def finish(self, checksums):
        self.checksums = checksums
        self._step("finish")

    def abort(self):
        self._step("abort")


def write(plan, sink, final, progress, resume=False):
    sink.prepare(plan)
    write_recording(plan, sink, Target(final=final, files=(final,)), progress, resume, overwrite=True)


def plan_of(recording, max_bytes=100):
    blocks = tuple(block_selections(recording.shape, recording.dtype.itemsize, max_bytes))
    return WritePlan(recording=recording, blocks=blocks)


@pytest.fixture
def final(tmp_path):
    path = tmp_path / "out.raw"
    path.write_bytes(b"old")
    return str(path)


def nothing(done, total):
    pass


def unchanged(final, kept=False):
    with open(final, "rb") as stream:
        assert stream.read() == b"old"
    pair = ["out.raw.journal", "out.raw.partial"] if kept else []
    assert sorted(os.listdir(os.path.dirname(final))) == ["out.raw", *pair]


def resumed(final, blocks):
    """The rest is written, and nothing twice."""
    sink, steps = PlainSink(), []
    plan = plan_of(Recording.from_array(PIXELS))
    write(plan, sink, final, lambda done, total: steps.append(done), resume=True)
    with open(final, "rb") as stream:
        assert stream.read() == PIXELS.tobytes()
    assert steps == [96 * part for part in range(blocks, 6)]
    if blocks == 5:
        # only the name was missing
        assert sink.calls == []
    else:
        assert sink.calls == ["reopen" if blocks else "begin"] + ["put"] * (5 - blocks) + ["finish"]
        assert sink.checksums.tolist() == [block_checksum(PIXELS[index]) for index in plan.blocks]
    assert os.listdir(os.path.dirname(final)) == ["out.raw"]


def test_all_is_well(final):
    recording = Recording.from_array(PIXELS)
    plan, sink, steps = plan_of(recording), PlainSink(), []
    write(plan, sink, final, lambda done, total: steps.append((done, total)))
    with open(final, "rb") as stream:
        assert stream.read() == PIXELS.tobytes()
    assert sink.calls == ["begin"] + ["put"] * 5 + ["finish"]
    assert steps == [(part * 96, 480) for part in range(6)]
    assert sink.checksums.dtype == np.uint32
    assert sink.checksums.tolist() == [block_checksum(PIXELS[index]) for index in plan.blocks]


class Strange(Exception):
    pass


@pytest.mark.parametrize("error", [Strange("odd"), KeyboardInterrupt(), SystemExit(3), MemoryError()], ids=repr)
@pytest.mark.parametrize(("step", "at"), [("begin", 0), ("put", 0), ("put", 3), ("finish", 0)])
def test_a_sink_that_fails(final, step, at, error):
    sink = PlainSink(step, error, at)
    with pytest.raises(type(error)) as caught:
        write(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
    assert caught.value is error
    assert sink.calls[-1] == "abort"
    blocks = {"begin": 0, "put": at, "finish": 4}[step]
    unchanged(final, kept=blocks > 0)
    resumed(final, blocks)


@pytest.mark.parametrize("step", ["begin", "put", "finish"])
@pytest.mark.parametrize(("number", "kind"), [(28, NoSpace), (5, WriteError)])
def test_errors_of_the_system_become_galvos(final, step, number, kind):
    sink = PlainSink(step, OSError(number, os.strerror(number)))
    with pytest.raises(kind) as caught:
        write(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
    assert caught.value.path == final
    if kind is NoSpace:
        assert caught.value.expected == "480 bytes"
        assert "bytes free" in caught.value.found
    kept = step == "finish"
    assert (caught.value.hint == f"{final}.partial is kept: go on with resume=True (--resume)") == kept
    unchanged(final, kept)


def test_a_failure_while_letting_go_still_removes_the_partial_file(final):
    class Stubborn(PlainSink):
        def abort(self):
            raise Strange("abort failed")

    with pytest.raises(Strange) as caught:
        write(plan_of(Recording.from_array(PIXELS)), Stubborn("put", KeyError("first")), final, nothing)
    assert isinstance(caught.value.__context__, KeyError)
    unchanged(final)


@pytest.mark.parametrize("at", [0, 1, 5])
@pytest.mark.parametrize("error", [Strange("odd"), KeyboardInterrupt()], ids=repr)
def test_a_callback_that_fails(final, error, at):
    calls = []

    def progress(done, total):
        calls.append(done)
        if len(calls) > at:
            raise error

    with pytest.raises(type(error)):
        write(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, progress)
    unchanged(final, kept=at > 0)
    resumed(final, at)


def test_a_recording_that_cannot_be_read_to_its_end(final):
    class Damaged:
        shape, dtype, chunks = PIXELS.shape, PIXELS.dtype, (1, 1, 1, 4, 6)

        def read(self, selection, out):
            if 7 in selection.t:
                raise DamagedData("page 7 does not decode")
            out[:] = 0

    from galvo import Metadata

    with pytest.raises(DamagedData, match="page 7"):
        write(plan_of(Recording(Damaged(), Metadata(format="x"), files=[final])), PlainSink(), final, nothing)
    unchanged(final, kept=True)


def test_space_is_asked_for_unless_the_output_may_be_small(final, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda path: 500)
    with pytest.raises(NoSpace, match="not enough space"):
        write(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, nothing)
    unchanged(final)
    sink = PlainSink()
    sink.compresses = True
    write(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_operation_may_fail(final, code):
    """Told at once, also by the last of them; what is kept is gone on with."""
    with Disk() as counted:
        write(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, nothing)
    for number, name in enumerate(counted.names):
        with open(final, "wb") as stream:
            stream.write(b"old")
        sink = PlainSink()
        fault = FailAt(number, code)
        if name == "unlink" and number == counted.count - 1:
            # only the journal of a complete output is left behind
            with fault:
                write(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
            os.unlink(journal_path(final))
            continue
        with fault, pytest.raises(NoSpace if code == errno.ENOSPC else WriteError) as caught:
            write(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
        assert caught.value.path == final
        if "rename" in counted.names[:number]:
            continue
        if name == "lock":
            # unlocked, it may be somebody else's
            os.unlink(journal_path(final))
        kept = os.path.exists(partial_path(final))
        unchanged(final, kept)
        assert ("resume=True" in (caught.value.hint or "")) == kept
        write(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, nothing, resume=True)
        with open(final, "rb") as stream:
            assert stream.read() == PIXELS.tobytes()


def test_a_sink_runs_beside_the_main_thread(final):
    """So Ctrl-C never breaks into a library."""
    threads = set()

    class Watching(PlainSink):
        def _step(self, name):
            threads.add((name == "abort", threading.current_thread() is threading.main_thread()))
            super()._step(name)

    write(plan_of(Recording.from_array(PIXELS)), Watching(), final, nothing)
    assert threads == {(False, False)}


def test_one_block_is_brought_to_the_disk_once(final):
    """Data, the names, the journal, the new name; nothing before the block, and nothing between it and its end."""
    sink = PlainSink()
    with Disk() as counted:
        write(plan_of(Recording.from_array(PIXELS), 1 << 20), sink, final, nothing)
    assert sink.calls == ["begin", "put", "finish"]
    steps = [name for name in counted.names if name.startswith(("sync", "rename"))]
    if os.name != "nt":
        assert steps == ["sync", "sync folder", "sync", "rename", "sync folder"]


@pytest.mark.parametrize(
    ("array", "borrowed"),
    [
        (PIXELS, True),
        (PIXELS[2:5], True),
        (PIXELS.astype(">i2"), False),
        (PIXELS[::-1], False),
        (np.asfortranarray(PIXELS), False),
    ],
)
def test_pixels_in_memory_are_not_copied(final, array, borrowed):
    seen = []

    class Watching(PlainSink):
        def encode(self, index, block):
            seen.append((np.shares_memory(block, array), block.flags.writeable))
            return block

    write(plan_of(Recording.from_array(array)), Watching(), final, nothing)
    with open(final, "rb") as stream:
        assert stream.read() == array.astype("<i2").tobytes()
    assert set(seen) == {(True, False) if borrowed else (False, True)}


def test_pixels_that_only_look_the_same_are_refused(final):
    """What a lossy output shows does not tell its source."""

    class Lossy(PlainSink):
        def shown(self, index, block):
            return block // 2

    def attempt(pixels, progress, resume=True):
        write(plan_of(Recording.from_array(pixels)), Lossy(), final, progress, resume)

    def stop(done, total):
        if done > 200:
            raise Strange

    even = PIXELS // 2 * 2
    with pytest.raises(Strange):
        attempt(even, stop, resume=False)
    for number, refused in ((0, True), (3, True), (9, False)):
        other = even.copy()
        other[number] += 1
        if refused:
            with pytest.raises(WriteError, match="another source") as caught:
                attempt(other, nothing)
            assert caught.value.hint == "Start again without resume"
            unchanged(final, kept=True)
    # what is different has not been written yet: it is that source's output
    attempt(other, nothing)
    with open(final, "rb") as stream:
        assert stream.read() == other.tobytes()


INTERRUPTED = """
import signal, sys, time
import numpy as np, galvo
# where the tests run in the background of a shell, it is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
from galvo.formats.hdf5 import sink
put = sink.Hdf5Sink.put
def slow(self, index, block):
    time.sleep(0.3)
    put(self, index, block)
sink.Hdf5Sink.put = slow
pixels = np.random.default_rng(0).integers(0, 99, (8, 1, 1, 256, 256)).astype("u2")
def progress(done, total):
    print(done, flush=True)
try:
    galvo.save(pixels, sys.argv[1], block_bytes=1, progress=progress, resume=True)
except KeyboardInterrupt:
    sys.exit(33)
"""


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c(tmp_path, times):
    """Once: the running block is brought to its end. Impatiently: what is committed is kept."""
    path = tmp_path / "out.h5"
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        assert int(process.stdout.readline()) > 0
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(0.02)
        process.stdout.read()
    # Python itself may be hit on its way out
    assert process.returncode in (33, -signal.SIGINT)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.h5.journal", "out.h5.partial"]
    with subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(path)], stdout=subprocess.PIPE) as process:
        assert int(process.stdout.readline()) > 0
        process.stdout.read()
    assert process.returncode == 0
    assert galvo.verify(path).ok
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.h5"]
