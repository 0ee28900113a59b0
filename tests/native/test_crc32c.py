"""CRC-32C against RFC 3720 B.4 and a bit by bit reference."""

import os
import subprocess
import sys

import numpy as np
import pytest

from galvo import native

RFC_3720 = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(range(31, -1, -1)), 0x113FDB5C),
    (
        bytes.fromhex(
            "01c00000000000000000000000000000140000000000040000000014000000182800000000000000" + "0200000000000000"
        ),
        0xD9963A56,
    ),
    (b"123456789", 0xE3069283),
    (b"", 0),
]


def prefix_checksums(data: bytes) -> list[int]:
    """The checksum of data[:n] for every n, one bit at a time."""
    register, checksums = 0xFFFFFFFF, [0]
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
        checksums.append(register ^ 0xFFFFFFFF)
    return checksums


@pytest.mark.parametrize(("data", "expected"), RFC_3720)
def test_published_values(data: bytes, expected: int) -> None:
    assert native.crc32c(data) == expected


def test_every_length_and_alignment() -> None:
    data = np.random.default_rng(1).integers(0, 256, 4100, dtype=np.uint8)
    expected = prefix_checksums(data.tobytes())
    room = np.empty(data.size + 8, dtype=np.uint8)
    for shift in range(8):
        room[shift : shift + data.size] = data
        assert [native.crc32c(room[shift : shift + size]) for size in range(data.size + 1)] == expected


def test_long_streams_and_chaining() -> None:
    data = np.random.default_rng(2).integers(0, 256, 60_000, dtype=np.uint8).tobytes()
    expected = prefix_checksums(data)
    for size in (12_287, 12_288, 12_289, 24_576, 24_577 + 768, 60_000):
        assert native.crc32c(data[:size]) == expected[size]
    for cut in (0, 1, 7, 8, 4096, 12_289, 59_999, 60_000):
        assert native.crc32c(data[cut:], native.crc32c(data[:cut])) == expected[-1]


def test_accepts_what_exports_contiguous_bytes() -> None:
    frame = np.arange(12, dtype=np.uint16).reshape(3, 4)
    checksum = native.crc32c(frame.tobytes())
    assert native.crc32c(frame) == native.crc32c(frame.data) == native.crc32c(bytearray(frame)) == checksum
    frame.flags.writeable = False
    assert native.crc32c(frame) == checksum
    with pytest.raises((BufferError, ValueError)):
        native.crc32c(frame[:, ::2])
    with pytest.raises(TypeError):
        native.crc32c("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.crc32c(b"", -1)


SCRIPT = """
import numpy as np
from galvo import native
data = np.random.default_rng(3).integers(0, 256, 100_003, dtype=np.uint8)
print(native.isa(), *(native.crc32c(data[a:b]) for a, b in ((0, 100_003), (1, 5), (3, 900), (5, 30_000))))
"""


def run_with_isa(wish: str | None) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GALVO_ISA"}
    if wish is not None:
        environment["GALVO_ISA"] = wish
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_instruction_sets_agree() -> None:
    best = run_with_isa(None)
    baseline = run_with_isa("baseline")
    assert baseline[0] == "baseline"
    assert baseline[1:] == best[1:]
    assert run_with_isa("avx1024") == best
    if best[0] == "avx2":
        middle = run_with_isa("sse4.2")
        assert middle[0] == "sse4.2"
        assert middle[1:] == best[1:]
