"""Facades and their originals, through the same calls: open, read 1,000 frames of one channel, the times of all frames.

Two channels, 512 x 512 and 128 x 128, cache warm. Extractors remember times, so those runs open the file anew.
scanreader is on no package index: where it is not installed, the bare reading of the same pages with tifffile, on
which it is built, stands for the least that it could take.

CalSciPy's one-liners save and load a movie of 300 frames of 512 x 512: uint16 as .tif and .bin, uint8 as .mp4 and .gif.
It leaves its files to the system; here they are brought to the disk, as galvo does with its own. It does not load GIFs;
imageio does. It takes names without a folder only, on POSIX.
"""

import contextlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile

from bench.read import FILES, FLOOR, floor_reader, warm
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import Timing, interleave, with_peer
from galvo.compat.calscipy import io_tools
from galvo.compat.roiextractors import ScanImageImagingExtractor
from galvo.compat.scanreader import read_scan

Open = Callable[[Path], Any]
"""Takes a file, gives an extractor over its first channel."""


def open_facade(path: Path) -> Any:
    return ScanImageImagingExtractor(path, channel_name=f"Channel {CHANNELS[0]}")


def open_original(module: ModuleType, path: Path) -> Any:
    return module.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {CHANNELS[0]}")


def times(opener: Open, path: Path) -> Any:
    return opener(path).get_times()


def scan_original(module: ModuleType, path: Path) -> Any:
    return module.read_scan(str(path))


def frames_of(scan: Any, frame_count: int) -> Any:
    return scan[0, :, :, 0, :frame_count]


def open_and_read_pages(path: Path, frame_count: int) -> Any:
    with tifffile.TiffFile(path) as tif:
        return tif.asarray(key=slice(0, frame_count * len(CHANNELS), len(CHANNELS)))


def measure_scanreader(report: Report, path: Path, figure: str, frame_count: int) -> None:
    """Time scanreader's calls on one file: a scan that is opened, and read."""
    rounds = int(str(report.parameters["rounds"]))
    openers: dict[str, Open | None] = {
        "galvo": lambda path: read_scan(str(path)),
        "scanreader": with_peer("scanreader", scan_original),
    }
    present = {name: opener for name, opener in openers.items() if opener is not None}
    expected = open_and_read_pages(path, frame_count)
    for name, opener in present.items():
        if not np.array_equal(np.moveaxis(frames_of(opener(path), frame_count), -1, 0), expected):
            raise ValueError(f"{name} reads other pixels than tifffile")
    del expected
    runs = {name: lambda opener=opener: frames_of(opener(path), frame_count) for name, opener in present.items()}
    bare = "tifffile, same pages"
    timings = interleave({**runs, bare: partial(open_and_read_pages, path, frame_count)}, rounds=rounds)
    what = f"{figure}, open, {frame_count} frames"
    notes = {bare: "what scanreader does beneath"}
    report.add(what, {name: timings.get(name) for name in (*openers, bare)}, ours="galvo", notes=notes)
    if "scanreader" in timings:
        faster = timings["scanreader"].minimum_s / timings["galvo"].minimum_s
        report.goal(f"{what}, faster than scanreader", faster, limit=2.5, unit="x", at_least=True)


def measure(report: Report, path: Path, figure: str, frame_count: int) -> None:
    """Time facade and original on one file, and add the figures to the report."""
    rounds = int(str(report.parameters["rounds"]))
    openers: dict[str, Open | None] = {
        "galvo": open_facade,
        "roiextractors": with_peer("roiextractors", open_original),
    }
    present = {name: opener for name, opener in openers.items() if opener is not None}
    extractors = {name: opener(path) for name, opener in present.items()}
    with ExitStack() as files:
        expected = floor_reader(path, files)(0, frame_count)
    for name, extractor in extractors.items():
        found = extractor.get_series(0, frame_count)
        if found.dtype != expected.dtype or not np.array_equal(found, expected):
            raise ValueError(f"{name} reads other pixels than {FLOOR}")
        if not np.allclose(extractor.get_times(), extractors["galvo"].get_times(), rtol=0, atol=1e-9):
            raise ValueError(f"{name} gives other times")
    del expected, found
    for what, runs, limit in (
        ("open", {name: partial(opener, path) for name, opener in present.items()}, None),
        (
            f"{frame_count} frames",
            {name: partial(extractor.get_series, 0, frame_count) for name, extractor in extractors.items()},
            2.5,
        ),
        ("open, all times", {name: partial(times, opener, path) for name, opener in present.items()}, None),
    ):
        timings = interleave(runs, rounds=rounds)
        report.add(f"{figure}, {what}", {name: timings.get(name) for name in openers}, ours="galvo")
        if "roiextractors" in timings and limit is not None:
            faster = timings["roiextractors"].minimum_s / timings["galvo"].minimum_s
            report.goal(f"{figure}, {what}, faster than roiextractors", faster, limit=limit, unit="x", at_least=True)


