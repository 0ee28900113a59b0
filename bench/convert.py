"""Convert ScanImage to HDF5: uncompressed against a plain copy of the file, gzip and zstd against h5py's gzip.

The plain copy moves 8 MiB at a time and ends with one fsync. The h5py loop reads pages with tifffile, uses the filters
that galvo chose, and ends with one fsync too. Peak memory is taken in a child process that does nothing else.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import tifffile

import galvo
from bench.memory import peak_memory_mb
from bench.recording import CHANNELS, data_folder, scanimage_file
from bench.report import Report, parser
from bench.timing import interleave

HEIGHT = WIDTH = 512
COPY_BYTES = 8 << 20
OURS, ZSTD, H5PY, COPY = "galvo", "galvo, zstd", "tifffile + h5py", "plain copy"


def plain_copy(source: Path, destination: Path) -> None:
    with source.open("rb", buffering=0) as reader, destination.open("wb", buffering=0) as writer:
        while piece := reader.read(COPY_BYTES):
            writer.write(piece)
        os.fsync(writer.fileno())


def convert(source: Path, compression: str, destination: Path) -> None:
    galvo.convert(source, destination, compression=compression, overwrite=True, progress=False)


def h5py_loop(source: Path, like: Path, destination: Path) -> None:
    filters = filters_of(like)
    with tifffile.TiffFile(source) as tif, h5py.File(destination, "w") as store:
        frame_count = len(tif.pages) // len(CHANNELS)
        shape = (frame_count, HEIGHT, WIDTH)
        datasets = [
            store.create_dataset(f"ch{place + 1}", shape, tif.pages[0].dtype, chunks=(1, HEIGHT, WIDTH), **filters)
            for place in range(len(CHANNELS))
        ]
        for place, page in enumerate(tif.pages):
            datasets[place % len(CHANNELS)][place // len(CHANNELS)] = page.asarray()
    with destination.open("rb+") as stream:
        os.fsync(stream.fileno())


def filters_of(converted: Path) -> dict[str, object]:
    with h5py.File(converted) as store:
        dataset = store["ch1"]
        return {
            "compression": dataset.compression,
            "compression_opts": dataset.compression_opts,
            "shuffle": dataset.shuffle,
        }


def check(source: Path, converted: Path) -> None:
    with tifffile.TiffFile(source) as tif, h5py.File(converted) as store:
        for place, page in enumerate(tif.pages):
            if not np.array_equal(store[f"ch{place % len(CHANNELS) + 1}"][place // len(CHANNELS)], page.asarray()):
                raise ValueError(f"{converted.name} differs from the recording at page {place}")


def peak_memory_of_child(name: str, compression: str, source: Path, destination: Path) -> float:
    destination.unlink()
    arguments = ["--child", name, compression, str(source.resolve()), str(destination.resolve())]
    command = [sys.executable, "-m", "bench.convert", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout)


def child(name: str, compression: str, source: Path, destination: Path) -> None:
    if name == COPY:
        plain_copy(source, destination)
    elif name == H5PY:
        h5py_loop(source, destination.with_name("galvo.h5"), destination)
    else:
        convert(source, "zstd" if name == ZSTD else compression, destination)
    print(peak_memory_mb())


def compare(
    report: Report,
    compression: str,
    source: Path,
    works: Mapping[str, Callable[[Path], None]],
    destinations: Mapping[str, Path],
) -> None:
    """Time the works, each into a file of its own, and add them to the report."""
    timings = interleave(
        {name: partial(work, destinations[name]) for name, work in works.items()},
        rounds=int(str(report.parameters["rounds"])),
        slot_s=0,
        before=lambda name: destinations[name].unlink(missing_ok=True),
    )
    check(source, destinations[OURS])
    sizes_mb = {name: destinations[name].stat().st_size / 1e6 for name in works}
    peaks_mb = {name: peak_memory_of_child(name, compression, source, destinations[name]) for name in works}
    read_mb = source.stat().st_size / 1e6
    notes = {
        name: f"{read_mb / timing.minimum_s:.0f} MB/s, wrote {sizes_mb[name]:.0f} MB, peak {peaks_mb[name]:.0f} MB"
        for name, timing in timings.items()
    }
    report.add(f"{compression}, {read_mb:.0f} MB", timings, ours=OURS, notes=notes)
    if compression == "none":
        speed = timings[COPY].minimum_s / timings[OURS].minimum_s
        report.goal("uncompressed, speed against a plain copy", speed, limit=0.6, unit="x", at_least=True)
        report.goal("peak memory", peaks_mb[OURS], limit=400, unit="MB")
    else:
        faster = timings[H5PY].minimum_s / timings[ZSTD].minimum_s
        report.goal("zstd, faster than h5py's gzip", faster, limit=3, unit="x", at_least=True)
    for destination in destinations.values():
        destination.unlink()


def main() -> None:
    command = parser(__doc__, rounds=3)
    command.add_argument("--pages", type=int, default=4_000, help="pages, uncompressed (default: %(default)s)")
    command.add_argument("--gzip-pages", type=int, default=400, help="pages, gzip (default: %(default)s)")
    command.add_argument("--child", nargs=4, metavar=("WORK", "COMPRESSION", "SOURCE", "DESTINATION"), help="internal")
    options = command.parse_args()
    if options.child:
        name, compression, source, destination = options.child
        child(name, compression, Path(source), Path(destination))
        return

    report = Report("convert", {"rounds": options.rounds, "frame": f"{HEIGHT} x {WIDTH}", "channels": len(CHANNELS)})
    with data_folder(options.data) as folder, tempfile.TemporaryDirectory(dir=folder) as made:
        destinations = {OURS: Path(made, "galvo.h5"), H5PY: Path(made, "h5py.h5"), COPY: Path(made, "copy.tif")}
        destinations[ZSTD] = Path(made, "zstd.h5")
        for compression, page_count in (("none", options.pages), ("gzip", options.gzip_pages)):
            source = scanimage_file(
                folder, height=HEIGHT, width=WIDTH, page_count=page_count, shot_noise=compression == "gzip"
            )
            works: dict[str, Callable[[Path], None]] = {
                OURS: partial(convert, source, compression),
                H5PY: partial(h5py_loop, source, destinations[OURS]),
                COPY: partial(plain_copy, source),
            }
            if compression == "gzip":
                works[ZSTD] = partial(convert, source, "zstd")
            compare(report, compression, source, works, {name: destinations[name] for name in works})
    report.publish(options.results)


if __name__ == "__main__":
    main()
