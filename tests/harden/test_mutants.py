"""Changed and cut files of every kind: the original, a galvo error, or told damage; never anything else.

The oracle of a mutant is what changed in the file, byte by byte. Frames may differ only where bytes of their own pixels
did. Everything else that reads without a word as other pixels or another shape is *silent*. Of these a second reader
(tifffile, h5py) tells two kinds apart: where it reads the same, the changed structure is consistent in itself, and no
reader could know that it was another one (the only width of a single page, a chain that now ends earlier); these are
counted. Where it does not, galvo has misread. In formats whose files repeat themselves (ScanImage, evenly spaced pages)
there is no first kind: none may be silent. One thing ImageJ's and OME files say once: the axes of their pages, in the
first page's text. Where that text or its tag has changed and tifffile finds no axes any more either, every page must be
there and right, but may be counted along T.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile

import galvo
from galvo.errors import GalvoError, GalvoWarning, UnknownFormat
from galvo.testing.sandbox import PeakMemory, Verdict, frame_digest, run_case, run_cases
from galvo.testing.scanimage import ScanImageRecording
from galvo.testing.tiff import TiffBuilder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

MIB = 1 << 20
FORMATS = ("tiff", "scanimage", "hdf5")
OWN_FRAMES = 400
# cases in one fork
TOGETHER = 50


# ---- seeds ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Seed:
    """Small files whose every frame and pixel byte is known."""

    name: str
    format: str
    names: tuple[str, ...]
    contents: tuple[bytes, ...]
    options: dict[str, Any] = field(default_factory=dict)
    # whether the file says everything more than once, so that any change of its structure contradicts the rest
    repeats_itself: bool = False
    shape: tuple[int, ...] = ()
    dtype: str = ""
    # digests of the frames in the order T C Z, and per file: where pixels lie, with the frames that they belong to
    frames: tuple[str, ...] = ()
    pixels: tuple[tuple[tuple[int, int, tuple[int, ...]], ...], ...] = ()
    # digests of pages that the file has and the recording leaves out (flyback)
    spare: frozenset[str] = frozenset()
    # where the only statement of the axes lies: the tag of a text, and the text
    axes: tuple[tuple[int, int], ...] = ()
    # per file: the stretches that are structure
    structure: tuple[tuple[tuple[int, int], ...], ...] = ()


def noise(shape, dtype, seed=0):
    return np.random.default_rng(seed).integers(1, 250, shape).astype(dtype)


def strips(frame, rows, code=bytes):
    return [code(np.ascontiguousarray(frame[y : y + rows]).tobytes()) for y in range(0, frame.shape[0], rows)]


def differences(data, dtype, width):
    rows = np.frombuffer(data, dtype).reshape(-1, width)
    return imagecodecs.delta_encode(rows, axis=-1).tobytes()


def tiff_seeds() -> Iterator[tuple[str, bytes, bool]]:
    """Name, bytes, whether the pages are evenly spaced and many."""
    frames = noise((7, 12, 9), ">u2")
    builder = TiffBuilder(byteorder=">")
    for frame in frames:
        builder.image(9, 12, strips(frame, 5), bits=16, rows_per_strip=5)
    yield "strips, big endian", builder.build(), False

    frames = noise((12, 8, 8), "<i2")
    for big in (False, True):
        builder = TiffBuilder(big=big)
        for frame in frames:
            builder.image(8, 8, [frame.tobytes()], bits=16, sample_format=2)
        yield f"even {'BigTIFF' if big else 'classic'}", builder.build(), True

    builder = TiffBuilder(big=True)
    for number, frame in enumerate(frames):
        at = None if number != 5 else 16 + 5 * 512
        builder.image(8, 8, [frame.tobytes()], bits=16, sample_format=2, at=at)
    yield "listed", builder.build(), False

    frames = noise((4, 20, 30), "<u2")
    builder = TiffBuilder()
    for frame in frames:
        padded = np.zeros((32, 32), "<u2")
        padded[:20, :30] = frame
        tiles = [zlib.compress(padded[y : y + 16, x : x + 16].tobytes()) for y in (0, 16) for x in (0, 16)]
        builder.image(30, 20, tiles, bits=16, tile=(16, 16), compression=8)
    yield "tiles, deflate", builder.build(), False

    builder = TiffBuilder()
    for frame in frames:
        builder.image(30, 20, strips(frame, 7, imagecodecs.lzw_encode), bits=16, rows_per_strip=7, compression=5)
    yield "lzw", builder.build(), False

    def coded(data):
        return imagecodecs.zstd_encode(differences(data, "<u2", 30))

    builder = TiffBuilder(big=True)
    for frame in frames:
        parts = strips(frame, 10, coded)
        builder.image(30, 20, parts, bits=16, rows_per_strip=10, compression=50000, predictor=2)
    yield "zstd, predictor", builder.build(), False

    samples = noise((4, 3, 6, 5), "u1")
    builder = TiffBuilder()
    for page in samples:
        builder.image(5, 6, [page.transpose(1, 2, 0).tobytes()], samples=3)
    yield "contiguous samples", builder.build(), False
    builder = TiffBuilder()
    for page in samples:
        builder.image(5, 6, [plane.tobytes() for plane in page], samples=3, planar=2)
    yield "planar samples", builder.build(), False

    builder = TiffBuilder()
    builder.image(9, 7, [noise((7, 9), "<f4").tobytes()], bits=32, sample_format=3)
    yield "single page", builder.build(), False


def imagej_seed(folder):
    path = folder / "imagej.tif"
    pixels = noise((3, 2, 2, 9, 8), "<u2")
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "TZCYX"})
    return path.read_bytes()


def ome_seed(folder):
    """The same planes in the same order, as OME-TIFF."""
    path = folder / "a.ome.tif"
    pixels = noise((3, 2, 2, 9, 8), "<u2")
    tifffile.imwrite(path, pixels, ome=True, photometric="minisblack", metadata={"axes": "TZCYX"})
    return path.read_bytes()


SCANIMAGE = {
    "planar": ScanImageRecording(height=8, width=8, frames=8, channels=(1, 2)),
    "volumes": ScanImageRecording(height=8, width=6, slices=3, flyback=1, volumes=3, version="2019a"),
    "JSON": ScanImageRecording(height=8, width=8, frames=8, json_header=True),
    "strips": ScanImageRecording(height=12, width=8, frames=8, strips=3),
    "series": ScanImageRecording(height=8, width=7, frames=9, frames_per_file=4, dtype="uint16"),
}


def hdf5_seeds(folder) -> Iterator[tuple[str, Path, dict[str, Any]]]:
    pixels = noise((9, 2, 1, 8, 7), "<u2")
    for compression in ("none", "gzip"):
        path = folder / f"own_{compression}.h5"
        galvo.save(pixels, path, **({} if compression == "none" else {"compression": compression}))
        yield f"own, {compression}", path, {}
    foreign = {
        "ch, gzip": ({}, {"chunks": (2, 8, 7), "compression": "gzip", "shuffle": True}),
        "ch, lzf, fletcher": ({}, {"chunks": (1, 8, 7), "compression": "lzf", "fletcher32": True}),
        "mov, latest": ({"libver": "latest"}, {"chunks": (3, 8, 7), "compression": "gzip"}),
        "mov, contiguous": ({}, {}),
        "mov, tiles": ({}, {"chunks": (4, 5, 4)}),
    }
    for name, (file_options, options) in foreign.items():
        path = folder / (re.sub(r"\W+", "_", name) + ".h5")
        with h5py.File(path, "w", **file_options) as file:
            if name.startswith("ch"):
                for channel in range(2):
                    file.create_dataset(f"ch{channel + 1}", data=pixels[:, channel, 0], **options)
            else:
                file.create_dataset("mov", data=pixels[:, 0, 0], **options)
        yield name, path, {"axes": "TYX"}


def tiff_pixels(content, folder):
    """Stretches of pixels with the page that they belong to."""
    path = folder / "probe.tif"
    path.write_bytes(content)
    with tifffile.TiffFile(path) as file:
        if file.is_imagej and len(file.pages) == 1:
            raise AssertionError("one page for all is no seed")
        return [
            (offset, offset + nbytes, number)
            for number, page in enumerate(file.pages)
            for offset, nbytes in zip(page.dataoffsets, page.databytecounts, strict=True)
        ]


def hdf5_pixels(path):
    places = []
    with h5py.File(path) as file:
        names = sorted(name for name in file if name.startswith("ch")) or ["mov"]
        for channel, name in enumerate(names):
            dataset = file[name]
            frames = dataset.shape[0]
            if dataset.chunks is None:
                start, nbytes = dataset.id.get_offset(), dataset[0].nbytes
                places += [
                    (start + t * nbytes, start + (t + 1) * nbytes, (t * len(names) + channel,)) for t in range(frames)
                ]
                continue
            infos = []
            dataset.id.chunk_iter(infos.append)
            for info in infos:
                first = info.chunk_offset[0]
                own = range(first, min(frames, first + dataset.chunks[0]))
                where = (info.byte_offset, info.byte_offset + info.size)
                places.append((*where, tuple(t * len(names) + channel for t in own)))
    return places


def complete(seed_fields, folder, places) -> Seed:
    seed = Seed(**seed_fields)
    seen = examine(seed, place_files(seed, seed.contents, folder / "first"), "raise")
    assert seen.error is None, f"{seed.name}: {seen.error}"
    assert not seen.told, f"{seed.name}: {seen.told}"
    structure = []
    for content, pixels in zip(seed.contents, places, strict=True):
        ends = [0, *(end for start, stop, _ in sorted(pixels) for end in (start, stop)), len(content)]
        between = zip(ends[::2], ends[1::2], strict=True)
        structure.append(tuple((start, stop) for start, stop in between if start < stop))
    return Seed(
        **seed_fields,
        shape=seen.shape,
        dtype=seen.dtype,
        frames=tuple(seen.frames),
        pixels=tuple(map(tuple, places)),
        structure=tuple(structure),
    )


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> dict[str, list[Seed]]:
    made: dict[str, list[Seed]] = {name: [] for name in FORMATS}

    def folder():
        return tmp_path_factory.mktemp("seed")

    listed = [*tiff_seeds(), ("ImageJ", imagej_seed(folder()), True), ("OME", ome_seed(folder()), False)]
    for name, content, even in listed:
        places = tiff_pixels(content, folder())
        frames = 3 if "samples" in name else 1
        order = range(1 << 20)
        if name in ("ImageJ", "OME"):
            # pages count C fastest, then Z, then T; frames are counted T C Z
            order = np.arange(12).reshape(3, 2, 2).transpose(0, 2, 1).ravel().argsort().tolist()
        pixels = [
            (start, stop, tuple(order[page] * frames + sample for sample in range(frames)))
            for start, stop, page in places
        ]
        own = {"name": name, "format": "tiff", "names": ("a.tif",), "contents": (content,), "repeats_itself": even}
        if name in ("ImageJ", "OME"):
            with tifffile.TiffFile(io.BytesIO(content)) as file:
                text = file.pages[0].tags[270]
                value, entry = text.valueoffset, text.offset
                own["axes"] = ((entry, entry + 12), (value, value + text.valuebytecount))
        made["tiff"].append(complete(own, folder(), [pixels]))
    for name, truth in SCANIMAGE.items():
        paths = truth.write(folder())
        contents = tuple(path.read_bytes() for path in paths)
        table = truth.page_table().ravel().tolist()
        shown = {page: frame for frame, page in enumerate(table)}
        places, first = [], 0
        for content in contents:
            own = tiff_pixels(content, folder())
            # pages of flyback belong to no frame
            where = [(start, stop, shown.get(first + page)) for start, stop, page in own]
            places.append([(start, stop, () if frame is None else (frame,)) for start, stop, frame in where])
            first += max(page for *_, page in own) + 1
        fields = {"name": name, "format": "scanimage", "names": tuple(path.name for path in paths)}
        fields["spare"] = frozenset(page for number, page in enumerate(tifffile_frames(paths)) if number not in shown)
        made["scanimage"].append(complete({**fields, "contents": contents, "repeats_itself": True}, folder(), places))
    for name, path, options in hdf5_seeds(folder()):
        fields = {"name": name, "format": "hdf5", "names": ("a.h5",), "contents": (path.read_bytes(),)}
        fields |= {"options": options, "repeats_itself": name.startswith("own")}
        made["hdf5"].append(complete(fields, folder(), [hdf5_pixels(path)]))
    return made


# ---- mutators -------------------------------------------------------------------------------------------------------

EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
WIDE = (*EXTREMES, 1 << 32, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


def mutated(content: bytes, structure: tuple[tuple[int, int], ...], rng: np.random.Generator) -> bytes:
    """One change in most mutants, up to three in some; six of ten within structure."""
    data = bytearray(content)
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        if not data:
            break
        at = int(rng.integers(len(data)))
        if rng.random() < 0.6:
            start, stop = structure[int(rng.integers(len(structure)))]
            # long texts are much of the structure and the least of it
            at = min(int(rng.integers(start, min(stop, start + 600) if rng.random() < 0.7 else stop)), len(data) - 1)
        MUTATORS[int(rng.choice(len(MUTATORS), p=WEIGHTS))](data, at, rng)
    return bytes(data)


def flip_bit(data, at, rng):
    data[at] ^= 1 << int(rng.integers(8))


def change_byte(data, at, rng):
    data[at] = int(rng.integers(256))


def put_integer(data, at, rng):
    width = int(rng.choice([2, 4, 8]))
    value = WIDE[int(rng.integers(len(WIDE)))] if rng.random() < 0.7 else int(rng.integers(0, 2 * len(data)))
    order = "little" if rng.random() < 0.7 else "big"
    old = int.from_bytes(data[at : at + width], order)
    if rng.random() < 0.3:
        value = old + int(rng.integers(-4, 5))
    new = (value & (1 << 8 * width) - 1).to_bytes(width, order)[: len(data) - at]
    data[at : at + len(new)] = new


def cut(data, at, rng):
    del data[at:]


def zero(data, at, rng):
    count = min(int(rng.integers(1, 200)), len(data) - at)
    data[at : at + count] = bytes(count)


def copy(data, at, rng):
    source, count = int(rng.integers(len(data))), int(rng.integers(1, 200))
    block = bytes(data[source : source + count])[: len(data) - at]
    data[at : at + len(block)] = block


def delete(data, at, rng):
    del data[at : at + int(rng.integers(1, 64))]


def insert(data, at, rng):
    data[at:at] = rng.bytes(int(rng.integers(1, 64)))


def swap(data, at, rng):
    other, count = int(rng.integers(len(data))), int(rng.integers(1, 100))
    count = min(count, abs(at - other), len(data) - max(at, other))
    data[at : at + count], data[other : other + count] = data[other : other + count], data[at : at + count]


MUTATORS: tuple[Callable[..., None], ...] = (flip_bit, change_byte, put_integer, cut, zero, copy, delete, insert, swap)
WEIGHTS = (0.2, 0.12, 0.32, 0.04, 0.08, 0.08, 0.04, 0.04, 0.08)


# ---- reading and judging, in a process of its own -------------------------------------------------------------------


@dataclass(slots=True)
class Seen:
    """What reading gave."""

    error: GalvoError | None = None
    shape: tuple[int, ...] = ()
    dtype: str = ""
    # digests in the order T C Z, None where a frame could not be read
    frames: list[str | None] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    damage: list[tuple[str, int | None]] = field(default_factory=list)
    tried: bool = False
    open_bytes: int = 0
    read_bytes: int = 0
    read_bound: int = 0


def place_files(seed: Seed, contents, folder: Path) -> list[Path]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    paths = [folder / name for name in seed.names]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    return paths


def examine(seed: Seed, paths: list[Path], mode: str, limits: galvo.Limits | None = None) -> Seen:
    seen = Seen()
    options = dict(seed.options) | ({} if limits is None else {"limits": limits})
    memory = PeakMemory()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with galvo.open(paths[0], damaged=mode, **options) as recording:
                seen.shape, seen.dtype = recording.shape, str(recording.dtype)
                seen.damage = [(damage.path, damage.offset) for damage in recording.damage]
                seen.told += [damage.message for damage in recording.damage]
                repr(recording)
                ask_facts(recording, seen)
                seen.open_bytes = memory.peak_bytes()
                memory.restart()
                read_frames(recording, seen)
                seen.read_bytes = memory.peak_bytes()
        except GalvoError as error:
            seen.error = error
            seen.open_bytes = seen.open_bytes or memory.peak_bytes()
    foreign = [str(one.message) for one in caught if not issubclass(one.category, GalvoWarning)]
    if foreign:
        raise RuntimeError(f"foreign warnings: {foreign}")
    seen.told += [str(one.message) for one in caught]
    return seen


def ask_facts(recording, seen):
    for ask in (lambda: recording.timestamps, lambda: recording.isel(t=slice(0, 50)).frame_table()):
        try:
            ask()
        except GalvoError as error:
            seen.told.append(str(error))


def read_frames(recording, seen):
    """Whole T by T, so that one bad frame does not hide the others; what is read at once bounds the memory."""
    t_count, c_count, z_count = recording.shape[:3]
    per_t = recording.nbytes // max(1, t_count)
    natural = int(np.prod(recording.chunks, dtype=object)) * recording.dtype.itemsize
    if per_t == 0:
        return
    for t in range(min(t_count, OWN_FRAMES, 64 * MIB // per_t)):
        seen.tried = True
        seen.read_bound = max(seen.read_bound, 64 * MIB + 3 * max(per_t, natural))
        try:
            block = recording[t]
        except GalvoError as error:
            seen.frames += [None] * (c_count * z_count)
            seen.told.append(str(error))
            continue
        seen.frames += [frame_digest(block[c, z]) for c in range(c_count) for z in range(z_count)]


def touched(seed: Seed, contents) -> set[int]:
    """Frames with changed bytes of pixels."""
    frames: set[int] = set()
    for old, new, places in zip(seed.contents, contents, seed.pixels, strict=True):
        for start, stop, own in places:
            if old[start:stop] != new[start:stop]:
                frames.update(own)
    return frames


def judge(seed: Seed, contents, seen: Seen) -> str:
    """One of: undetected, error, equal, told, pixels, silent, filled; `case` splits the last two further."""
    if seen.error is not None:
        return "undetected" if isinstance(seen.error, UnknownFormat) else "error"
    free = touched(seed, contents)
    known = {*seed.frames, *seed.spare}
    if seen.told:
        strange = sum(digest is not None and digest not in known for digest in seen.frames)
        return "filled" if strange > len(free) else "told"
    if (seen.shape, seen.dtype) == (seed.shape, seed.dtype):
        differ = {k for k, (got, own) in enumerate(zip(seen.frames, seed.frames, strict=True)) if got != own}
        if not differ:
            return "equal"
        if differ <= free:
            return "pixels"
    return "silent"


def agrees(seed: Seed, paths: list[Path], seen: Seen, kind: str) -> bool:
    """Whether another reader sees the same frames in changed files, or at least those that are strange."""
    try:
        others = tifffile_frames(paths) if seed.format != "hdf5" else h5py_frames(paths[0])
    except Exception:  # noqa: BLE001  whatever keeps the other reader from it
        return False
    if kind == "filled":
        return {digest for digest in seen.frames if digest is not None} - set(seed.frames) <= set(others)
    if seed.format == "hdf5":
        # a dataset under another name is no channel any more
        return Counter(seen.frames) <= Counter(others)
    return Counter(others) == Counter(seen.frames)


def lost_axes(seed: Seed, contents, paths: list[Path], seen: Seen) -> bool:
    """Whether no more is gone than the order of the pages, with the one text that states it."""
    changed = any(contents[0][start:stop] != seed.contents[0][start:stop] for start, stop in seed.axes)
    if not changed or seen.shape[1:3] != (1, 1) or len(seen.frames) != len(seed.frames):
        return False
    strange = Counter(seen.frames) - Counter(seed.frames)
    if strange.total() > len(touched(seed, contents)):
        return False
    with suppress(Exception), tifffile.TiffFile(paths[0]) as file:
        return file.series[0].ndim <= 3
    return False


def tifffile_frames(paths) -> list[str]:
    digests = []
    for path in paths:
        with tifffile.TiffFile(path) as file, suppress(Exception):
            for page in file.pages:
                pixels = page.asarray()
                pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
                planes = [pixels] if pixels.ndim == 2 else list(np.moveaxis(pixels, page.axes.index("S"), 0))
                digests += map(frame_digest, planes)
    return digests


def h5py_frames(path) -> list[str]:
    with h5py.File(path) as file:
        movies = [item[()] for item in file.values() if isinstance(item, h5py.Dataset) and item.ndim == 3]
        return [frame_digest(frame) for movie in movies for frame in movie]


def case(seed: Seed, contents, folder: Path, slot: str, mode: str, limits=None) -> dict[str, Any]:
    """What one changed copy of a seed came to."""
    paths = place_files(seed, contents, folder / slot)
    seen = examine(seed, paths, mode, limits)
    kind = judge(seed, contents, seen)
    if kind in ("silent", "filled") and agrees(seed, paths, seen, kind):
        kind = "lost axes" if lost_axes(seed, contents, paths, seen) else "consistent"
    size = sum(map(len, contents))
    over = []
    if seen.open_bytes > 64 * MIB + size // 2:
        over.append(f"opening took {seen.open_bytes >> 20} MiB")
    if seen.read_bytes > max(seen.read_bound, 64 * MIB):
        over.append(f"reading took {seen.read_bytes >> 20} MiB of {seen.read_bound >> 20}")
    changed = [stretches(*pair) for pair in zip(seed.contents, contents, strict=True)]
    detail = f"{seen.shape} {seen.dtype} told={seen.told[:2]} changed={changed}"
    if seen.error is not None and not named(seen.error, paths):
        over.append(f"names no file: {seen.error}")
    return {
        "kind": kind,
        "tried": seen.tried,
        "detail": detail if seen.error is None else f"{type(seen.error).__name__}: {seen.error}",
        "over": over,
        "frames": seen.frames,
        "damage": [(Path(path).name, offset) for path, offset in seen.damage],
        "peaks": [seen.open_bytes, seen.read_bytes],
    }


def stretches(old: bytes, new: bytes) -> list[tuple[int, int]]:
    """Where two contents differ, at most the first five stretches."""
    if len(old) != len(new):
        return [(min(len(old), len(new)), max(len(old), len(new)))]
    at = np.flatnonzero(np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8))
    if not at.size:
        return []
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(at, np.flatnonzero(np.diff(at) > 8) + 1)[:5]]


def named(error, paths):
    return any(str(path) in str(error) for path in (*paths, paths[0].parent))


@dataclass(slots=True)
class Tally:
    """Counts of outcomes, and what may not be."""

    counts: Counter[str] = field(default_factory=Counter)
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    consistent: list[str] = field(default_factory=list)
    peaks: list[int] = field(default_factory=lambda: [0, 0])
    slowest: float = 0.0

    def add(self, place: str, seed: Seed, verdict: Verdict) -> None:
        self.slowest = max(self.slowest, verdict.seconds)
        if verdict.kind != "value":
            self.counts[verdict.kind] += 1
            self.wrong.append(f"{place}: {verdict.kind} {verdict.detail[:1500]}")
            return
        found = verdict.value
        self.counts[found["kind"]] += 1
        self.tried += found["tried"]
        self.peaks = [max(pair) for pair in zip(self.peaks, found["peaks"], strict=True)]
        self.wrong += [f"{place}: {text}" for text in found["over"]]
        if found["kind"] == "consistent":
            self.consistent.append(f"{place}: {found['detail']}")
        if found["kind"] in ("silent", "filled") or (found["kind"] == "consistent" and seed.repeats_itself):
            self.wrong.append(f"{place}: {found['kind']} {found['detail']}")

    def __str__(self) -> str:
        total = sum(self.counts.values())
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.counts.items()))
        peaks = ", ".join(f"{peak / MIB:.0f}" for peak in self.peaks)
        return f"{total}: {counts}; read {self.tried}; peaks {peaks} MiB; slowest {self.slowest:.2f} s"


def mutant(seed: Seed, number: int, salt: int) -> tuple[bytes, ...]:
    rng = np.random.default_rng([salt, number])
    which = int(rng.integers(len(seed.contents)))
    contents = list(seed.contents)
    while contents[which] == seed.contents[which]:
        contents[which] = mutated(seed.contents[which], seed.structure[which], rng)
    return tuple(contents)


def run_mutants(own: list[Seed], folder: Path, numbers: range, salt: int) -> Tally:
    tally = Tally()

    def work(number):
        seed = own[number % len(own)]
        mode = "report" if number // len(own) % 2 else "raise"
        return case(seed, mutant(seed, number, salt), folder, str(os.getpid()), mode)

    for at, verdict in run_cases((partial(work, number) for number in numbers), together=TOGETHER):
        number = numbers[at]
        seed = own[number % len(own)]
        tally.add(f"{seed.format} {seed.name!r} mutant {number} of {salt}", seed, verdict)
    return tally


def check(tally: Tally, report) -> None:
    report(str(tally))
    assert not tally.wrong, f"{tally}\n{len(tally.wrong)} wrong:\n" + "\n".join(tally.wrong[:20])


def check_yield(tally: Tally) -> None:
    total = sum(tally.counts.values())
    assert tally.counts["undetected"] <= 0.6 * total, f"detection refuses too many: {tally}"
    assert tally.tried >= 0.15 * total, f"too few come to their pixels: {tally}"


@pytest.fixture
def report(record_property, request):
    """Numbers into the test report, and onto the screen of `pytest -rP`."""

    def tell(text):
        record_property("outcomes", text)
        print(f"{request.node.name}: {text}")

    return tell


@pytest.mark.parametrize("format", FORMATS)
def test_mutants(seeds, tmp_path, report, format):
    tally = run_mutants(seeds[format], tmp_path, range(500), 1)
    check(tally, report)
    check_yield(tally)


@pytest.mark.harden
@pytest.mark.parametrize("format", FORMATS)
def test_many_mutants(seeds, tmp_path, report, format):
    tally = run_mutants(seeds[format], tmp_path, range(4000), 2)
    check(tally, report)
    check_yield(tally)


# ---- cut files ------------------------------------------------------------------------------------------------------


def cut_sizes(seed: Seed, which: int, boundaries: bool, count: int) -> list[int]:
    content = seed.contents[which]
    ends: set[int] = set()
    if boundaries:
        marks = [end for start, stop, _ in seed.pixels[which] for end in (start, stop)]
        marks += [end for stretch in seed.structure[which] for end in stretch]
        if seed.format != "hdf5":
            marks += directory_marks(content)
        ends = {mark + step for mark in marks for step in (-1, 0, 1)}
    rng = np.random.default_rng([len(content), which])
    ends |= set(rng.integers(0, len(content), count).tolist())
    return sorted(size for size in ends if 0 <= size < len(content))


def directory_marks(content: bytes) -> list[int]:
    """Where each IFD, its link and its end lie."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    at = struct.unpack_from(f"{order}Q", content, 8)[0] if big else struct.unpack_from(f"{order}I", content, 4)[0]
    marks = [4, 8, 16]
    while at:
        count = struct.unpack_from(f"{order}{'Q' if big else 'H'}", content, at)[0]
        link = at + (8 + 20 * count if big else 2 + 12 * count)
        marks += [at, at + (8 if big else 2), link, link + (8 if big else 4)]
        at = struct.unpack_from(f"{order}{'Q' if big else 'I'}", content, link)[0]
    return marks


