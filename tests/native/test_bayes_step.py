"""The image pass of the Bayesian estimator against float64 NumPy written from its equations."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from galvo import native

Array = NDArray[Any]
DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]


def scene(height: int, width: int, channels: int, seed: int = 0) -> Array:
    """A smooth image (Y, X, C) of a few hundred counts."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width][:, :, :, None] / 7.0
    phase = rng.uniform(0, 6, (4, channels))
    waves = np.sin(x + phase[0]) + np.sin(y * 1.3 + phase[1]) + np.sin(0.4 * (x + y) + phase[2]) * np.cos(x - y)
    return 200 + 40 * waves


def frames_of(count: int, height: int, width: int, channels: int, dtype: str, seed: int = 1) -> Array:
    rng = np.random.default_rng(seed)
    image = scene(height, width, channels)
    frames = np.stack([rng.poisson(image) for _ in range(count)]).astype(np.float64)
    kind = np.dtype(dtype)
    if kind.kind != "f" and kind.itemsize == 1:
        frames = np.clip((frames - 200) / 3 + (0 if kind.kind == "i" else 128), *np.array(np.iinfo(kind).max) * [0, 1])
    return frames.astype(dtype)


def binned(image: Array, factor: int) -> Array:
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return image[: height * factor, : width * factor].reshape(height, factor, width, factor).mean((1, 3))


def planes_of(height: int, width: int, channels: int, factor: int, seed: int = 2) -> Array:
    rng = np.random.default_rng(seed)
    image = scene(height, width, channels)
    planes = []
    for channel in range(channels):
        value = binned(image[:, :, channel], factor)
        gradient_y, gradient_x = np.gradient(value)
        planes.append(np.stack([value, gradient_x / factor, gradient_y / factor, factor**2 / value]))
        planes[-1][3] *= rng.uniform(0.5, 1.5, value.shape)
        planes[-1][3][rng.random(value.shape) < 0.02] = 0
    return np.array(planes, np.float32)


def nodes_of(count: int, height: int, width: int, size: float, seed: int = 3) -> Array:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: (height - 1) // 8 + 2, : (width - 1) // 8 + 2] / 4.0
    phase = rng.uniform(0, 6, (count, 2, 2, 1, 1))
    fields = np.sin(x + phase[:, :, 0]) * np.cos(y + phase[:, :, 1]) * size + rng.normal(0, size, (count, 2, 1, 1))
    return np.ascontiguousarray(np.moveaxis(fields, 1, -1), np.float32)


def at(nodes: Array, y: Array, x: Array) -> Array:
    """Bilinear between nodes (Ny, Nx, 2) at full-resolution positions."""
    row, column = (y // 8).astype(int), (x // 8).astype(int)
    ty, tx = (y / 8 - row)[:, None, None], (x / 8 - column)[None, :, None]
    nodes = nodes.astype(np.float64)
    upper = nodes[row][:, column] * (1 - tx) + nodes[row][:, column + 1] * tx
    lower = nodes[row + 1][:, column] * (1 - tx) + nodes[row + 1][:, column + 1] * tx
    return upper * (1 - ty) + lower * ty


def keys(t: Array) -> Array:
    t = np.abs(t)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, near, np.where(t < 2, far, 0))


def sampled(image: Array, y: Array, x: Array, cubic: bool) -> Array:
    height, width = image.shape
    inside = (x >= 0.5) & (x <= width - 1.5) & (y >= 0.5) & (y <= height - 1.5)
    x, y = np.where(inside, x, 0), np.where(inside, y, 0)
    row, column = np.floor(y).astype(int), np.floor(x).astype(int)
    total = np.zeros(x.shape)
    for j in range(-1, 3):
        for i in range(-1, 3):
            tap_y, tap_x = np.clip(row + j, 0, height - 1), np.clip(column + i, 0, width - 1)
            kernel = keys if cubic else lambda t: np.maximum(1 - np.abs(t), 0)
            weight = kernel(y - row - j) * kernel(x - column - i)
            total += np.where(weight == 0, 0, weight * image[tap_y, tap_x])
    return np.where(inside, total, np.nan)