# imageio, by which CalSciPy reads videos, refuses more than 256 MB
MOVIE_FRAMES = 300
KINDS = {"images": ".tif", "binary": ".bin", "video": ".mp4", "gif": ".gif"}


def movie(kind: str) -> np.ndarray[Any, np.dtype[Any]]:
    """Frames (T, Y, X) of shot noise."""
    dtype = np.uint16 if kind in ("images", "binary") else np.uint8
    return np.random.default_rng(0).poisson(40, (MOVIE_FRAMES, 512, 512)).astype(dtype)


def save_calscipy(module: ModuleType, kind: str, pixels: object, path: Path) -> None:
    with contextlib.chdir(path.parent):
        getattr(module, f"save_{kind}")(path.name, pixels)
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def load_calscipy(module: ModuleType, kind: str, path: Path) -> Any:
    with contextlib.chdir(path.parent):
        return getattr(module, f"load_{kind}")(path.name)


def load_gif_imageio(module: ModuleType, path: Path) -> Any:
    return np.stack(module.mimread(path, memtest=False, mode="RGB"))


def measure_one_liners(report: Report, folder: Path) -> None:
    """Time saving and loading of each kind of file."""
    rounds = int(str(report.parameters["rounds"]))
    for kind, suffix in KINDS.items():
        pixels, ours, theirs = movie(kind), folder / f"ours{suffix}", folder / f"theirs{suffix}"
        save, load = getattr(io_tools, f"save_{kind}"), getattr(io_tools, f"load_{kind}")
        peer_save = with_peer("CalSciPy.io_tools", save_calscipy)
        peer_load = with_peer("CalSciPy.io_tools", load_calscipy)
        name, reading = "CalSciPy", None if peer_load is None else partial(peer_load, kind, ours)
        if kind == "gif":
            other = with_peer("imageio.v2", load_gif_imageio)
            reading = None if other is None else partial(other, ours)
        runs: dict[str, Callable[[], object] | None] = {
            "galvo": partial(save, ours, pixels),
            name: None if peer_save is None else partial(peer_save, kind, pixels, theirs),
        }
        compare(report, f"save {suffix}", name, interleave(runs, rounds=rounds, slot_s=0))
        name = "imageio" if kind == "gif" else name
        runs = {"galvo": partial(load, ours), name: reading}
        compare(report, f"load {suffix}", name, interleave(runs, rounds=rounds, slot_s=0))


def compare(report: Report, figure: str, peer: str, timings: dict[str, Timing]) -> None:
    report.add(figure, {name: timings.get(name) for name in ("galvo", peer)}, ours="galvo")
    if peer in timings:
        ratio = timings["galvo"].minimum_s / timings[peer].minimum_s
        report.goal(f"{figure}: galvo / {peer}", ratio, limit=1, unit="x")


def main() -> None:
    command = parser(__doc__, rounds=5)
    command.add_argument("--frames", type=int, default=1_000, help="frames to read (default: %(default)s)")
    options = command.parse_args()
    report = Report("facades", {"rounds": options.rounds, "channels": len(CHANNELS)})
    with data_folder(options.data) as folder:
        for side, page_count in FILES:
            path = scanimage_file(folder, height=side, width=side, page_count=page_count)
            warm(path)
            pages = f"{side} x {side}, {page_count} pages"
            measure(report, path, f"roiextractors, {pages}", options.frames)
            measure_scanreader(report, path, f"scanreader, {pages}", options.frames)
        measure_one_liners(report, folder)
    report.publish(options.results)


if __name__ == "__main__":
    main()
