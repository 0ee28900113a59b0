"""Write and read videos and GIFs, against imageio: H.264, FFV1, GIF; peak memory of recordings twice as long.

imageio's ffmpeg gets what galvo uses: CRF 18, 4:2:0, a key frame every 60 frames, no B-frames, but x264's own preset,
medium; galvo's is faster, at about the same size and error. galvo also decodes what it made, for its checksums.
FFV1 has 8 bits: imageio writes no more. Reading is into an array, all frames, and single frames at random by imageio's
PyAV plugin, which seeks too.
"""

import os
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import galvo
from bench.memory import peak_memory_mb
from bench.recording import data_folder
from bench.report import Report, parser
from bench.timing import interleave, with_peer

SIDE = 512
RATE = 30
OURS, MEDIUM, IMAGEIO, PYAV = "galvo", "galvo, medium", "imageio", "imageio, PyAV"
BLOCK_BYTES = 8 << 20
X264 = ["-crf", "18", "-bf", "0", "-g", "60"]
FFV1 = ["-level", "3", "-g", "1", "-slicecrc", "1", "-slices", "4"]
Frames = np.ndarray[Any, np.dtype[Any]]


def frames_of(count: int) -> Frames:
    """Cells that move a little under shot noise (T, Y, X)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    cells = 20 + 15 * np.sin(x / 11) * np.cos(y / 13)
    made = np.empty((count, SIDE, SIDE), np.uint8)
    for number in range(count):
        made[number] = np.clip(rng.poisson(np.roll(cells, number // 4, axis=1)), 0, 255)
    return made


def write_ours(pixels: Frames, path: Path, **options: str) -> None:
    galvo.save(pixels, path, overwrite=True, frame_rate=RATE, **options)


def write_imageio(module: ModuleType, pixels: Frames, path: Path) -> None:
    if path.suffix == ".gif":
        module.mimwrite(path, list(pixels), duration=1000 / RATE, loop=0)
        return
    options: dict[str, Any] = {"codec": "libx264", "pixelformat": "yuv420p", "output_params": X264, "quality": None}
    if path.suffix == ".mkv":
        options = {"codec": "ffv1", "pixelformat": "gray", "output_params": FFV1}
    with module.get_writer(path, format="FFMPEG", fps=RATE, macro_block_size=1, **options) as writer:
        for frame in pixels:
            writer.append_data(frame)
    with path.open("rb+") as stream:
        os.fsync(stream.fileno())


def read_ours(path: Path, color: bool | None) -> Frames:
    options: dict[str, Any] = {} if path.suffix == ".gif" else {"color": color}
    with galvo.open(path, **options) as recording:
        pixels: Frames = recording[...]
        return pixels


def read_imageio(module: ModuleType, path: Path) -> Frames:
    if path.suffix == ".gif":
        # as Pillow opens it: every image a frame
        return np.stack(module.mimread(path, memtest=False, mode="L"))
    with module.get_reader(path, format="FFMPEG") as reader:
        # list() would ask for the length, which is infinite
        return np.stack([frame for frame in reader])  # noqa: C416


def read_pyav(module: ModuleType, path: Path) -> Frames:
    pixels: Frames = module.imread(path, plugin="pyav", index=...)
    return pixels


def random_ours(path: Path, count: int) -> Callable[[], Frames]:
    recording, numbers = galvo.open(path, color=True), random.Random(0)

    def run() -> Frames:
        pixels: Frames = recording[numbers.randrange(count)]
        return pixels

    return run


def random_pyav(module: ModuleType, path: Path, count: int) -> Callable[[], Frames]:
    file, numbers = module.imopen(path, "r", plugin="pyav"), random.Random(0)

    def run() -> Frames:
        pixels: Frames = file.read(index=numbers.randrange(count))
        return pixels

    return run


def measure_writing(report: Report, pixels: Frames, path: Path) -> None:
    other = path.with_name(f"imageio-{path.name}")
    works: dict[str, Callable[[], object] | None] = {OURS: partial(write_ours, pixels, path)}
    sizes = {OURS: path, IMAGEIO: other, MEDIUM: path.with_name("medium.mp4")}
    if path.suffix == ".mp4":
        works[MEDIUM] = partial(write_ours, pixels, sizes[MEDIUM], preset="medium")
    peer = with_peer("imageio.v2", write_imageio)
    timings = interleave(
        {**works, IMAGEIO: None if peer is None else partial(peer, pixels, other)},
        rounds=int(str(report.parameters["rounds"])),
        slot_s=0,
    )
    notes = {name: f"{pixels.nbytes / 1e6 / timing.minimum_s:.0f} MB/s, {sizes[name].stat().st_size / 1e6:.1f} MB"
             for name, timing in timings.items()}  # fmt: skip
    figure = f"write {path.suffix}"
    report.add(figure, {name: timings.get(name) for name in (*works, IMAGEIO)}, ours=OURS, notes=notes)
    if IMAGEIO in timings:
        ratio = timings[OURS].minimum_s / timings[IMAGEIO].minimum_s
        report.goal(f"{figure}: galvo / imageio", ratio, limit=1, unit="x")


def measure_reading(report: Report, path: Path, count: int) -> None:
    peers = {IMAGEIO: with_peer("imageio.v2", read_imageio)}
    if path.suffix == ".mp4":
        peers[PYAV] = with_peer("imageio.v3", read_pyav)
    works: dict[str, Callable[[], object] | None] = {OURS: partial(read_ours, path, path.suffix == ".mp4" or None)}
    works |= {name: None if peer is None else partial(peer, path) for name, peer in peers.items()}
    timings = interleave(works, rounds=int(str(report.parameters["rounds"])), slot_s=0)
    figure = f"read {path.suffix}"
    report.add(figure, {name: timings.get(name) for name in works}, ours=OURS)
    for name in peers:
        if name in timings:
            ratio = timings[OURS].minimum_s / timings[name].minimum_s
            report.goal(f"{figure}: galvo / {name}", ratio, limit=1, unit="x")
    seeking = with_peer("imageio.v3", random_pyav)
    if path.suffix == ".mp4":
        one: dict[str, Callable[[], object] | None] = {OURS: random_ours(path, count), PYAV: None}
        if seeking is not None:
            one[PYAV] = seeking(path, count)
        timings = interleave(one, rounds=int(str(report.parameters["rounds"])), slot_s=0.3)
        report.add("one frame of .mp4", {name: timings.get(name) for name in one}, ours=OURS)
        if PYAV in timings:
            # the least is a frame that was read before
            ratio = timings[OURS].median_s / timings[PYAV].median_s
            report.goal("one frame at random, median: galvo / imageio, PyAV", ratio, limit=1, unit="x")


def peak_mb(suffix: str, count: int, folder: Path) -> float:
    command = [sys.executable, "-m", "bench.video", "--child", suffix, str(count), str(folder.resolve())]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout)


def child(suffix: str, count: int, folder: Path) -> None:
    """Write a recording that is itself on the disk, and read it in parts."""
    source, path = folder / "source.h5", folder / f"child{suffix}"
    with galvo.open(source) as recording:
        shown = recording.isel(t=slice(0, count))
        galvo.save(shown, path, overwrite=True, block_bytes=BLOCK_BYTES)
    with galvo.open(path) as copy:
        for _, block in copy.blocks(BLOCK_BYTES):
            block.max()
    print(peak_memory_mb())


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
        return
    commands = parser(__doc__, rounds=3)
    commands.add_argument("--frames", type=int, default=200, help="frames of 512 x 512 (default: %(default)s)")
    arguments = commands.parse_args()
    count = arguments.frames
    report = Report("video", {"rounds": arguments.rounds, "frames": count, "side": SIDE})
    pixels = frames_of(count)
    with data_folder(arguments.data) as folder:
        for suffix in (".mp4", ".mkv", ".gif"):
            path = folder / f"video{suffix}"
            measure_writing(report, pixels, path)
            if suffix != ".mkv":
                measure_reading(report, path, count)
        galvo.save(frames_of(4 * count), folder / "source.h5", overwrite=True)
        for suffix in (".mp4", ".mkv", ".avi", ".gif", ".bin", ".tif"):
            short, long = peak_mb(suffix, 2 * count, folder), peak_mb(suffix, 4 * count, folder)
            report.goal(f"{suffix}: peak memory of a recording twice as long", long - short, limit=24, unit="MB more")
    report.publish(arguments.results)


if __name__ == "__main__":
    main()
