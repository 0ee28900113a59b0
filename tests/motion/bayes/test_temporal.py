import numpy as np
import pytest

from galvo.motion.bayes.temporal import TemporalPrior, learn_temporal

COUNT = 30
INDEX = np.repeat([0, 3, 5], [2, 14, 14])
ELASTIC = INDEX > 0
DETERMINED = np.full(COUNT, 0.95)


def _oscillating(frames: int, seed: int = 0, noise: float = 0.0) -> np.ndarray:
    """Band 3 swings at one rate, so that x(t-1) + x(t+1) = 2 cos(rate) x(t); band 5 is white."""
    random = np.random.default_rng(seed)
    t = np.arange(frames)[:, None]
    values = random.normal(size=(frames, COUNT))
    values[:, 2:16] = np.sqrt(2) * np.sin(0.9 * t + random.uniform(0, 2 * np.pi, 14))
    return values + noise * random.normal(size=values.shape)


def _learn(estimates: np.ndarray, run_length: int | None = None) -> TemporalPrior:
    variance = np.ones_like(estimates)
    return learn_temporal(estimates, variance, INDEX, ELASTIC, DETERMINED, run_length or len(estimates))


def test_what_goes_on_is_predicted_and_white_motion_is_not() -> None:
    learned = _learn(_oscillating(40, noise=0.05))
    assert learned.bands.tolist() == [3, 5]
    assert learned.used.tolist() == [[True] * 3, [False] * 3]
    assert learned.fraction[0].max() < 0.05
    assert learned.fraction[1].min() > 0.9
    # two neighbours predict a sinusoid: w1 2 cos a + w2 2 cos 2a = 1
    first, second = learned.weights[0, 0, :2]
    assert first * 2 * np.cos(0.9) + second * 2 * np.cos(1.8) == pytest.approx(1.0, abs=0.05)


def test_first_order_autoregression_has_the_wiener_predictor() -> None:
    random = np.random.default_rng(1)
    values = np.zeros((400, COUNT))
    for t in range(1, 400):
        values[t] = 0.8 * values[t - 1] + 0.6 * random.normal(size=COUNT)
    learned = _learn(values)
    # a / (1 + a^2) for the nearest two, nothing from those behind; error (1 - a^2) / (1 + a^2)
    np.testing.assert_allclose(learned.weights[:, 0, 0], 0.8 / 1.64, atol=0.03)
    np.testing.assert_allclose(learned.weights[:, 0, 1], 0.0, atol=0.03)
    np.testing.assert_allclose(learned.fraction[:, 0], 0.36 / 1.64, atol=0.03)
    # from behind only, x(t+1) with a
    np.testing.assert_allclose(learned.weights[:, 2, :2], [[0.8, 0.0]] * 2, atol=0.04)


def test_runs_are_not_joined() -> None:
    """Shuffled runs teach what the whole movie does; joined at their ends they would not."""
    runs = [_oscillating(8, seed) for seed in range(6)]
    apart = _learn(np.concatenate(runs), 8)
    assert apart.fraction[0, 0] < 0.02
    joined = _learn(np.concatenate(runs))
    assert joined.fraction[0, 0] > 0.1


def test_too_few_frames_teach_nothing() -> None:
    assert not _learn(_oscillating(7)).used.any()
    assert not _learn(_oscillating(24), 4).used.any()
    assert _learn(_oscillating(8)).used.any()


def _predict(learned: TemporalPrior, estimates: np.ndarray, trusted: np.ndarray | None = None) -> tuple:
    trusted = np.ones(len(estimates), bool) if trusted is None else trusted
    return learned.predict(estimates, np.full_like(estimates, 1.0), INDEX, DETERMINED, trusted)


def test_predictions_at_the_ends_and_within() -> None:
    learned = _learn(_oscillating(40))
    values = _oscillating(12, 5)
    mean, variance = _predict(learned, values)
    np.testing.assert_allclose(mean[:, 2:16], values[:, 2:16], atol=0.1)
    assert variance[:, 2:16].max() < 0.1
    np.testing.assert_array_equal(mean[:, :2], 0)
    np.testing.assert_array_equal(mean[:, 16:], 0)
    np.testing.assert_array_equal(variance[:, 16:], 1)


def test_a_frame_depends_on_two_neighbours_on_each_side() -> None:
    learned = _learn(_oscillating(40))
    values = _oscillating(20, 6)
    whole = _predict(learned, values)
    part = _predict(learned, values[5:14])
    for one, other in zip(whole, part, strict=True):
        np.testing.assert_array_equal(one[7:12], other[2:7])


def test_surprising_frames_keep_a_wide_prior() -> None:
    learned = _learn(_oscillating(40, noise=0.1))
    values = _oscillating(12, 7, noise=0.1)
    values[6, 2:16] += 4
    mean, variance = _predict(learned, values)
    np.testing.assert_array_equal(mean[6], 0)
    np.testing.assert_array_equal(variance[6], 1)
    assert variance[2, 2:16].max() < 0.5


def test_a_frame_that_is_not_trusted_predicts_nothing() -> None:
    learned = _learn(_oscillating(40))
    trusted = np.ones(12, bool)
    trusted[6] = False
    values = _oscillating(12, 8)
    mean, variance = _predict(learned, values, trusted)
    np.testing.assert_array_equal(mean[6], 0)
    np.testing.assert_array_equal(variance[6], 1)
    values[6] = 1e3
    again, _ = _predict(learned, values, trusted)
    np.testing.assert_array_equal(again, mean)
    np.testing.assert_allclose(mean[[5, 7], 2:16], values[[5, 7], 2:16], atol=0.1)


@pytest.mark.parametrize("frames", [1, 2])
def test_too_few_frames_to_predict(frames: int) -> None:
    mean, variance = _predict(_learn(_oscillating(40)), _oscillating(frames))
    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(variance, 1)
