"""Read and write whole movies in every format, in order, cache warm, ours and the peers' in one run.

Reading gives C-contiguous frames of one type, whoever reads; where a library's own order is another one, a row shows it
without the transposition. Writing begins with an array in memory and ends with one fsync (galvo: with several, and
checksums). Peak memory is what a process of its own needs beyond what it had before, the movie that it reads included.

Pixels are shot noise, which compresses as recordings do.
"""

import importlib
import multiprocessing
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import tifffile

import galvo
from bench.memory import memory_mb, peak_memory_mb
from bench.recording import data_folder
from bench.report import Report, machine, parser
from bench.timing import interleave

with suppress(ImportError):
    # registers its filters with HDF5
    importlib.import_module("hdf5plugin")

SIDE = 512
FRAMES, FULL_FRAMES = 100, 400
IMAGES = 5_000
OURS, ONE_THREAD, ALL_THREADS, PYFLOWREG = "galvo", "tifffile, one thread", "tifffile", "PyFlowReg"
COLUMNS = "scipy.io, columns"
CORES = int(machine()["cores"])
IMPORTED = ["galvo", "imagecodecs", "h5py", "hdf5plugin", "tifffile", "scipy.io", "pyflowreg.util.io.factory"]

Pixels = np.ndarray[Any, np.dtype[Any]]
Read = Callable[[Path], Pixels]
Write = Callable[[Path, Pixels], object]


@dataclass(frozen=True)
class Case:
    """A file of a movie (T, Y, X).

    Attributes
    ----------
    name
        Of the file.
    make
        Writes the file that is read.
    readers, writers
        By contender.
    compressed_peer
        Contender that reading is to beat by `FASTER`, where pixels are compressed.
    """

    name: str
    make: Write
    readers: Mapping[str, Read]
    writers: Mapping[str, Write] = field(default_factory=dict)
    compressed_peer: str = ""


FASTER = 1.7


# ---- galvo and PyFlowReg ---------------------------------------------------------------------------------------------


def read_ours(path: Path) -> Pixels:
    with galvo.open(path) as recording:
        pixels: Pixels = recording[...]
        return pixels.reshape(-1, SIDE, SIDE)


def write_ours(path: Path, pixels: Pixels, **options: Any) -> None:
    galvo.save(pixels, path, overwrite=True, **options)


def read_pyflowreg(path: Path) -> Pixels:
    factory = importlib.import_module("pyflowreg.util.io.factory")
    with warnings.catch_warnings(), redirect_stdout(None):
        warnings.simplefilter("ignore")
        reader = factory.get_video_file_reader(str(path), buffer_size=1 << 20)
        try:
            # T, Y, X, channels
            pixels: Pixels = np.ascontiguousarray(reader[:][..., 0])
        finally:
            reader.close()
    return pixels


# ---- TIFF ------------------------------------------------------------------------------------------------------------


def read_tifffile(path: Path, workers: int) -> Pixels:
    with tifffile.TiffFile(path) as file:
        return file.asarray(maxworkers=workers)


def write_tifffile(path: Path, pixels: Pixels, **options: Any) -> None:
    tifffile.imwrite(path, pixels, photometric="minisblack", maxworkers=CORES, **options)
    synced(path)


def tiff(name: str, ours: Mapping[str, Any] | None = None, **options: Any) -> Case:
    """A TIFF by tifffile's options, and galvo's for the same."""
    options = {"metadata": None, **options}
    write = partial(write_tifffile, **options)
    readers: dict[str, Read] = {
        OURS: read_ours,
        ONE_THREAD: partial(read_tifffile, workers=1),
        ALL_THREADS: partial(read_tifffile, workers=CORES),
        PYFLOWREG: read_pyflowreg,
    }
    writers: dict[str, Write] = {} if ours is None else {OURS: partial(write_ours, **ours), ALL_THREADS: write}
    return Case(name, write, readers, writers, ONE_THREAD if "compression" in options else "")


def packed(name: str, **ours: Any) -> Case:
    """A compressed TIFF, by both at one level and without predictor."""
    level = {} if name == "lzw" else {"level": 1}
    ours = {"layout": "plain", "compression": name, "predictor": False, **ours}
    if level:
        ours["compression_level"] = 1
    return tiff(f"{name}.tif", ours, compression=name, compressionargs=level)


# ---- HDF5 ------------------------------------------------------------------------------------------------------------


def read_h5py(path: Path, dataset: str, axes: str = "TYX") -> Pixels:
    with h5py.File(path) as file:
        pixels = file[dataset][...]
    order = [axes.index(letter) for letter in "TYX"]
    return np.ascontiguousarray(pixels.transpose(order)) if axes != "TYX" else pixels.reshape(-1, SIDE, SIDE)


