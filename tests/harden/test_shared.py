"""One recording shared by threads, forks and spawned processes: every read is the frame that it should be."""

from __future__ import annotations

import multiprocessing
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import h5py
import numpy as np
import pytest

import galvo
from galvo import native
from galvo.testing.sandbox import frame_digest, read_digests, run_case, run_cases
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import TiffBuilder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

KINDS = ("tiff, even", "tiff, listed, deflate", "scanimage", "hdf5", "hdf5, gzip", "hdf5 by its library")
COUNT = 200
THREADS, FORKS, SPAWNS = 8, 4, 2


def movie():
    return np.random.default_rng(5).integers(0, 4000, (COUNT, 24, 20)).astype("<i2")


def made(kind, folder):
    """A recording, and its pixels T C Z Y X."""
    pixels = movie()
    whole = pixels[:, None, None]
    if kind.startswith("tiff"):
        builder = TiffBuilder()
        for frame in pixels:
            data = frame.tobytes()
            deflate = "deflate" in kind
            segment = zlib.compress(data) if deflate else data
            builder.image(20, 24, [segment], bits=16, sample_format=2, compression=8 if deflate else 1)
        (folder / "a.tif").write_bytes(builder.build())
        return galvo.open(folder / "a.tif"), whole
    if kind == "scanimage":
        truth = ScanImageRecording(height=24, width=20, frames=COUNT // 2, channels=(1, 2))
        return galvo.open(truth.write(folder)[0]), truth.expected()
    path = folder / "a.h5"
    if kind == "hdf5 by its library":
        with h5py.File(path, "w") as file:
            file.create_dataset("mov", data=pixels, chunks=(5, 24, 20), scaleoffset=0)
        return galvo.open(path, axes="TYX"), whole
    galvo.save(whole, path, **({"compression": "gzip"} if "gzip" in kind else {}))
    return galvo.open(path), whole


@pytest.fixture(params=KINDS)
def shared(request, tmp_path):
    recording, pixels = made(request.param, tmp_path)
    with recording:
        yield recording, Truth(pixels)


class Truth:
    """Places of frames and what lies there."""

    def __init__(self, pixels):
        self.places = list(np.ndindex(pixels.shape[:3]))
        self.digests = [frame_digest(np.ascontiguousarray(pixels[place])) for place in self.places]

    def drawn(self, count, seed):
        numbers = np.random.default_rng(seed).integers(0, len(self.places), count).tolist()
        return [self.places[k] for k in numbers], [self.digests[k] for k in numbers]

    def wrong(self, recording, count, seed):
        places, expected = self.drawn(count, seed)
        return sum(got != own for got, own in zip(read_digests(recording, places), expected, strict=True))


def in_threads(recording, truth, threads, count, seed):
    """Wrong reads of `count` by several threads at once."""
    with ThreadPoolExecutor(threads) as pool:
        shares = pool.map(partial(truth.wrong, recording, count // threads), range(seed, seed + threads))
        return sum(shares)


def wrong_reads(recording, truth, count):
    """Wrong reads of `count`: a third by threads, a third by two threads in each of the forks made meanwhile."""
    share = count // 3
    with ThreadPoolExecutor(THREADS) as pool:
        reading = [pool.submit(truth.wrong, recording, share // THREADS, 100 + k) for k in range(THREADS)]
        forks = [partial(in_threads, recording, truth, 2, share // FORKS, 1000 * (k + 1)) for k in range(FORKS)]
        verdicts = [verdict for _, verdict in run_cases(forks, seconds=30, processes=FORKS)]
        wrong = sum(future.result() for future in reading)
    assert all(verdict.kind == "value" for verdict in verdicts), [(one.kind, one.detail) for one in verdicts]
    return wrong + sum(verdict.value for verdict in verdicts)


def wrong_spawned(recording, truth, count):
    """Wrong reads of a third of `count`, in new processes that got the recording as a pickle."""
    # in a fork, with which multiprocessing's own tracker ends too
    verdict = run_case(lambda: spawned(recording, truth, count), seconds=60)
    assert verdict.kind == "value", verdict
    return verdict.value


def spawned(recording, truth, count):
    drawn = [truth.drawn(count // 3 // SPAWNS, seed) for seed in range(SPAWNS)]
    with multiprocessing.get_context("spawn").Pool(SPAWNS) as pool:
        read = pool.starmap(read_digests, [(recording, places) for places, _ in drawn])
        pool.close()
        pool.join()
    pairs = zip(read, (expected for _, expected in drawn), strict=True)
    return sum(got != own for one, expected in pairs for got, own in zip(one, expected, strict=True))


def test_threads_and_forks(shared):
    assert wrong_reads(*shared, 600) == 0


@pytest.mark.parametrize("shared", KINDS[1:3], indirect=True)
def test_spawned(shared):
    assert wrong_spawned(*shared, 600) == 0


@pytest.mark.harden
def test_many_reads(shared):
    assert wrong_reads(*shared, 6000) == 0
    assert wrong_spawned(*shared, 6000) == 0


def test_a_shared_seek_pointer_is_found(tmp_path, monkeypatch):
    """What this file is for: with seek and read instead of positioned reads, threads read each other's bytes."""

    def seek_and_read(descriptor, offset, nbytes):
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, nbytes)

    recording, pixels = made("tiff, listed, deflate", tmp_path)

    def work():
        monkeypatch.setattr(native, "read_at", seek_and_read)
        try:
            return in_threads(recording, Truth(pixels), THREADS, 4000, 0)
        except galvo.errors.GalvoError:
            # a strip of another frame's bytes does not even decode
            return 1

    with recording:
        recording[0]
        verdict = run_case(work, seconds=30)
    assert verdict.kind == "value", verdict
    assert verdict.value > 0
