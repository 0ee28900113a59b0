"""The loop that writes: whatever fails and whoever fails, the final path is as it was."""

from __future__ import annotations

import os

import numpy as np
import pytest

from galvo import Recording
from galvo.core.blocks import block_selections
from galvo.core.checksum import block_checksum
from galvo.core.sink import WritePlan
from galvo.core.write import write_recording
from galvo.errors import DamagedData, NoSpace, WriteError

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

    def t_multiple(self, recording):
        return 1

    def estimate(self, plan):
        return plan.recording.nbytes

    def begin(self, file, plan):
        self.file = file
        self._step("begin")

    def put(self, index, block):
        self.file.write(block.tobytes())
        self._step("put")

    def finish(self, checksums):
        self.checksums = checksums
        self._step("finish")

    def abort(self):
        self._step("abort")


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


def unchanged(final):
    with open(final, "rb") as stream:
        assert stream.read() == b"old"
    assert os.listdir(os.path.dirname(final)) == ["out.raw"]


def test_all_is_well(final):
    recording = Recording.from_array(PIXELS)
    plan, sink, steps = plan_of(recording), PlainSink(), []
    write_recording(plan, sink, final, lambda done, total: steps.append((done, total)))
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
        write_recording(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
    assert caught.value is error
    assert sink.calls[-1] == "abort"
    unchanged(final)


@pytest.mark.parametrize("step", ["begin", "put", "finish"])
@pytest.mark.parametrize(("number", "kind"), [(28, NoSpace), (5, WriteError)])
def test_errors_of_the_system_become_galvos(final, step, number, kind):
    sink = PlainSink(step, OSError(number, os.strerror(number)))
    with pytest.raises(kind) as caught:
        write_recording(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
    assert caught.value.path == final
    unchanged(final)


def test_a_failure_while_letting_go_still_removes_the_partial_file(final):
    class Stubborn(PlainSink):
        def abort(self):
            raise Strange("abort failed")

    with pytest.raises(Strange) as caught:
        write_recording(plan_of(Recording.from_array(PIXELS)), Stubborn("put", KeyError("first")), final, nothing)
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
        write_recording(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, progress)
    unchanged(final)


def test_a_recording_that_cannot_be_read_to_its_end(final):
    class Damaged:
        shape, dtype, chunks = PIXELS.shape, PIXELS.dtype, (1, 1, 1, 4, 6)

        def read(self, selection, out):
            if 7 in selection.t:
                raise DamagedData("page 7 does not decode")
            out[:] = 0

    from galvo import Metadata

    with pytest.raises(DamagedData, match="page 7"):
        write_recording(plan_of(Recording(Damaged(), Metadata(format="x"))), PlainSink(), final, nothing)
    unchanged(final)


def test_a_disk_that_fills_up(final, monkeypatch):
    from galvo.core import atomic

    real, left = os.write, [200]

    def write(descriptor, data):
        if left[0] <= 0:
            raise OSError(28, "No space left on device")
        done = real(descriptor, data[: left[0]])
        left[0] -= done
        return done

    monkeypatch.setattr(atomic.os, "write", write)
    sink = PlainSink()
    with pytest.raises(NoSpace):
        write_recording(plan_of(Recording.from_array(PIXELS)), sink, final, nothing)
    assert sink.calls.count("put") == 3
    unchanged(final)
    left[0] = 10_000
    write_recording(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, nothing)
    assert os.path.getsize(final) == PIXELS.nbytes


def test_the_last_byte_may_fail_too(final, monkeypatch):
    from galvo.core import atomic

    def fsync(descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(atomic.os, "fsync", fsync)
    with pytest.raises(WriteError, match="Input/output"):
        write_recording(plan_of(Recording.from_array(PIXELS)), PlainSink(), final, nothing)
    unchanged(final)