def write_h5py(path: Path, pixels: Pixels, dataset: str, axes: str = "TYX", **options: Any) -> None:
    shape = {"T": 1, "Y": SIDE, "X": SIDE, "C": 1, "Z": 1}
    if "T" in axes and len(axes) == 5:
        pixels = pixels[:, None, None]
    else:
        pixels = pixels.transpose(["TYX".index(letter) for letter in axes])
    with h5py.File(path, "w") as file:
        made = file.create_dataset(dataset, data=pixels, chunks=tuple(shape[letter] for letter in axes), **options)
        # so that nobody has to guess: galvo's attribute, PyFlowReg's
        made.attrs["axes"] = axes
        if len(axes) == 3:
            file.attrs["dimension_ordering"] = [axes.index(letter) for letter in "YXT"]
    synced(path)


def hdf5(name: str, ours: Mapping[str, Any], dataset: str = "ch1", axes: str = "TYX", **options: Any) -> Case:
    """An HDF5 file by h5py's options, and galvo's for the same."""
    write = partial(write_h5py, dataset=dataset, axes=axes, **options)
    readers: dict[str, Read] = {
        OURS: read_ours,
        "h5py": partial(read_h5py, dataset=dataset, axes=axes),
        PYFLOWREG: read_pyflowreg,
    }
    writers: dict[str, Write] = {OURS: partial(write_ours, **ours), "h5py": partial(write, fletcher32=True)}
    return Case(name, write, readers, writers, "h5py" if "compression" in options else "")


# ---- MATLAB ----------------------------------------------------------------------------------------------------------


def read_scipy(path: Path) -> Pixels:
    return np.ascontiguousarray(read_scipy_columns(path).transpose(2, 0, 1))


def read_scipy_columns(path: Path) -> Pixels:
    pixels: Pixels = scipy.io.loadmat(path)["ch1"]
    return pixels


def write_scipy(path: Path, pixels: Pixels, compressed: bool) -> None:
    scipy.io.savemat(path, {"ch1": pixels.transpose(1, 2, 0)}, do_compression=compressed)
    synced(path)


def matlab(name: str, version: str) -> Case:
    """A version 5 or 7 file by scipy."""
    write = partial(write_scipy, compressed=version == "7")
    readers: dict[str, Read] = {OURS: read_ours, "scipy.io": read_scipy, COLUMNS: read_scipy_columns}
    return Case(name, write, readers, {OURS: partial(write_ours, version=version), "scipy.io": write})


def hierarchy(name: str, **options: Any) -> Case:
    """A version 7.3 file by galvo; h5py writes the same dataset."""
    write = partial(write_ours, version="7.3", **options)
    readers: dict[str, Read] = {
        OURS: read_ours,
        "h5py": partial(read_h5py, dataset="ch1", axes="TXY"),
        PYFLOWREG: read_pyflowreg,
    }
    filters: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True} if options else {}
    peer = partial(write_h5py, dataset="ch1", axes="TXY", fletcher32=True, **filters)
    return Case(name, write, readers, {OURS: write, "h5py": peer})


# ---- raw, folders, a file for each channel ---------------------------------------------------------------------------


def write_raw(path: Path, pixels: Pixels) -> None:
    pixels.tofile(path)
    synced(path)


def read_raw(path: Path) -> Pixels:
    return np.fromfile(path, np.uint16).reshape(-1, SIDE, SIDE)


def write_folder(path: Path, pixels: Pixels) -> None:
    path.mkdir(exist_ok=True)
    for number, frame in enumerate(pixels):
        tifffile.imwrite(path / f"image_{number:05}.tif", frame, metadata=None)


def read_folder(path: Path, workers: int) -> Pixels:
    return tifffile.imread(sorted(path.iterdir()), ioworkers=workers)


def write_channels(path: Path, pixels: Pixels) -> None:
    path.mkdir(exist_ok=True)
    for number in range(2):
        tifffile.imwrite(path / f"a_ch{number + 1}.tif", pixels[number::2], metadata=None)


def read_channels(path: Path, read: Read) -> Pixels:
    channels = [read(path / f"a_ch{number + 1}.tif") for number in range(2)]
    return np.stack(channels, axis=1).reshape(-1, SIDE, SIDE)


def read_our_channels(path: Path) -> Pixels:
    return read_ours(path / "a_ch1.tif")


def synced(path: Path) -> None:
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


