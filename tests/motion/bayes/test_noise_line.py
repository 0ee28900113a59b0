import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from galvo.motion.bayes.noise_line import NoiseLine, measure_noise


def _expected(count: int) -> np.ndarray:
    random = np.random.default_rng(0)
    scene = np.exp(gaussian_filter(random.normal(size=(160, 160)), 4) * 8)
    # far between frames, as after jumps
    return np.stack([np.roll(scene, tuple(random.integers(-20, 21, 2)), (0, 1)) for _ in range(count)]) * 10


@pytest.mark.parametrize("count", [1, 2, 6])
def test_line_of_frames_that_jump(count: int) -> None:
    random = np.random.default_rng(1)
    expected = _expected(count + 1)
    frames = np.rint(random.poisson(expected[1:]) * 30.0 + 100 + 5 * random.normal(size=expected[1:].shape))
    reference = expected[0] * 30 + 100
    line = measure_noise(frames.astype(np.uint16), reference, 0.0)
    at = np.array([300.0, 1000.0])
    np.testing.assert_allclose(line.variance(at), 30 * (at - 100) + 25, rtol=0.15)


def test_no_noise() -> None:
    expected = _expected(1)
    line = measure_noise(expected.astype(np.float32), expected[0].astype(np.float32).astype(np.float64), 0.0)
    assert line == NoiseLine(0.0, 0.0, "none")


def test_variance_has_a_floor() -> None:
    line = NoiseLine(1.0, -100.0, "reference")
    np.testing.assert_array_equal(line.variance(np.array([90.0, 200.0, 300.0])), [5.0, 100.0, 200.0])


def test_frames_that_are_no_numbers() -> None:
    reference = _expected(1)[0]
    frames = np.full((4, 160, 160), np.nan, np.float32)
    assert measure_noise(frames, reference, 0.0).source == "none"
