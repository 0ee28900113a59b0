"""Error of displacement fields on synthetic movies whose fields are known exactly, ours and the peers' in one run.

The scenes come from a folder that the project does not hold (GALVO_ACCURACY_SCENES, by default shared/bench/accuracy
beside the checkout): a generator `synth2p.make_movie` and scores `metrics.score`. Every contender gets the frames and
a reference, the mean of 50 frames without motion, and one setting for all scenes. Scenes of the second table (--full)
are watched, not tuned on; those that the generator cannot make by itself add a motion of their own.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from bench.registrars import Registrar, dis, ours, pyflowreg, suite2p
from bench.report import Report, parser
from bench.timing import Timing, timed

OURS = "galvo balanced"
Scene = dict[str, Any]

SMALL: Scene = {"H": 256, "W": 256, "T": 12, "seed": 1}
LARGE: Scene = {"H": 512, "W": 512, "T": 6, "seed": 4}
# scene: how it is made, greatest mean end-point error in px
SCENES: dict[str, tuple[Scene, float]] = {
    "256-clean": ({**SMALL, "photons": None}, 0.012),
    "256-p30": ({**SMALL, "photons": 30.0}, 0.11),
    "256-p8": ({**SMALL, "photons": 8.0}, 0.19),
    "256-p8-2ch": ({**SMALL, "photons": 8.0, "channels": 2}, 0.165),
    "256-p30-large": ({**SMALL, "seed": 2, "photons": 30.0, "rigid": 10.0, "nonrigid": 5.0}, 0.13),
    "256-p30-line": (
        {**SMALL, "seed": 3, "photons": 30.0, "rigid": 3.0, "nonrigid": 1.5, "linescan": 1.0},
        0.115,
    ),
    "512-p30": ({**LARGE, "photons": 30.0}, 0.056),
    "512-p8": ({**LARGE, "photons": 8.0}, 0.105),
}
HELD_OUT: dict[str, Scene] = {
    "15 photons, elastic 3": {"seed": 131, "photons": 15.0, "rigid": 3.0, "nonrigid": 3.0},
    "sharp shear": {"seed": 132, "photons": 30.0, "extra": "shear"},
    "local bump in 3 of 16": {"seed": 133, "photons": 30.0, "extra": "bump"},
    "rigid 15, elastic 8": {"seed": 134, "photons": 30.0, "rigid": 15.0, "nonrigid": 8.0},
    "3 photons": {"seed": 135, "photons": 3.0},
    "200 photons": {"seed": 136, "photons": 200.0},
    "short scale, 18 px": {"seed": 138, "photons": 30.0, "extra": "short"},
    "white in time": {"seed": 139, "photons": 30.0, "extra": "white"},
    "512, 8 photons, line wobble": {"seed": 140, "photons": 8.0, "H": 512, "W": 512, "T": 6, "linescan": 0.8},
    "very active": {"seed": 141, "photons": 30.0, "extra": "active"},
    "jump (9, -6) px": {"seed": 142, "photons": 30.0, "extra": "jump"},
    "10 photons, reference of 10": {"seed": 143, "photons": 10.0, "ref_frames": 10},
    "6 frames": {"seed": 144, "photons": 30.0, "T": 6},
    "1 frame": {"seed": 145, "photons": 30.0, "T": 1},
    "96 x 300": {"seed": 146, "photons": 30.0, "H": 96, "W": 300},
}


def scenes_folder() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared" / "bench" / "accuracy"
    return Path(os.environ.get("GALVO_ACCURACY_SCENES") or beside)


def smooth(generator: Any, size: tuple[int, int], rng: np.random.Generator, scale: float) -> Any:
    """A pair of smooth fields (Y, X, 2) of greatest value 1."""
    return np.stack([generator.smooth_field(*size, rng, scale) for _ in range(2)], axis=-1)


def shear(generator: Any, fields: Any, rng: np.random.Generator) -> Any:
    """Parts that slide along an oblique line within 4 px, by up to 2 px."""
    height, width = fields.shape[1:3]
    y, x = np.mgrid[:height, :width]
    across = (x - width / 2) * np.cos(0.6) + (y - height / 2) * np.sin(0.6)
    step = np.tanh(across / 4)
    amounts = rng.uniform(-2, 2, (len(fields), 1, 1))
    return fields + np.stack([-np.sin(0.6) * step * amounts, np.cos(0.6) * step * amounts], axis=-1)


def bump(generator: Any, fields: Any, rng: np.random.Generator) -> Any:
    """A local push of 3.9 px, 18 px wide, in three frames."""
    height, width = fields.shape[1:3]
    y, x = np.mgrid[:height, :width]
    made = fields.copy()
    for frame in (4, 9, 13):
        at_y, at_x = rng.uniform(0.3, 0.7, 2) * (height, width)
        weight = 3.9 * np.exp(-((y - at_y) ** 2 + (x - at_x) ** 2) / (2 * 18.0**2))
        angle = rng.uniform(0, 2 * np.pi)
        made[frame] += np.stack([np.cos(angle) * weight, np.sin(angle) * weight], axis=-1)
    return made


def short(generator: Any, fields: Any, rng: np.random.Generator) -> Any:
    """Elastic motion of half the length scale instead."""
    made = np.repeat(fields.mean(axis=(1, 2), keepdims=True), fields.shape[1], 1).repeat(fields.shape[2], 2)
    modes = [smooth(generator, fields.shape[1:3], rng, 18.0) for _ in range(3)]
    for number in range(len(fields)):
        for place, mode in enumerate(modes):
            made[number] += 2.5 / 1.7 * np.sin(0.3 * (place + 1) * number + place) * mode
    return made


def white(generator: Any, fields: Any, rng: np.random.Generator) -> Any:
    """Elastic motion that has nothing to do with that of the frame before."""
    made = np.repeat(fields.mean(axis=(1, 2), keepdims=True), fields.shape[1], 1).repeat(fields.shape[2], 2)
    for number in range(len(fields)):
        made[number] += 2.5 * smooth(generator, fields.shape[1:3], rng, min(fields.shape[1:3]) / 7)
    return made


def jump(generator: Any, fields: Any, rng: np.random.Generator) -> Any:
    """A step of the whole image at frame 7."""
    made = fields.copy()
    made[7:] += (9.0, -6.0)
    return made


EXTRAS: dict[str, Callable[[Any, Any, np.random.Generator], Any]] = {
    "shear": shear,
    "bump": bump,
    "short": short,
    "white": white,
    "jump": jump,
}


@contextmanager
def altered(generator: Any, extra: str | None, seed: int) -> Iterator[None]:
    """The generator with another motion, or with transients five times as frequent."""
    plain_flow, plain_rng = generator.make_flow, np.random.default_rng
    if extra == "active":

        class Active(np.random.Generator):
            def random(self, *arguments: Any, **named: Any) -> Any:
                return np.asarray(super().random(*arguments, **named)) / 5

        generator.np.random.default_rng = lambda number: Active(np.random.PCG64(number))
    elif extra is not None:
        rng = plain_rng(seed + 1)
        generator.make_flow = lambda *arguments: EXTRAS[extra](generator, plain_flow(*arguments), rng)
    try:
        yield
    finally:
        generator.make_flow, generator.np.random.default_rng = plain_flow, plain_rng


def contenders(peers: bool) -> dict[str, Registrar | None]:
    made: dict[str, Registrar | None] = {OURS: partial(ours, preset="balanced")}
    if peers:
        made |= {f"galvo {preset}": partial(ours, preset=preset) for preset in ("fast", "quality")}
        made["galvo variational"] = partial(ours, estimator="variational", preset="quality")
        made["OpenCV DIS medium"] = dis()
        made["suite2p nonrigid"] = suite2p()
        made["PyFlowReg quality, alpha 8"] = pyflowreg(quality_setting="quality", alpha=8.0)
    return made


def measure(report: Report, generator: Any, metrics: Any, name: str, scene: Scene, peers: bool) -> dict[str, Any]:
    """Scores of every contender in a scene."""
    options = {key: value for key, value in scene.items() if key != "extra"}
    with altered(generator, scene.get("extra"), options["seed"]):
        movie = generator.make_movie(**{"H": 256, "W": 256, "T": 16, **options})
    timings: dict[str, Timing | None] = {}
    scores, notes = {}, {}
    for contender, registrar in contenders(peers).items():
        timings[contender] = None
        if registrar is not None:
            fields, timings[contender] = timed(partial(registrar, movie.frames, movie.reference))
            score = metrics.score(movie, np.asarray(fields, np.float64))
            scores[contender] = score
            notes[contender] = (
                f"EPE {score['epe_mean']:.4f} px, 95 % below {score['epe_p95']:.3f}, worst frame "
                f"{score['epe_max_frame']:.3f}, least Jacobian {score['jac_min']:.2f}"
            )
    report.add(name, timings, ours=OURS, notes=notes)
    return scores


def main() -> None:
    commands = parser(__doc__, rounds=1, scaled=True)
    commands.add_argument("--only", default="", help="scenes whose name holds this")
    commands.add_argument("--alone", action="store_true", help="leave the peers out")
    arguments = commands.parse_args()
    folder = scenes_folder()
    if not (folder / "synth2p.py").exists():
        print("left out: no scenes, GALVO_ACCURACY_SCENES does not name their folder")
        return
    sys.path.insert(0, str(folder))
    generator, metrics = import_module("synth2p"), import_module("metrics")
    report = Report("accuracy", {"only": arguments.only or "all"})
    peers = not arguments.alone
    for name, (scene, limit) in SCENES.items():
        if arguments.only in name:
            scores = measure(report, generator, metrics, name, scene, peers)
            report.goal(f"{name}: mean end-point error", scores[OURS]["epe_mean"], limit=limit, unit="px")
            report.goal(f"{name}: least Jacobian", scores[OURS]["jac_min"], limit=0, unit="", at_least=True)
    for name, scene in HELD_OUT.items() if arguments.full or arguments.only else ():
        if arguments.only not in name:
            continue
        scores = measure(report, generator, metrics, name, scene, peers)
        for contender in ("OpenCV DIS medium", "PyFlowReg quality, alpha 8"):
            if contender in scores:
                ratio = scores[OURS]["epe_mean"] / scores[contender]["epe_mean"]
                report.goal(f"{name}: error / {contender}", ratio, limit=1, unit="x")
        report.goal(f"{name}: least Jacobian", scores[OURS]["jac_min"], limit=0, unit="", at_least=True)
    report.publish(arguments.results)


if __name__ == "__main__":
    main()
