"""Rigid motion: images shifted exactly in Fourier space, noise, odd shapes, and the original."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.errors import OptionError
from galvo.motion.params import MotionParams
from galvo.motion.reference import Reference
from galvo.motion.rigid import RigidEstimator


def shifted(shape, shift, seed=0, sigma=1.5):
    """A cutout of a periodic image, band-limited, moved by (x, y): image(x + shift) is the one without."""
    rows, columns = (2 * n for n in shape)
    fy, fx = np.fft.fftfreq(rows)[:, None], np.fft.fftfreq(columns)[None]
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(rows, columns)))
    spectrum *= np.exp(-2 * np.pi**2 * (fy**2 + fx**2) * sigma**2 - 2j * np.pi * (fy * shift[1] + fx * shift[0]))
    image = np.fft.ifft2(spectrum).real[: shape[0], : shape[1]]
    return image / image.std()


def plan_of(reference, frames, weights=None):
    params = MotionParams(estimator="rigid", channel_weights=weights)
    return RigidEstimator(params).calibrate(frames, Reference(reference))


SHIFTS = [(0.0, 0.0), (0.3, -0.7), (5.25, -3.5), (-9.6, 7.1), (2.5, 0.5)]


@pytest.mark.parametrize("shape", [(128, 512), (512, 128), (96, 97), (64, 80), (257, 131)])
def test_exact_shifts_of_any_shape(shape):
    reference = shifted(shape, (0, 0))[..., None]
    frames = np.stack([shifted(shape, shift)[..., None] for shift in SHIFTS])
    plan = plan_of(reference, frames)
    found = plan.solve(frames)[0]
    assert found.shape == (len(SHIFTS), 1, 1, 2)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[:, 0, 0], SHIFTS, atol=0.08 if min(shape) < 90 else 0.03)
    dense = plan.expansion.expand(found)
    np.testing.assert_array_equal(dense, np.broadcast_to(found, (len(SHIFTS), *shape, 2)))


@pytest.mark.parametrize("dtype", ["u2", "i2", "u1", "f8"])
def test_noise_background_and_dtype(dtype):
    shape = (160, 192)
    rng = np.random.default_rng(1)
    y, x = np.mgrid[: shape[0], : shape[1]]
    background = 20 * np.exp(-((x - 60) ** 2 + (y - 80) ** 2) / 5000)
    reference = 40 + 6 * shifted(shape, (0, 0)) + background
    frames = np.stack([rng.poisson((40 + 6 * shifted(shape, shift)).clip(0) + background) for shift in SHIFTS])
    found = plan_of(reference[..., None], frames[..., None].astype(dtype)).solve(frames[..., None].astype(dtype))[0]
    np.testing.assert_allclose(found[:, 0, 0], SHIFTS, atol=0.1)


def test_each_channel_counts_by_its_noise():
    shape, rng = (96, 128), np.random.default_rng(2)
    reference = np.stack([shifted(shape, (0, 0), seed) for seed in (0, 1)], axis=2)
    truth = rng.uniform(-4, 4, (12, 2))
    frames = np.stack([np.stack([shifted(shape, w, seed) for seed in (0, 1)], axis=2) for w in truth])
    frames += rng.normal(size=frames.shape) * [6.0, 0.6]

    def error(weights):
        return np.abs(plan_of(reference, frames, weights).solve(frames)[0][:, 0, 0] - truth).mean()

    assert error(None) < 0.03
    assert error(None) <= error((0.0, 1.0)) * 1.15
    assert error((1.0, 0.0)) > 2 * error(None)


def test_small_frames():
    for shape in [(1, 1), (1, 40), (3, 2), (16, 16), (40, 5)]:
        reference = shifted(shape, (0, 0), 3)[..., None] if min(shape) > 1 else np.zeros((*shape, 1))
        found = plan_of(reference, reference[None]).solve(reference[None])[0]
        np.testing.assert_allclose(found, 0, atol=1e-3)
    reference, frame = (shifted((24, 24), shift, 3)[..., None] for shift in [(0, 0), (0.5, -0.25)])
    np.testing.assert_allclose(plan_of(reference, frame[None]).solve(frame[None])[0][0, 0, 0], (0.5, -0.25), atol=0.15)


def test_cuts_and_threads_change_nothing():
    shape = (48, 60)
    frames = np.stack([shifted(shape, shift)[..., None] for shift in SHIFTS]).astype("f4")
    plan = plan_of(shifted(shape, (0, 0))[..., None], frames)
    want = plan.solve(frames, threads=1)[0]
    np.testing.assert_array_equal(plan.solve(frames, threads=3)[0], want)
    np.testing.assert_array_equal(plan.solve(frames, first=1, count=2)[0], want[1:3])
    np.testing.assert_array_equal(plan.solve(frames[4:])[0], want[4:])
    assert plan.solve(frames[:0])[0].shape == (0, 1, 1, 2)
    assert (plan.halo, plan.expansion.solver_shape) == (0, (1, 1))
    np.testing.assert_array_equal(
        plan.expansion.expand(plan.expansion.constant[None, ..., None] * np.float32([2, 3])), [[[[2, 3]] * 60] * 48]
    )


def test_unknown_pixels():
    shape = (96, 96)
    reference = shifted(shape, (0, 0))[..., None]
    frame = shifted(shape, (2.25, -1.5))[..., None]
    frame[10:14, 30:60] = np.nan
    frame[70, 20] = np.inf
    np.testing.assert_allclose(plan_of(reference, frame[None]).solve(frame[None])[0][0, 0, 0], (2.25, -1.5), atol=0.05)
    with pytest.raises(OptionError):
        plan_of(frame, frame[None])


def test_what_does_not_fit_is_refused():
    reference = shifted((32, 40), (0, 0))
    plan = plan_of(reference[..., None], reference[None, ..., None])
    for call in (
        lambda: plan.solve(np.zeros((1, 40, 32, 1))),
        lambda: plan.solve(np.zeros((1, 32, 40))),
        lambda: plan.solve(reference[None, ..., None], threads=0),
        lambda: plan_of(reference, reference[None, ..., None]),
        lambda: plan_of(reference[..., None], reference[None, ..., None], weights=(1.0, 2.0)),
    ):
        with pytest.raises(OptionError):
            call()


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e26])
def test_the_unit_of_the_pixels_does_not_matter(unit):
    reference = shifted((96, 97), (0, 0))[..., None] * unit
    frames = np.stack([shifted((96, 97), shift)[..., None] for shift in SHIFTS]) * unit
    found = plan_of(reference, frames).solve(frames)[0]
    np.testing.assert_allclose(found[:, 0, 0], SHIFTS, atol=0.03)
