"""Correct a ScanImage TIFF end to end: from the file to a corrected file and the displacements, against its peers.

Everything is counted: the reference, the calibration, the quality of every frame, syncing both outputs to the disk.
PyFlowReg (its default executor, presets of the same names, `save_w`) gets the same reference. suite2p runs its own
pipeline from the TIFF to its registered binary and the offsets (its defaults, rigid and nonrigid, on the processor,
without metrics and detection) and finds a reference itself. Both get fewer frames, since they take long; a rate is that
of the frames that were given. suite2p needs another OpenCV than PyFlowReg: it runs as a child, in the Python that
GALVO_SUITE2P_PYTHON names; its imports are not counted. Peak memory is taken in a child that does nothing else.
"""

import contextlib
import importlib.util
import io
import json
import os
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

SUITE2P = """
import contextlib, json, os, resource, sys, time
source, folder, frame_bytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
with contextlib.redirect_stdout(sys.stderr):
    import suite2p
    home, name = os.path.split(source)
    db = {**suite2p.default_db(), "data_path": [home], "file_list": [name], "save_path0": folder, "nchannels": 1}
    settings = suite2p.default_settings()
    settings["torch_device"] = "cpu"
    settings["run"] |= {"do_detection": False, "do_deconvolution": False, "do_regmetrics": False}
    wall, cpu = time.perf_counter(), time.process_time()
    suite2p.run_s2p(db=db, settings=settings)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
made = [os.path.join(at, one) for at, _, names in os.walk(folder) for one in names if one == "data.bin"]
frames = sum(map(os.path.getsize, made)) // frame_bytes
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"wall_s": wall, "cpu_s": cpu, "frames": frames, "peak_kb": peak, "version": str(suite2p.version)}))
"""


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


def suite2p_python() -> str | None:
    """A Python that has suite2p: the one that is named, or this one."""
    named = os.environ.get("GALVO_SUITE2P_PYTHON")
    if named:
        return named
    return sys.executable if importlib.util.find_spec("suite2p") else None


def suite2p(source: Path, folder: Path, frame_count: int) -> tuple[Timing, str] | None:
    """Time per frame of suite2p's registration, and what is to be said of it; None where it is not installed."""
    python = suite2p_python()
    if python is None:
        return None
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    command = [python, "-c", SUITE2P, str(source), str(folder), str(SIDE * SIDE * 2)]
    done = subprocess.run(
        command, env=environment, check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    shutil.rmtree(folder)
    if done.returncode:
        raise RuntimeError(f"suite2p ended with {done.returncode}:\n{done.stderr[-2000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    if told["frames"] != frame_count:
        raise RuntimeError(f"suite2p registered {told['frames']} of {frame_count} frames")
    taken = per_frame(Timing((told["wall_s"],), (told["cpu_s"],)), frame_count)
    note = f"per frame of {frame_count}, {1 / taken.minimum_s:.1f} frames/s, peak {told['peak_kb'] / 1000:.0f} MB"
    return taken, f"{note}, version {told['version']}"


def correct_all(report: Report, folder: Path, frame_count: int, peer_frame_count: int) -> None:
    sources = {"galvo": moving_file(folder, frame_count), "peers": moving_file(folder, peer_frame_count)}
    peer = with_peer("pyflowreg.motion_correction.compensate_recording", pyflowreg)
    # it has no presets: the one measurement stands beside both
    other = suite2p(sources["peers"], folder / "out_suite2p", peer_frame_count)
    for preset, goal in GOALS.items():
        out = folder / f"out_{preset}"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        rates: dict[str, float] = {}
        timings: dict[str, Timing | None] = {}
        notes: dict[str, str] = {}
        for name, work, count in (
            ("galvo", partial(ours, sources["galvo"], out / "corrected.h5", preset), frame_count),
            ("PyFlowReg", peer and partial(peer, sources["peers"], out / "peer", preset), peer_frame_count),
        ):
            if work is None:
                timings[name] = None
                continue
            _, taken = timed(work)
            timings[name] = per_frame(taken, count)
            rates[name] = count / taken.minimum_s
            notes[name] = f"per frame of {count}, {rates[name]:.1f} frames/s"
        timings["suite2p"] = other and other[0]
        if other:
            rates["suite2p"], notes["suite2p"] = 1 / other[0].minimum_s, other[1]
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
        if "suite2p" in rates:
            report.goal(
                f"{preset}, faster than suite2p", rates["galvo"] / rates["suite2p"], limit=1, unit="x", at_least=True
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
    command.add_argument("--peer-frames", type=int, default=100, help="frames for each peer (default: %(default)s)")
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
