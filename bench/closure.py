"""Genuine movies under known warps: how far the estimate on a warped frame differs from what the warp was.

Nobody knows how a genuine movie moved. But each frame is warped by a known field k (rigid plus elastic, fixed seeds),
the frame as it was and the warped one are registered to one reference, and where both estimates are right
`w(x) = w'(x) + k(x + w'(x))`: the error is the difference of the two sides, mean length over the interior. The
reference is the mean of the frames after rigid shifts, and the same for every method.
"""

import os
from functools import partial
from pathlib import Path

import numpy as np

import galvo
from bench.registrars import Array, Registrar, dis, ours, pyflowreg, suite2p
from bench.report import Report, parser
from bench.timing import Timing, timed
from galvo import motion

OURS = "galvo, balanced"
BORDER = 25
FRAMES, FULL_FRAMES = 4, 50
RIGID_PX, ELASTIC_PX = 4.0, 2.5
MOVIES = {
    "mesoscope, 512 x 512 uint8": "movies/mesoscope_workshop_highmag",
    "resonant, 256 x 256 uint16": "derived/calscipy_bruker_1plane_crop256_100f_zlib.tif",
}


def known_fields(count: int, height: int, width: int, seed: int) -> Array:
    """Smooth fields (T, Y, X, 2): a shift up to `RIGID_PX` and a few cosines up to about `ELASTIC_PX`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    fields = np.empty((count, height, width, 2), np.float32)
    for field in fields:
        for axis in range(2):
            elastic = np.zeros((height, width))
            for _ in range(4):
                along_y, along_x = rng.uniform(-3.5, 3.5, 2)
                elastic += np.cos(np.pi * (along_y * y / height + along_x * x / width) + rng.uniform(0, 2 * np.pi))
            field[..., axis] = rng.uniform(-RIGID_PX, RIGID_PX) + elastic * (ELASTIC_PX / np.abs(elastic).max())
    return fields


def at(fields: Array, displacements: Array) -> Array:
    """The fields read at x + w(x)."""
    shown: Array = np.asarray(motion.warp(fields, displacements, interpolation="linear", fill="edge"))
    return shown


def closure_px(known: Array, before: Array, after: Array) -> Array:
    """Length of the error of every pixel of the interior; `after` is the estimate on the warped frames."""
    length = np.linalg.norm(after + at(known, after) - before, axis=-1)
    return np.ascontiguousarray(length[:, BORDER:-BORDER, BORDER:-BORDER])


def reference_of(frames: Array) -> Array:
    """Mean after rigid shifts, found twice."""
    reference = frames.mean(axis=0, dtype=np.float32)
    for _ in range(2):
        shifts = ours(frames, reference, estimator="rigid")
        reference = np.asarray(motion.warp(frames, shifts, fill="edge").mean(axis=0), np.float32)
    return np.asarray(reference)


def registrars() -> dict[str, Registrar | None]:
    made: dict[str, Registrar | None] = {
        f"galvo, {preset}": partial(ours, preset=preset) for preset in ("balanced", "fast", "quality")
    }
    made["galvo, rigid"] = partial(ours, estimator="rigid")
    made["OpenCV DIS medium"] = dis()
    made["PyFlowReg quality"] = pyflowreg(quality_setting="quality")
    made["suite2p nonrigid"] = suite2p()
    made["PyFlowReg quality, alpha 8"] = pyflowreg(quality_setting="quality", alpha=8.0)
    return made


def measure(report: Report, name: str, path: Path, most: int) -> None:
    with galvo.open(path) as recording:
        frames = np.moveaxis(recording[:most, :, 0], 1, -1)
    known = known_fields(len(frames), frames.shape[1], frames.shape[2], seed=17)
    warped = motion.warp(frames, known, fill="edge", dtype=frames.dtype)
    reference = reference_of(frames)
    timings: dict[str, Timing | None] = {}
    errors: dict[str, float] = {}
    notes: dict[str, str] = {}
    for contender, registrar in registrars().items():
        timings[contender] = None
        if registrar is not None:
            before = registrar(frames, reference)
            after, timings[contender] = timed(partial(registrar, warped, reference))
            lengths = closure_px(known, before, after)
            errors[contender] = float(lengths.mean())
            notes[contender] = f"error {errors[contender]:.3f} px, 95 % below {np.percentile(lengths, 95):.3f}"
    report.add(name, timings, ours=OURS, notes=notes)
    for contender, error in errors.items():
        if not contender.startswith("galvo"):
            report.goal(f"{name}: balanced / {contender}", errors[OURS] / error, limit=1, unit="x")


def main() -> None:
    commands = parser(__doc__, rounds=1, scaled=True)
    commands.add_argument("--frames", type=int, help=f"of each movie (default: {FRAMES}, {FULL_FRAMES} with --full)")
    arguments = commands.parse_args()
    frames = arguments.frames or (FULL_FRAMES if arguments.full else FRAMES)
    samples = Path(os.environ.get("GALVO_SAMPLE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    report = Report("closure", {"frames": frames, "rigid_px": RIGID_PX, "elastic_px": ELASTIC_PX})
    for name, place in MOVIES.items():
        if (samples / place).exists():
            measure(report, name, samples / place, frames)
        else:
            print(f"{name}: left out, {place} is not in GALVO_SAMPLE_DATA")
    report.publish(arguments.results)


if __name__ == "__main__":
    main()