def box_sum(image: Array, box: int) -> Array:
    padded = np.pad(image, box // 2, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (box, box))
    return windows.sum((2, 3))


def block_sum(image: Array, factor: int, height: int, width: int) -> Array:
    size = 8 // factor
    rows, columns = (height + 7) // 8, (width + 7) // 8
    padded = np.zeros((rows * size, columns * size))
    padded[: image.shape[0], : image.shape[1]] = image
    return padded.reshape(rows, size, columns, size).sum((1, 3))


def expected(
    frame: Array, factor: int, planes: Array, nodes: Array, alpha: float, beta: float, box: int, power: int, cubic: bool
) -> tuple[Array, float, Array]:
    """One frame (Y, X) of one channel."""
    height, width = frame.shape
    image = binned(frame.astype(np.float64), factor)
    value, gradient_x, gradient_y, inverse = planes.astype(np.float64)
    y, x = np.arange(image.shape[0]), np.arange(image.shape[1])
    field = at(nodes, y * factor + (factor - 1) / 2, x * factor + (factor - 1) / 2) / factor
    warped = sampled(image, y[:, None] + field[:, :, 1], x[None] + field[:, :, 0], cubic)
    known = np.isfinite(warped)
    warped = np.where(known, warped, 0)
    e = np.where(known, warped - alpha * value - beta, 0)
    q = box_sum(e**2 * inverse, box)
    chosen = np.sort(q[::3, ::3][(known & (inverse > 0))[::3, ::3]])
    at_quantile = chosen[min(int(0.7 * chosen.size), chosen.size - 1)] if chosen.size else 0.0
    omega = np.where(known, inverse / np.maximum(1, q / max(at_quantile, 1e-12)) ** power, 0)
    terms = [
        omega * gradient_x * gradient_x,
        omega * gradient_x * gradient_y,
        omega * gradient_y * gradient_y,
        -omega * gradient_x * e,
        -omega * gradient_y * e,
    ]
    sums = np.array([block_sum(term, factor, height, width) for term in terms])
    regression = [omega, omega * value, omega * value**2, omega * warped, omega * value * warped]
    return sums, at_quantile / box**2, np.array([term.sum() for term in regression])


def compare(
    frames: Array, factor: int, size: float, box: int, power: int, cubic: bool, threads: int = 1
) -> tuple[Array, Array, Array]:
    count, height, width, channels = frames.shape
    planes = planes_of(height, width, channels, factor)
    nodes = nodes_of(count, height, width, size)
    brightness = np.random.default_rng(4).normal([1, 3], [0.02, 2], (count, channels, 2)).astype(np.float32)
    got = native.bayes_normal_equations(frames, factor, planes, nodes, brightness, box, power, cubic, threads)
    sums, quantiles, regression = got
    assert sums.shape == (count, channels, 5, (height + 7) // 8, (width + 7) // 8)
    for t in range(count):
        for channel in range(channels):
            alpha, beta = brightness[t, channel].astype(float)
            want = expected(frames[t, :, :, channel], factor, planes[channel], nodes[t], alpha, beta, box, power, cubic)
            for k in range(5):
                scale = np.abs(want[0][k]).max()
                np.testing.assert_allclose(sums[t, channel, k], want[0][k], rtol=2e-4, atol=3e-5 * scale)
            assert quantiles[t, channel] == pytest.approx(want[1], rel=1e-4)
            np.testing.assert_allclose(regression[t, channel], want[2], rtol=1e-5)
    return got


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("factor", [1, 2, 4])
def test_binning(dtype: str, factor: int) -> None:
    frames = frames_of(3, 33, 530, 2, dtype)
    got = native.bayes_bin(frames, factor, 2)
    for t in range(3):
        for channel in range(2):
            want = binned(frames[t, :, :, channel].astype(np.float64), factor)
            np.testing.assert_allclose(got[t, channel], want, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype(dtype: str) -> None:
    compare(frames_of(2, 40, 48, 1, dtype), 1, 1.0, 7, 2, False)


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (64, 40), (45, 98), (71, 35)])
@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("cubic", [False, True])
def test_odd_sizes_and_channels(shape: tuple[int, int], factor: int, cubic: bool) -> None:
    box, power = (7, 2) if factor == 1 else (3, 1)
    compare(frames_of(2, *shape, 2, "u2"), factor, 1.5, box, power, cubic)


@pytest.mark.parametrize("size", [0.0, 0.3, 6.0, 40.0])
@pytest.mark.parametrize("cubic", [False, True])
def test_small_and_huge_displacements(size: float, cubic: bool) -> None:
    """Above 6 pixels neighbours of one row land in different rows; beyond 40 most leave the frame."""
    for factor in (1, 4):
        compare(frames_of(2, 64, 72, 1, "u2"), factor, size, 7, 2, cubic)


@pytest.mark.parametrize(("box", "power"), [(1, 1), (3, 2), (5, 2), (7, 1), (15, 2)])
def test_boxes_and_powers(box: int, power: int) -> None:
    compare(frames_of(1, 50, 61, 1, "i2"), 1, 1.0, box, power, False)


def test_pixels_that_are_no_numbers_have_no_weight() -> None:
    frames = frames_of(1, 48, 48, 1, "f4")
    frames[0, 10:20, 12:30] = np.nan
    frames[0, 40, 40] = np.inf
    planes, nodes = planes_of(48, 48, 1, 1), np.zeros((1, 7, 7, 2), np.float32)
    brightness = np.array([[[1, 0]]], np.float32)
    sums, quantiles, regression = native.bayes_normal_equations(frames, 1, planes, nodes, brightness)
    assert np.isfinite(sums).all()
    assert np.isfinite(quantiles).all()
    assert np.isfinite(regression).all()
    assert (sums[0, 0, :, 2, 2] == 0).sum() == 0  # partly covered
    full = native.bayes_normal_equations(frames_of(1, 48, 48, 1, "f4"), 1, planes, nodes, brightness)[0]
    assert (sums[0, 0, 0, 1:3, 1:4] < full[0, 0, 0, 1:3, 1:4]).all()
    frames[:] = np.nan
    for result in native.bayes_normal_equations(frames, 1, planes, nodes, brightness):
        assert not result.any()


def test_broken_nodes_have_no_weight() -> None:
    nodes = nodes_of(1, 48, 48, 0.5)
    nodes[0, 2, 3] = np.nan
    nodes[0, 5, 5] = np.inf
    nodes[0, 3, 6] = -3e38
    nodes[0, 4, 6] = 3e38
    brightness = np.array([[[1, 0]]], np.float32)
    for factor in (1, 2, 4):
        got = native.bayes_normal_equations(
            frames_of(1, 48, 48, 1, "u2"), factor, planes_of(48, 48, 1, factor), nodes, brightness
        )
        assert all(np.isfinite(result).all() for result in got)
        assert got[0][0, 0, 0, 0, 0] > 0


@pytest.mark.parametrize("value", [0, 7, 65535])
def test_constant_frames_carry_no_information(value: int) -> None:
    frames = np.full((2, 40, 56, 1), value, np.uint16)
    frames[1] = frames_of(1, 40, 56, 1, "u2")[0]
    nodes, brightness = nodes_of(2, 40, 56, 0.5), np.tile(np.float32([1, 0]), (2, 1, 1))
    sums, quantiles, regression = native.bayes_normal_equations(frames, 1, planes_of(40, 56, 1, 1), nodes, brightness)
    assert not sums[0].any()
    assert not quantiles[0].any()
    assert not regression[0].any()
    assert (sums[1, 0, 0] > 0).all()


def test_bit_equal_on_any_number_of_threads_and_in_any_batch() -> None:
    frames = frames_of(7, 96, 130, 2, "u2")
    planes, nodes = planes_of(96, 130, 2, 1), nodes_of(7, 96, 130, 1.0)
    brightness = np.tile(np.float32([1, 0]), (7, 2, 1))
    first = native.bayes_normal_equations(frames, 1, planes, nodes, brightness, threads=1)
    for threads in (2, 3, 8):
        again = native.bayes_normal_equations(frames, 1, planes, nodes, brightness, threads=threads)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a, b)
    single = native.bayes_normal_equations(frames[4:5], 1, planes, nodes[4:5], brightness[4:5])
    for a, b in zip(first, single, strict=True):
        np.testing.assert_array_equal(a[4:5], b)


