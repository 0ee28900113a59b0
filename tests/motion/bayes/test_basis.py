import numpy as np
import pytest
from scipy.fft import idctn

from galvo.errors import OptionError
from galvo.motion.bayes.bands import EDGES, Bands, non_increasing
from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.expansion import CosineExpansion


@pytest.mark.parametrize("shape", [(64, 64), (40, 96), (33, 57)])
def test_modes_are_orthonormal_over_the_padded_image(shape: tuple[int, int]) -> None:
    basis = CosineBasis(*shape)
    places = [np.arange(-basis.padding, size + basis.padding) for size in shape]
    for waves in (basis.along_y(places[0]), basis.along_x(places[1])):
        np.testing.assert_allclose(waves.T @ waves / len(waves), np.eye(waves.shape[1]), atol=1e-12)


def test_expansion_is_an_inverse_cosine_transform_of_scipy() -> None:
    basis = CosineBasis(96, 128)
    expansion = CosineExpansion(96, 128, *basis.grid, basis.padding)
    fields = np.random.default_rng(0).normal(size=(2, *expansion.solver_shape, 2)).astype(np.float32)
    whole = np.zeros((2, *basis.lengths, 2))
    whole[:, : basis.grid[0], : basis.grid[1]] = fields
    dense = idctn(whole, axes=(1, 2), norm="ortho") * np.sqrt(np.prod(basis.lengths))
    inner = dense[:, basis.padding : basis.padding + 96, basis.padding : basis.padding + 128]
    np.testing.assert_allclose(expansion.expand(fields), inner, atol=2e-5)


def test_constant_is_a_shift_by_one_pixel() -> None:
    expansion = CosineExpansion(30, 40, 2, 3, 5)
    fields = np.stack([expansion.constant, -2 * expansion.constant], -1)[None]
    np.testing.assert_array_equal(expansion.expand(fields), np.broadcast_to([1.0, -2.0], (1, 30, 40, 2)))


def test_expansion_refuses_other_fields() -> None:
    with pytest.raises(OptionError, match="fields"):
        CosineExpansion(30, 40, 2, 3, 5).expand(np.zeros((1, 3, 2, 2), np.float32))


@pytest.mark.parametrize("shape", [(256, 256), (512, 512), (512, 32), (16, 16), (8, 9)])
def test_bands(shape: tuple[int, int]) -> None:
    basis = CosineBasis(*shape)
    bands = Bands.of(basis)
    assert bands.rigid.sum() == 2
    assert bands.rigid[:, 0, 0].all()
    assert basis.kept[0, 0]
    elastic = ~bands.rigid
    lower = np.array((0.0, *EDGES))[bands.shell]
    assert (np.stack([basis.order] * 2)[elastic & (bands.shell > 1)] >= lower[elastic & (bands.shell > 1)]).all()
    rows = bands.group > 0
    assert not rows[:, :, 1:].any()
    assert rows[:, 1:, 0].all()
    assert set(bands.group[0].ravel()) <= {0, 1}
    assert set(bands.group[1].ravel()) <= {0, 2}


def test_finest_wave_is_not_below_28_pixels() -> None:
    for size in (64, 256, 512):
        basis = CosineBasis(size, size)
        assert basis.frequency[basis.kept].max() <= 1 / 14
        assert max(basis.grid) <= 20


@pytest.mark.parametrize("seed", range(5))
def test_monotone_regression_against_scipy(seed: int) -> None:
    from scipy.optimize import isotonic_regression

    random = np.random.default_rng(seed)
    values, weights = random.normal(size=12), random.uniform(0.1, 3, 12)
    expected = isotonic_regression(values, weights=weights, increasing=False).x
    np.testing.assert_allclose(non_increasing(values, weights), expected, atol=1e-12)
