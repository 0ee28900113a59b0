import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from galvo.motion.bayes.gradient import choose_from_halves, choose_from_image, differences, reference_noise_fraction
from galvo.motion.bayes.smoothing import bin_mean, gaussian


@pytest.mark.parametrize("sigma", [0.4, 0.7, 1.5, 8.0])
def test_gaussian_against_scipy(sigma: float) -> None:
    image = np.random.default_rng(0).normal(size=(21, 33))
    np.testing.assert_allclose(gaussian(image, sigma), gaussian_filter(image, sigma), atol=1e-12)


def test_box_means() -> None:
    image = np.arange(35.0).reshape(5, 7)
    np.testing.assert_array_equal(bin_mean(image, 2), [[4, 6, 8], [18, 20, 22]])


def test_differences_are_exact_for_polynomials_of_degree_four() -> None:
    y, x = np.mgrid[0:12, 0:15] / 10.0
    along_x, along_y = differences(x**4 - 2 * x * y**3 + y**2)
    np.testing.assert_allclose(along_x[:, 2:-2], ((4 * x**3 - 2 * y**3) / 10)[:, 2:-2], atol=1e-12)
    np.testing.assert_allclose(along_y[2:-2], ((-6 * x * y**2 + 2 * y) / 10)[2:-2], atol=1e-12)


def _scene() -> np.ndarray:
    image = gaussian_filter(np.random.default_rng(1).normal(size=(160, 160)), 1.8)
    return 100 + 40 * image / image.std()


def test_noise_free_gradient_is_hardly_smoothed() -> None:
    image = _scene()
    chosen = choose_from_image(image, np.ones_like(image), 0.0)
    assert chosen.sigma <= 0.4
    assert chosen.gamma == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize("deviation", [4.0, 15.0])
@pytest.mark.parametrize("way", ["halves", "count"])
def test_scale_is_that_of_the_true_gradient(deviation: float, way: str) -> None:
    clean = _scene()
    random = np.random.default_rng(2)
    first, second = (clean + deviation * np.sqrt(2) * random.normal(size=clean.shape) for _ in range(2))
    image = (first + second) / 2
    information = np.ones_like(clean)
    # the variance of a frame is 1 for this information
    chosen = (
        choose_from_halves((first, second), information)
        if way == "halves"
        else choose_from_image(image, information, deviation**2)
    )
    assert chosen.sigma >= 0.5
    true = np.stack(differences(clean))[:, 8:-8, 8:-8]
    taken = np.stack(differences(gaussian(image, chosen.sigma)))[:, 8:-8, 8:-8]
    assert chosen.gamma == pytest.approx((true * taken).sum() / (taken**2).sum(), rel=0.03)


def test_more_noise_more_smoothing() -> None:
    clean, random = _scene(), np.random.default_rng(3)
    sigmas = [
        choose_from_image(clean + d * random.normal(size=clean.shape), np.ones_like(clean), d**2).sigma
        for d in (1.0, 10.0, 40.0)
    ]
    assert sigmas == sorted(sigmas)
    assert sigmas[0] < sigmas[-1]


def test_noise_of_a_reference_from_its_finest_detail() -> None:
    random = np.random.default_rng(4)
    image = gaussian_filter(random.normal(size=(200, 200)), 3) * 50 + np.sqrt(0.1) * random.normal(size=(200, 200))
    assert reference_noise_fraction(image, np.ones_like(image)) == pytest.approx(0.1, rel=0.08)
