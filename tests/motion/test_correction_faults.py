"""Corrections that are killed, that fail, and that go on: both outputs are absent, old or whole at every moment."""

from __future__ import annotations

import errno
import os
import time
from types import SimpleNamespace

import numpy as np
import pytest

import galvo
from galvo.core.atomic import journal_path, partial_path
from galvo.core.target import Target
from galvo.errors import WriteError
from galvo.motion import job, stored
from galvo.testing.disk_faults import ShortWriteAt
from galvo.testing.power import snapshot
from galvo.testing.trials import Trial

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
FRAMES = 6


class Stop(Exception):
    """Raised by a caller's own function."""


@pytest.fixture
def small(moving, sway, monkeypatch):
    """Six frames, of which two are a block of either output."""
    monkeypatch.setattr(job, "_LEAST_TOGETHER", 2)
    monkeypatch.setattr(job, "MOST_BLOCK_BYTES", 1)
    monkeypatch.setattr(stored, "_CHUNK_BYTES", 1)
    pixels = np.ascontiguousarray(moving.pixels[:FRAMES, :1, :, :24, :20])
    reference = moving.reference[:24, :20, :1]
    asked = []

    def flow(frames, fixed):
        asked.append(len(frames))
        return sway(frames, fixed)

    def run(path, **options):
        given = {"flow": flow, "reference": reference, "workers": 1, "fletcher32": True, "block_bytes": 1}
        if path is None:
            del given["fletcher32"], given["block_bytes"]
        given |= options
        return galvo.correct(given.pop("source", pixels), path, **given)

    return SimpleNamespace(run=run, asked=asked, pixels=pixels, reference=reference)


def motion_trial(folder, small, old=b"old"):
    """The motion alone."""
    nbytes = small.run(None).motion.frames.itemsize + 24 * 20 * 2 * 2

    def write(path, resume, progress):
        small.run(
            None,
            motion=path,
            resume=resume,
            overwrite=True,
            progress=lambda done, total: progress(done * nbytes, total * nbytes),
        )

    target = Target(final=str(folder / "m.h5"), files=(str(folder / "m.h5"),))
    return Trial(folder, target, write, {"m.h5": old} if old else {})


class _Both(Trial):
    """Movie and motion, each with its journal."""

    @property
    def _leftovers(self):
        return {
            os.path.basename(name)
            for place in self.target.places
            for name in (partial_path(place), journal_path(place))
        }

    def _check_leftovers(self, where, done):
        left = {entry.name for entry in self.folder.iterdir()} - set(map(os.path.basename, self.target.places))
        assert left <= self._leftovers, f"{where}: left behind: {left}"
        if 0 < done < FRAMES:
            assert {"out_motion.h5.partial", "out_motion.h5.journal"} <= left, f"{where}: {left} of {done} frames"

    def _committed(self, cut):
        return 0


def both_trial(folder, small, old=True):
    def write(path, resume, progress):
        small.run(path, resume=resume, overwrite=True, progress=progress)

    places = (str(folder / "out.h5"), str(folder / "out_motion.h5"))
    before = {"out.h5": b"old movie", "out_motion.h5": b"old motion"} if old else {}
    return _Both(folder, Target(final=places[0], files=places), write, before)


# ---- every operation ------------------------------------------------------------------------------------------------


@needs_fork
def test_killed(scratch, small):
    """At some operations of both outputs."""
    trial = both_trial(scratch / "trial", small)
    for number in range(0, len(trial.operations) + 1, 11):
        trial.kill_at(number)


def test_failing(scratch, small):
    trial = both_trial(scratch / "trial", small, old=False)
    for number in range(1, len(trial.operations), 17):
        trial.fail_at(number, errno.ENOSPC if number % 2 else errno.EIO, lasting=bool(number % 2))


@needs_fork
@pytest.mark.harden
@pytest.mark.parametrize("make", [motion_trial, both_trial])
def test_killed_at_every_operation(scratch, small, make):
    for number, old in enumerate((b"old", b"")):
        trial = make(scratch / f"trial{number}", small, old)
        # of both outputs, every other operation each time
        first, step = (number, 2) if make is both_trial else (0, 1)
        for place in range(first, len(trial.operations) + 1, step):
            trial.kill_at(place, torn=number == 1, anew=number == 1 and place % 4 < 2)
        trial.close()


