"""read_at and read_into against the bytes of the file."""

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from galvo import native

DATA = np.random.default_rng(4).integers(0, 256, 3_000_000, dtype=np.uint8).tobytes()


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "bytes"
    path.write_bytes(DATA)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(
    ("offset", "nbytes"),
    [(0, 0), (0, 1), (7, 1000), (0, len(DATA)), (len(DATA) - 3, 10), (len(DATA), 5), (len(DATA) + 99, 5), (5, 1 << 45)],
)
def test_read_at(fd: int, offset: int, nbytes: int) -> None:
    assert native.read_at(fd, offset, nbytes) == DATA[offset : offset + nbytes]


def test_read_into(fd: int) -> None:
    out = np.zeros(1000, dtype=np.uint8)
    assert native.read_into(fd, 17, out) == 1000
    assert out.tobytes() == DATA[17:1017]
    assert native.read_into(fd, len(DATA) - 400, out[:500]) == 400
    assert out.tobytes() == DATA[-400:] + DATA[417:1017]
    assert native.read_into(fd, 0, out[:0]) == 0


def test_errors(fd: int) -> None:
    unused = os.dup(fd)
    os.close(unused)
    with pytest.raises(OSError, match="descriptor") as caught:
        native.read_at(unused, 0, 4)
    assert caught.value.errno == errno.EBADF
    with pytest.raises(OSError, match="descriptor"):
        native.read_into(unused, 0, np.zeros(4, dtype=np.uint8))
    for offset, nbytes in ((-1, 4), (0, -4), (2**63 - 2, 4)):
        with pytest.raises(ValueError, match="offset"):
            native.read_at(fd, offset, nbytes)
    with pytest.raises(ValueError, match="offset"):
        native.read_into(fd, -1, np.zeros(4, dtype=np.uint8))


def test_output_must_be_plain_writable_bytes(fd: int) -> None:
    fixed = np.zeros(8, dtype=np.uint8)
    fixed.flags.writeable = False
    for out in (fixed, np.zeros(8, dtype=np.int8), np.zeros((2, 4), dtype=np.uint8), np.zeros(16, dtype=np.uint8)[::2]):
        with pytest.raises(TypeError):
            native.read_into(fd, 0, out)  # type: ignore[arg-type]
    assert not fixed.any()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe with a name")
def test_pipe_is_refused() -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="seek") as caught:
            native.read_at(reader, 0, 4)
        assert caught.value.errno == errno.ESPIPE
    finally:
        os.close(reader)
        os.close(writer)


def test_threads_share_a_descriptor(fd: int) -> None:
    failures: list[int] = []

    def read(seed: int) -> None:
        for offset in np.random.default_rng(seed).integers(0, len(DATA), 300).tolist():
            if native.read_at(fd, offset, 5000) != DATA[offset : offset + 5000]:
                failures.append(offset)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
