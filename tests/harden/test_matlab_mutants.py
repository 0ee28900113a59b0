"""Changed and cut MATLAB files: the original, a galvo error, or told damage; never anything else.

A mutant that reads without a word as something else must be what another reader sees, too: then the change is one
that the format cannot notice. What galvo wrote carries checksums: there `verify` must notice.
"""

from __future__ import annotations

import os
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

import galvo
from galvo.errors import GalvoError, GalvoWarning
from galvo.testing.matlab import MatBuilder
from galvo.testing.sandbox import run_cases

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

LIMITS = galvo.Limits(frame_bytes=16 << 20, page_count=200_000, text_bytes=16 << 20, chunk_bytes=16 << 20)
PEAK_BYTES = 96 << 20
# cases in one fork
TOGETHER = 50
VERSIONS = ("4", "5", "7", "7.3")
WIDE = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1)


@dataclass(frozen=True)
class Seed:
    name: str
    content: bytes
    pixels: np.ndarray
    options: dict[str, Any]
    own: bool
    # where numbers lie that are neither deflated nor galvo's own
    place: tuple[int, int] | None = None


def noise(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def filled(builder, pixels, **how):
    builder.text("note", "made for a test", deflated=how.get("deflated", False))
    if how.get("deflated"):
        builder.other("c", "cell", deflated=True)
    builder.array("ch1", pixels[:, 0, 0].transpose(1, 2, 0), **how)
    builder.array("rate", np.array([[30.0]]))
    return builder.build()


def seeds(version, folder) -> list[Seed]:
    made = []
    if version == "4":
        for order in "<>":
            for dtype in ("u2", "f8"):
                builder = MatBuilder(level=4, byteorder=order)
                pixels = noise((1, 1, 1, 9, 11), dtype)
                builder.text("note", "abc")
                builder.array("img", pixels[0, 0, 0])
                content, data = builder.build(), pixels[0, 0, 0].astype(f"{order}{dtype}").tobytes(order="F")
                place = (content.index(data), content.index(data) + len(data))
                made.append(Seed(f"{order}{dtype}", content, pixels, {"variable": "img"}, False, place))
        return made
    path = folder / "seed.mat"
    if version == "7.3":
        pixels = noise((6, 1, 1, 9, 11), "u2")
        for name, options in (("plain", {}), ("gzip", {"chunks": (2, 11, 9), "compression": "gzip"})):
            with h5py.File(path, "w", userblock_size=512) as file:
                data = file.create_dataset("ch1", data=pixels[:, 0, 0].transpose(0, 2, 1), **options)
                data.attrs["MATLAB_class"] = np.bytes_("uint16")
            content = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + path.read_bytes()[128:]
            made.append(Seed(name, content, pixels, {"axes": "YXT"}, False))
    else:
        deflated = version == "7"
        for order, dtype, stored in (("<", "u2", "u2"), (">", "f8", "u1"), (">", "f4", "f4"), ("<", "?", "u1")):
            pixels = noise((6, 1, 1, 9, 11), dtype)
            content = filled(MatBuilder(byteorder=order), pixels, stored=stored, deflated=deflated)
            place = None
            if not deflated:
                data = pixels[:, 0, 0].transpose(1, 2, 0).astype(f"{order}{stored}").tobytes(order="F")
                place = (content.index(data), content.index(data) + len(data))
            # by name: what is deflated and not read may be damaged, and is then no candidate any more
            options = {"axes": "YXT", "variable": "ch1"} if deflated else {"axes": "YXT"}
            made.append(Seed(f"{order}{dtype} as {stored}", content, pixels, options, False, place))
    pixels = noise((5, 2, 3, 8, 6), "<i2")
    for options in ({}, {"compression": "gzip"}) if version == "7.3" else ({},):
        galvo.save(pixels, path, overwrite=True, version=version, **options)
        made.append(Seed(f"own {options}", path.read_bytes(), pixels, {}, True))
    return made


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """One to three changes; six of ten among the first 700 bytes or the last 300, where structure is."""
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        at = int(rng.integers(max(1, len(data))))
        if rng.random() < 0.6:
            at = int(rng.integers(120, 700)) if rng.random() < 0.8 else len(data) - int(rng.integers(1, 300))
        at = min(max(0, at), len(data) - 1)
        kind = int(rng.choice(8, p=(0.25, 0.15, 0.3, 0.06, 0.08, 0.06, 0.05, 0.05)))
        if at < 0:
            break
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.integers(256))
        elif kind == 2:
            width, order = int(rng.choice([1, 2, 4, 8])), "little" if rng.random() < 0.6 else "big"
            value = WIDE[int(rng.integers(len(WIDE)))]
            if rng.random() < 0.4:
                value = int.from_bytes(data[at : at + width], order) + int(rng.integers(-9, 10))
            data[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, order)[: len(data) - at]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            count = min(int(rng.integers(1, 100)), len(data) - at)
            data[at : at + count] = bytes(count)
        elif kind == 5:
            source = int(rng.integers(len(data)))
            block = bytes(data[source : source + int(rng.integers(1, 100))])[: len(data) - at]
            data[at : at + len(block)] = block
        elif kind == 6:
            del data[at : at + int(rng.integers(1, 64))]
        else:
            data[at:at] = rng.bytes(int(rng.integers(1, 64)))
    return bytes(data)