@pytest.mark.harden
@pytest.mark.parametrize("make", [motion_trial, both_trial])
def test_failing_at_every_operation(scratch, small, make):
    trial = make(scratch / "trial", small)
    for code, lasting, step in (
        (errno.ENOSPC, True, 1),
        (errno.EIO, False, 2),
        (errno.ENOSPC, False, 5),
        (errno.EINTR, False, 5),
        (errno.EDQUOT, True, 5),
    ):
        for number in range(step // 2, len(trial.operations), step):
            trial.fail_at(number, code, lasting)
    for number in range(0, len(trial.operations), 3):
        assert not trial.disturb(ShortWriteAt(number), f"short write at operation {number}")


@needs_fork
@pytest.mark.harden
@pytest.mark.parametrize("make", [motion_trial, both_trial])
def test_power_cuts(scratch, small, make):
    make(scratch / "trial", small).cut_power(400)


@needs_fork
@pytest.mark.harden
def test_killed_at_random(scratch, small):
    trial = both_trial(scratch / "trial", small)
    started = time.perf_counter()
    small.run(scratch / "once.h5")
    seconds = time.perf_counter() - started
    rng = np.random.default_rng(5)
    alive = sum(trial.kill_after(float(rng.uniform(0, 1.2 * seconds)), anew=bool(rng.integers(2))) for _ in range(100))
    assert alive > 25


# ---- going on -------------------------------------------------------------------------------------------------------


def stop_at(frame):
    def progress(done, total):
        if done >= frame:
            raise Stop

    return progress


@pytest.mark.parametrize("frame", [0, 2, 4, 6, 8, 10, 12])
def test_resumed_anywhere(tmp_path, small, frame):
    small.run(tmp_path / "whole.h5")
    small.asked.clear()
    with pytest.raises(Stop):
        small.run(tmp_path / "out.h5", progress=stop_at(frame))
    done = sum(small.asked)
    small.run(tmp_path / "out.h5", resume=True)
    # a block is read while the one before is written
    assert sum(small.asked) - FRAMES <= (2 if frame else done)
    for name in ("{}.h5", "{}_motion.h5"):
        assert (tmp_path / name.format("out")).read_bytes() == (tmp_path / name.format("whole")).read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_motion_that_is_complete_is_used(tmp_path, small):
    small.run(None, motion=tmp_path / "out_motion.h5")
    before = (tmp_path / "out_motion.h5").read_bytes()
    small.asked.clear()
    correction = small.run(tmp_path / "out.h5", resume=True)
    assert small.asked == []
    assert (tmp_path / "out_motion.h5").read_bytes() == before
    with galvo.open(tmp_path / "out.h5") as movie:
        assert np.array_equal(movie[...], correction.apply(galvo.Recording.from_array(small.pixels))[...])


@pytest.mark.parametrize(
    "change",
    [
        lambda small: {"source": small.pixels + 1},
        lambda small: {"source": small.pixels[:5]},
        lambda small: {"reference": small.reference + 1},
        lambda small: {"reference": slice(0, 3)},
        lambda small: {"params": {"channel_weights": (0.5,)}},
        lambda small: {"flow": lambda frames, reference: np.zeros((*frames.shape[:3], 2), np.float32)},
    ],
    ids=["pixels", "length", "reference", "frames of the reference", "params", "function"],
)
def test_what_was_begun_with_something_else(tmp_path, small, change):
    """A partial motion is refused, a complete one is not taken for it, and what was kept can still be resumed."""
    changed = change(small)
    with pytest.raises(Stop):
        small.run(tmp_path / "out.h5", progress=stop_at(2))
    with pytest.raises(WriteError, match="another source or with other options"):
        small.run(tmp_path / "out.h5", resume=True, **changed)
    first = small.run(tmp_path / "out.h5", resume=True)
    (tmp_path / "out.h5").unlink()
    with pytest.raises(WriteError, match="exists"):
        small.run(tmp_path / "out.h5", resume=True, **changed)
    other = small.run(tmp_path / "out.h5", resume=True, overwrite=True, **changed)
    assert other.motion.checksum != first.motion.checksum
    anew = small.run(tmp_path / "anew.h5", **changed)
    assert (tmp_path / "anew_motion.h5").read_bytes() == (tmp_path / "out_motion.h5").read_bytes()
    assert anew.motion.checksum == other.motion.checksum


def test_a_movie_of_another_motion_is_not_resumed(tmp_path, small):
    with pytest.raises(Stop):
        small.run(tmp_path / "out.h5", progress=stop_at(FRAMES + 2))
    assert {"out.h5.partial", "out_motion.h5"} <= set(snapshot(str(tmp_path)))
    with pytest.raises(WriteError, match="another source or with other options"):
        small.run(tmp_path / "out.h5", resume=True, overwrite=True, reference=small.reference * 2)
    with pytest.raises(WriteError, match="another source or with other options"):
        small.run(tmp_path / "out.h5", resume=True, overwrite=True, fill=3)


def test_a_source_file_that_changed(tmp_path, small):
    galvo.save(small.pixels, tmp_path / "in.h5")
    with pytest.raises(Stop):
        small.run(tmp_path / "out.h5", source=tmp_path / "in.h5", progress=stop_at(2))
    galvo.save(small.pixels + 1, tmp_path / "in.h5", overwrite=True)
    with pytest.raises(WriteError, match="another source"):
        small.run(tmp_path / "out.h5", source=tmp_path / "in.h5", resume=True)


def test_two_at_once(tmp_path, small):
    """The second is refused and the first does not notice."""

    def progress(done, total):
        if done < FRAMES:
            with pytest.raises(WriteError, match="another process is writing"):
                small.run(None, motion=tmp_path / "out_motion.h5")

    small.run(tmp_path / "out.h5", progress=progress)
    assert sorted(snapshot(str(tmp_path))) == ["out.h5", "out_motion.h5"]
