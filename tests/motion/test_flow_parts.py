"""Each part of the variational method against plain NumPy and Python, written from the equations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from galvo import native
from galvo.motion.expansion import GridExpansion
from galvo.motion.variational import motion_tensor, resample, solve_level
from galvo.motion.variational.engine import Preparation
from galvo.motion.variational.pyramid import depth, pyramid


def cubic(d, a=-0.75):
    d = np.abs(d)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    return np.where(d <= 1, near, np.where(d < 2, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a, 0))


def plain_resample(line, to, smoothing, early):
    """One line at another length, tap by tap."""
    count = len(line)
    sigma = 0.6 / smoothing if smoothing < 1 else 0
    radius = int(np.ceil(2 * sigma))
    g = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2) if radius else np.ones(1)
    g /= g.sum()
    out = np.empty(to)
    for i in range(to):
        c = (i + 0.5) * count / to - 0.5
        j = int(np.floor(c)) - (2 if early else 1) - radius + np.arange(2 * radius + 4)
        w = sum(g[r + radius] * cubic(c - j - r) for r in range(-radius, radius + 1))
        k = j % (2 * count)
        out[i] = (w * line[np.where(k < count, k, 2 * count - 1 - k)]).sum() / w.sum()
    return out


@pytest.mark.parametrize("early", [False, True])
@pytest.mark.parametrize("size", [(16, 20), (9, 40), (3, 2), (25, 31), (60, 33), (1, 1)])
def test_resampling(early, size):
    image = np.random.default_rng(0).random((25, 31))
    smoothing = min(size[0] / 25, size[1] / 31)
    half = np.stack([plain_resample(line, size[1], smoothing, early) for line in image])
    want = np.stack([plain_resample(line, size[0], smoothing, early) for line in half.T]).T
    np.testing.assert_allclose(resample(image, size, early_taps=early), want, atol=2e-6)


def test_resampling_keeps_what_it_must():
    image = np.random.default_rng(1).random((20, 27)).astype("f4")
    np.testing.assert_array_equal(resample(image, image.shape), image)
    np.testing.assert_allclose(resample(np.full((20, 27), 7.0), (9, 50)), 7, rtol=1e-6)


@given(st.integers(3, 40), st.integers(3, 40), st.integers(0, 2**31))
def test_median(rows, columns, seed):
    image = np.random.default_rng(seed).integers(0, 50, (rows, columns)).astype("f4")
    out = np.empty_like(image)
    native.flow_median(image, out)
    np.testing.assert_array_equal(out, ndimage.median_filter(image, 5, mode="mirror"))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i4", "f4", "f8"])
def test_preparation(dtype):
    frames = (np.random.default_rng(2).random((2, 30, 21, 2)) * 100).astype(dtype)
    prepared = Preparation((3.0, 5.0), (0.25, 2.0), 1.3, 0.7)(frames, threads=1)
    for c, (offset, scale) in enumerate([(3, 0.25), (5, 2)]):
        for t in range(2):
            want = ndimage.gaussian_filter((frames[t, ..., c].astype(float) - offset) * scale, (1.3, 0.7))
            np.testing.assert_allclose(prepared[t, c], want, rtol=2e-6, atol=2e-4)


def ringed(image):
    """The interior of an image, replicated outwards by one pixel."""
    return np.pad(image[1:-1, 1:-1], 1, mode="edge")


def plain_tensor(fixed, moving, hy, hx, term):
    """Motion tensors by np.gradient on padded images, float64."""
    p1, p2 = np.pad(fixed, 1, mode="symmetric"), np.pad(moving, 1, mode="symmetric")

    def squares(*rows):
        parts = [sum(q[i] * q[j] for q in rows) for i, j in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]]
        return np.stack([np.pad(part[1:-1, 1:-1], 1) for part in parts])

    def brightness(a, b):
        dx = (np.gradient(a, hx, axis=1) + np.gradient(b, hx, axis=1)) / 2
        dy = (np.gradient(a, hy, axis=0) + np.gradient(b, hy, axis=0)) / 2
        return squares((ringed(dx), ringed(dy), ringed(b - a)))

    if term == "brightness":
        return brightness(p1, p2)
    if term == "gradient":
        fx = ringed((np.gradient(p1, hx, axis=1) + np.gradient(p2, hx, axis=1)) / 2)
        ft = ringed(p2 - p1)
        fxy, fxt, fyt = np.gradient(fx, hy, axis=0), np.gradient(ft, hx, axis=1), np.gradient(ft, hy, axis=0)
        mean = (p1 + p2) / 2
        fxx, fyy = np.zeros_like(mean), np.zeros_like(mean)
        fxx[:, 1:-1] = (mean[:, 2:] - 2 * mean[:, 1:-1] + mean[:, :-2]) / hx**2
        fyy[1:-1] = (mean[2:] - 2 * mean[1:-1] + mean[:-2]) / hy**2
        tx, ty = 1 / np.sqrt(fxx**2 + fxy**2 + 1e-6), 1 / np.sqrt(fxy**2 + fyy**2 + 1e-6)
        return squares((tx * fxx, tx * fxy, tx * fxt), (ty * fxy, ty * fyy, ty * fyt))
    total = 0
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                signatures = []
                for p in (p1, p2):
                    there = np.roll(p, (-dy, -dx), (0, 1))[1:-1, 1:-1]
                    r = (there - p[1:-1, 1:-1]) / np.hypot(dy * hy, dx * hx)
                    s = (1 + r / np.sqrt(r**2 + (0.1 / 255) ** 2)) / 2
                    signatures.append(np.pad(s, 1, mode="edge"))
                total = total + brightness(*signatures) / 4
    return total


@pytest.mark.parametrize("term", ["gradient", "brightness", "census"])
@pytest.mark.parametrize("shape", [(2, 3), (17, 24), (31, 9)])
def test_tensor(term, shape):
    rng = np.random.default_rng(3)
    fixed, moving = (ndimage.gaussian_filter(rng.random(shape), 1.0) for _ in range(2))
    want = plain_tensor(fixed, moving, 1.25, 1.5, term)
    got = motion_tensor(fixed, moving, spacing=(1.25, 1.5), data_term=term)
    scale = np.abs(want).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / scale, want / scale, atol=1e-4)


def plain_solve(j, m, w, alpha, iterations, lag, a_data, a_smooth, spacing, omega, beta):
    """Over-relaxation pixel by pixel, columns first; j (C, 6, m, n), m (C, m, n), w (m, n, 2)."""
    hy, hx = spacing
    rows, columns = w.shape[:2]
    d = np.zeros_like(w)
    psi, psi_s = np.ones_like(m), np.ones((rows, columns))
    bx, by = alpha[0] / hx**2, alpha[1] / hy**2
    for it in range(iterations):
        if (it + 1) % lag == 0:
            u, v = d[..., 0], d[..., 1]
            for k, a in enumerate(a_data):
                j11, j22, j33, j12, j13, j23 = j[k]
                s2 = j11 * u * u + j22 * v * v + j33 + 2 * (j12 * u * v + j13 * u + j23 * v)
                psi[k] = (1 - beta) + beta * a * (np.maximum(s2, 0) + 1e-5) ** (a - 1) if a < 1 else 1
            if a_smooth < 1:
                gradients = [np.gradient((w + d)[..., k], hy, hx) for k in range(2)]
                s2 = sum(g**2 for pair in gradients for g in pair)
                psi_s = (1 - beta) + beta * a_smooth * (s2 + 1e-5) ** (a_smooth - 1)
        d[0], d[-1] = d[1], d[-2]
        d[:, 0], d[:, -1] = d[:, 1], d[:, -2]
        for x in range(1, columns - 1):
            for y in range(1, rows - 1):
                near = [(y, x - 1, bx), (y, x + 1, bx), (y - 1, x, by), (y + 1, x, by)]
                b = [(psi_s[y, x] + psi_s[i, k]) / 2 * factor for i, k, factor in near]
                f = [m[k, y, x] * psi[k, y, x] for k in range(len(m))]
                for c, (own, mixed_with_t) in enumerate([(0, 4), (1, 5)]):
                    top = sum(q * (w[i, k, c] + d[i, k, c] - w[y, x, c]) for q, (i, k, _) in zip(b, near, strict=True))
                    top -= sum(q * (j[k, mixed_with_t, y, x] + j[k, 3, y, x] * d[y, x, 1 - c]) for k, q in enumerate(f))
                    bottom = sum(b) + sum(q * j[k, own, y, x] for k, q in enumerate(f))
                    d[y, x, c] = (1 - omega) * d[y, x, c] + omega * top / bottom
    return d[1:-1, 1:-1]


@pytest.mark.parametrize(
    ("shape", "channels", "a_smooth", "lag", "iterations", "beta"),
    [
        ((9, 12), 2, 1.0, 5, 12, 1.0),
        ((14, 7), 1, 0.6, 3, 11, 1.0),
        ((5, 21), 3, 0.5, 1, 4, 0.4),
        ((20, 4), 1, 1.0, 7, 5, 1.0),
        ((3, 3), 1, 0.5, 2, 5, 1.0),
        ((11, 11), 2, 1.0, 2, 6, 0.0),
    ],
)
def test_level_solver(shape, channels, a_smooth, lag, iterations, beta):
    rng = np.random.default_rng(4)
    rows, columns = shape[0] + 2, shape[1] + 2
    q = rng.normal(0, 1, (channels, 2, 3, rows, columns))
    q[..., 0, :] = q[..., -1, :] = q[..., 0] = q[..., -1] = 0
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    tensors = np.stack([(q[:, :, i] * q[:, :, j]).sum(1) for i, j in pairs], axis=1)
    weights = rng.random((channels, rows, columns))
    field = ndimage.gaussian_filter(rng.normal(0, 4, (rows, columns, 2)), (2, 2, 0))
    a_data = [0.45, 1.0, 0.8][:channels]
    want = plain_solve(tensors, weights, field, (2.0, 3.0), iterations, lag, a_data, a_smooth, (1.25, 1.5), 1.9, beta)
    got = solve_level(
        tensors,
        weights,
        field,
        alpha=(2.0, 3.0),
        iterations=iterations,
        update_lag=lag,
        a_data=a_data,
        a_smooth=a_smooth,
        spacing=(1.25, 1.5),
        relaxation=1.9,
        robustness=beta,
    )
    np.testing.assert_allclose(got, want, atol=2e-5 * max(1, np.abs(want).max()))


def test_expansion():
    rng = np.random.default_rng(5)
    fields = rng.normal(0, 1, (2, 6, 9, 2)).astype("f4")
    got = GridExpansion(20, 31, 6, 9).expand(fields, threads=1)
    for c in range(2):
        for t in range(2):
            want = fields[t, ..., c].astype(float)
            for axis, to in [(1, 31), (0, 20)]:
                count = want.shape[axis]
                centre = (np.arange(to) + 0.5) * count / to - 0.5
                taps = np.floor(centre).astype(int)[:, None] + np.arange(-1, 3)
                weight = cubic(centre[:, None] - taps)
                moved = np.moveaxis(want, axis, 0)[np.clip(taps, 0, count - 1)]
                want = np.moveaxis((weight[..., None] * moved).sum(1), 0, axis)
            np.testing.assert_allclose(got[t, ..., c], want, atol=3e-6)
    assert GridExpansion(6, 9, 6, 9).expand(fields) is fields
    shift = np.array([1.25, -3.5], "f4").reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(GridExpansion(4, 5, 1, 1).expand(shift), np.broadcast_to(shift, (1, 4, 5, 2)))


def test_pyramid():
    for size, eta, levels, want in [(16, 0.8, 100, 3), (512, 0.5, 100, 6), (9, 0.8, 100, 1), (512, 0.8, 4, 4)]:
        assert depth(size, eta, levels) == want
    full = pyramid(512, 512, eta=0.8, levels=100, min_level=4, alpha=(2.0, 3.0))
    assert [(level.rows, level.columns) for level in (full[0], full[-1])] == [(9, 9), (210, 210)]
    assert len(full) == 15
    assert (full[-1].alpha_x, full[-1].alpha_y) == (2.0, 3.0)
    np.testing.assert_allclose(full[-2].alpha_y, 3 * 0.8**-2.5)
    lean = pyramid(512, 512, eta=0.8, levels=100, min_level=4, alpha=(2.0, 3.0), step=3)
    assert [level.rows for level in lean] == [14, 28, 55, 107, 210]
    long = pyramid(16, 4000, eta=0.8, levels=100, min_level=0, alpha=(1.0, 1.0))
    assert len(long) == 13
    assert long[0].rows == 8
    assert len(pyramid(16, 16, eta=0.8, levels=100, min_level=6, alpha=(1.0, 1.0))) == 2


def test_depths_of_the_original(golden):
    for key in [key for key in golden if key.startswith("depth_")]:
        assert [depth(int(key[6:]), eta, 100) for eta in (0.8, 0.5)] == golden[key].tolist()


def test_resampling_of_the_original(golden):
    sizes = [tuple(map(int, key[7:].split("x"))) for key in golden if key.startswith("resize_")]
    assert len(sizes) == 6
    for size in sizes:
        for c in range(2):
            got = resample(golden["fixed"][..., c], size, early_taps=True)
            np.testing.assert_allclose(got, golden[f"resize_{size[0]}x{size[1]}"][..., c], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("term", "name"), [("gradient", "gc"), ("brightness", "gray"), ("census", "cs")])
def test_tensors_of_the_original(golden, term, name):
    want = np.moveaxis(golden[f"tensor_{name}"], 2, 0)
    got = motion_tensor(golden["fixed"][..., 0], golden["moving"][..., 0], spacing=(1.25, 1.5), data_term=term)
    scale = np.abs(want).max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(got / scale, want / scale, atol=1e-4)


@pytest.mark.parametrize("a_smooth", [1.0, 0.5])
@pytest.mark.parametrize("iterations", [1, 5, 50])
def test_solver_of_the_original(golden, a_smooth, iterations):
    tensor = motion_tensor(golden["fixed"][..., 0], golden["moving"][..., 0])
    weights = np.pad(np.ones(np.subtract(tensor.shape[1:], 2)), 1)
    got = solve_level(
        tensor[np.newaxis],
        weights[np.newaxis],
        np.zeros((*weights.shape, 2)),
        alpha=(2.0, 3.0),
        iterations=iterations,
        update_lag=5,
        a_data=[0.45],
        a_smooth=a_smooth,
        spacing=(1.25, 1.5),
    )
    difference = np.abs(got - golden[f"solve_as{a_smooth}_it{iterations}"][1:-1, 1:-1])
    assert difference.mean() < 1e-4
    assert difference.max() < 5e-2