GZIP: dict[str, Any] = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
# the registered numbers of its filters: HDF5 knows them by hdf5plugin
ZSTD: dict[str, Any] = {"compression": 32015, "compression_opts": (1,), "shuffle": True}
CASES = {
    "TIFF": tiff("plain.tif", {"layout": "plain"}),
    "TIFF, ImageJ": tiff("imagej.tif", {"layout": "imagej"}, imagej=True, metadata={"axes": "TYX"}),
    "OME-TIFF": tiff("ome.tif", {"layout": "ome"}, ome=True, metadata={"axes": "TYX"}),
    "TIFF, zlib": packed("zlib"),
    "TIFF, zlib, predictor": tiff("predictor.tif", compression="zlib", predictor=True),
    "TIFF, zlib, strips of 64 KiB": tiff("strips.tif", compression="zlib", rowsperstrip=64),
    "TIFF, zlib, tiles": tiff("tiles.tif", compression="zlib", tile=(256, 256)),
    "TIFF, lzw": packed("lzw"),
    "TIFF, lzw, strips of 8 KiB": tiff("lzw-strips.tif", compression="lzw", rowsperstrip=8),
    "TIFF, zstd": packed("zstd"),
    "TIFF, zstd, tiles": tiff("zstd-tiles.tif", compression="zstd", tile=(128, 128)),
    "HDF5": hdf5("plain.h5", {}),
    "HDF5, gzip": hdf5("gzip.h5", {"compression": "gzip", "compression_level": 4}, **GZIP),
    "HDF5, lzf": hdf5("lzf.h5", {"compression": "lzf"}, compression="lzf", shuffle=True),
    "HDF5, zstd": hdf5("zstd.h5", {"compression": "zstd", "compression_level": 1}, **ZSTD),
    "HDF5, mov": hdf5("mov.h5", {"layout": "mov"}, dataset="mov"),
    "HDF5, tczyx": hdf5("tczyx.h5", {"layout": "tczyx"}, dataset="data", axes="TCZYX"),
    "HDF5, (Y, X, T)": hdf5("yxt.h5", {"dimension_ordering": (0, 1, 2)}, axes="YXT"),
    "MATLAB 5": matlab("five.mat", "5"),
    "MATLAB 7": matlab("seven.mat", "7"),
    "MATLAB 7.3": hierarchy("hierarchy.mat"),
    "MATLAB 7.3, gzip": hierarchy("hierarchy-gzip.mat", compression="gzip", compression_level=4),
    "raw": Case("raw.bin", write_ours, {OURS: read_ours, "NumPy": read_raw}, {OURS: write_ours, "NumPy": write_raw}),
    "a folder of images": Case(
        "images",
        write_folder,
        {
            OURS: read_ours,
            ONE_THREAD: partial(read_folder, workers=1),
            ALL_THREADS: partial(read_folder, workers=CORES),
        },
    ),
    "one TIFF per channel": Case(
        "channels",
        write_channels,
        {OURS: read_our_channels, ONE_THREAD: partial(read_channels, read=partial(read_tifffile, workers=1))},
    ),
}


# ---- measuring -------------------------------------------------------------------------------------------------------


def movie(frame_count: int) -> Pixels:
    generator = np.random.default_rng(0)
    brightness = generator.gamma(2.0, 20.0, (1, SIDE, SIDE))
    return generator.poisson(brightness, (frame_count, SIDE, SIDE)).astype(np.uint16)


def once(path: Path, make: Callable[[Path], object]) -> Path:
    if not path.exists():
        growing = path.with_name(f"partial-{path.name}")
        make(growing)
        for made in growing.parent.glob(f"{growing.stem}*"):
            made.rename(made.with_name(made.name.removeprefix("partial-")))
    return path


def peak_of_reading(figure: str, contender: str, path: Path) -> float:
    before = memory_mb()
    CASES[figure].readers[contender](path)
    return peak_memory_mb() - before


def peak_of_writing(figure: str, contender: str, path: Path, movie_path: Path) -> float:
    pixels = np.load(movie_path)
    before = memory_mb()
    CASES[figure].writers[contender](path, pixels)
    return peak_memory_mb() - before


def in_child(work: Callable[..., float], *arguments: Any) -> float:
    """What a fresh process finds, one that has imported what this one has."""
    kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(kind)
    if kind == "forkserver":
        context.set_forkserver_preload(IMPORTED)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *arguments).result()


