"""One ROI of a page of four, and opening a series of 500 files: multi-ROI recordings, cache warm.

The floor is the ROI's own bytes by `os.preadv`, page by page, into a fresh array.
"""

import os
import random
import shutil
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

import galvo
from bench.recording import data_folder, page_offsets
from bench.report import Report, parser
from bench.timing import interleave
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

SIDE = 512
FILES, PAGES = 500, 2_000
ROI = 2
FLOOR = "floor (preadv)"
Frames = np.ndarray[Any, np.dtype[np.int16]]
Read = Callable[[int, int], Frames]


def generated(folder: Path, name: str, recording: ScanImageRecording) -> list[Path]:
    """Return the files of a recording, generated unless an earlier run left them."""
    finished, growing = folder / name, folder / f"{name}.partial"
    if not finished.exists():
        shutil.rmtree(growing, ignore_errors=True)
        recording.write(growing)
        growing.rename(finished)
    return sorted(finished.glob("*.tif"))


def rois(side: int) -> list[RoiRequest]:
    fields = (ScanfieldRequest(center_deg=(5.0 * number, 0.0), pixels=(side, side)) for number in range(4))
    return [RoiRequest(scanfields=(field,)) for field in fields]


def floor_reader(path: Path, first_row: int) -> tuple[int, Read]:
    offsets, _ = page_offsets(path)
    descriptor = os.open(path, os.O_RDONLY)
    skip, nbytes = first_row * SIDE * 2, SIDE * SIDE * 2

    def read(start: int, stop: int) -> Frames:
        pixels = np.empty((stop - start, SIDE, SIDE), np.int16)
        into = pixels.reshape(-1).view(np.uint8).data
        for place, frame in enumerate(range(start, stop)):
            part = into[place * nbytes : (place + 1) * nbytes]
            if os.preadv(descriptor, [part], offsets[frame] + skip) != nbytes:
                raise EOFError(f"{path}: frame {frame} is cut off")
        return pixels

    return descriptor, read


def measure_roi(report: Report, folder: Path, rounds: int, count: int) -> None:
    """Add the figures of reading one ROI."""
    recording = ScanImageRecording.multi_roi(rois(SIDE), frames=count)
    (path,) = generated(folder, f"four-rois_{SIDE}_{count}-pages", recording)
    with galvo.open(path) as opened:
        field = opened.fields[ROI]
        where = field.field
        if where is None:
            raise ValueError("the field does not say where it lies")
        descriptor, floor = floor_reader(path, where.rows.start)
        try:
            if not np.array_equal(field[:, 0, 0], floor(0, count)):
                raise ValueError("galvo reads other pixels than the floor")
            many = interleave({FLOOR: lambda: floor(0, count), "galvo": lambda: field[:, 0, 0]}, rounds=rounds)
            order = random.Random(1)
            asked = [order.randrange(count) for _ in range(97)]
            one, other = cycle(asked), cycle(asked)
            single = interleave(
                {
                    FLOOR: lambda: floor(frame := next(one), frame + 1),
                    "galvo": lambda: field[next(other), 0, 0],
                },
                rounds=rounds,
            )
        finally:
            os.close(descriptor)
    report.add(f"one ROI of four, {count} frames", dict(many), ours="galvo")
    report.add("one ROI of four, 1 random frame", dict(single), ours="galvo")
    for what, timings in ((f"{count} frames", many), ("1 random frame", single)):
        ratio = timings["galvo"].minimum_s / timings[FLOOR].minimum_s
        report.goal(f"one ROI of four, {what} against its bytes", ratio, limit=1.3, unit="x")


def measure_series(report: Report, folder: Path, rounds: int) -> None:
    """Add the figure of opening a long series."""
    recording = ScanImageRecording.multi_roi(rois(4), frames=FILES * PAGES, frames_per_file=PAGES, flyto_periods=0.5)
    paths = generated(folder, f"series_{FILES}-files", recording)

    def open_series() -> None:
        with galvo.open(paths[0]) as opened:
            if opened.shape[0] != FILES * PAGES or len(opened.fields) != 4:
                raise ValueError(f"the series opens as {opened!r}")

    timing = interleave({"galvo": open_series}, rounds=rounds, slot_s=0)["galvo"]
    figure = f"open {FILES} files of {PAGES:,} pages"
    report.add(figure, {"galvo": timing}, ours="galvo")
    report.goal(figure, timing.minimum_s, limit=1, unit="s")


def main() -> None:
    command = parser(__doc__, rounds=9)
    command.add_argument("--frames", type=int, default=400, help="frames to read (default: %(default)s)")
    options = command.parse_args()
    report = Report("fields", {"rounds": options.rounds, "frame": f"four ROIs of {SIDE} x {SIDE}"})
    with data_folder(options.data) as folder:
        measure_roi(report, folder, options.rounds, options.frames)
        measure_series(report, folder, options.rounds)
    report.publish(options.results)


if __name__ == "__main__":
    main()
