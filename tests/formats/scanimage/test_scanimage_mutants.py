"""Randomly damaged ScanImage files: a galvo error or the right number of frames, soon, and nothing else."""

from __future__ import annotations

import struct
import time

import numpy as np
import pytest

import galvo
from galvo.errors import GalvoError
from galvo.testing.scanimage import ScanImageRecording

FORMS = {
    "planar": {"frames": 12, "channels": (1, 2)},
    "volumes": {"slices": 3, "flyback": 1, "volumes": 4, "channels": (1, 2)},
    "JSON": {"frames": 12, "json_header": True},
    "strips": {"frames": 12, "strips": 3},
    "triggers": {"frames": 12, "aux_triggers": {k: {0: [0.5]} for k in range(12)}, "i2c": {3: [(0.5, b"abc")]}},
    "version 5": {"version": "5.1", "slices": 3, "flyback": 1, "volumes": 3, "aux_triggers": {5: {1: [0.5]}}},
    "version 4": {"version": "4.2", "slices": 3, "flyback": 1, "volumes": 3},
    "version 3": {"version": "3.8", "frames": 12, "channels": (1, 2)},
    "saved again": {"saved_again": True, "frames": 12, "strips": 3, "trailing_bytes": 100},
}


def mutate(blob: bytes, generator: np.random.Generator, ifd: int) -> bytes:
    data = bytearray(blob)
    for _ in range(int(generator.integers(1, 6))):
        # the static block, a page's header and text, anywhere
        low, high = [(16, ifd), (ifd, min(ifd + 2800, len(data))), (0, len(data))][int(generator.integers(0, 3))]
        at = int(generator.integers(low, max(low + 1, min(high, len(data)))))
        kind = int(generator.integers(0, 5))
        if kind == 0:
            data[at : at + 1] = bytes([data[at] ^ 1 << int(generator.integers(0, 8))]) if at < len(data) else b""
        elif kind == 1:
            values = [0, 1, 2**31, 2**63, 2**64 - 1, len(blob)]
            data[at : at + 8] = struct.pack("<Q", values[int(generator.integers(0, len(values)))])
        elif kind == 2:
            data[at : at + 6] = generator.bytes(6)
        elif kind == 3:
            digits = [k for k in range(at, min(at + 200, len(data))) if 48 <= data[k] < 58]
            for k in digits[:3]:
                data[k] = 48 + int(generator.integers(0, 10))
        elif generator.integers(0, 4) == 0:
            del data[at:]
    return bytes(data)


def survive(path, blob: bytes) -> bool:
    """Whether it was opened."""
    path.write_bytes(blob)
    opened = False
    start = time.perf_counter()
    for damaged in ("raise", "report"):
        try:
            limits = galvo.Limits(frame_bytes=1 << 24, chunk_bytes=1 << 24)
            with galvo.open(path, limits=limits, damaged=damaged) as rec:
                if rec.nbytes < 1 << 26:
                    rec[:]
                    rec.frame_table()
                    rec.events()
                repr(rec)
                opened = True
        except GalvoError as error:
            if str(path) not in str(error):
                raise AssertionError(f"the error names no file: {error}") from error
    assert time.perf_counter() - start < 4
    return opened


def run(tmp_path, form: str, count: int, seed: int) -> None:
    (path,) = ScanImageRecording(height=8, width=8, **FORMS[form]).write(tmp_path)
    blob = path.read_bytes()
    big = blob[2] == 43
    ifd = struct.unpack_from("<Q" if big else "<I", blob, 8 if big else 4)[0]
    generator = np.random.default_rng(seed)
    opened = sum(survive(path, mutate(blob, generator, ifd)) for _ in range(count))
    assert 0.1 * count < opened < 0.95 * count, "mutations that never or always matter test nothing"


@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("form", FORMS)
def test_mutants_give_galvo_errors_only(tmp_path, form):
    run(tmp_path, form, 100, 1)


@pytest.mark.harden
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("form", FORMS)
def test_many_mutants_give_galvo_errors_only(tmp_path, form):
    run(tmp_path, form, 450, 2)