def right_readers(case: Case, path: Path, pixels: Pixels) -> tuple[dict[str, Read | None], dict[str, str]]:
    """The contenders that give the pixels, and why the others do not count."""
    readers: dict[str, Read | None] = {}
    notes: dict[str, str] = {}
    for name, read in case.readers.items():
        try:
            found = read(path)
        except ImportError:
            readers[name] = None
            continue
        except Exception as error:
            if name == OURS:
                raise
            readers[name], notes[name] = None, f"cannot read it: {type(error).__name__}"
            continue
        readers[name] = read
        if name == COLUMNS:
            found = found.transpose(2, 0, 1)
        if found.dtype != pixels.dtype or not np.array_equal(found, pixels):
            if name == OURS:
                raise ValueError(f"{path.name} is read wrong")
            readers[name], notes[name] = None, "reads other pixels"
    return readers, notes


def measure(report: Report, folder: Path, figure: str, pixels: Pixels, rounds: int) -> None:
    """Read and write one kind of file."""
    case = CASES[figure]
    path = once(folder / case.name, partial(_made, case, pixels))
    readers, notes = right_readers(case, path, pixels)
    timings = interleave({name: read and partial(read, path) for name, read in readers.items()}, rounds=rounds)
    for name, timing in timings.items():
        peak = in_child(peak_of_reading, figure, name, path)
        notes[name] = f"{pixels.nbytes / timing.minimum_s / 1e6:.0f} MB/s, peak {peak:.0f} MB"
    report.add(f"read {figure}", {name: timings.get(name) for name in readers}, ours=OURS, notes=notes)
    not_compared = (OURS, COLUMNS)
    peers = {
        name: timing.minimum_s / timings[OURS].minimum_s for name, timing in timings.items() if name not in not_compared
    }
    if peers:
        report.goal(f"read {figure}, against the best peer", min(peers.values()), limit=1, unit="x", at_least=True)
    if case.compressed_peer in peers:
        text = f"read {figure}, against {case.compressed_peer}"
        report.goal(text, peers[case.compressed_peer], limit=FASTER, unit="x", at_least=True)


def _made(case: Case, pixels: Pixels, path: Path) -> None:
    case.make(path, pixels)


def measure_writing(report: Report, folder: Path, figure: str, pixels: Pixels, rounds: int, movie_path: Path) -> None:
    case = CASES[figure]
    if not case.writers:
        return
    with tempfile.TemporaryDirectory(dir=folder) as made:
        paths = {name: Path(made, f"{number}-{case.name}") for number, name in enumerate(case.writers)}
        works = {name: partial(write, paths[name], pixels) for name, write in case.writers.items()}
        timings = interleave(works, rounds=rounds, slot_s=0, before=lambda name: paths[name].unlink(missing_ok=True))
        notes = {}
        for name, timing in timings.items():
            if name == OURS and not np.array_equal(read_ours(paths[name]), pixels):
                raise ValueError(f"{figure} is written wrong")
            size_mb = paths[name].stat().st_size / 1e6
            peak = in_child(peak_of_writing, figure, name, paths[name], movie_path)
            speed = pixels.nbytes / timing.minimum_s / 1e6
            notes[name] = f"{speed:.0f} MB/s, wrote {size_mb:.0f} MB, peak {peak:.0f} MB"
    report.add(f"write {figure}", timings, ours=OURS, notes=notes)
    best = min(timing.minimum_s for name, timing in timings.items() if name != OURS)
    report.goal(f"write {figure}, against the peer", best / timings[OURS].minimum_s, limit=1, unit="x", at_least=True)


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


def measure_opening(report: Report, folder: Path, rounds: int) -> None:
    """Time what has many pages to find."""
    path = once(folder / "many.ome.tif", _ome)
    opens = {OURS: partial(_opened, path), ALL_THREADS: partial(_opened_by_tifffile, path)}
    timings = interleave(opens, rounds=rounds)
    report.add("open OME-TIFF, 20,000 planes with times", timings, ours=OURS)
    images = once(folder / "small-images", _images)
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
    command = parser(__doc__, rounds=2, scaled=True)
    command.add_argument("--only", default="", help="only figures whose name has this in it")
    options = command.parse_args()
    pixels = movie(FULL_FRAMES if options.full else FRAMES)
    report = Report("formats", {"rounds": options.rounds, "frames": len(pixels), "side": SIDE})
    with data_folder(options.data) as kept:
        folder = kept / f"formats-{len(pixels)}"
        folder.mkdir(exist_ok=True)
        np.save(folder / "movie.npy", pixels)
        for figure in CASES:
            if options.only in figure:
                measure(report, folder, figure, pixels, options.rounds)
                measure_writing(report, folder, figure, pixels, options.rounds, folder / "movie.npy")
        if not options.only:
            measure_opening(report, folder, options.rounds)
    report.publish(options.results)


if __name__ == "__main__":
    main()
