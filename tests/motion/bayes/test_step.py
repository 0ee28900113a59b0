"""One linearisation and what it leads to, against finite differences and known displacements."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.gradient import Gradient
from galvo.motion.bayes.levels import Level, build_levels
from galvo.motion.bayes.modes import ModeSpace
from galvo.motion.bayes.noise_line import NoiseLine
from galvo.motion.bayes.normal_equations import linearise, own_information
from galvo.motion.bayes.solver import next_brightness

SHAPE = (96, 120)


def _scene() -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(0).normal(size=(SHAPE[0] + 40, SHAPE[1] + 40)), 8)
    return 500 + 200 * image / image.std()


def _seen(scene: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The scene at x + w(x), of a field (2, Y, X)."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]] + 20.0
    return map_coordinates(scene, [y + field[1], x + field[0]], order=5)


def _levels() -> tuple[CosineBasis, tuple[Level, ...]]:
    basis = CosineBasis(*SHAPE)
    image = _scene()[20:-20, 20:-20][None]
    levels = build_levels(
        basis, image, np.ones(image.shape, bool), (NoiseLine(0.0, 25.0, "frames"),), (Gradient(0.0, 1.0, 0.0),)
    )
    return basis, levels


def _field(basis: CosineBasis, coefficients: np.ndarray) -> np.ndarray:
    rows, columns = basis.along_y(np.arange(SHAPE[0])), basis.along_x(np.arange(SHAPE[1]))
    return rows @ coefficients @ columns.T


@pytest.mark.parametrize("place", [0, 1, 2])
def test_information_is_the_curvature_of_the_misfit(place: int) -> None:
    basis, levels = _levels()
    level = levels[place]
    space = ModeSpace(*level.block_waves, np.stack([basis.kept] * 2))
    matrix = space.matrix(own_information(level)[0])
    random = np.random.default_rng(1)
    inner = np.stack([basis.order <= 4] * 2)
    direction = random.normal(size=inner.shape) * inner
    variance = 25.0 / level.scale**2 + (0.01 * np.subtract(*np.percentile(_scene()[20:-20, 20:-20], (99.5, 1)))) ** 2
    misfits = []
    for step in (-0.02, 0.0, 0.02):
        change = _seen(_scene(), _field(basis, step * direction)) - _scene()[20:-20, 20:-20]
        coarse = change.reshape(SHAPE[0] // level.scale, level.scale, -1, level.scale).mean((1, 3))
        misfits.append((coarse**2).sum() / variance / 2)
    curvature = (misfits[0] - 2 * misfits[1] + misfits[2]) / 0.02**2
    vector = direction[space.active]
    assert vector @ matrix @ vector == pytest.approx(curvature, rel=0.05)


@pytest.mark.parametrize("cubic", [False, True])
def test_one_step_finds_a_small_displacement(cubic: bool) -> None:
    basis, levels = _levels()
    level = levels[-1]
    active = np.stack([basis.order <= 4] * 2)
    space = ModeSpace(*level.block_waves, active)
    random = np.random.default_rng(2)
    true = random.normal(size=active.shape) * active * 0.04
    true[:, 0, 0] = 0.2, -0.15
    # frame(x + w(x)) = reference(x): the frame shows the scene where x came from
    field = _field(basis, true)
    inverse = -field
    for _ in range(20):
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        inverse = -np.stack(
            [map_coordinates(part, [y + inverse[1], x + inverse[0]], order=3, mode="nearest") for part in field]
        )
    frame = _seen(_scene(), inverse).astype(np.float32)[None, ..., None]
    still = np.zeros((1, *active.shape))
    sums = linearise(level, frame, still, np.array([[[1.0, 0.0]]]), cubic=cubic, threads=1)
    matrix = space.matrix(sums.blocks[0, 0, :3])
    step = np.linalg.solve(matrix, space.gather(sums.blocks[:, 0, 3:])[0])
    error = space.spread(step[None])[0] - true
    # a mode has a mean square of 1, so this is the mean square error of the field
    assert np.sqrt((error**2).sum()) < 0.03
    assert np.sqrt((true**2).sum()) > 0.3


def test_brightness_is_found_and_held_near_one() -> None:
    _, levels = _levels()
    image = levels[-1].planes[:, 0]
    still = np.zeros((2, 2, *levels[-1].basis.grid))
    frames = np.moveaxis(np.stack([1.2 * image + 30, 3.0 * image]), 1, -1)
    brightness = np.array([[[1.0, 0.0]]] * 2)
    for _ in range(3):
        sums = linearise(levels[-1], np.ascontiguousarray(frames), still, brightness, cubic=False, threads=2)
        brightness = next_brightness(sums.regression, np.ones(1))
    np.testing.assert_allclose(brightness[0, 0], [1.2, 30], rtol=0.03)
    assert brightness[1, 0, 0] == 2.0


def test_brightness_without_evidence_is_that_of_the_reference() -> None:
    np.testing.assert_array_equal(next_brightness(np.zeros((1, 2, 5)), np.ones(2)), [[[1, 0], [1, 0]]])


def test_levels_are_left_out_where_they_would_be_tiny() -> None:
    for size, scales in ((8, [1]), (16, [2, 1]), (31, [2, 1]), (32, [4, 2, 1])):
        image = np.random.default_rng(3).normal(size=(1, size, 40))
        line = (NoiseLine(0.0, 1.0, "frames"),)
        levels = build_levels(CosineBasis(size, 40), image, image < 99, line, (Gradient(0.5, 1.0, 0.1),))
        assert [level.scale for level in levels] == scales


def test_pixels_that_do_not_count_have_no_information() -> None:
    image = np.random.default_rng(4).normal(size=(1, 32, 32))
    valid = np.ones(image.shape, bool)
    valid[0, 10, 13] = False
    levels = build_levels(
        CosineBasis(32, 32), image, valid, (NoiseLine(0.0, 1.0, "frames"),), (Gradient(0.0, 1.0, 0.0),)
    )
    for level in levels:
        assert level.planes[0, 3, 10 // level.scale, 13 // level.scale] == 0
        assert np.count_nonzero(level.planes[0, 3] == 0) == 1
