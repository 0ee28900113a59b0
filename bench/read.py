"""Read 1,000 frames of one channel, and single frames at random: two channels, 512 x 512 and 128 x 128, cache warm.

The floor is the same bytes by `os.preadv`, page by page, into a fresh array.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import tifffile

import galvo
from bench.recording import CHANNELS, data_folder, page_offsets, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave, with_peer

FILES = ((512, 4_000), (128, 20_000))
"""Side of the frames and pages of each file."""
FLOOR = "floor (preadv)"

Frames = np.ndarray[Any, np.dtype[Any]]
Read = Callable[[int, int], Frames]
"""Takes the first frame and the one after the last, gives the pixels of the first channel, T Y X."""


def floor_reader(path: Path, files: ExitStack) -> Read:
    offsets, nbytes = page_offsets(path)
    with tifffile.TiffFile(path) as tif:
        page: Any = tif.pages[0]
        dtype, shape = np.dtype(f"{tif.byteorder}{np.dtype(page.dtype).str[1:]}"), page.shape
    stream = files.enter_context(path.open("rb", buffering=0))
    descriptor = stream.fileno()

    def read(start: int, stop: int) -> Frames:
        pixels = np.empty((stop - start, *shape), dtype)
        into = pixels.reshape(-1).view(np.uint8).data
        for place, frame in enumerate(range(start, stop)):
            page = into[place * nbytes : (place + 1) * nbytes]
            if os.preadv(descriptor, [page], offsets[frame * len(CHANNELS)]) != nbytes:
                raise EOFError(f"{path}: frame {frame} is cut off")
        return pixels

    return read


def galvo_reader(path: Path, files: ExitStack) -> Read:
    recording = files.enter_context(galvo.open(path))

    def read(start: int, stop: int) -> Frames:
        if stop == start + 1:
            frame: Frames = recording[start, 0]
            return frame
        frames: Frames = recording[start:stop, 0, 0]
        return frames

    return read


def tifffile_reader(path: Path, files: ExitStack) -> Read:
    tif = files.enter_context(tifffile.TiffFile(path))
    first: Any = tif.pages[0]
    shape = first.shape

    def read(start: int, stop: int) -> Frames:
        pages = range(start * len(CHANNELS), stop * len(CHANNELS), len(CHANNELS))
        return tif.asarray(key=pages).reshape(-1, *shape)

    return read


def roiextractors_reader(module: ModuleType, path: Path, files: ExitStack) -> Read:
    extractor = module.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {CHANNELS[0]}")

    def read(start: int, stop: int) -> Frames:
        frames: Frames = extractor.get_series(start, stop)
        return frames

    return read


def scanimage_tiff_reader(module: ModuleType, path: Path, files: ExitStack) -> Read:
    reader = files.enter_context(module.ScanImageTiffReader(str(path)))

    def read(start: int, stop: int) -> Frames:
        pages: Frames = reader.data(beg=start * len(CHANNELS), end=stop * len(CHANNELS))
        return pages[:: len(CHANNELS)]

    return read


def warm(path: Path) -> None:
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 24):
            pass


def at_random(read: Read, frames: Iterator[int]) -> Callable[[], Frames]:
    def run() -> Frames:
        frame = next(frames)
        return read(frame, frame + 1)

    return run


def measure(report: Report, folder: Path, side: int, page_count: int, count: int) -> None:
    """Time all readers on one file, and add the figures to the report."""
    rounds = int(str(report.parameters["rounds"]))
    with ExitStack() as files:
        path = scanimage_file(folder, height=side, width=side, page_count=page_count)
        openers: dict[str, Callable[[Path, ExitStack], Read] | None] = {
            FLOOR: floor_reader,
            "galvo": galvo_reader,
            "tifffile": tifffile_reader,
            "roiextractors": with_peer("roiextractors", roiextractors_reader),
            "ScanImageTiffReader": with_peer("ScanImageTiffReader", scanimage_tiff_reader),
        }
        readers = {name: None if opener is None else opener(path, files) for name, opener in openers.items()}
        warm(path)
        present = {name: read for name, read in readers.items() if read is not None}
        expected = present[FLOOR](0, count)
        for name, read in present.items():
            found = read(0, count)
            if found.dtype != expected.dtype or not np.array_equal(found, expected):
                raise ValueError(f"{name} reads other pixels than {FLOOR}")
        del expected, found

        order = random.Random(1)
        asked = [order.randrange(page_count // len(CHANNELS)) for _ in range(997)]
        for name, read in present.items():
            for frame in asked[:5]:
                if not np.array_equal(read(frame, frame + 1), present[FLOOR](frame, frame + 1)):
                    raise ValueError(f"{name} reads other pixels than {FLOOR} at frame {frame}")
        in_order = {name: partial(read, 0, count) for name, read in present.items()}
        many = interleave(in_order, rounds=rounds)
        anywhere = {name: at_random(read, cycle(asked)) for name, read in present.items()}
        single = interleave(anywhere, rounds=rounds)

    gigabytes = count * side * side * 2 / 1e9
    rates = {name: f"{gigabytes / timing.minimum_s:.2f} GB/s" for name, timing in many.items()}
    figure = f"{side} x {side}, {count} frames"
    report.add(figure, {name: many.get(name) for name in readers}, ours="galvo", notes=rates)
    report.add(f"{side} x {side}, 1 random frame", {name: single.get(name) for name in readers}, ours="galvo")
    if "roiextractors" in many:
        faster = many["roiextractors"].minimum_s / many["galvo"].minimum_s
        report.goal(f"{figure}, faster than roiextractors", faster, limit=2.5, unit="x", at_least=True)
    if side != 512:
        return
    report.goal(f"{figure} against the floor", many["galvo"].minimum_s / many[FLOOR].minimum_s, limit=1.15, unit="x")
    ratio = single["galvo"].minimum_s / single[FLOOR].minimum_s
    report.goal("1 random frame against the floor", ratio, limit=1.5, unit="x")
    if "roiextractors" in single:
        faster = single["roiextractors"].minimum_s / single["galvo"].minimum_s
        report.goal("1 random frame, faster than roiextractors", faster, limit=5, unit="x", at_least=True)


def main() -> None:
    command = parser(__doc__, rounds=9)
    command.add_argument("--frames", type=int, default=1_000, help="frames to read (default: %(default)s)")
    options = command.parse_args()
    report = Report("read", {"rounds": options.rounds, "channels": len(CHANNELS)})
    with data_folder(options.data) as folder:
        for side, page_count in FILES:
            measure(report, folder, side, page_count, options.frames)
    report.publish(options.results)


if __name__ == "__main__":
    main()
