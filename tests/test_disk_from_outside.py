"""Faults that the system makes itself: strace's, limits of file sizes, a file system that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import galvo

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tools of Linux")

SAVE = """
import os, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
import galvo
from galvo.core import write
from galvo.errors import NoSpace, WriteError
# strace counts the calls of each thread by themselves: one thread makes them all
write.ThreadPoolExecutor = lambda count, **options: ThreadPoolExecutor(1, **options)
pixels = np.random.default_rng(0).integers(0, 99, (3, 1, 1, 192, 192)).astype("<i2")
try:
    galvo.save(pixels, sys.argv[1], overwrite=True, block_bytes=1)
except NoSpace as error:
    print("full", error.found, error.expected)
except WriteError as error:
    print("error", error)
else:
    print("done")
galvo.save(pixels, sys.argv[2], overwrite=True, block_bytes=1)
os._exit(0)
"""
PIXELS = np.random.default_rng(0).integers(0, 99, (3, 1, 1, 192, 192)).astype("<i2")


@pytest.fixture(scope="module")
def strace():
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed")
    probe = subprocess.run([program, "-f", "-e", "inject=getppid:error=EIO", "true"], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"strace may not trace here: {probe.stderr.decode().strip()[-200:]}")
    return program


def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def traced(strace, inject, path, elsewhere):
    call = inject.partition(":")[0]
    options = ["-f", "-qq", "-o", os.devnull, "-e", f"trace={call}", "-e", f"inject={inject}"]
    watched = [word for name in ("", ".partial", ".journal") for word in ("-P", f"{path}{name}")]
    command = [strace, *options, *watched, sys.executable, "-c", SAVE, str(path), str(elsewhere)]
    return subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=120)


KILLS = [
    *(f"write:signal=KILL:when={number}" for number in (1, 2, 9, 20, 27, 33, 45, 60)),
    *(f"fsync:signal=KILL:when={number}" for number in (1, 2, 4, 6, 7)),
    *(f"ftruncate:signal=KILL:when={number}" for number in (1, 3, 5)),
    "rename:signal=KILL:when=1",
]
ERRORS = [
    *(f"write:error=ENOSPC:when={number}+" for number in (1, 2, 9, 20, 33, 45)),
    *(f"fsync:error=EIO:when={number}" for number in (1, 2, 5, 7)),
    *(f"write:error=EDQUOT:when={number}" for number in (3, 30)),
    "ftruncate:error=EIO:when=2",
    "rename:error=EACCES:when=1",
]


def some(cases, *places):
    """A few of the cases always, the others when hardening."""
    return [case if n in places else pytest.param(case, marks=pytest.mark.harden) for n, case in enumerate(cases)]


@pytest.mark.parametrize("inject", some(KILLS, 4, 10))
def test_killed(strace, tmp_path, inject):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    done = traced(strace, inject, path, tmp_path / "elsewhere.h5")
    assert done.returncode in (-9, 137), f"the fault did not happen: {done.stdout} {done.stderr}"
    content = path.read_bytes()
    galvo.save(PIXELS, tmp_path / "expected.h5", block_bytes=1)
    expected = (tmp_path / "expected.h5").read_bytes()
    assert content in (b"old", expected)
    if content == b"old":
        galvo.save(PIXELS, path, overwrite=True, resume=True, block_bytes=1)
    assert path.read_bytes() == expected


@pytest.mark.parametrize("inject", some(ERRORS, 3, 7))
def test_failing(strace, tmp_path, inject):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    done = traced(strace, inject, path, tmp_path / "elsewhere.h5")
    assert done.returncode == 0, f"{done.stdout} {done.stderr}"
    if "ENOSPC" in inject or "EDQUOT" in inject:
        assert done.stdout.startswith("full ")
        assert "bytes free" in done.stdout
    else:
        assert done.stdout.startswith("error ")
    assert path.read_bytes() == b"old"
    assert galvo.verify(tmp_path / "elsewhere.h5").ok
    galvo.save(PIXELS, path, overwrite=True, resume=True, block_bytes=1)
    assert path.read_bytes() == (tmp_path / "elsewhere.h5").read_bytes()


FULL = """
import os, sys
import numpy as np
import galvo
from galvo.errors import NoSpace
small, elsewhere = sys.argv[1:]
pixels = np.random.default_rng(0).integers(0, 2**16, (40, 1, 1, 128, 128)).astype("u2")
old = os.path.join(small, "old.h5")
galvo.save(pixels[:2], old)
before = open(old, "rb").read()
for options in ({}, {"compression": "gzip"}, {"compression": "gzip", "block_bytes": 1}):
    try:
        galvo.save(pixels, old, overwrite=True, **options)
    except NoSpace as error:
        assert "bytes free" in error.found and "bytes" in error.expected, error
    else:
        raise SystemExit("no error")
    assert open(old, "rb").read() == before
galvo.save(pixels, elsewhere, compression="gzip", verify=True)
galvo.save(pixels[:2], old, overwrite=True, verify=True)
assert os.listdir(small) == ["old.h5"], os.listdir(small)
print("usable")
"""


def test_a_file_system_that_is_full(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mount = 'mount -t tmpfs -o size=600k none "$1" || exit 77; shift; exec "$@"'
    inside = ["unshare", "-rm", "sh", "-c", mount, "sh", str(small)]
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not installed")
    command = [*inside, sys.executable, "-c", FULL, str(small), str(tmp_path / "elsewhere.h5")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False, timeout=120)
    if done.returncode == 77 or done.stderr.startswith("unshare"):
        pytest.skip(f"no file system may be mounted here: {done.stderr.strip()[-200:]}")
    assert (done.returncode, done.stdout) == (0, "usable\n"), done.stderr[-3000:]
