"""Changed folders and tables of PZF frames, each in a process of its own: no crash, no hang, nothing foreign.

Blobs have no checksums, so a changed one may decode to other pixels. What galvo wrote itself keeps checksums beside
them: there, no change may show other pixels without `galvo.verify` finding it.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import GalvoError, GalvoWarning, UnknownFormat
from galvo.testing.faults import mutations
from galvo.testing.sandbox import PeakMemory, frame_digest, run_cases

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MIB = 1 << 20
# cases in one fork
TOGETHER = 50


@dataclass(frozen=True)
class Seed:
    """Small files, what to open of them, and the frames that they hold."""

    name: str
    files: dict[str, bytes]
    source: str
    frames: tuple[str, ...]
    own: bool


def noise(shape, dtype="<u2"):
    return np.random.default_rng(sum(shape)).poisson(30, shape).astype(dtype)


def plain_blob(pixels, number):
    header = struct.pack("<2sBBBBcxqIIIIQffI12x", b"BD", 3, 1, 0, 0, b"C", 7, number, *pixels.shape, 1, 9, 0, 0, 64)
    return header + pixels.tobytes()


def foreign_table(path, pixels, libver):
    with h5py.File(path, "w", libver=libver) as file:
        data = file.create_dataset(
            "PZFImageData", (len(pixels),), h5py.vlen_dtype(np.uint8), maxshape=(None,), chunks=(3,)
        )
        for row, frame in enumerate(pixels):
            data[row] = np.frombuffer(plain_blob(frame, row), np.uint8)
        rows = [(row, row) for row in range(len(pixels))]
        file.create_dataset(
            "PZFImageIndex",
            data=np.array(rows, [("FrameNum", "<i4"), ("Position", "<i4")]),
            maxshape=(None,),
            chunks=(4,),
            compression="gzip" if libver == "earliest" else None,
        )


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> list[Seed]:
    home = tmp_path_factory.mktemp("seeds")
    found = []

    def add(name, source, own):
        inside = sorted(path for path in (home / name).rglob("*") if path.is_file())
        files = {str(path.relative_to(home / name)): path.read_bytes() for path in inside}
        pixels = galvo.load(home / name / source, squeeze=False)
        frames = tuple(frame_digest(frame) for frame in pixels.reshape(-1, *pixels.shape[3:]))
        found.append(Seed(name, files, source, frames, own))

    (home / "folder").mkdir()
    galvo.save(noise((4, 2, 1, 7, 9), "<i2"), home / "folder" / "out", format="pzf")
    add("folder", "out", True)
    (home / "table").mkdir()
    galvo.save(noise((4, 1, 2, 7, 9), "<i2"), home / "table" / "out.h5", format="pzf", shift="least")
    add("table", "out.h5", True)
    (home / "chunks").mkdir()
    levels = {"quantize": "sqrt", "quantize_offset": 0, "quantize_scale": 0.4}
    galvo.save(noise((9, 1, 1, 30, 40)), home / "chunks" / "out.h5", format="pzf", compression="chunks", **levels)
    add("chunks", "out.h5", True)
    (home / "foreign").mkdir()
    for number, frame in enumerate(noise((5, 6, 8))):
        (home / "foreign" / f"frame{number:05d}.pzf").write_bytes(plain_blob(frame, number))
    (home / "foreign" / "metadata.json").write_text(json.dumps({"voxelsize": {"x": 0.1, "y": 0.1}}))
    add("foreign", "frame00001.pzf", False)
    for libver in ("earliest", "latest"):
        (home / libver).mkdir()
        foreign_table(home / libver / "out.h5", noise((7, 60, 40)), libver)
        add(libver, "out.h5", False)
    return found


def mutant(seed: Seed, number: int, salt: int) -> tuple[str, bytes]:
    """The name of the file that is changed, and what it becomes."""
    rng = np.random.default_rng([salt, number])
    names = sorted(seed.files)
    # of a folder's files, that which is kept beside the frames in every third
    name = "out/metadata.json" if rng.random() < 0.3 and "out/metadata.json" in names else str(rng.choice(names))
    content = seed.files[name]
    if rng.random() < 0.05:
        return name, content[: int(rng.integers(len(content)))]
    marks = [at for at in range(0, len(content), 8) if content[at : at + 4] in (b"GCOL", b"TREE", b"OHDR", b"SNOD")]
    for mutation in mutations(content, int(rng.choice([1, 1, 2, 3])), int(rng.integers(1 << 30)), marks or [0, 24, 48]):
        content = mutation.apply(content)
    return name, content


def examine(seed: Seed, number: int, salt: int, folder: Path):
    name, content = mutant(seed, number, salt)
    home = folder / str(os.getpid())
    shutil.rmtree(home, ignore_errors=True)
    for other, data in {**seed.files, name: content}.items():
        path = home / other
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    memory = PeakMemory()
    told, frames, verified, kind = [], [], None, "read"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            options = {"damaged": "report" if number % 2 else "raise"}
            with galvo.open(home / seed.source, **options) as recording:
                told += [damage.message for damage in recording.damage]
                for ask in (lambda: recording.timestamps, recording.frame_table, recording.events):
                    try:
                        ask()
                    except GalvoError as error:
                        told.append(str(error))
                for t, c, z in np.ndindex(*(min(length, 50) for length in recording.shape[:3])):
                    try:
                        frames.append(frame_digest(recording[t, c, z]))
                    except GalvoError as error:
                        told.append(str(error))
                try:
                    verified = recording.checksums is not None and galvo.verify(recording).ok
                except GalvoError as error:
                    told.append(str(error))
        except UnknownFormat:
            kind = "undetected"
        except GalvoError as error:
            kind = "error"
            if str(home) not in str(error):
                raise RuntimeError(f"names no file: {error}") from error
    foreign = [str(one.message) for one in caught if not issubclass(one.category, GalvoWarning)]
    if foreign:
        raise RuntimeError(f"foreign warnings: {foreign}")
    told += [str(one.message) for one in caught]
    return {
        "kind": kind if kind != "read" else "equal" if tuple(frames) == seed.frames else "told" if told else "other",
        "verified": verified,
        "peak": memory.peak_bytes(),
        "name": name,
        "told": told[:3],
    }


def run(seeds: list[Seed], folder: Path, count: int, salt: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    wrong = []
    work = [partial(examine, seeds[number % len(seeds)], number, salt, folder) for number in range(count)]
    for number, verdict in run_cases(work, together=TOGETHER):
        seed = seeds[number % len(seeds)]
        place = f"{seed.name} mutant {number} of {salt}"
        if verdict.kind != "value":
            counts[verdict.kind] += 1
            wrong.append(f"{place}: {verdict.kind} {verdict.detail[-1500:]}")
            continue
        found = verdict.value
        counts[found["kind"]] += 1
        if found["peak"] > 64 * MIB:
            wrong.append(f"{place}: took {found['peak'] >> 20} MiB")
        if seed.own and found["kind"] == "other" and found["verified"]:
            wrong.append(f"{place}: other pixels, and verified; {found}")
    assert not wrong, f"{counts}\n{len(wrong)} wrong:\n" + "\n".join(wrong[:20])
    return counts


def check_yield(counts: Counter[str]) -> None:
    total = sum(counts.values())
    assert counts["undetected"] <= 0.3 * total, counts
    assert counts["equal"] + counts["told"] + counts["other"] >= 0.3 * total, counts


def test_mutants(seeds, tmp_path):
    check_yield(run(seeds, tmp_path, 240, 1))


@pytest.mark.harden
def test_many_mutants(seeds, tmp_path):
    check_yield(run(seeds, tmp_path, 4000, 2))
