import numpy as np
import pytest

from galvo.motion.bayes.dispersion import dispersion


def _blocks(scale: float, seed: int = 0) -> np.ndarray:
    """Sums (T, C, 5, By, Bx) of smooth motion with scores whose variance is `scale` times their information."""
    random = np.random.default_rng(seed)
    factor = random.normal(size=(6, 2, 24, 24, 2, 4))
    tensor = factor @ np.swapaxes(factor, -1, -2)
    noise = np.linalg.cholesky(tensor) @ random.normal(size=(6, 2, 24, 24, 2, 1)) * np.sqrt(scale)
    slow = np.sin(np.arange(24) / 40)[:, None] * np.ones(24)
    score = tensor @ np.stack([slow, 1 - slow], -1)[..., None] + noise
    parts = (tensor[..., 0, 0], tensor[..., 0, 1], tensor[..., 1, 1], score[..., 0, 0], score[..., 1, 0])
    return np.stack(parts, 2)


@pytest.mark.parametrize("scale", [1.0, 7.0, 0.4])
def test_scatter_of_scores(scale: float) -> None:
    np.testing.assert_allclose(dispersion(_blocks(scale)), scale, rtol=0.06)


def test_channels_are_told_apart() -> None:
    blocks = _blocks(1.0)
    blocks[:, 1] = _blocks(5.0, 1)[:, 1]
    np.testing.assert_allclose(dispersion(blocks), [1.0, 5.0], rtol=0.06)


def test_nothing_to_learn_from() -> None:
    np.testing.assert_array_equal(dispersion(np.zeros((2, 3, 5, 4, 1))), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(dispersion(np.zeros((1, 1, 5, 1, 1))), [1.0])
