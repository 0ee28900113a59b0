"""Open and count the frames: ScanImage files of 200 and of 20,000 pages, two channels of 128 x 128.

Warm, and cold where the system can be told to forget a file.
"""

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import tifffile

import galvo
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave, with_peer

PAGE_COUNTS = (200, 20_000)


def open_galvo(path: Path) -> int:
    with galvo.open(path) as recording:
        return recording.shape[0] * recording.shape[1]


def open_tifffile(path: Path) -> int:
    with tifffile.TiffFile(path) as tif:
        return len(tif.pages)


def open_roiextractors(module: ModuleType, path: Path) -> int:
    extractor = module.ScanImageImagingExtractor(file_path=path, channel_name=f"Channel {CHANNELS[0]}")
    return int(extractor.get_num_samples()) * len(CHANNELS)


def open_scanimage_tiff_reader(module: ModuleType, path: Path) -> int:
    with module.ScanImageTiffReader(str(path)) as reader:
        return int(reader.shape()[0])


READERS: dict[str, Callable[[Path], int] | None] = {
    "galvo": open_galvo,
    "tifffile": open_tifffile,
    "roiextractors": with_peer("roiextractors", open_roiextractors),
    "ScanImageTiffReader": with_peer("ScanImageTiffReader", open_scanimage_tiff_reader),
}


def bound(reader: Callable[[Path], int] | None, path: Path) -> Callable[[], int] | None:
    return None if reader is None else lambda: reader(path)


def forget(path: Path) -> None:
    """Drop a file from the page cache."""
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def main() -> None:
    options = parser(__doc__, rounds=9).parse_args()
    with data_folder(options.data) as folder:
        paths = {count: scanimage_file(folder, height=128, width=128, page_count=count) for count in PAGE_COUNTS}
        runs = {(name, count): bound(read, paths[count]) for name, read in READERS.items() for count in PAGE_COUNTS}
        for (name, count), run in runs.items():
            if run is not None and (found := run()) != count:
                raise ValueError(f"{name} counts {found} pages, the file has {count}")
        timings = interleave(runs, rounds=options.rounds)
        cold = {}
        if hasattr(os, "posix_fadvise"):
            many_pages = PAGE_COUNTS[-1]
            cold = interleave(
                {name: runs[name, many_pages] for name in READERS},
                rounds=3,
                slot_s=0,
                before=lambda name: forget(paths[many_pages]),
            )

    report = Report("open", {"rounds": options.rounds, "frame": "128 x 128", "channels": len(CHANNELS)})
    for count in PAGE_COUNTS:
        report.add(f"{count} pages", {name: timings.get((name, count)) for name in READERS}, ours="galvo")
    if cold:
        report.add(f"{PAGE_COUNTS[-1]} pages, cold", {name: cold.get(name) for name in READERS}, ours="galvo")
    few, many = (timings["galvo", count] for count in PAGE_COUNTS)
    tifffile_many = timings["tifffile", PAGE_COUNTS[-1]]
    report.goal("open and count 20,000 pages", many.minimum_s * 1e3, limit=2, unit="ms")
    report.goal("growth from 200 to 20,000 pages", (many.minimum_s / few.minimum_s - 1) * 100, limit=20, unit="%")
    report.goal(
        "faster than tifffile on 20,000 pages",
        tifffile_many.minimum_s / many.minimum_s,
        limit=25,
        unit="x",
        at_least=True,
    )
    report.publish(options.results)


if __name__ == "__main__":
    main()