SCRIPT = """
import hashlib, sys
import numpy as np
from galvo import native
rng = np.random.default_rng(0)
digest = hashlib.sha256()
for factor, cubic in ((1, False), (1, True), (2, False), (4, True)):
    frames = rng.poisson(100, (2, 61, 83, 2)).astype(np.uint16)
    planes = rng.normal(50, 9, (2, 4, 61 // factor, 83 // factor)).astype(np.float32)
    nodes = rng.normal(0, 1, (2, 9, 12, 2)).astype(np.float32)
    brightness = np.tile(np.float32([1, 50]), (2, 2, 1))
    for result in native.bayes_normal_equations(frames, factor, planes, nodes, brightness, 7, 2, cubic):
        digest.update(result.tobytes())
rows, columns = rng.normal(0, 1, (61, 7)).astype(np.float32), rng.normal(0, 1, (83, 9)).astype(np.float32)
field = native.bayes_synthesize(rng.normal(0, 1, (2, 2, 7, 9)).astype(np.float32), rows, columns)
digest.update(field.tobytes())
digest.update(native.bayes_analyze(np.ascontiguousarray(np.moveaxis(field, 3, 1)), rows, columns).tobytes())
print(native.isa(), digest.hexdigest())
"""


def test_equal_on_every_instruction_set() -> None:
    digests = {}
    for wish in ("baseline", "best"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, "GALVO_ISA": wish, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        isa, digest = done.stdout.split()
        digests[isa] = digest
    assert len(set(digests.values())) == 1
    assert "baseline" in digests


def test_wrong_arguments() -> None:
    frames, planes, nodes = frames_of(1, 40, 48, 1, "u2"), planes_of(40, 48, 1, 1), nodes_of(1, 40, 48, 1)
    brightness = np.zeros((1, 1, 2), np.float32)
    with pytest.raises(ValueError, match=r"^factor must be 1, 2 or 4$"):
        native.bayes_normal_equations(frames, 3, planes, nodes, brightness)
    with pytest.raises(ValueError, match=r"^box must be odd, 1 to 15$"):
        native.bayes_normal_equations(frames, 1, planes, nodes, brightness, box=4)
    with pytest.raises(ValueError, match=r"^power must be 1 or 2$"):
        native.bayes_normal_equations(frames, 1, planes, nodes, brightness, power=3)
    with pytest.raises(ValueError, match=r"^nodes has shape \(1, 5, 6, 2\), expected \(1, 6, 7, 2\)$"):
        native.bayes_normal_equations(frames, 1, planes, nodes[:, :5, :6].copy(), brightness)
    with pytest.raises(ValueError, match=r"^planes has shape .*, expected \(1, 4, 20, 24\)$"):
        native.bayes_normal_equations(frames, 2, planes, nodes, brightness)
    with pytest.raises(TypeError, match="frames must be integers of 8, 16 or 32 bits, float32 or float64"):
        native.bayes_bin(np.zeros((1, 8, 8, 1), np.int64), 1)
    with pytest.raises(TypeError):
        native.bayes_normal_equations(frames, 1, planes.astype(np.float64), nodes, brightness)  # type: ignore[arg-type]
