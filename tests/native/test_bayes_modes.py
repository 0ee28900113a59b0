"""Separable modes and the equations between them against float64 NumPy."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galvo import native

Array = NDArray[Any]


def cosines(positions: Array, size: int, count: int) -> NDArray[np.float32]:
    phases = np.outer((positions + 0.5 + size / 8) / (size * 1.25), np.arange(count))
    return (np.cos(np.pi * phases) * np.where(np.arange(count) > 0, np.sqrt(2), 1)).astype(np.float32)


@pytest.mark.parametrize("shape", [(5, 7, 3, 4), (33, 41, 1, 1), (64, 64, 20, 20), (130, 65, 9, 17), (1, 1, 2, 3)])
def test_fields_and_products(shape: tuple[int, int, int, int]) -> None:
    height, width, ky, kx = shape
    rng = np.random.default_rng(0)
    rows, columns = cosines(np.arange(height), height, ky), cosines(np.arange(width), width, kx)
    coefficients = rng.normal(0, 1, (3, 2, ky, kx)).astype(np.float32)
    field = native.bayes_synthesize(coefficients, rows, columns, 2)
    wide = [matrix.astype(np.float64) for matrix in (rows, columns)]
    want = np.einsum("yk,tckl,xl->tyxc", wide[0], coefficients.astype(np.float64), wide[1])
    np.testing.assert_allclose(field, want, rtol=1e-5, atol=1e-5 * ky * kx)
    fields = rng.normal(0, 1, (3, 5, height, width)).astype(np.float32)
    products = native.bayes_analyze(fields, rows, columns, 2)
    want = np.einsum("yk,tcyx,xl->tckl", wide[0], fields.astype(np.float64), wide[1])
    np.testing.assert_allclose(products, want, rtol=1e-5, atol=1e-5 * np.sqrt(height * width) * 4)
    for threads in (1, 3):
        np.testing.assert_array_equal(native.bayes_synthesize(coefficients, rows, columns, threads), field)
        np.testing.assert_array_equal(native.bayes_analyze(fields, rows, columns, threads), products)


def problem(count: int = 3, share: float = 0.3) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    rows, columns = cosines(np.arange(9) * 8 + 3.5, 72, 6), cosines(np.arange(11) * 8 + 3.5, 88, 7)
    root = rng.normal(0, 1, (count, 2, 2, 9, 11))
    full = np.einsum("tijyx,tkjyx->tikyx", root, root) * 20
    information = np.stack([full[:, 0, 0], full[:, 0, 1], full[:, 1, 1]], 1).astype(np.float32)
    active = np.sort(rng.choice(2 * 6 * 7, int(2 * 6 * 7 * share), replace=False)).astype(np.int64)
    precision = rng.uniform(1e-6, 100, (1, active.size)).astype(np.float32)
    gradient = rng.normal(0, 100, (count, active.size)).astype(np.float32)
    return {
        "information": information,
        "gradient": gradient,
        "rows": rows,
        "columns": columns,
        "active": active,
        "precision": precision,
    }


def matrices(given: dict[str, Array]) -> Array:
    modes = np.einsum("yk,xl->klyx", given["rows"].astype(float), given["columns"].astype(float)).reshape(42, -1)
    j = given["information"].astype(float).reshape(len(given["information"]), 3, -1)
    blocks = [[(modes * j[:, k, None]) @ modes.T for k in pair] for pair in ((0, 1), (1, 2))]
    dense = np.block([[blocks[0][0], blocks[0][1]], [blocks[1][0], blocks[1][1]]])
    dense = dense[:, given["active"]][:, :, given["active"]]
    return dense + np.einsum("pn,nm->pnm", given["precision"].astype(float), np.eye(given["active"].size))


def test_solution_of_the_normal_equations() -> None:
    given = problem()
    dense = matrices(given)
    nominal = np.linalg.inv(dense.mean(0)).astype(np.float32)
    want = np.linalg.solve(dense, given["gradient"].astype(float)[:, :, None])[:, :, 0]
    got, steps = native.bayes_solve(**given, preconditioner=nominal, tolerance=1e-6, step_limit=60)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())
    assert ((steps > 1) & (steps < 60)).all()
    again, _ = native.bayes_solve(**given, preconditioner=nominal, tolerance=1e-6, step_limit=60, threads=3)
    np.testing.assert_array_equal(again, got)


def test_the_right_preconditioner_needs_one_step() -> None:
    given = problem(count=1)
    nominal = np.linalg.inv(matrices(given)[0]).astype(np.float32)
    loose, steps = native.bayes_solve(**given, preconditioner=nominal, tolerance=1e-3)
    assert steps.tolist() == [1]
    want = np.linalg.solve(matrices(given)[0], given["gradient"][0].astype(float))
    np.testing.assert_allclose(loose[0], want, atol=1e-3)


def test_no_gradient_no_step() -> None:
    given = problem()
    given["gradient"][:] = 0
    given["information"][:] = 0
    got, steps = native.bayes_solve(**given, preconditioner=np.eye(given["active"].size, dtype=np.float32))
    assert not got.any()
    assert not steps.any()


def test_wrong_arguments() -> None:
    given = problem()
    size = given["active"].size
    with pytest.raises(ValueError, match=rf"^preconditioner has shape \(3, 3\), expected \({size}, {size}\)$"):
        native.bayes_solve(**given, preconditioner=np.eye(3, dtype=np.float32))
    given["active"][0] = 84
    with pytest.raises(ValueError, match=r"^an active mode is not one of the coefficients$"):
        native.bayes_solve(**given, preconditioner=np.eye(size, dtype=np.float32))
