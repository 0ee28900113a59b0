"""Read whole TIFF movies of every compression, in order, cache warm; open OME-TIFF and a folder of 5,000 images.

Pixels are shot noise, which compresses as recordings do.
"""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

import galvo
from bench.recording import data_folder
from bench.report import Report, parser
from bench.timing import Timing, interleave

FRAMES, SIDE = 200, 512
IMAGES = 5_000
VARIANTS: dict[str, dict[str, Any]] = {
    "uncompressed": {},
    "zlib": {"compression": "zlib"},
    "zlib, predictor": {"compression": "zlib", "predictor": True},
    "zlib, strips of 64 KiB": {"compression": "zlib", "rowsperstrip": 64},
    "zlib, tiles": {"compression": "zlib", "tile": (256, 256)},
    "lzw": {"compression": "lzw"},
    "lzw, strips of 8 KiB": {"compression": "lzw", "rowsperstrip": 8},
    "zstd": {"compression": "zstd"},
    "zstd, tiles": {"compression": "zstd", "tile": (128, 128)},
}


def _movie() -> np.ndarray[Any, np.dtype[np.uint16]]:
    generator = np.random.default_rng(0)
    brightness = generator.gamma(2.0, 20.0, (1, SIDE, SIDE))
    return generator.poisson(brightness, (FRAMES, SIDE, SIDE)).astype(np.uint16)


def _once(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        growing = path.with_name(f"partial-{path.name}")
        make(growing)
        growing.rename(path)
    return path


def _images(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    generator = np.random.default_rng(0)
    for number in range(IMAGES):
        page = generator.poisson(30, (128, 128)).astype(np.uint16)
        tifffile.imwrite(folder / f"image_{number:05}.tif", page, metadata=None)


def _ome(path: Path) -> None:
    times = {"DeltaT": [number / 30 for number in range(2 * 10_000)]}
    pixels = np.zeros((10_000, 2, 32, 32), np.uint16)
    tifffile.imwrite(path, pixels, ome=True, metadata={"axes": "TCYX", "Plane": times})


def _opened(path: Path) -> tuple[int, ...]:
    with galvo.open(path) as recording:
        return recording.shape


def _opened_by_tifffile(path: Path) -> tuple[int, ...]:
    with tifffile.TiffFile(path) as file:
        return file.series[0].shape


def measure_movies(report: Report, folder: Path, rounds: int) -> None:
    """Time whole movies of every kind."""
    pixels = _movie()
    for name, options in VARIANTS.items():
        make = partial(tifffile.imwrite, data=pixels, photometric="minisblack", metadata=None, **options)
        path = _once(folder / f"{name.replace(', ', '_').replace(' ', '-')}.tif", make)
        with ExitStack() as files:
            recording = files.enter_context(galvo.open(path))
            file = files.enter_context(tifffile.TiffFile(path))
            readers: dict[str, Callable[[], Any]] = {
                "galvo": partial(recording.__getitem__, (slice(None), 0, 0)),
                "tifffile": file.asarray,
                "tifffile, one thread": partial(file.asarray, maxworkers=1),
            }
            for reader, read in readers.items():
                if not np.array_equal(read(), pixels):
                    raise ValueError(f"{reader} reads other pixels")
            timings: dict[str, Timing] = interleave(readers, rounds=rounds)
        rates = {reader: f"{pixels.nbytes / timing.minimum_s / 1e6:.0f} MB/s" for reader, timing in timings.items()}
        report.add(name, timings, ours="galvo", notes=rates)
        faster = timings["tifffile, one thread"].minimum_s / timings["galvo"].minimum_s
        limit = 1.7 if options else 1.0
        report.goal(f"{name}, faster than tifffile in one thread", faster, limit=limit, unit="x", at_least=True)


def measure_opening(report: Report, folder: Path, rounds: int) -> None:
    """Time what has many pages to find."""
    path = _once(folder / "many.ome.tif", _ome)
    opens = {"galvo": partial(_opened, path), "tifffile": partial(_opened_by_tifffile, path)}
    timings = interleave(opens, rounds=rounds)
    report.add("open OME-TIFF, 20,000 planes with times", timings, ours="galvo")
    images = _once(folder / "images", _images)
    names = sorted(images.iterdir())
    reads: dict[str, Callable[[], Any]] = {
        "galvo, open": partial(_opened, images),
        "galvo, open and read": lambda: np.asarray(galvo.open(images)),
        "tifffile, open and read": partial(tifffile.imread, names),
    }
    if not np.array_equal(reads["galvo, open and read"]()[:, 0, 0], reads["tifffile, open and read"]()):
        raise ValueError("other pixels")
    timings = interleave(reads, rounds=rounds)
    report.add(f"a folder of {IMAGES} images", timings, ours="galvo, open and read")


def main() -> None:
    command = parser(__doc__, rounds=5)
    options = command.parse_args()
    report = Report("formats", {"rounds": options.rounds, "frames": FRAMES, "side": SIDE})
    with data_folder(options.data) as folder:
        measure_movies(report, folder, options.rounds)
        measure_opening(report, folder, options.rounds)
    report.publish(options.results)


if __name__ == "__main__":
    main()
