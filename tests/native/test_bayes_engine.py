"""The whole estimate of a frame against NumPy: FFTs in float64, dense equations, image sums by the tested kernel."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from galvo import native

Array = NDArray[Any]
RIGID = 1e-6


def texture(height: int, width: int, channels: int, seed: int = 0) -> Array:
    """Blobs of a few pixels on a background, (C, Y, X)."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(channels):
        points = np.zeros((height, width))
        count = height * width // 120
        points[rng.integers(0, height, count), rng.integers(0, width, count)] = rng.uniform(1, 3, count)
        images.append(40 + 900 * gaussian_filter(points, 2.0, mode="wrap"))
    return np.array(images)


def binned(images: Array, factor: int) -> Array:
    height, width = (size // factor for size in images.shape[-2:])
    parts = images[..., : height * factor, : width * factor]
    return parts.reshape(*images.shape[:-2], height, factor, width, factor).mean((-3, -1))


def cosines(positions: Array, size: int, count: int) -> NDArray[np.float32]:
    padding = size // 8
    phases = np.outer((positions + 0.5 + padding) / (size + 2 * padding), np.arange(count))
    return (np.cos(np.pi * phases) * np.where(np.arange(count) > 0, np.sqrt(2), 1)).astype(np.float32)


class Given:
    """What an engine is built from."""

    def __init__(self, height: int, width: int, channels: int, levels: int = 3, ky: int = 5, kx: int = 4) -> None:
        self.reference = texture(height, width, channels)
        self.height, self.width, self.channels, self.levels = height, width, channels, levels
        rng = np.random.default_rng(5)
        self.factors = [4, 2, 1][3 - levels :]
        self.planes = []
        for factor in self.factors:
            value = binned(self.reference, factor)
            smooth = gaussian_filter(value, (0, 0.7 / factor, 0.7 / factor))
            gradient_y, gradient_x = np.gradient(smooth, axis=(1, 2))
            inverse = factor**2 / (value + 1)
            self.planes.append(np.stack([value, gradient_x / factor, gradient_y / factor, inverse], 1).astype("f4"))
        self.scale = rng.uniform(0.5, 1.2, (levels, channels)).astype(np.float32)
        self.dispersion = rng.uniform(0.8, 2, (levels, channels)).astype(np.float32)
        rows, columns = -(-height // 8), -(-width // 8)
        self.blocks = (
            cosines(np.arange(rows) * 8 + 3.5, height, ky),
            cosines(np.arange(columns) * 8 + 3.5, width, kx),
        )
        self.nodes = (
            cosines(np.arange((height - 1) // 8 + 2) * 8, height, ky),
            cosines(np.arange((width - 1) // 8 + 2) * 8, width, kx),
        )
        chosen = np.add.outer(np.arange(ky), np.arange(kx)) < 5
        chosen = np.stack([chosen, chosen])
        chosen[1, 3, 1] = False
        self.shape = (2, ky, kx)
        self.active = np.flatnonzero(chosen)
        order = np.hypot(np.arange(ky)[:, None], np.arange(kx))
        precision = np.broadcast_to(np.where(order == 0, RIGID, 2 * order**2), self.shape)
        self.precision = np.ascontiguousarray(precision.ravel()[self.active], np.float32)
        modes = np.einsum("yk,xl->klyx", *(matrix.astype(float) for matrix in self.blocks))
        self.modes = modes.reshape(ky * kx, -1)
        # of a frame that lies on the reference
        still = np.zeros((1, len(self.nodes[0]), len(self.nodes[1]), 2), np.float32)
        noisy = np.ascontiguousarray(rng.poisson(self.reference).transpose(1, 2, 0)[None].astype(np.uint16))
        brightness = np.tile(np.float32([1, 0]), (1, channels, 1))
        self.preconditioners = np.empty((levels, self.active.size, self.active.size), np.float32)
        for level, factor in enumerate(self.factors):
            sums = native.bayes_normal_equations(noisy, factor, self.planes[level], still, brightness)[0][0]
            typical = np.einsum("cibx,c->ibx", sums.astype(float), self.scale[level])
            self.preconditioners[level] = np.linalg.inv(self.matrix(typical[:3]))

    def matrix(self, information: Array) -> Array:
        return self.data_matrix(information) + np.diag(self.precision.astype(float))

    def data_matrix(self, information: Array) -> Array:
        j = [(self.modes * part.ravel()) @ self.modes.T for part in information]
        return np.block([[j[0], j[1]], [j[1], j[2]]])[np.ix_(self.active, self.active)]

    def engine(self, **more: Any) -> native.BayesEngine:
        return native.BayesEngine(
            self.reference.astype(np.float32),
            np.ones(self.channels, np.float32),
            self.planes,
            self.scale,
            self.dispersion,
            self.preconditioners,
            *self.blocks,
            *self.nodes,
            self.active,
            self.precision,
            **{"steps": [3, 2, 1][3 - self.levels :], **more},
        )

    def moved(self, shift: tuple[float, float], photons: float | None = 1.0, seed: int = 1) -> Array:
        """A frame (1, Y, X, C) of the reference displaced by a shift (x, y) and a gentle wave."""
        y, x = np.mgrid[: self.height, : self.width].astype(float)
        # frame(x + w) = reference(x), solved for the frame by a few fixed points
        at_x, at_y = x, y
        for _ in range(20):
            u, v = self.truth(at_x, at_y)
            at_x, at_y = x - shift[0] - u, y - shift[1] - v
        frame = [map_coordinates(image, [at_y, at_x], order=3, mode="nearest") for image in self.reference]
        stack = np.moveaxis(np.array(frame), 0, -1)[None]
        if photons is not None:
            stack = np.random.default_rng(seed).poisson(np.maximum(stack, 0) * photons) / photons
        return stack

    def truth(self, x: Array, y: Array) -> tuple[Array, Array]:
        return 0.8 * np.sin(2 * y / self.height + 1), 0.6 * np.cos(3 * x / self.width)


class Oracle:
    """One frame, step by step."""

    def __init__(self, given: Given, frame: Array) -> None:
        self.given, self.frame = given, frame
        self.brightness = np.tile(np.float32([1, 0]), (1, given.channels, 1))

    def pass_over(self, level: int, nodes: Array, cubic: bool = False) -> Array:
        given, factor = self.given, self.given.factors[level]
        box, power = (7, 2) if factor == 1 else (3, 1)
        self.used = self.brightness.copy()
        sums, self.quantile, regression = native.bayes_normal_equations(
            self.frame, factor, given.planes[level], nodes.astype(np.float32), self.brightness, box, power, cubic
        )
        for c in range(given.channels):
            w, wr, wrr, wf, wrf = regression[0, c]
            phi = float(given.dispersion[level, c])
            alpha = ((wrf - wr * wf / w) / phi + 400) / ((wrr - wr * wr / w) / phi + 400)
            alpha = min(max(alpha, 0.5), 2.0)
            self.brightness[0, c] = alpha, wf / w - alpha * wr / w
        return np.einsum("cibx,c->ibx", sums[0].astype(float), given.scale[level].astype(float))

    def rigid(self, shift: Array, steps: int) -> Array:
        shape = (1, len(self.given.nodes[0]), len(self.given.nodes[1]), 2)
        for _ in range(steps):
            equations = self.pass_over(0, np.broadcast_to(shift, shape).copy())
            xx, xy, yy, x, y = equations.sum((1, 2))
            reach = 2 * self.given.factors[0]
            shift = shift + np.clip(np.linalg.solve([[xx, xy], [xy, yy]], [x, y]), -reach, reach)
        return shift

    def elastic(self, shift: Array, steps: list[int], cubic: bool) -> Array:
        given = self.given
        coefficients = np.zeros(given.shape)
        coefficients[:, 0, 0] = shift
        for level, count in enumerate(steps):
            for _ in range(count):
                fine = cubic and level + 1 == given.levels
                nodes = np.einsum("yk,ckl,xl->yxc", given.nodes[0], coefficients, given.nodes[1])[None]
                self.equations = self.pass_over(level, nodes, fine)
                before = coefficients.ravel()[given.active]
                self.score = np.concatenate([given.modes @ part.ravel() for part in self.equations[3:]])[given.active]
                matrix = given.matrix(self.equations[:3])
                change = np.linalg.solve(matrix, self.score - given.precision * before)
                coefficients.ravel()[given.active] += change
                self.step = np.linalg.norm(change)
        self.right = self.score + given.data_matrix(self.equations[:3]) @ before
        return coefficients


@pytest.mark.parametrize(
    ("shape", "channels", "levels", "cubic"),
    [((96, 128), 1, 3, False), ((75, 93), 2, 3, True), ((33, 41), 1, 2, False)],
)
def test_against_dense_numpy(shape: tuple[int, int], channels: int, levels: int, cubic: bool) -> None:
    given = Given(*shape, channels, levels)
    frame = (given.moved((3.0, -2.0), 20) * 4).astype(np.uint16)
    given.reference *= 4
    for planes in given.planes:
        planes[:, :3] *= 4
        planes[:, 3] /= 16
    steps = [3, 2, 2][3 - levels :]
    got = given.engine(steps=steps, cubic=cubic, tolerance=1e-5).run(frame)
    oracle = Oracle(given, frame)
    rigid = oracle.rigid(got["start"][0].astype(float), 3)
    np.testing.assert_allclose(got["rigid"][0], rigid, atol=1e-4)
    coefficients = oracle.elastic(rigid, steps, cubic)
    np.testing.assert_allclose(got["coefficients"][0], coefficients, atol=3e-4)
    assert not np.delete(got["coefficients"][0].ravel(), given.active).any()
    assert np.abs(got["information"][0] - oracle.equations[:3]).sum() < 2e-3 * np.abs(oracle.equations[:3]).sum()
    np.testing.assert_allclose(got["right"][0], oracle.right, atol=2e-3 * np.abs(oracle.right).max())
    np.testing.assert_allclose(got["brightness"][0], oracle.used[0], rtol=1e-3, atol=0.05)
    np.testing.assert_allclose(got["quantile"], oracle.quantile, rtol=2e-3)
    assert got["step"][0] == pytest.approx(oracle.step, rel=0.02)
    assert got["fine_steps"].tolist() == [steps[-1]]
    u, v = given.truth(*np.mgrid[: shape[0], : shape[1]][::-1].astype(float))
    field = native.bayes_synthesize(
        got["coefficients"], cosines(np.arange(shape[0]), shape[0], 5), cosines(np.arange(shape[1]), shape[1], 4)
    )[0]
    inner = (slice(10, -10), slice(10, -10))
    error = np.hypot(field[:, :, 0] - 3 - u, field[:, :, 1] + 2 - v)[inner]
    assert error.mean() < 0.12


@pytest.mark.parametrize("shape", [(32, 32), (33, 50), (64, 97), (130, 71), (400, 390)])
def test_start_is_the_peak_of_the_correlation(shape: tuple[int, int]) -> None:
    factor = 4 if min(shape) >= 384 else 2 if min(shape) >= 64 else 1
    given = Given(*shape, 2, 1)
    reach = np.array(shape) // 4 - 2 * factor
    frames = np.concatenate(
        [
            given.moved((share_x * reach[1], share_y * reach[0]), 5)
            for share_x, share_y in ((0, 0), (0.9, -0.5), (-0.4, 0.9))
        ]
    )
    frames[1, 5:9, 7:12, 0] = np.nan
    got = given.engine().run(frames)["start"]
    for t, frame in enumerate(frames):
        total = 0
        for c in range(2):
            total = total + correlation(given.reference[c], frame[:, :, c], factor)
        half_y, half_x = (size // factor // 4 for size in shape)
        near = np.roll(total, (half_y, half_x), (0, 1))[: 2 * half_y + 1, : 2 * half_x + 1]
        y, x = np.unravel_index(near.argmax(), near.shape)
        np.testing.assert_allclose(got[t] / factor, [x - half_x, y - half_y], atol=0.5 + 1e-6)


def correlation(reference: Array, frame: Array, factor: int) -> Array:
    spectra = []
    for image in (reference, frame):
        image = binned(image, factor)
        image = np.where(np.isfinite(image), image, image[np.isfinite(image)].mean())
        height, width = image.shape
        band = gaussian_filter(image, 1.5 / factor, mode="reflect") - gaussian_filter(image, 8 / factor, mode="reflect")
        band = np.clip(band / band.std(), -4, 4)
        band *= np.sin(np.pi * np.arange(1, height + 1) / (height + 1))[:, None]
        band *= np.sin(np.pi * np.arange(1, width + 1) / (width + 1))
        spectra.append(np.fft.fft2(band, (2 * height, 2 * width)))
    return np.fft.ifft2(spectra[1] * np.conj(spectra[0])).real


def test_objective_prefers_what_fits() -> None:
    given = Given(96, 96, 1)
    bent = given.engine().run(given.moved((2.0, 1.0), 10))["objective"][0]
    assert bent[1] < bent[0]
    shift = np.roll(np.moveaxis(given.reference, 0, -1), (3, -2), (0, 1))[None]
    still = given.engine().run(np.random.default_rng(0).poisson(shift).astype(np.uint16))
    np.testing.assert_allclose(still["rigid"][0], [-2, 3], atol=0.3)
    assert still["objective"][0, 1] == pytest.approx(still["objective"][0, 0], rel=0.05)


def test_steps_go_on_until_they_are_short() -> None:
    given = Given(96, 96, 1)
    frames = np.concatenate([given.moved((2.0, 1.0), 10), given.moved((2.0, 1.0), 100)])
    once = given.engine().run(frames)
    assert once["fine_steps"].tolist() == [1, 1]
    settled = float(np.sqrt(once["step"].prod()))
    more = given.engine(settled=settled, most_fine_steps=3).run(frames)
    longer = int(once["step"].argmax())
    assert more["fine_steps"][1 - longer] == 1
    assert more["fine_steps"][longer] > 1
    assert more["step"][longer] < once["step"][longer]
    np.testing.assert_array_equal(more["coefficients"][1 - longer], once["coefficients"][1 - longer])
    planned = given.engine(steps=[3, 2, int(more["fine_steps"][longer])]).run(frames)
    np.testing.assert_array_equal(more["coefficients"][longer], planned["coefficients"][longer])


def test_frames_that_say_nothing() -> None:
    given = Given(64, 72, 2)
    frames = np.full((3, 64, 72, 2), 17.0, np.float32)
    frames[1] = np.nan
    frames[2, :, :, 0] = given.moved((1.0, 1.0))[0, :, :, 0]
    got = given.engine().run(frames)
    for name, values in got.items():
        assert np.isfinite(values).all(), name
    for name in ("coefficients", "information", "right", "start", "rigid", "quantile"):
        assert not got[name][:2].any(), name
    assert got["coefficients"][2].any()
    assert got["brightness"][2, 1].tolist() == [1, 0]


def test_bit_equal_on_any_number_of_threads_and_in_any_batch() -> None:
    given = Given(64, 90, 2)
    frames = np.concatenate([given.moved((t - 3.0, 2.0 - t), 2, t) for t in range(6)]).astype(np.uint16)
    engine = given.engine()
    first = engine.run(frames, threads=1)
    for threads in (2, 3, 7):
        again = engine.run(frames, threads=threads)
        for name, values in first.items():
            np.testing.assert_array_equal(again[name], values)
    single = engine.run(frames[4:5])
    for name, values in first.items():
        np.testing.assert_array_equal(single[name], values[4:5])


def test_wrong_arguments() -> None:
    given = Given(64, 72, 1)
    with pytest.raises(ValueError, match=r"^frames has shape \(1, 64, 70, 1\), expected \(1, 64, 72, 1\)$"):
        given.engine().run(np.zeros((1, 64, 70, 1), np.uint16))
    with pytest.raises(ValueError, match=r"^steps needs a number for each level$"):
        given.engine(steps=[1])
    with pytest.raises(ValueError, match=r"^the finest level needs a step$"):
        given.engine(steps=[1, 1, 0])
    given.active = given.active[1:]
    given.precision = given.precision[1:]
    given.preconditioners = given.preconditioners[:, 1:, 1:].copy()
    with pytest.raises(ValueError, match=r"^both shifts must be active, that along x first$"):
        given.engine()
