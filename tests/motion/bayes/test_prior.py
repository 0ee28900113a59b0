import numpy as np
import pytest

from galvo.motion.bayes.bands import Bands
from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.modes import ModeSpace
from galvo.motion.bayes.prior import RIGID_VARIANCE, inflate, learn_prior, outliers, posterior


class Simulation:
    """Coefficients drawn from band variances, seen through an information matrix of white noise."""

    def __init__(self, variance_of_shell: list[float], frames: int, strength: float, seed: int = 0) -> None:
        self.basis = CosineBasis(160, 160)
        self.bands = Bands.of(self.basis)
        random = np.random.default_rng(seed)
        self.true = np.array([RIGID_VARIANCE, *variance_of_shell, *[0.0] * 20])[self.bands.shell]
        self.active = np.stack([self.basis.kept] * 2) & (self.bands.shell <= 7)
        blocks = np.arange(20) * 8 + 3.5
        space = ModeSpace(self.basis.along_y(blocks), self.basis.along_x(blocks), self.active)
        tensor = strength * random.uniform(0.3, 1.7, (3, 20, 20))
        tensor[1] *= 0.1
        self.information = space.matrix(tensor)
        deviation = np.sqrt(np.where(self.bands.rigid, 4.0, self.true))[self.active]
        truth = random.normal(size=(frames, space.size)) * deviation
        noise = random.normal(size=truth.shape) @ np.linalg.cholesky(self.information).T
        self.evidence = truth @ self.information + noise

    def estimates(self, variance: np.ndarray) -> np.ndarray:
        return self.evidence @ posterior(self.information, variance[self.active]).covariance

    def learn(self, start: float = 0.1, *, selective: bool = False) -> np.ndarray:
        variance = np.where(self.bands.rigid, RIGID_VARIANCE, start)
        return learn_prior(
            self.estimates(variance), self.information, variance, self.bands, self.active, selective=selective
        )

    def of(self, variance: np.ndarray, shell: int, kind: int = 0) -> float:
        return float(variance[(self.bands.shell == shell) & (self.bands.group == kind)].mean())


@pytest.mark.parametrize("start", [0.003, 0.1, 5.0])
def test_true_variances_are_found_from_anywhere(start: float) -> None:
    shells = [0.5, 0.2, 0.08, 0.03, 0.01, 0.003, 0.001]
    simulation = Simulation(shells, frames=200, strength=40.0)
    learned = simulation.learn(start)
    for shell, variance in enumerate(shells, 1):
        assert simulation.of(learned, shell) == pytest.approx(variance, rel=0.2), shell
    assert (learned[simulation.bands.rigid] == RIGID_VARIANCE).all()


def test_variances_do_not_increase_with_the_order() -> None:
    learned = Simulation([0.01, 0.5, 0.2, 0.001, 0.004, 0.001, 0.001], frames=20, strength=40.0)
    variance = learned.learn()
    shells = [learned.of(variance, shell) for shell in range(1, 8)]
    assert shells == sorted(shells, reverse=True)


def test_bands_without_motion_are_switched_off() -> None:
    simulation = Simulation([0.2, 0.1, 0.05, 0.02, 0.0, 0.0, 0.0], frames=12, strength=5.0)
    learned = simulation.learn(selective=True)
    assert simulation.of(learned, 4) > 0.01
    for shell in (5, 6, 7):
        assert simulation.of(learned, shell) == 0


def test_frames_without_elastic_motion_are_rigid() -> None:
    learned = Simulation([0.0] * 7, frames=12, strength=5.0).learn(selective=True)
    assert set(np.unique(learned)) == {0.0, RIGID_VARIANCE}


def test_rows_that_wobble_are_freed_others_stay_near_their_shell() -> None:
    simulation = Simulation([0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001], frames=30, strength=20.0)
    wobbling = (simulation.bands.group == 1) & (simulation.bands.shell >= 5) & simulation.active
    random = np.random.default_rng(1)
    more = np.zeros((30, simulation.active.sum()))
    more[:, wobbling[simulation.active]] = random.normal(size=(30, wobbling.sum())) * 0.3
    simulation.evidence += more @ simulation.information
    learned = simulation.learn(selective=True)
    for shell in (5, 6):
        assert simulation.of(learned, shell, 1) > 0.04
        assert simulation.of(learned, shell) < 0.01
        assert simulation.of(learned, shell, 2) < 3 * simulation.of(learned, shell)


def test_the_same_matrix_on_both_sides() -> None:
    """Large rigid motion must not leak into elastic bands."""
    simulation = Simulation([0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001], frames=30, strength=20.0)
    before = simulation.learn()
    shift = np.zeros(simulation.active.shape)
    shift[:, 0, 0] = 30.0
    simulation.evidence += shift[simulation.active] @ simulation.information
    after = simulation.learn()
    np.testing.assert_allclose(after[~simulation.bands.rigid], before[~simulation.bands.rigid], rtol=0.02)


def test_frames_that_moved_more_are_found_and_their_prior_widened() -> None:
    simulation = Simulation([0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001], frames=40, strength=40.0)
    index, elastic = simulation.bands.index[simulation.active], ~simulation.bands.rigid[simulation.active]
    variance = simulation.true[simulation.active]
    found = posterior(simulation.information, variance)
    odd = (simulation.bands.shell == 4)[simulation.active]
    bump = np.where(odd, np.random.default_rng(2).normal(size=odd.size) * 0.8, 0.0)
    simulation.evidence[7] += bump @ simulation.information
    estimates = simulation.estimates(simulation.true)
    odd_frames = np.flatnonzero(outliers(estimates, variance, found.determined, index, elastic)).tolist()
    # a band of one coefficient exceeds 4.5 deviations by chance now and then
    assert 7 in odd_frames
    assert len(odd_frames) <= 5
    wider = inflate(estimates[7], simulation.information, variance, index, elastic)
    inside = odd & (simulation.bands.group[simulation.active] == 0)
    assert wider[inside].min() > 10 * 0.01
    np.testing.assert_array_equal(wider[~odd], variance[~odd])


def test_tiny_bands_are_no_outliers() -> None:
    simulation = Simulation([0.1, 0.05, 0.02, 0.01, 0.005, 1e-7, 1e-7], frames=5, strength=40.0)
    index, elastic = simulation.bands.index[simulation.active], ~simulation.bands.rigid[simulation.active]
    variance = simulation.true[simulation.active]
    estimates = np.where((simulation.bands.shell == 7)[simulation.active], 1e-3, 0.0) * np.ones((5, 1))
    determined = posterior(simulation.information, variance).determined
    assert not outliers(estimates, variance, determined, index, elastic).any()
