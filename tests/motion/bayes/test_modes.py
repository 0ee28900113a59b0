import numpy as np

from galvo.motion.bayes.basis import CosineBasis
from galvo.motion.bayes.modes import ModeSpace
from galvo.motion.bayes.prior import posterior


def _space() -> tuple[ModeSpace, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    basis = CosineBasis(72, 96)
    rows, columns = basis.along_y(np.arange(9) * 8 + 3.5), basis.along_x(np.arange(12) * 8 + 3.5)
    active = random.random((2, *basis.grid)) < 0.6
    active[:, 0, 0] = True
    factor = random.normal(size=(2, 9, 12, 2, 3))
    tensor = factor @ np.swapaxes(factor, -1, -2) * 5
    information = np.stack([tensor[..., 0, 0], tensor[..., 0, 1], tensor[..., 1, 1]], 1)
    return ModeSpace(rows, columns, active), information, tensor


def _dense(space: ModeSpace, tensor: np.ndarray) -> np.ndarray:
    """Phi^T J Phi with all modes of a block written out."""
    modes = np.einsum("yk,xl->yxkl", space.rows, space.columns)
    phi = np.zeros((9, 12, 2, *space.active.shape))
    phi[:, :, 0, 0] = modes
    phi[:, :, 1, 1] = modes
    phi = phi[:, :, :, space.active]
    return np.einsum("yxin,yxij,yxjm->nm", phi, tensor, phi)


def test_matrix_product_and_diagonal_against_the_dense_matrix() -> None:
    space, information, tensor = _space()
    vectors = np.random.default_rng(1).normal(size=(2, space.size))
    products = space.product(information, vectors)
    for t in range(2):
        dense = _dense(space, tensor[t])
        np.testing.assert_allclose(space.matrix(information[t]), dense, atol=1e-9)
        np.testing.assert_allclose(products[t], dense @ vectors[t], atol=1e-9)
        np.testing.assert_allclose(space.diagonal(information[t])[space.active], np.diag(dense), atol=1e-9)


def test_solution_against_a_direct_one() -> None:
    space, information, tensor = _space()
    random = np.random.default_rng(2)
    variance = 10.0 ** random.uniform(-3, 1, (2, space.size))
    right = random.normal(size=(2, space.size)) * 20
    nominal = posterior(space.matrix(information.mean(axis=0)), variance[0]).covariance
    found = space.solve(information, 1 / variance, right, nominal, 2)
    for t in range(2):
        expected = np.linalg.solve(_dense(space, tensor[t]) + np.diag(1 / variance[t]), right[t])
        np.testing.assert_allclose(found[t], expected, atol=2e-3 * np.abs(expected).max())


def test_posterior_is_the_inverse() -> None:
    space, information, _ = _space()
    matrix = space.matrix(information[0])
    variance = np.where(np.arange(space.size) == 0, 1e6, 10.0 ** np.random.default_rng(3).uniform(-6, 0, space.size))
    found = posterior(matrix, variance)
    np.testing.assert_allclose(found.covariance @ (matrix + np.diag(1 / variance)), np.eye(space.size), atol=1e-6)
    np.testing.assert_allclose(found.determined, 1 - np.diag(found.covariance) / variance, atol=1e-6)