def case(seed: Seed, content: bytes, path, mode: str) -> dict[str, Any]:
    """What became of a changed copy."""
    path.write_bytes(content)
    found: dict[str, Any] = {"kind": "error", "tried": False, "detail": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with galvo.open(path, damaged=mode, limits=LIMITS, **seed.options) as recording:
                repr(recording)
                told = bool(recording.damage)
                if recording.nbytes > 64 << 20:
                    return {**found, "kind": "large"}
                found["tried"] = True
                try:
                    pixels = recording[...]
                    recording.frame_table()
                except GalvoError:
                    return {**found, "kind": "unreadable"}
                names = recording.metadata.format
        except GalvoError as error:
            if str(path) not in str(error):
                raise AssertionError(f"the error names no file: {error}") from error
            return {**found, "detail": str(error)}
    if any(not issubclass(one.category, GalvoWarning) for one in caught):
        raise AssertionError(f"foreign warnings: {[str(one.message) for one in caught]}")
    if pixels.shape == seed.pixels.shape and pixels.dtype == seed.pixels.dtype and (pixels == seed.pixels).all():
        return {**found, "kind": "equal"}
    if told or caught:
        return {**found, "kind": "told"}
    if seed.own:
        try:
            noticed = not galvo.verify(path, limits=LIMITS, damaged=mode).ok
        except GalvoError:
            noticed = True
        return {**found, "kind": "noticed" if noticed else "silent", "detail": f"{pixels.shape} {names}"}
    if only_pixels(seed, content):
        return {**found, "kind": "pixels"}
    same = agrees(content, pixels, seed.options.get("variable"))
    return {**found, "kind": "consistent" if same else "silent", "detail": f"{pixels.shape} {pixels.dtype}"}


def only_pixels(seed: Seed, content: bytes) -> bool:
    """Whether nothing but bytes of pixels changed, and they lie as they are in the file."""
    if not seed.place or len(content) != len(seed.content):
        return False
    changed = np.flatnonzero(np.frombuffer(content, "u1") != np.frombuffer(seed.content, "u1"))
    return bool(seed.place[0] <= changed[0] and changed[-1] < seed.place[1])


def agrees(content: bytes, pixels: Any, name: str | None) -> bool:
    """Whether another reader finds these frames, too."""
    mine = pixels[:, 0, 0].transpose(1, 2, 0).squeeze()
    try:
        others = peers(content, name)
    except Exception:  # noqa: BLE001  whatever keeps the other reader from it
        return False
    return any(one.size == mine.size and np.array_equal(one.squeeze(), mine, equal_nan=True) for one in others)


def peers(content: bytes, name: str | None) -> list[Any]:
    """The arrays that SciPy or h5py finds."""
    if content[124:126] == b"\x00\x02" or content[512:520] == b"\x89HDF\r\n\x1a\n":
        with h5py.File(BytesIO(content)) as file:
            arrays = [item[()].T for item in file.values() if isinstance(item, h5py.Dataset)]
            return [array for array in arrays if array.dtype.kind in "iufb"]
    # a stored type that the class does not hold is converted
    found = scipy.io.loadmat(BytesIO(content), mat_dtype=True, variable_names=name)
    return [value for value in found.values() if isinstance(value, np.ndarray) and value.dtype.kind in "iufb"]


def run(own: list[Seed], folder, numbers: range, salt: int) -> str:
    for seed in own:
        # also brings in what is imported when it is first used
        found = case(seed, seed.content, folder / "whole.mat", "raise")
        assert found["kind"] == "equal", found
        assert seed.own or agrees(seed.content, seed.pixels, seed.options.get("variable")), seed.name

    def work(number):
        seed, mode = own[number % len(own)], "report" if number // len(own) % 2 else "raise"
        content = mutated(seed.content, np.random.default_rng([salt, number]))
        return case(seed, content, folder / f"{os.getpid()}.mat", mode)

    counts, wrong, tried, peak, slowest = Counter(), [], 0, 0, 0.0
    for at, verdict in run_cases((partial(work, number) for number in numbers), together=TOGETHER):
        number = numbers[at]
        place = f"{own[number % len(own)].name} mutant {number} of {salt}"
        peak, slowest = max(peak, verdict.peak_bytes), max(slowest, verdict.seconds)
        if verdict.kind != "value":
            counts[verdict.kind] += 1
            wrong.append(f"{place}: {verdict.kind} {verdict.detail[-1500:]}")
            continue
        counts[verdict.value["kind"]] += 1
        tried += verdict.value["tried"]
        if verdict.value["kind"] == "silent":
            wrong.append(f"{place}: silent {verdict.value['detail']}")
        if verdict.peak_bytes > PEAK_BYTES:
            wrong.append(f"{place}: took {verdict.peak_bytes >> 20} MiB")
    kinds = dict(sorted(counts.items()))
    told = f"{len(numbers)}: {kinds}; read {tried}; peak {peak >> 20} MiB; {slowest:.2f} s at most"
    assert not wrong, f"{told}\n{len(wrong)} wrong:\n" + "\n".join(wrong[:20])
    assert tried >= 0.15 * len(numbers), f"too few come to their pixels: {told}"
    assert counts["equal"] < 0.8 * len(numbers), f"changes that never matter test nothing: {told}"
    return told


@pytest.mark.parametrize("version", VERSIONS)
def test_mutants(tmp_path, version, record_property):
    record_property("outcomes", run(seeds(version, tmp_path), tmp_path, range(125), 1))


@pytest.mark.harden
@pytest.mark.parametrize("version", VERSIONS)
def test_many_mutants(tmp_path, version, record_property):
    told = run(seeds(version, tmp_path), tmp_path, range(4000), 2)
    record_property("outcomes", told)
    print(f"version {version}: {told}")