def run_cuts(own: list[Seed], folder: Path, boundaries: bool, count: int) -> Tally:
    tally = Tally()
    jobs = [
        (seed, which, size, mode)
        for seed in own
        for which in range(len(seed.contents))
        for size in cut_sizes(seed, which, boundaries, count // len(seed.contents))
        for mode in ("raise", "report")
    ]

    def work(number):
        seed, which, size, mode = jobs[number]
        contents = list(seed.contents)
        contents[which] = contents[which][:size]
        return case(seed, contents, folder, str(os.getpid()), mode)

    for number, verdict in run_cases((partial(work, number) for number in range(len(jobs))), together=TOGETHER):
        seed, which, size, mode = jobs[number]
        place = f"{seed.format} {seed.name!r} file {which} cut to {size} of {len(seed.contents[which])}, {mode}"
        tally.add(place, seed, verdict)
        if verdict.kind == "value":
            tally.wrong += [f"{place}: {text}" for text in wrong_cut(seed, which, size, mode, verdict.value)]
    return tally


def wrong_cut(seed: Seed, which: int, size: int, mode: str, found: dict[str, Any]) -> Iterator[str]:
    """What a cut file may not be."""
    kind, frames = found["kind"], found["frames"]
    gone = {k for start, stop, own in seed.pixels[which] if stop > size for k in own}
    if any(digest is not None and digest not in seed.frames for digest in frames):
        yield f"a frame that the recording does not have: {found['detail']}"
    if kind == "pixels" or (kind == "equal" and gone):
        yield f"{kind}, though pixels of frames {sorted(gone)} are gone: {found['detail']}"
    if kind == "consistent":
        yield f"taken for a shorter recording: {found['detail']}"
    if seed.format == "hdf5" or mode == "raise" or kind == "undetected" or len(seed.contents) > 1:
        return
    if kind == "told":
        kept = [digest for digest in frames if digest is not None]
        # whole T before the cut in their order, or whole pages in theirs
        pages = [seed.frames[k] for _, _, own in sorted(seed.pixels[which]) for k in own]
        if kept != list(seed.frames[: len(kept)]) and kept != list(dict.fromkeys(pages))[: len(kept)]:
            yield f"the frames kept are not the first ones: {found['detail']}"
        if not found["damage"]:
            yield f"no damage is listed: {found['detail']}"
        elif any(offset is None for _, offset in found["damage"]):
            yield f"damage without an offset: {found['damage']}"
    if kind == "error" and has_first(seed, size):
        yield f"nothing is opened, though the first T is there: {found['detail']}"


def description_end(content: bytes) -> int:
    """Where the description of the first page ends, 0 where it has none."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tag = file.pages[0].tags.get(270)
        return 0 if tag is None else tag.valueoffset + tag.valuebytecount


def has_first(seed: Seed, size: int) -> bool:
    """Whether the pages before T 1, their pixels and IFDs, end before `size`."""
    per_t = len(seed.frames) // seed.shape[0]
    places = seed.pixels[0]
    later = [number for number, (_, _, own) in enumerate(places) if own and min(own) >= per_t]
    last = min(later, default=len(places)) - 1
    if seed.name == "OME" and description_end(seed.contents[0]) > size:
        # what pages are is said there and nowhere else
        return False
    ends = directory_marks(seed.contents[0])[6::4]
    pages = last * len(ends) // len(places) + 1
    return max(stop for _, stop, _ in places[: last + 1]) <= size and max(ends[:pages]) <= size


@pytest.mark.parametrize("format", FORMATS)
def test_cuts(seeds, tmp_path, report, format):
    check(run_cuts(seeds[format], tmp_path, False, 16), report)


@pytest.mark.harden
@pytest.mark.parametrize("format", FORMATS)
def test_every_structural_cut(seeds, tmp_path, report, format):
    check(run_cuts(seeds[format], tmp_path, True, 200 // len(seeds[format]) + 1), report)


# ---- the harness itself ---------------------------------------------------------------------------------------------


def test_zeros_for_missing_bytes_are_found(tmp_path, monkeypatch):
    """What the cuts are for: a source that pads what the file lacks, and says nothing."""
    seed = pixels_last()
    stop = max(stop for _, stop, _ in seed.pixels[0])
    content = seed.contents[0][: stop - 40]
    assert run_case(lambda: case(seed, [content], tmp_path, "a", "raise")).value["kind"] == "error"

    def work():
        pad_silently(monkeypatch)
        return case(seed, [content], tmp_path, "b", "raise")

    verdict = run_case(work)
    tally = Tally()
    tally.add("padded", seed, verdict)
    tally.wrong += wrong_cut(seed, 0, len(content), "raise", verdict.value)
    assert tally.wrong, verdict


def pixels_last() -> Seed:
    """A page whose IFD lies before its pixels, which galvo reads through `FileSource.read`."""
    page = noise((6, 5, 3), "u1")
    head = TiffBuilder().image(5, 6, [page.tobytes()], samples=3).build()
    pixels, ifd = head[8 : 8 + page.nbytes], struct.unpack_from("<I", head, 4)[0]
    table = bytearray(head[ifd:])
    # the same IFD and values in front, the pixels behind
    values = head[8 + page.nbytes : ifd]
    shift = (8 + len(values)) - ifd
    start = 8 + len(values) + len(table)
    for at in range(2, len(table) - 4, 12):
        code, kind, count = struct.unpack_from("<HHI", table, at)
        if code == 273:
            struct.pack_into("<I", table, at + 8, start)
        elif {3: 2, 4: 4}[kind] * count > 4:
            struct.pack_into("<I", table, at + 8, struct.unpack_from("<I", table, at + 8)[0] + shift)
    content = struct.pack("<2sHI", b"II", 42, 8 + len(values)) + values + bytes(table) + pixels
    frames = tuple(frame_digest(np.ascontiguousarray(page[..., sample])) for sample in range(3))
    return Seed(
        name="pixels last",
        format="tiff",
        names=("a.tif",),
        contents=(content,),
        shape=(1, 3, 1, 6, 5),
        dtype="uint8",
        frames=frames,
        pixels=(((start, start + page.nbytes, (0, 1, 2)),),),
        structure=(((0, start),),),
    )


def pad_silently(monkeypatch):
    from galvo.core.source import FileSource

    original = FileSource.__init__

    def believing(self, paths):
        original(self, paths)
        self.sizes = tuple(size + 4096 for size in self.sizes)

    def padded(self, file, offset, nbytes):
        with open(self.paths[file], "rb") as stream:
            stream.seek(offset)
            return stream.read(nbytes).ljust(nbytes, b"\0")

    @contextmanager
    def unchecked(self, files):
        held = {file: os.open(self.paths[file], os.O_RDONLY) for file in set(files)}
        yield held
        for descriptor in held.values():
            os.close(descriptor)

    monkeypatch.setattr(FileSource, "__init__", believing)
    monkeypatch.setattr(FileSource, "read_upto", padded)
    monkeypatch.setattr(FileSource, "read", padded)
    monkeypatch.setattr(FileSource, "lease", unchecked)
