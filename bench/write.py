"""Write TIFF: a ScanImage recording to OME-TIFF by galvo, with its journal and checksums, and by tifffile.

tifffile reads page by page, writes what an iterator gives it, with as many threads as there are cores and galvo's
compression level, and ends with one fsync. Peak memory is taken in a child process that does nothing else, of the
recording and of one that is four times as long.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import galvo
from bench.convert import peak_memory_mb
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, machine, parser
from bench.timing import interleave

HEIGHT = WIDTH = 512
OURS, PEER = "galvo", "tifffile"
LEVELS: dict[str, dict[str, int]] = {"none": {}, "zlib": {"level": 1}, "zstd": {"level": 1}}


def ours(source: Path, compression: str, destination: Path) -> None:
    options: dict[str, Any] = {} if compression == "none" else {"predictor": False}
    galvo.convert(source, destination, compression=compression, overwrite=True, **options)


def peer(source: Path, compression: str, destination: Path) -> None:
    with tifffile.TiffFile(source) as tif:
        tifffile.imwrite(
            destination,
            (page.asarray() for page in tif.pages),
            shape=(len(tif.pages) // len(CHANNELS), len(CHANNELS), HEIGHT, WIDTH),
            dtype=tif.pages[0].dtype,
            ome=True,
            photometric="minisblack",
            metadata={"axes": "TCYX"},
            compression=None if compression == "none" else compression,
            compressionargs=LEVELS[compression],
            maxworkers=int(machine()["cores"]),
        )
    with destination.open("rb+") as stream:
        os.fsync(stream.fileno())


WORKS: dict[str, Callable[[Path, str, Path], None]] = {OURS: ours, PEER: peer}


def check(source: Path, written: Path) -> None:
    with tifffile.TiffFile(source) as tif, tifffile.TiffFile(written) as copy:
        if len(tif.pages) != len(copy.pages):
            raise ValueError(f"{written.name} has {len(copy.pages)} pages instead of {len(tif.pages)}")
        for place in range(0, len(tif.pages), max(1, len(tif.pages) // 50)):
            if not np.array_equal(tif.pages[place].asarray(), copy.pages[place].asarray()):
                raise ValueError(f"{written.name} differs from the recording at page {place}")


def peak_memory_of_child(name: str, compression: str, source: Path, destination: Path) -> float:
    arguments = ["--child", name, compression, str(source.resolve()), str(destination.resolve())]
    command = [sys.executable, "-m", "bench.write", *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    destination.unlink()
    return float(done.stdout)


def compare(report: Report, compression: str, source: Path, longer: Path, made: Path) -> None:
    """Time both, each into a file of its own, and add them to the report."""
    destinations = {name: made / f"{name}.ome.tif" for name in WORKS}
    timings = interleave(
        {name: partial(work, source, compression, destinations[name]) for name, work in WORKS.items()},
        rounds=int(str(report.parameters["rounds"])),
        slot_s=0,
        before=lambda name: destinations[name].unlink(missing_ok=True),
    )
    read_mb = source.stat().st_size / 1e6
    notes, growth = {}, {}
    for name, destination in destinations.items():
        check(source, destination)
        size_mb = destination.stat().st_size / 1e6
        destination.unlink()
        short_mb, long_mb = (peak_memory_of_child(name, compression, one, destination) for one in (source, longer))
        growth[name] = long_mb / short_mb
        speed = read_mb / timings[name].minimum_s
        peaks = f"peak {short_mb:.0f} MB, of the longer {long_mb:.0f} MB"
        notes[name] = f"{speed:.0f} MB/s, wrote {size_mb:.0f} MB, {peaks}"
    report.add(f"{compression}, {read_mb:.0f} MB", timings, ours=OURS, notes=notes)
    speed = timings[PEER].minimum_s / timings[OURS].minimum_s
    report.goal(f"{compression}, speed against tifffile", speed, limit=1, unit="x", at_least=True)
    report.goal(f"{compression}, peak memory of four times the pages", growth[OURS], limit=1.1, unit="x")


def main() -> None:
    command = parser(__doc__, rounds=5)
    command.add_argument("--pages", type=int, default=1_000, help="pages (default: %(default)s)")
    command.add_argument("--child", nargs=4, metavar=("WORK", "COMPRESSION", "SOURCE", "DESTINATION"), help="internal")
    options = command.parse_args()
    if options.child:
        name, compression, source, destination = options.child
        WORKS[name](Path(source), compression, Path(destination))
        print(peak_memory_mb())
        return

    report = Report("write", {"rounds": options.rounds, "frame": f"{HEIGHT} x {WIDTH}", "channels": len(CHANNELS)})
    with data_folder(options.data) as folder, tempfile.TemporaryDirectory(dir=folder) as made:
        short, longer = (
            scanimage_file(folder, height=HEIGHT, width=WIDTH, page_count=count, shot_noise=True)
            for count in (options.pages, 4 * options.pages)
        )
        for compression in LEVELS:
            compare(report, compression, short, longer, Path(made))
    report.publish(options.results)


if __name__ == "__main__":
    main()
