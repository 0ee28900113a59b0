"""Times of all frames of one channel, as the pages themselves state them: 512 x 512 and 128 x 128, cache warm.

Each run opens the file anew, for readers remember times once they have them.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import galvo
from bench.read import FILES, warm
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave, with_peer

Times = np.ndarray[Any, np.dtype[np.float64]]


def times_galvo(path: Path) -> Times:
    with galvo.open(path) as recording:
        times = recording.timestamps
    if times is None:
        raise ValueError(f"{path} has no times")
    return times


def times_roiextractors(module: ModuleType, path: Path) -> Times:
    extractor = module.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {CHANNELS[0]}")
    return np.asarray(extractor.get_times(), np.float64)


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    report = Report("timestamps", {"rounds": options.rounds, "channels": len(CHANNELS)})
    readers: dict[str, Callable[[Path], Times] | None] = {
        "galvo": times_galvo,
        "roiextractors": with_peer("roiextractors", times_roiextractors),
    }
    with data_folder(options.data) as folder:
        for side, page_count in FILES:
            path = scanimage_file(folder, height=side, width=side, page_count=page_count)
            warm(path)
            expected = times_galvo(path)
            for name, read in readers.items():
                if read is not None and not np.allclose(read(path), expected, rtol=0, atol=1e-9):
                    raise ValueError(f"{name} gives other times")
            timings = interleave(
                {name: None if read is None else partial(read, path) for name, read in readers.items()},
                rounds=options.rounds,
            )
            figure = f"{side} x {side}, {page_count} pages"
            report.add(figure, {name: timings.get(name) for name in readers}, ours="galvo")
            if "roiextractors" in timings:
                faster = timings["roiextractors"].minimum_s / timings["galvo"].minimum_s
                report.goal(f"{figure}, faster than roiextractors", faster, limit=50, unit="x", at_least=True)
    report.publish(options.results)


if __name__ == "__main__":
    main()
