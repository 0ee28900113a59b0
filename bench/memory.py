"""Peak memory of every reader into nothing, and of a generated source into every writer: 200 MB against more.

Each figure is a process of its own, of which the system counts the peak (VmHWM), imports included.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import galvo
from bench.recording import data_folder
from bench.report import Report, parser
from bench.timing import Timing
from galvo.core.metadata import Metadata
from galvo.core.selection import Selection

SIDE = 512
SHORT, LONGER, FULL = 200_000_000, 500_000_000, 2_000_000_000
MOST_GROWTH = 1.1


@dataclass(frozen=True)
class Kind:
    """A way to write.

    Attributes
    ----------
    name
        Of the output.
    options
        Of `galvo.save`.
    channel_count, dtype
        Of the source.
    longest
        Bytes of pixels beyond which it takes too long.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    channel_count: int = 1
    dtype: str = "u2"
    longest: int = FULL


KINDS = {
    "TIFF": Kind("a.tif", {"layout": "plain"}),
    "TIFF, ImageJ": Kind("a.tif", {"layout": "imagej"}),
    "OME-TIFF": Kind("a.ome.tif", channel_count=2),
    "TIFF, zlib": Kind("a.tif", {"compression": "zlib"}),
    "TIFF, lzw": Kind("a.tif", {"compression": "lzw"}),
    "TIFF, zstd": Kind("a.tif", {"compression": "zstd"}, 2),
    "one TIFF per channel": Kind("a.tif", {"split_channels": True}, 2),
    "HDF5": Kind("a.h5", channel_count=2),
    "HDF5, gzip": Kind("a.h5", {"compression": "gzip"}),
    "HDF5, lzf": Kind("a.h5", {"compression": "lzf"}),
    "HDF5, zstd": Kind("a.h5", {"compression": "zstd"}, 2),
    "HDF5, tczyx": Kind("a.h5", {"layout": "tczyx"}, 2),
    "HDF5, (Y, X, T)": Kind("a.h5", {"dimension_ordering": (0, 1, 2)}),
    "one HDF5 per channel": Kind("a.h5", {"split_channels": True, "layout": "mov"}, 2),
    "MATLAB 5": Kind("a.mat", {"version": "5"}, 2),
    "MATLAB 7": Kind("a.mat", {"version": "7"}, 2),
    "MATLAB 7.3": Kind("a.mat", {"version": "7.3"}, 2),
    "MATLAB 7.3, gzip": Kind("a.mat", {"version": "7.3", "compression": "gzip"}),
    "raw": Kind("a.bin", channel_count=2),
    "PZF, a folder": Kind("a", {"format": "pzf"}),
    "PZF in HDF5": Kind("a.h5", {"format": "pzf"}),
    "GIF": Kind("a.gif", dtype="u1", longest=LONGER),
    "video, FFV1": Kind("a.mkv", longest=LONGER),
    "video, H.264": Kind("a.mp4", dtype="u1", longest=LONGER),
}


class Generated:
    """Frames of shot noise that are in no file, behind the contract of `galvo.core.read.Reader`.

    Parameters
    ----------
    frame_count, channel_count
    dtype
    side
        Y and X, in pixels.
    """

    def __init__(self, frame_count: int, channel_count: int, dtype: str, side: int) -> None:
        self.shape = (frame_count, channel_count, 1, side, side)
        self.dtype = np.dtype(dtype)
        self.chunks = (1, 1, 1, side, side)
        self._noise = np.random.default_rng(0).poisson(40, 4 * side * side).astype(dtype)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with whole frames, which differ by where they begin in the noise."""
        area = self.shape[3] * self.shape[4]
        for t, time_point in enumerate(selection.t):
            for c, channel in enumerate(selection.c):
                start = (7919 * int(time_point) + 104729 * int(channel)) % (3 * area)
                out[t, c, 0] = self._noise[start : start + area].reshape(self.shape[3:])

    def place(self, t: Any, c: Any, z: Any) -> dict[str, NDArray[Any]]:
        """Nowhere."""
        return {}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Nothing to give back."""


def memory_mb(name: str = "VmRSS") -> float:
    """What the system says of this process, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (kibibytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kibibytes) * 1024 / 1e6


def peak_memory_mb() -> float:
    """Greatest memory of this process so far, in MB."""
    # A child starts with its parent's ru_maxrss on Linux; the counter of its own address space starts afresh.
    if Path("/proc/self/status").exists():
        return memory_mb("VmHWM")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak if sys.platform == "darwin" else peak * 1024) / 1e6


def write(kind: Kind, path: Path, nbytes: int) -> None:
    frame_nbytes = SIDE * SIDE * np.dtype(kind.dtype).itemsize
    source = Generated(nbytes // (frame_nbytes * kind.channel_count), kind.channel_count, kind.dtype, SIDE)
    galvo.save(galvo.Recording(source, Metadata(format="generated")), path, **kind.options)


def read(path: Path) -> None:
    # the first of several files stands for all
    opened = path if path.exists() else min(path.parent.iterdir())
    with galvo.open(opened) as recording:
        for _ in recording.blocks():
            pass


def child(work: str, name: str, path: str, nbytes: str) -> None:
    """Do one thing in a process of its own, and say what it took."""
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    if work == "write":
        write(KINDS[name], Path(path), int(nbytes))
    else:
        read(Path(path))
    print(time.perf_counter() - start_s, time.process_time() - start_cpu_s, peak_memory_mb())


def measure(report: Report, folder: Path, name: str, longer: int) -> None:
    """Write and read what is short and what is longer."""
    kind = KINDS[name]
    sizes = (SHORT, min(longer, kind.longest))
    found: dict[tuple[str, int], tuple[float, float, float]] = {}
    for nbytes in sizes:
        with tempfile.TemporaryDirectory(dir=folder) as made:
            for work in ("write", "read"):
                arguments = ["--child", work, name, str(Path(made, kind.name).resolve()), str(nbytes)]
                command = [sys.executable, "-m", "bench.memory", *arguments]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
                wall_s, cpu_s, peak_mb = map(float, done.stdout.split())
                found[work, nbytes] = wall_s, cpu_s, peak_mb
    for work in ("write", "read"):
        short, long = (found[work, nbytes] for nbytes in sizes)
        labels = [f"{nbytes / 1e6:.0f} MB" for nbytes in sizes]
        timings = {label: Timing((one[0],), (one[1],)) for label, one in zip(labels, (short, long), strict=True)}
        notes = {label: f"peak {one[2]:.0f} MB" for label, one in zip(labels, (short, long), strict=True)}
        report.add(f"{work} {name}", timings, ours=labels[0], notes=notes)
        report.goal(f"{work} {name}, peak of {labels[1]}", long[2] / short[2], limit=MOST_GROWTH, unit="x")


def main() -> None:
    command = parser(__doc__, rounds=1, scaled=True)
    command.add_argument("--only", default="", help="only kinds whose name has this in it")
    command.add_argument("--child", nargs=4, metavar=("WORK", "NAME", "PATH", "BYTES"), help=argparse.SUPPRESS)
    options = command.parse_args()
    if options.child:
        child(*options.child)
        return
    longer = FULL if options.full else LONGER
    report = Report("memory", {"short": SHORT, "longer": longer, "side": SIDE})
    with data_folder(options.data) as folder:
        for name in KINDS:
            if options.only in name:
                measure(report, folder, name, longer)
    report.publish(options.results)


if __name__ == "__main__":
    main()
