"""Movies that nobody means to register: whatever comes, displacements are numbers, nothing is raised or warned of."""

import numpy as np
import pytest

from galvo import motion


def ramps(random, shape):
    t, y, x, _ = (np.arange(length) for length in shape)
    pixels = np.add.outer(np.add.outer(t * 100, y * 7), x)[..., None]
    return np.broadcast_to(pixels, shape).astype(np.uint16)


def anything(random, shape):
    return random.integers(0, 65536, shape).astype(np.uint16)


def large(random, shape):
    return (random.standard_normal(shape) * 1e25).astype(np.float32)


def small(random, shape):
    return (random.standard_normal(shape) * 1e-15).astype(np.float32)


def negative(random, shape):
    return random.integers(-32768, 32767, shape).astype(np.int16)


def one_pixel(random, shape):
    frames = np.zeros(shape, np.uint8)
    frames[:, shape[1] // 2, shape[2] // 2] = 255
    return frames


def dark(random, shape):
    return random.poisson(0.02, shape).astype(np.uint16)


def constant(random, shape):
    return np.full(shape, 7, np.int32)


KINDS = (ramps, anything, large, small, negative, one_pixel, dark, constant)


@pytest.mark.parametrize("shape", [(1, 40, 33, 1), (12, 37, 61, 2)], ids=["one frame", "two channels"])
@pytest.mark.parametrize("estimator", ["bayes", "variational", "rigid"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_fields_are_numbers(kind, estimator, shape):
    frames = kind(np.random.default_rng(0), shape)
    for reference in (frames[0], frames.mean(axis=0)):
        fields = motion.estimate(frames, reference, motion.MotionParams(estimator=estimator, preset="fast"))
        assert np.isfinite(fields).all()
