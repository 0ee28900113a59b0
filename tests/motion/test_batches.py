"""Movies batch by batch: the numbers of the original, and what must not depend on how a movie is cut."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from galvo.errors import OptionError
from galvo.motion.params import VariationalParams
from galvo.motion.variational import batches, solve_level
from galvo.motion.variational.batches import (
    BatchMethod,
    BatchRegistration,
    FieldStatistics,
    registered_frames,
    sources_inside,
)
from galvo.motion.variational.filtering import ChannelFilter, causal_mean, gaussian, median_filter
from galvo.motion.variational.flow import displacement
from galvo.motion.variational.prealignment import Prealignment, phase_shift
from galvo.motion.variational.registered_mean import registered_mean
from galvo.motion.variational.stepwise import displacement_by_levels


def method_of(min_level, **more):
    params = VariationalParams(schedule="compat", alpha=(1.5, 1.5), min_level=min_level)
    return BatchMethod(**{"params": params, "weights": np.array([0.5, 0.5]), **more})


def registered(movie, reference, method, size, *, joined=False, threads=2, solver=None):
    """Frames and fields, in batches of `size`; `joined`: with what is around each batch."""
    registration = BatchRegistration(reference, method, threads=threads, solver=solver)
    blocks = []
    for first in range(0, len(movie), size):
        count = min(size, len(movie) - first)
        whole = registration.register(movie, first, count) if joined else registration.register(movie[first:][:count])
        blocks += list(whole)
    return np.concatenate([b.frames for b in blocks]), np.concatenate([b.fields for b in blocks])


def small_movie(t=7, h=40, w=44, c=2, dtype="u2", seed=0):
    rng = np.random.default_rng(seed)
    image = ndimage.gaussian_filter(rng.normal(size=(h + 12, w + 12, c)), (1.5, 1.5, 0))
    image = (image - image.min()) / np.ptp(image) * 3000 + 100
    moves = np.cumsum([(0, 0), (1, -1), *rng.integers(-1, 2, (t, 2))], axis=0)[:t].clip(-5, 5)
    movie = np.stack([image[6 + y : 6 + y + h, 6 + x : 6 + x + w] for y, x in moves])
    return (movie + rng.normal(0, 20, movie.shape)).clip(0).astype(dtype), image[6 : 6 + h, 6 : 6 + w]


# ---- the original ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "min_level"), [("quality", 0), ("balanced", 4), ("fast", 6)])
def test_batches_of_the_original(golden, name, min_level):
    frames, fields = registered(golden["frames"], golden["reference"], method_of(min_level), 4)
    expected = golden[f"arr_{name}_reg"]
    assert np.abs(fields - golden[f"arr_{name}_w"]).mean() < 2e-2
    assert (np.abs(frames - expected) <= 0.01 * np.ptp(expected)).mean() > 0.99


def test_following_reference_of_the_original(golden):
    method = method_of(6, sigmas=((1, 1, 0.5), (2, 2, 1)), separate=True, follow=True)
    frames, fields = registered(golden["frames"], golden["reference"], method, 4)
    expected = golden["arr_updref_reg"]
    assert np.abs(fields - golden["arr_updref_w"]).mean() < 2e-2
    assert (np.abs(frames - expected) <= 0.01 * np.ptp(expected)).mean() > 0.99


def test_registered_mean_of_the_original(golden):
    expected = golden["prereg_reference"]
    found = registered_mean(golden["frames"], method_of(6), threads=2)
    assert (np.abs(found - expected) <= 0.01 * np.ptp(expected)).mean() > 0.99
    assert np.abs(found - expected).mean() < 2e-3 * np.ptp(expected)


def test_filter_of_the_original(golden):
    reference = golden["reference"]
    prepared = ChannelFilter.of_range(reference, [(1, 1, 0.1)]).image(reference)
    np.testing.assert_allclose(np.moveaxis(prepared, 0, 2), golden["fixed"], atol=1e-6)


def test_levels_one_by_one_are_the_whole(golden):
    def solver(problem):
        increment = solve_level(
            problem.tensors,
            problem.weights,
            problem.field,
            alpha=problem.alpha,
            iterations=problem.iterations,
            update_lag=problem.update_lag,
            a_data=problem.a_data,
            a_smooth=problem.a_smooth,
            spacing=problem.spacing,
            robustness=1.0 if problem.robustness is None else problem.robustness,
        )
        return np.pad(increment, ((1, 1), (1, 1), (0, 0)), mode="edge")

    pair = golden["fixed"], golden["moving"]
    params = VariationalParams(schedule="compat", alpha=(1.5, 1.5), min_level=6)
    found = displacement_by_levels(*pair, params, solver)
    assert np.abs(found - displacement(*pair, params)).mean() < 1e-2
    stages = params.model_copy(update={"gnc_schedule": (0.0, 0.5, 1.0), "warping_steps": 2, "alpha": (2.0, 2.0)})
    stages = stages.model_copy(update={"min_level": 0, "levels": 50})
    assert np.abs(displacement_by_levels(*pair, stages, solver) - golden["disp_gnc"]).mean() < 1e-2
    with pytest.raises(OptionError, match="increments"):
        displacement_by_levels(*pair, params, lambda problem: problem.field[1:])


# ---- how a movie is cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma_t", [0.1, 0.8])
def test_the_size_of_batches_is_nothing_where_nothing_is_carried(sigma_t):
    movie, reference = small_movie()
    method = method_of(4, sigmas=((1, 1, sigma_t),), carry=False)
    frames, fields = registered(movie, reference, method, 7, joined=True)
    for size, threads in ((1, 1), (3, 2), (4, 1)):
        again = registered(movie, reference, method, size, joined=True, threads=threads)
        assert np.array_equal(again[0], frames)
        assert np.array_equal(again[1], fields)


@pytest.mark.parametrize("follow", [False, True])
def test_threads_and_blocks_change_nothing(follow, monkeypatch):
    movie, reference = small_movie()
    method = method_of(4, follow=follow, sigmas=((1, 1, 0.3), (0.5, 2, 0.1)), prealignment=Prealignment(upsampling=4))
    whole = registered(movie, reference, method, 5, threads=3)
    # blocks of two frames
    monkeypatch.setattr(batches, "_BLOCK_BYTES", 1)
    cut = registered(movie, reference, method, 5, threads=1)
    assert np.array_equal(whole[0], cut[0])
    assert np.array_equal(whole[1], cut[1])


def test_steps_of_the_kernels_are_those_of_the_filter():
    movie, reference = small_movie()
    fused = registered(movie, reference, method_of(4), 7)[1]
    # the same filter, but given to a solver that gets filtered frames
    apart = registered(movie, reference, method_of(4, sigmas=((1, 1, 0.1), (1, 1 + 1e-9, 0.1))), 7)[1]
    assert np.abs(fused - apart).max() < 0.02
    assert np.abs(fused).max() > 1


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "u2", "i2", "i4", "u4", "i8", "f2", "f4", "f8", ">u2"])
def test_every_dtype(dtype):
    movie, reference = small_movie(t=2)
    scale = {"?": 1 / 1800, "i1": 1 / 30, "u1": 1 / 16}.get(dtype, 1)
    frames = movie > 1800 if dtype == "?" else (movie * scale).astype(dtype)
    moved, fields = registered(frames, reference * scale, method_of(4), 2)
    assert moved.dtype == np.dtype(dtype).newbyteorder("=")
    # the first frame has not moved, the second by a pixel
    np.testing.assert_allclose(fields[1, 8:-8, 8:-8].mean(axis=(0, 1)), (1, -1), atol=0.3)
    assert np.abs(fields[0, 8:-8, 8:-8].mean(axis=(0, 1))).max() < 0.3


def test_frames_that_are_not_finite():
    movie, reference = small_movie(dtype="f4")
    broken = movie.copy()
    broken[2, 10:14, 12:15] = np.nan
    for sigma_t in (0.1, 0.5):
        method = method_of(4, sigmas=((1, 1, sigma_t),), carry=False)
        fields = registered(broken, reference, method, 7)[1]
        whole = registered(movie, reference, method, 7)[1]
        assert np.isfinite(fields).all()
        assert np.abs(fields - whole).mean() < 0.1
    reference[3, 4] = np.inf
    with pytest.raises(OptionError, match="finite"):
        BatchRegistration(reference, method_of(4))


def test_prealignment_finds_large_shifts():
    movie, reference = small_movie(t=1, h=96, w=96)
    moved = np.roll(movie, (9, -14), axis=(1, 2))
    shallow = VariationalParams(schedule="compat", alpha=(1.5, 1.5), levels=2)
    method = method_of(0, params=shallow, carry=False, prealignment=Prealignment())
    found = registered(moved, reference, method, 1)[1][0, 24:-24, 24:-24].mean(axis=(0, 1))
    np.testing.assert_allclose(found, (-14, 9), atol=0.2)
    # without it, they are beyond what two levels find
    lost = registered(moved, reference, method_of(0, params=shallow, carry=False), 1)[1][0, 24:-24, 24:-24].mean(
        axis=(0, 1)
    )
    assert np.abs(lost - (-14, 9)).max() > 1


def test_a_solver_of_the_callers():
    movie, reference = small_movie()
    seen = []

    def solver(problem):
        seen.append((len(problem.frames), problem.start.copy(), problem.prepared.shape, problem.weights.shape))
        return problem.frames, np.full((len(problem.frames), 40, 44, 2), 0.25, np.float32)

    frames, fields = registered(movie, reference, method_of(4), 4, solver=solver)
    assert np.array_equal(frames, movie)
    assert np.unique(fields).tolist() == [0.25]
    # the first batch once more, to find out where to begin
    assert [count for count, *_ in seen] == [4, 4, 3]
    assert [float(start.max()) for _, start, *_ in seen] == [0, 0.25, 0.25]
    assert seen[0][2:] == ((4, 40, 44, 2), (40, 44, 2))


# ---- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["reflect", "mirror", "nearest", "wrap"])
def test_gaussian_and_median_of_scipy(mode):
    values = np.random.default_rng(1).normal(size=(19, 30))
    for sigmas in ((1, 0.5), (0, 2.5), (0.1, 0.1)):
        expected = ndimage.gaussian_filter(values, sigmas, mode=mode)
        np.testing.assert_allclose(gaussian(values, sigmas, mode=mode), expected, atol=1e-12)
    expected = ndimage.median_filter(values, (5, 3), mode=mode)
    np.testing.assert_array_equal(median_filter(values, (5, 3), mode=mode), expected)
    with pytest.raises(OptionError):
        gaussian(values, (1, 1), mode="odd")
    with pytest.raises(OptionError):
        median_filter(values, 4)


def test_filter_over_time_of_scipy():
    movie, _ = small_movie(t=9, dtype="f4")
    filtered = ChannelFilter((0.0, 5.0), (1.0, 2.0), ((1, 2, 0.7), (0, 0, 1.5)))
    expected = np.stack(
        [
            ndimage.gaussian_filter(movie[..., 0].astype("f8"), (0.7, 1, 2)),
            ndimage.gaussian_filter((movie[..., 1].astype("f8") - 5) * 2, (1.5, 0, 0)),
        ],
        axis=1,
    )
    assert filtered.reach == 6
    for first, count in ((0, 9), (0, 2), (3, 4), (8, 1)):
        found = filtered(movie, first, count, substitute=None, threads=2)
        np.testing.assert_allclose(found, expected[first : first + count], rtol=1e-4, atol=2e-3)


def test_causal_mean():
    frames = [np.full(2, value) for value in (5.0, 1.0, 3.0)]
    weights = np.exp(-0.5 * (np.arange(3) / 0.8) ** 2)
    expected = (3 * weights[0] + 1 * weights[1] + 5 * weights[2]) / weights.sum()
    np.testing.assert_allclose(causal_mean(frames, 0.8), expected)
    assert causal_mean(frames, 0.1).tolist() == [3, 3]


def test_statistics_are_those_of_numpy():
    fields = np.random.default_rng(2).normal(size=(3, 11, 7, 2)).astype(np.float32)
    found = FieldStatistics.of(fields)
    for at, field in enumerate(fields.astype("f8")):
        length = np.hypot(field[..., 0], field[..., 1])
        divergence = np.gradient(field[..., 0], axis=1) + np.gradient(field[..., 1], axis=0)
        expected = length.mean(), length.max(), divergence.mean(), np.hypot(*field.mean(axis=(0, 1)))
        named = found.mean_length, found.greatest_length, found.mean_divergence, found.translation
        np.testing.assert_allclose([part[at] for part in named], expected, atol=1e-6)


def test_what_was_outside_is_filled():
    frames = np.arange(20, dtype=np.uint16).reshape(1, 4, 5, 1)
    fields = np.zeros((1, 4, 5, 2), np.float32)
    fields[0, :, :, 0] = 1.5
    reference = np.full((4, 5, 1), 70000.9)
    moved = registered_frames(frames, fields, reference, "linear")[0, 0, :, 0]
    # 3 + 1.5 lies behind the last pixel, but within one of it; halves go to the even number
    assert moved.tolist() == [2, 2, 4, 4, 65535]
    assert sources_inside(fields)[0, 0].tolist() == [True, True, True, True, False]


def test_phases_and_amplitudes():
    image = small_movie(t=1, h=64, w=80)[1]
    moved = np.roll(image, (5, -3), axis=(0, 1))
    for options in ({}, {"whitened": False}, {"disambiguated": False}, {"weights": [0.2, 0.8]}):
        assert phase_shift(image, moved, **options).tolist() == [-3, 5]
    assert np.abs(phase_shift(image, moved, upsampling=10, most=(48, 48)) - (-3, 5)).max() < 0.8
    with pytest.raises(OptionError):
        phase_shift(image, moved[:5])
    with pytest.raises(OptionError):
        phase_shift(image, moved, weights=[1, 2, 3])
    with pytest.raises(OptionError):
        phase_shift(image, moved, upsampling=0)


@pytest.mark.parametrize("shape", [(128, 512), (512, 128), (96, 112)])
def test_phases_of_oblong_images(shape):
    image = ndimage.gaussian_filter(np.random.default_rng(4).normal(size=(shape[0] + 8, shape[1] + 8)), 1)
    one, two = image[4:-4, 4:-4], image[1:-7, : shape[1]]
    assert phase_shift(one, two, most=shape).tolist() == [4, 3]
    np.testing.assert_allclose(phase_shift(one, two, upsampling=20, most=shape), (4, 3), atol=0.15)
    small = phase_shift(one, two, upsampling=20, most=(64, 64))
    np.testing.assert_allclose(small, (4, 3), atol=0.1 * max(shape) / 64)


def test_phases_of_the_original(golden):
    pair = golden["fixed"][..., 0], golden["moving"][..., 0]
    np.testing.assert_allclose(phase_shift(*pair, upsampling=10), golden["xcorr_up10"], atol=1e-3)
