"""Facades and their originals, through the same calls: open, read 1,000 frames of one channel, the times of all frames.

Two channels, 512 x 512 and 128 x 128, cache warm. Extractors remember times, so those runs open the file anew.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from bench.read import FILES, FLOOR, floor_reader, warm
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave, with_peer
from galvo.compat.roiextractors import ScanImageImagingExtractor

Open = Callable[[Path], Any]
"""Takes a file, gives an extractor over its first channel."""


def open_facade(path: Path) -> Any:
    return ScanImageImagingExtractor(path, channel_name=f"Channel {CHANNELS[0]}")


def open_original(module: ModuleType, path: Path) -> Any:
    return module.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {CHANNELS[0]}")


def times(opener: Open, path: Path) -> Any:
    return opener(path).get_times()


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


def main() -> None:
    command = parser(__doc__, rounds=7)
    command.add_argument("--frames", type=int, default=1_000, help="frames to read (default: %(default)s)")
    options = command.parse_args()
    report = Report("facades", {"rounds": options.rounds, "channels": len(CHANNELS)})
    with data_folder(options.data) as folder:
        for side, page_count in FILES:
            path = scanimage_file(folder, height=side, width=side, page_count=page_count)
            warm(path)
            measure(report, path, f"roiextractors, {side} x {side}, {page_count} pages", options.frames)
    report.publish(options.results)


if __name__ == "__main__":
    main()
