"""Correct a ScanImage TIFF end to end: from the file to a corrected HDF5 and the displacements, against PyFlowReg.

Everything is counted: the reference, the calibration, the quality of every frame, syncing both outputs to the disk.
PyFlowReg (its default executor, presets of the same names, `save_w`) gets the same reference and fewer frames, since it
takes long; its rate is that of the frames that it was given. Peak memory is taken in a child that does nothing else.
"""

import contextlib
import io
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

import galvo
from bench.memory import peak_memory_mb
from bench.recording import data_folder
from bench.report import Report, parser
from bench.timing import Timing, timed, with_peer
from galvo.motion import MotionParams
from galvo.motion.params import Preset
from galvo.testing.movie import TwoPhotonMovie
from galvo.testing.scanimage import ScanImageRecording

SIDE = 512
DISTINCT = 100
REFERENCE_FRAMES = range(20)
GOALS: dict[Preset, int] = {"fast": 200, "balanced": 120}


def moving_file(folder: Path, frame_count: int) -> Path:
    """A one-channel file whose frames play a short movie back and forth, kept for the next run."""
    finished, growing = folder / f"moving_{SIDE}_{frame_count}", folder / f"moving_{SIDE}_{frame_count}.partial"
    if not finished.exists():
        shutil.rmtree(growing, ignore_errors=True)
        growing.mkdir()
        movie = TwoPhotonMovie(frames=DISTINCT, height=SIDE, width=SIDE, seed=1)
        frames = movie.read(0, DISTINCT)[:, :1]
        turns = np.abs((np.arange(frame_count) + DISTINCT - 1) % (2 * DISTINCT - 2) - (DISTINCT - 1))
        recording = ScanImageRecording(height=SIDE, width=SIDE, frames=frame_count, channels=(1,))
        recording.write(growing, "rec", lambda start, stop: frames[turns[start:stop]])
        growing.rename(finished)
    (path,) = finished.glob("*.tif")
    return path


def ours(source: Path, destination: Path, preset: Preset) -> None:
    galvo.correct(source, destination, MotionParams(preset=preset), overwrite=True).close()


def pyflowreg(module: ModuleType, source: Path, folder: Path, preset: Preset) -> None:
    from pyflowreg.motion_correction import OFOptions

    options = OFOptions(
        input_file=str(source),
        output_path=str(folder),
        output_format="HDF5",
        quality_setting=preset,
        reference_frames=list(REFERENCE_FRAMES),
        save_w=True,
        save_meta_info=True,
    )
    with contextlib.redirect_stdout(io.StringIO()):
        module.compensate_recording(options)


def correct_all(report: Report, folder: Path, frame_count: int, peer_frame_count: int) -> None:
    sources = {"galvo": moving_file(folder, frame_count), "PyFlowReg": moving_file(folder, peer_frame_count)}
    peer = with_peer("pyflowreg.motion_correction.compensate_recording", pyflowreg)
    for preset, goal in GOALS.items():
        out = folder / f"out_{preset}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        rates: dict[str, float] = {}
        timings: dict[str, Timing | None] = {}
        notes: dict[str, str] = {}
        for name, work, count in (
            ("galvo", partial(ours, sources["galvo"], out / "corrected.h5", preset), frame_count),
            ("PyFlowReg", peer and partial(peer, sources["PyFlowReg"], out / "peer", preset), peer_frame_count),
        ):
            if work is None:
                timings[name] = None
                continue
            _, taken = timed(work)
            timings[name] = per_frame(taken, count)
            rates[name] = count / taken.minimum_s
            notes[name] = f"per frame of {count}, {rates[name]:.1f} frames/s"
        shutil.rmtree(out)
        out.mkdir()
        notes["galvo"] += f", peak {peak_of_child(sources['galvo'], out / 'corrected.h5', preset):.0f} MB"
        report.add(preset, timings, ours="galvo", notes=notes)
        report.goal(f"{preset}, end to end", rates["galvo"], limit=goal, unit="frames/s", at_least=True)
        if "PyFlowReg" in rates:
            report.goal(
                f"{preset}, faster than PyFlowReg",
                rates["galvo"] / rates["PyFlowReg"],
                limit=10,
                unit="x",
                at_least=True,
            )
        shutil.rmtree(out)


def per_frame(taken: Timing, count: int) -> Timing:
    return Timing(tuple(wall / count for wall in taken.wall_s), tuple(cpu / count for cpu in taken.cpu_s))


def peak_of_child(source: Path, destination: Path, preset: Preset) -> float:
    command = [sys.executable, "-m", "bench.correct", "--child", str(source), str(destination), preset]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL).stdout)


def main() -> None:
    command = parser(__doc__, rounds=1)
    command.add_argument("--frames", type=int, default=2_000, help="frames for galvo (default: %(default)s)")
    command.add_argument("--peer-frames", type=int, default=200, help="frames for the peer (default: %(default)s)")
    command.add_argument("--child", nargs=3, metavar=("SOURCE", "DESTINATION", "PRESET"), help="internal")
    options = command.parse_args()
    if options.child:
        ours(Path(options.child[0]), Path(options.child[1]), options.child[2])
        print(peak_memory_mb())
        return
    report = Report("correct", {"side": SIDE, "frames": options.frames, "peer_frames": options.peer_frames})
    with data_folder(options.data) as folder:
        correct_all(report, folder, options.frames, options.peer_frames)
    report.publish(options.results)


if __name__ == "__main__":
    main()
