"""Threads, forks, fresh processes, and a disk that is full."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import DamagedData, ReadError
from galvo.formats.hdf5.library import LibraryReader

PIXELS = np.random.default_rng(0).integers(0, 2**12, (60, 2, 1, 24, 20)).astype("u2")
KINDS = {
    "own": None,
    "own, gzip": {"compression": "gzip"},
    "contiguous": {},
    "gzip": {"chunks": (7, 11, 20), "compression": "gzip"},
    "lzf, library later": {"chunks": (1, 24, 20), "compression": "lzf"},
    "library": {"chunks": (4, 24, 20), "scaleoffset": 0},
}


@pytest.fixture(params=KINDS)
def path(tmp_path, request):
    path, options = tmp_path / "a.h5", KINDS[request.param]
    if request.param.startswith("own"):
        galvo.save(PIXELS, path, block_bytes=20_000, **(options or {}))
        return path
    with h5py.File(path, "w") as file:
        for channel in range(2):
            # noise in all bits, which lzf gives up on
            pixels = PIXELS[:, channel, 0] * np.uint16(40503) if "lzf" in request.param else PIXELS[:, channel, 0]
            dataset = file.create_dataset(f"ch{channel + 1}", data=pixels, **options)
            dataset.attrs["axes"] = "TYX"
    return path


def test_threads(path):
    with galvo.open(path) as rec:
        whole = galvo.load(path, squeeze=False)
        barrier = threading.Barrier(8)

        def work(number):
            rng = np.random.default_rng(number)
            barrier.wait(10)
            for _ in range(15):
                t = rng.integers(0, 60, 4).tolist()
                c, x = int(rng.integers(2)), slice(int(rng.integers(20)), None)
                np.testing.assert_array_equal(rec[t, c, :, :, x], whole[t][:, c][..., x])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("read_before", [False, True])
def test_fork_while_others_read(path, read_before):
    whole = galvo.load(path, squeeze=False)
    with galvo.open(path) as rec:
        if read_before:
            rec[0]
        stop = threading.Event()

        def read():
            while not stop.is_set():
                rec[::7]

        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(4):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
                if child == 0:
                    code = 1
                    try:
                        import signal

                        signal.alarm(20)
                        code = 0 if rec[...].tobytes() == whole.tobytes() else 2
                    finally:
                        os._exit(code)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        np.testing.assert_array_equal(rec[...], whole)


def test_spawned(path):
    code = (
        "import pickle, sys, hashlib\n"
        "sys.path[:], parts = pickle.load(sys.stdin.buffer), pickle.load(sys.stdin.buffer)\n"
        "for part in parts:\n"
        "    with part: print(hashlib.sha256(part[...].tobytes()).hexdigest())\n"
    )
    with galvo.open(path) as rec:
        parts = [rec, rec.isel(c=1, t=slice(None, None, -3), y=[2, 2, 9])]
        expected = [sha256(part[...].tobytes()).hexdigest() for part in parts]
        data = pickle.dumps(sys.path) + pickle.dumps(parts)
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.decode().split() == expected


def test_closed(path):
    rec = galvo.open(path)
    rec[0]
    rec.close()
    rec.close()
    with pytest.raises(ReadError, match="closed"):
        rec[0]


def test_the_path_that_reads(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("mov", data=PIXELS[:, 0, 0], chunks=(1, 24, 20), scaleoffset=0).attrs["axes"] = "TYX"
    with galvo.open(tmp_path / "a.h5") as rec:
        assert isinstance(rec._reader, LibraryReader)


# ---- a full disk ----------------------------------------------------------------------------------------------------

FULL = """
import resource, sys, os, hashlib
sys.path[:0] = {path!r}
import numpy as np, galvo
from galvo.errors import NoSpace
folder, compression = sys.argv[1:3]
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
class Facts:
    def read(self, t, c, z):
        return {{"timestamp_s": np.sin(t * 12.9898), "frame_number": t}}
pixels = np.random.default_rng(0).integers(0, 2**16, (40, 2, 1, 64, 64)).astype("u2")
metadata = Metadata(format="array", texts={{"header": "x = 1" * 2000}})
source = Recording(Recording.from_array(pixels)._reader, metadata, facts=Facts())
old, small = os.path.join(folder, "old.h5"), os.path.join(folder, "small.h5")
galvo.save(pixels[:3], old)
before = hashlib.sha256(open(old, "rb").read()).hexdigest()
fds = len(os.listdir("/proc/self/fd"))
galvo.save(source, small, compression=compression)
size = os.path.getsize(small)
os.unlink(small)
ends = [size - step for step in (1, 7, 100, 200, 400, 800, 1600, 2400, 3200, 4800, 6400, 9600, 12800)]
for limit in {limits} + ends:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        galvo.save(source, old, overwrite=True, block_bytes=50_000, compression=compression)
    except NoSpace as error:
        assert error.path == old, error
    else:
        raise SystemExit(f"limit {{limit}}: no error")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert hashlib.sha256(open(old, "rb").read()).hexdigest() == before
    left = [name for name in os.listdir(folder) if name != "old.h5"]
    assert sorted(left) in ([], ["old.h5.journal", "old.h5.partial"]), left
    galvo.save(source, small, compression=compression, verify=True)
    assert galvo.verify(small).ok
    os.unlink(small)
    assert len(os.listdir("/proc/self/fd")) == fds
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of file sizes as on Linux")
@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_full_disk(tmp_path, compression):
    limits = [0, 1, 96, 700, 2048, 4096, 10_000, 20_000, 50_000, 100_000, 300_000, 500_000, 600_000, 640_000]
    code = FULL.format(path=sys.path, limits=limits)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), compression], capture_output=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    assert done.stdout == b"done\n"


def test_reading_a_damaged_source_leaves_nothing(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        dataset = file.create_dataset("mov", (40, 24, 20), "u2", chunks=(1, 24, 20))
        dataset[:30] = PIXELS[:30, 0, 0]
        dataset.attrs["axes"] = "TYX"
    with pytest.raises(DamagedData):
        galvo.convert(tmp_path / "a.h5", tmp_path / "b.h5")
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]
    galvo.convert(tmp_path / "a.h5", tmp_path / "b.h5", frames=slice(0, 30), verify=True)


def test_a_partial_output_that_was_damaged(tmp_path):
    """Refused, or found out by the checksums: never declared good."""

    class Stop(Exception):
        pass

    def progress(done, total):
        if done > total // 2:
            raise Stop

    final = tmp_path / "a.h5"
    pixels = PIXELS.repeat(8, axis=3)
    with pytest.raises(Stop):
        galvo.save(pixels, final, block_bytes=1, progress=progress)
    left = {path: path.read_bytes() for path in tmp_path.iterdir()}
    refused = []
    for at in range(0, 300_000, 5000):
        for path, content in left.items():
            path.write_bytes(content)
        damaged = bytearray(left[tmp_path / "a.h5.partial"])
        damaged[at : at + 4000] = b"\xee" * len(damaged[at : at + 4000])
        (tmp_path / "a.h5.partial").write_bytes(damaged)
        try:
            galvo.save(pixels, final, block_bytes=1, resume=True)
        except DamagedData as error:
            refused.append(error.path)
        else:
            good = bool((galvo.load(final, squeeze=False) == pixels).all()) if galvo.verify(final).ok else None
            assert good is not False, f"wrong pixels after damage at {at}"
            final.unlink()
    assert set(refused) == {f"{final}.partial"}
    galvo.save(pixels, final, block_bytes=1, verify=True)
