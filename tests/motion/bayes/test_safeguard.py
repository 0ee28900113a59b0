import numpy as np

from galvo.motion.bayes import BayesEstimator
from galvo.motion.bayes.prior import Posterior
from galvo.motion.bayes.safeguard import clip_elastic, gain_over_rigid, is_worth_it

from .movies import movie


def test_elastic_part_is_scaled_to_its_limit() -> None:
    coefficients = np.zeros((3, 2, 2, 2))
    coefficients[:, :, 0, 0] = 50
    coefficients[1, 0, 1, 0] = 3
    coefficients[2, 1, 0, 1] = 8
    waves = np.array([[1.0, 1.0], [1.0, -1.0]])
    limited, clipped = clip_elastic(coefficients, waves, waves, 4.0)
    assert clipped.tolist() == [False, False, True]
    np.testing.assert_array_equal(limited[:2], coefficients[:2])
    np.testing.assert_array_equal(limited[2, :, 0, 0], 50)
    assert np.abs(limited[2, 1, 0, 1]) == 4


def test_elastic_motion_that_noise_hides_is_not_worth_it() -> None:
    variance, elastic = np.array([1e6, 1.0, 1.0]), np.array([False, True, True])
    for told, worth in ((0.1, False), (0.3, True)):
        found = Posterior(np.diag([1e-3, 1 - told, 1 - told]), np.array([1.0, told, told]))
        assert is_worth_it(variance, elastic, found) == worth


def test_gain_tells_good_displacements_from_bad_ones() -> None:
    frames, reference, _ = movie()
    plan = BayesEstimator().calibrate(frames, reference, threads=2)
    found = plan.per_frame(frames, 2).track
    good, deviation = gain_over_rigid(plan._solver, frames, found)
    assert (good > 3 * deviation).all()
    found.coefficients[:, :, 1:] *= -1
    found.coefficients[:, :, 0, 1:] *= -1
    bad, deviation = gain_over_rigid(plan._solver, frames, found)
    assert (bad < -3 * deviation).all()


def test_no_elastic_part_no_gain() -> None:
    frames, reference, _ = movie()
    plan = BayesEstimator().calibrate(frames, reference, threads=2)
    found = plan.per_frame(frames, 2).track
    found.coefficients[:] = 0
    found.coefficients[:, :, 0, 0] = found.shift
    np.testing.assert_allclose(gain_over_rigid(plan._solver, frames, found), 0, atol=1e-3)
