"""Write TIFF: galvo, with its journal and checksums, against tifffile, both from frames that are made in memory.

Both end with the file on the disk (fsync). tifffile gets an iterator of frames, as many threads as there are cores, and
galvo's compression level. Peak memory is taken in a child process that does nothing else.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

import galvo
from bench.convert import peak_memory_mb
from bench.recording import data_folder
from bench.report import Report, machine, parser
from bench.timing import interleave
from galvo.core.axes import Shape
from galvo.core.index import Int64
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.selection import Selection

HEIGHT = WIDTH = 512
POOL = 32
OURS, PEER = "galvo", "tifffile"
LEVELS: dict[str, dict[str, int]] = {"none": {}, "zlib": {"level": 1}, "zstd": {"level": 1}}


def frames() -> NDArray[np.int16]:
    """Frames that are repeated: some counts per photon, as `bench.recording` makes them."""
    random = np.random.default_rng(0)
    made = np.empty((POOL, HEIGHT, WIDTH), np.int16)
    for frame in made:
        # one by one: the peak of memory is to be the writer's
        frame[:] = 60 * random.poisson(0.7, frame.shape) + random.normal(0, 8, frame.shape)
    return made


class Repeated:
    """A reader of `count` frames out of a pool."""

    def __init__(self, pool: NDArray[np.int16], count: int) -> None:
        self._pool = pool
        self.shape: Shape = (count, 1, 1, HEIGHT, WIDTH)
        self.dtype, self.chunks = pool.dtype, (1, 1, 1, HEIGHT, WIDTH)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        for place, t in enumerate(selection.t):
            out[place, 0, 0] = self._pool[int(t) % POOL]

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        return {}

    def prove(self) -> None:
        pass

    def close(self) -> None:
        pass


class NoFiles(Recording):
    """A recording whose content is known by its reader alone: nothing is read to tell it from others."""

    def blocks(self, *arguments: Any) -> Iterator[Any]:
        return iter(())


def ours(pool: NDArray[np.int16], count: int, compression: str, destination: Path) -> None:
    galvo.save(
        NoFiles(Repeated(pool, count), Metadata(format="array", frame_rate_hz=30.0)),
        destination,
        compression=compression,
        predictor=None if compression == "none" else False,
        overwrite=True,
    )


def peer(pool: NDArray[np.int16], count: int, compression: str, destination: Path) -> None:
    tifffile.imwrite(
        destination,
        (pool[t % POOL] for t in range(count)),
        shape=(count, HEIGHT, WIDTH),
        dtype=pool.dtype,
        photometric="minisblack",
        metadata={"axes": "TYX"},
        compression=None if compression == "none" else compression,
        compressionargs=LEVELS[compression],
        maxworkers=int(machine()["cores"]),
    )
    with destination.open("rb+") as stream:
        os.fsync(stream.fileno())


WORKS: dict[str, Callable[[NDArray[np.int16], int, str, Path], None]] = {OURS: ours, PEER: peer}


def check(pool: NDArray[np.int16], count: int, written: Path) -> None:
    with tifffile.TiffFile(written) as tif:
        if len(tif.pages) != count:
            raise ValueError(f"{written.name} has {len(tif.pages)} pages instead of {count}")
        for t in range(0, count, max(1, count // 50)):
            if not np.array_equal(tif.pages[t].asarray(), pool[t % POOL]):
                raise ValueError(f"{written.name} differs at page {t}")


def peak_memory_of_child(name: str, compression: str, count: int, destination: Path) -> float:
    arguments = ["--child", name, compression, str(count), str(destination.resolve())]
    command = [sys.executable, "-m", "bench.write", *arguments]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout)


def main() -> None:
    command = parser(__doc__, rounds=5)
    command.add_argument("--pages", type=int, default=1_000, help="pages (default: %(default)s)")
    command.add_argument("--child", nargs=4, metavar=("WORK", "COMPRESSION", "PAGES", "DESTINATION"), help="internal")
    options = command.parse_args()
    if options.child:
        name, compression, count, destination = options.child
        WORKS[name](frames(), int(count), compression, Path(destination))
        print(peak_memory_mb())
        return

    report = Report("write", {"rounds": options.rounds, "frame": f"{HEIGHT} x {WIDTH} int16", "pages": options.pages})
    pool = frames()
    pixel_mb = options.pages * pool[0].nbytes / 1e6
    with data_folder(options.data) as folder, tempfile.TemporaryDirectory(dir=folder) as made:
        for compression in LEVELS:
            destinations = {name: Path(made, f"{name}.tif") for name in WORKS}
            works = {
                name: partial(work, pool, options.pages, compression, destinations[name])
                for name, work in WORKS.items()
            }
            timings = interleave(
                works,
                rounds=options.rounds,
                slot_s=0,
                before=lambda name: destinations[name].unlink(missing_ok=True),  # noqa: B023
            )
            notes = {}
            peaks_mb = {}
            for name, destination in destinations.items():
                check(pool, options.pages, destination)
                size_mb = destination.stat().st_size / 1e6
                destination.unlink()
                peaks_mb[name] = peak_memory_of_child(name, compression, options.pages, destination)
                destination.unlink()
                longer = peak_memory_of_child(name, compression, 4 * options.pages, destination)
                destination.unlink()
                speed = pixel_mb / timings[name].minimum_s
                notes[name] = (
                    f"{speed:.0f} MB/s, wrote {size_mb:.0f} MB, peak {peaks_mb[name]:.0f} MB, "
                    f"of 4 x the pages {longer:.0f} MB"
                )
                if name == OURS:
                    text = f"{compression}, peak memory of 4 x the pages"
                    report.goal(text, longer / peaks_mb[name], limit=1.1, unit="x")
            report.add(f"{compression}, {pixel_mb:.0f} MB", timings, ours=OURS, notes=notes)
            faster = timings[PEER].minimum_s / timings[OURS].minimum_s
            report.goal(f"{compression}, speed against tifffile", faster, limit=1, unit="x", at_least=True)
    report.publish(options.results)


if __name__ == "__main__":
    main()
