"""Motion estimation at 512 x 512: CPU time per frame against PyFlowReg and OpenCV DIS, and frames per second.

The time of ours includes the output warp; calibration is apart, once per recording. PyFlowReg runs through its array
interface on one process, and its time is per field that it solved: it solves the first frames twice to find a start.
DIS is timed without a warp.
"""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.registrars import Array, dis, pyflowreg
from bench.report import Report, parser
from bench.timing import Timing, interleave
from galvo import motion
from galvo.motion import MotionParams
from galvo.testing.movie import TwoPhotonMovie

SIDE = 512
PRESETS = ("fast", "balanced", "quality")


def frames_of(count: int, channels: int) -> tuple[Array, Array]:
    """Frames (T, Y, X, C) uint16 and a reference of 50 frames' noise (Y, X, C)."""
    movie = TwoPhotonMovie(frames=count, height=SIDE, width=SIDE, photons=10.0, offset=200.0, elastic=1.5, seed=4)
    frames = np.clip(np.moveaxis(movie.read(0, count), 1, -1)[..., :channels], 0, None).astype(np.uint16)
    clean = np.moveaxis(movie.reference(), 0, -1)[..., :channels]
    noisy = np.random.default_rng(0).poisson(clean.astype(np.float64) * 50) / 50
    return np.ascontiguousarray(frames), (noisy * movie.gain + movie.offset).astype(np.float32)


def register(plan: Any, frames: Array, threads: int | None) -> Array:
    """Estimate and warp: what a corrected recording costs, without files."""
    solved, _ = plan.solve(frames, threads=threads)
    return motion.warp(frames, plan.expansion.expand(solved, threads=threads), dtype=frames.dtype, threads=threads)


def per_frame(timing: Timing, frame_count: int) -> Timing:
    """The same samples, for one frame."""
    return Timing(
        tuple(value / frame_count for value in timing.wall_s), tuple(value / frame_count for value in timing.cpu_s)
    )


def solved_fields(frame_count: int) -> int:
    """How many fields PyFlowReg solves for so many frames: the first ones, at most 22, twice."""
    return frame_count + min(22, frame_count)


def compare(
    report: Report,
    figure: str,
    plans: dict[str, Any],
    peers: dict[str, Callable[[Array, Array], Array] | None],
    frames: Array,
    reference: Array,
) -> dict[str, Timing]:
    works: dict[str, Callable[[], object] | None] = {
        name: partial(register, plan, frames, 1) for name, plan in plans.items()
    }
    works |= {name: None if peer is None else partial(peer, frames, reference) for name, peer in peers.items()}
    raw = interleave(works, rounds=int(str(report.parameters["rounds"])), slot_s=0)
    count = len(frames)
    timings = {
        name: per_frame(timing, solved_fields(count) if "PyFlowReg" in name else count) for name, timing in raw.items()
    }
    report.add(figure, {name: timings.get(name) for name in works}, ours=next(iter(plans)))
    return timings


def variational(report: Report, channels: int, frame_count: int) -> None:
    frames, reference = frames_of(frame_count, channels)
    for preset in ("fast", "balanced"):
        plans = {}
        for schedule in ("compat", "lean"):
            params = MotionParams.model_validate(
                {"estimator": "variational", "preset": preset, "variational": {"schedule": schedule}}
            )
            plans[schedule] = motion.calibrate(frames, reference, params)
        name = f"PyFlowReg {preset}"
        figure = f"variational {preset}, {channels} channel{'s' * (channels > 1)}"
        timings = compare(report, figure, plans, {name: pyflowreg(quality_setting=preset)}, frames, reference)
        if name in timings:
            for schedule, limit in (("compat", 12), ("lean", 25)):
                ratio = timings[name].minimum_cpu_s / timings[schedule].minimum_cpu_s
                report.goal(
                    f"{figure}, {schedule}: CPU time of PyFlowReg / galvo", ratio, limit=limit, unit="x", at_least=True
                )


def bayes(report: Report, frame_count: int) -> None:
    frames, reference = frames_of(frame_count, 1)
    plans = {
        preset: motion.calibrate(frames, reference, MotionParams.model_validate({"preset": preset}))
        for preset in PRESETS
    }
    peers = {"PyFlowReg balanced": pyflowreg(quality_setting="balanced"), "OpenCV DIS medium": dis()}
    timings = compare(report, "bayes, with warp", {"balanced": plans["balanced"], **plans}, peers, frames, reference)
    for peer, limit in (("PyFlowReg balanced", 25), ("OpenCV DIS medium", 1)):
        if peer in timings:
            ratio = timings[peer].minimum_cpu_s / timings["balanced"].minimum_cpu_s
            report.goal(
                f"bayes balanced with warp: CPU time of {peer} / galvo", ratio, limit=limit, unit="x", at_least=True
            )
    many = np.concatenate([frames] * 8)
    wall = interleave(
        {preset: partial(register, plan, many, None) for preset, plan in plans.items()},
        rounds=int(str(report.parameters["rounds"])),
        slot_s=0,
    )
    report.add(
        "bayes, all cores", {name: per_frame(timing, len(many)) for name, timing in wall.items()}, ours="balanced"
    )
    for preset, limit in (("fast", 350), ("balanced", 200)):
        rate = len(many) / wall[preset].minimum_s
        report.goal(
            f"bayes {preset} with warp, {os.cpu_count()} cores", rate, limit=limit, unit="frames/s", at_least=True
        )


def main() -> None:
    commands = parser(__doc__, rounds=2)
    commands.add_argument("--frames", type=int, default=16, help="frames of a movie (default: %(default)s)")
    arguments = commands.parse_args()
    report = Report("motion", {"rounds": arguments.rounds, "frames": arguments.frames, "side": SIDE})
    for channels in (1, 2):
        variational(report, channels, arguments.frames)
    bayes(report, arguments.frames)
    report.publish(arguments.results)


if __name__ == "__main__":
    main()
