"""A movie with known motion, its reference, and how far estimates are from the truth."""

import functools

import numpy as np

from galvo.motion.bayes import BayesPlan
from galvo.motion.reference import Reference
from galvo.testing.movie import TwoPhotonMovie

BORDER = 12


@functools.cache
def movie(frames: int = 12, size: tuple[int, int] = (128, 160), photons: float = 12.0, channels: int = 1):
    """Frames uint16 (T, Y, X, C), Reference of 40 frames' noise, displacement (T, Y, X, 2)."""
    made = TwoPhotonMovie(
        frames=frames,
        height=size[0],
        width=size[1],
        photons=photons,
        elastic=1.0,
        rigid_walk=0.7,
        offset=200.0,
        frame_rate_hz=8.0,
        seed=5,
    )
    pixels = np.clip(np.moveaxis(made.read(0, frames), 1, -1)[..., :channels], 0, None).astype(np.uint16)
    pixels.setflags(write=False)
    random = np.random.default_rng(0)
    clean = np.moveaxis(made.reference(), 0, -1)[..., :channels].astype(np.float64)
    halves = [random.poisson(clean * 20) / 20 * made.gain + made.offset for _ in range(2)]
    image = ((halves[0] + halves[1]) / 2).astype(np.float32)
    reference = Reference(image, (halves[0].astype(np.float32), halves[1].astype(np.float32)), 40)
    return pixels, reference, made.displacement()


def errors(plan: BayesPlan, frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Mean length of the error of each frame inside the border, in pixels."""
    fields, _ = plan.solve(frames)
    length = np.linalg.norm(plan.expansion.expand(fields) - truth, axis=-1)
    return length[:, BORDER:-BORDER, BORDER:-BORDER].mean(axis=(1, 2))
