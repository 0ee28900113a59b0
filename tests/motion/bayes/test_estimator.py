import json
import pickle
from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from galvo.errors import OptionError
from galvo.motion.bayes import BayesEstimator, BayesPlan
from galvo.motion.flags import Flag
from galvo.motion.params import MotionParams
from galvo.motion.reference import Reference

from .movies import errors, movie


@pytest.fixture(scope="module")
def plan() -> BayesPlan:
    frames, reference, _ = movie()
    return BayesEstimator().calibrate(frames, reference, threads=2)


def _calibrated(frames: np.ndarray, reference: Reference | np.ndarray, **options: object) -> BayesPlan:
    made = reference if isinstance(reference, Reference) else Reference(reference)
    return BayesEstimator(MotionParams(**options)).calibrate(frames, made, threads=2)  # type: ignore[arg-type]


def test_known_motion(plan: BayesPlan) -> None:
    frames, _, truth = movie()
    still = np.linalg.norm(truth, axis=-1).mean()
    found = errors(plan, frames, truth)
    assert still > 1.2
    assert found.mean() < 0.13
    assert found.max() < 0.2
    assert plan.report.elastic_rms_px > 0.5
    assert plan.report.determined > 10
    assert plan.halo == 2


@pytest.mark.parametrize(("preset", "limit"), [("fast", 0.14), ("quality", 0.13)])
def test_presets(preset: str, limit: float) -> None:
    frames, reference, truth = movie()
    assert errors(_calibrated(frames, reference, preset=preset), frames, truth).mean() < limit


def test_finished_reference_serves(plan: BayesPlan) -> None:
    frames, reference, truth = movie()
    assert errors(_calibrated(frames, reference.image), frames, truth).mean() < 0.14


def test_two_channels_are_better_than_one() -> None:
    frames, reference, truth = movie(channels=2, photons=4.0)
    both = errors(_calibrated(frames, reference), frames, truth).mean()
    one = errors(_calibrated(frames, reference, channel_weights=(1, 0)), frames, truth).mean()
    assert both < one < 0.35
    weighted = _calibrated(frames, reference, channel_weights=(0.5, 0.5))
    np.testing.assert_array_equal(weighted.solve(frames)[0], _calibrated(frames, reference).solve(frames)[0])


def test_neighbouring_frames_help(plan: BayesPlan) -> None:
    frames, _, truth = movie()
    alone = [errors(plan, frames[t : t + 1], truth[t : t + 1])[0] for t in range(len(frames))]
    assert errors(plan, frames, truth).mean() < np.mean(alone)


@pytest.mark.parametrize("count", [1, 2, 7])
def test_few_frames(count: int) -> None:
    frames, reference, truth = movie(photons=25.0)
    plan = _calibrated(frames[:count], reference)
    assert plan.halo == 0
    assert any("neighbouring" in remark for remark in plan.report.remarks)
    rigid = np.linalg.norm(truth[:count] - truth[:count].mean(axis=(1, 2), keepdims=True), axis=-1).mean()
    assert errors(plan, frames[:count], truth[:count]).mean() < 0.6 * rigid


@pytest.mark.parametrize("cuts", [(5,), (1, 2, 3), (11,), (4, 8)])
def test_fields_do_not_depend_on_how_the_movie_is_cut(plan: BayesPlan, cuts: tuple[int, ...]) -> None:
    frames, _, _ = movie()
    whole, flags = plan.solve(frames, threads=1)
    edges = [0, *cuts, len(frames)]
    for start, stop in pairwise(edges):
        first = max(0, start - plan.halo)
        part, part_flags = plan.solve(
            frames[first : stop + plan.halo], first=start - first, count=stop - start, threads=2
        )
        np.testing.assert_array_equal(part, whole[start:stop])
        np.testing.assert_array_equal(part_flags, flags[start:stop])


def test_calibration_does_not_depend_on_threads_or_repetition(plan: BayesPlan) -> None:
    frames, reference, _ = movie()
    assert BayesEstimator().calibrate(frames, reference, threads=1).to_bytes() == plan.to_bytes()


def test_report_is_json_and_complete(plan: BayesPlan) -> None:
    learned = json.loads(json.dumps(plan.learned(), allow_nan=False))
    assert learned["remarks"] == []
    assert learned["scales"] == [4, 2, 1]
    assert sum(band["mode_count"] for band in learned["bands"]) + 2 == learned["coefficient_count"]
    assert sum(band["active_count"] for band in learned["bands"]) + 2 == learned["active_count"]
    assert sum(band["determined"] for band in learned["bands"]) + 2 == pytest.approx(learned["determined"], rel=1e-3)
    assert any(band["temporal_used"] for band in learned["bands"])
    assert 0.5 < learned["phi"][2][0] < 2
    assert len(pickle.dumps(plan)) > 1000


def test_a_frame_of_noise_hurts_no_other_and_stays_within_what_is_believed(plan: BayesPlan) -> None:
    frames, _, truth = movie()
    changed = frames.copy()
    changed[6] = np.random.default_rng(0).poisson(400, frames.shape[1:])
    fields, _ = plan.solve(changed)
    elastic = plan.expansion.expand(fields) - fields[:, :1, :1]
    assert np.abs(elastic).max() <= plan.report.elastic_limit_px * 1.2
    assert np.delete(errors(plan, changed, truth), 6).max() < 0.25


def test_a_blank_frame_is_told_and_hurts_no_other(plan: BayesPlan) -> None:
    frames, _, truth = movie()
    changed = frames.copy()
    changed[6] = 200
    fields, flags = plan.solve(changed)
    assert np.flatnonzero(flags & Flag.NO_CONTRAST).tolist() == [6]
    assert not fields[6].any()
    assert np.delete(errors(plan, changed, truth), 6).max() < 0.2


def test_a_shift_that_nothing_holds_is_told_and_hurts_no_other(
    plan: BayesPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the last step of a frame had been one of weak evidence, along y."""
    frames, _, truth = movie()
    right = plan._tracker.track

    def wrong(pixels: np.ndarray, threads: int) -> object:
        found = right(pixels, threads)
        found.coefficients[4, 1, 0, 0] = -0.6 * frames.shape[1]
        return found

    monkeypatch.setattr(plan._tracker, "track", wrong)
    fields, flags = plan.solve(frames)
    assert np.flatnonzero(flags & Flag.NO_CONTRAST).tolist() == [4]
    assert not fields[4].any()
    assert np.delete(errors(plan, frames, truth), 4).max() < 0.25


def test_shifts_stay_within_half_of_frames_of_noise() -> None:
    rng = np.random.default_rng(0)
    frames = rng.poisson(2.0, (48, 20, 20, 1)).astype(np.int16)
    plan = _calibrated(frames, Reference(frames.mean(0), frame_count=len(frames)), preset="fast")
    fields, flags = plan.solve(frames)
    shifts = np.abs(fields[:, 0, 0]).max(axis=1)
    assert shifts.max() <= 10
    # a quarter is searched
    assert (shifts > 5).any()
    assert (flags[shifts > 5] & Flag.OUT_OF_RANGE).all()


def test_elastic_motion_that_explains_nothing_is_dropped(plan: BayesPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a frame had come to rest at an elastic field that is wrong."""
    frames, _, truth = movie()
    right = plan._tracker.track

    def wrong(pixels: np.ndarray, threads: int) -> object:
        found = right(pixels, threads)
        found.coefficients[4, :, 1:] *= -1
        found.coefficients[4, :, 0, 1:] *= -1
        return found

    monkeypatch.setattr(plan._tracker, "track", wrong)
    fields, flags = plan.solve(frames)
    assert np.flatnonzero(flags & Flag.RIGID_FALLBACK).tolist() == [4]
    assert not fields[4, 1:].any()
    assert not fields[4, :, 1:].any()
    mean = truth[4].mean(axis=(0, 1))
    np.testing.assert_allclose(fields[4, 0, 0], mean, atol=0.4)
    assert np.delete(errors(plan, frames, truth), 4).max() < 0.25


def test_elastic_part_stays_within_its_limit(plan: BayesPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    frames, _, _ = movie()
    monkeypatch.setattr(plan, "_limit_px", 0.5)
    fields, flags = plan.solve(frames)
    elastic = plan.expansion.expand(fields * (1 - plan.expansion.constant[..., None]))
    clipped = (flags & Flag.CLIPPED) != 0
    assert clipped.any()
    # at the centres of blocks it holds, between them it may be a little more
    assert np.abs(elastic).max() < 0.6
    assert np.abs(elastic[clipped]).max(axis=(1, 2, 3)).min() > 0.45


def test_more_motion_than_was_learned_is_followed() -> None:
    frames, reference, truth = movie()
    calm = np.repeat(reference.image[None], 8, 0)
    calm = np.random.default_rng(1).poisson(np.clip(calm - 200, 0, None) / 60) * 60.0 + 200
    calm[3:6] = frames[3:6]
    plan = _calibrated(calm.astype(np.uint16), reference)
    flags = plan.solve(frames)[1]
    assert (flags & Flag.INFLATED).any()
    assert errors(plan, frames, truth).mean() < 0.3


def test_noise_that_neighbouring_pixels_share_counts() -> None:
    """Correlated noise holds less information than its variance says; phi finds out and it is said."""
    frames, reference, truth = movie()
    shared = gaussian_filter(np.random.default_rng(3).normal(size=frames.shape), (0, 1.2, 1.2, 0))
    noisy = (frames + 300 * shared / shared.std()).astype(np.float32)
    plan = _calibrated(noisy, reference)
    assert plan.report.phi[-1][0] > 3
    assert any("as much as photon noise" in remark for remark in plan.report.remarks)
    still = np.linalg.norm(truth - truth.mean(axis=(1, 2), keepdims=True), axis=-1).mean()
    assert errors(plan, noisy, truth).mean() < still


def test_runs_of_frames() -> None:
    frames, reference, truth = movie(frames=24)
    shuffled = np.concatenate([frames[16:24], frames[:8], frames[8:16]])
    plan = BayesEstimator().calibrate(shuffled, reference, run_length=8, threads=2)
    assert plan.halo == 2
    assert errors(plan, frames, truth).mean() < 0.13
    # of runs shorter than five frames nothing is learned about what follows what
    assert BayesEstimator().calibrate(frames, reference, run_length=3, threads=2).halo == 0


def test_of_many_frames_some_are_used() -> None:
    frames, reference, truth = movie()
    plan = _calibrated(np.concatenate([frames] * 12), reference)
    assert plan.report.frame_count == 64
    assert errors(plan, frames, truth).mean() < 0.14


@pytest.mark.parametrize("dtype", ["int16", "uint64", "float32"])
def test_dtypes_give_the_same_field(dtype: str) -> None:
    frames, reference, _ = movie()
    expected, _ = _calibrated(frames, reference).solve(frames)
    other = frames.astype(dtype)
    found, _ = _calibrated(other, reference).solve(other)
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize(("scale", "offset"), [(1e-30, 0.0), (1e28, 0.0), (1e200, 0.0), (1.0, 2.0**40)])
def test_values_far_from_what_float32_holds(scale: float, offset: float) -> None:
    frames, reference, _ = movie()
    expected, _ = _calibrated(frames, reference).solve(frames)
    other = frames * scale + offset
    halves = tuple(half.astype(np.float64) * scale + offset for half in reference.halves or ())
    moved = Reference(reference.image.astype(np.float64) * scale + offset, (halves[0], halves[1]), 40)
    found, _ = _calibrated(other, moved).solve(other)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_pixels_that_are_no_numbers() -> None:
    frames, reference, truth = movie()
    broken = frames.astype(np.float32)
    broken[2, 40:60, 50:80] = np.nan
    broken[5, 100] = np.inf
    broken[8] = np.nan
    image = reference.image.copy()
    image[:4] = np.nan
    image[70, 90] = -np.inf
    plan = _calibrated(broken, image)
    fields, flags = plan.solve(broken)
    assert np.isfinite(fields).all()
    assert np.flatnonzero(flags & Flag.NOT_FINITE).tolist() == [2, 5, 8]
    assert np.flatnonzero(flags & Flag.NO_CONTRAST).tolist() == [8]
    assert np.delete(errors(plan, broken, truth), 8).max() < 0.25


def test_saturated_frames() -> None:
    frames, reference, truth = movie(photons=25.0)
    limit = int(np.quantile(frames, 0.9))
    found = _calibrated(np.minimum(frames, limit), np.minimum(reference.image, limit))
    assert errors(found, np.minimum(frames, limit), truth).mean() < 0.2


def test_a_dead_channel_changes_nothing() -> None:
    frames, reference, _ = movie()
    expected, _ = _calibrated(frames, reference.image).solve(frames)
    wide = np.concatenate([frames, np.zeros_like(frames)], -1)
    plan = _calibrated(wide, np.concatenate([reference.image, np.zeros_like(reference.image)], -1))
    np.testing.assert_allclose(plan.solve(wide)[0], expected, atol=1e-4)
    assert any("channel 1 is not used" in remark for remark in plan.report.remarks)


@pytest.mark.parametrize("shape", [(8, 8), (9, 31), (33, 47), (17, 90), (200, 24)])
def test_small_odd_and_long_frames_that_shift(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(2)
    big = movie(size=(256, 256), photons=25.0)[1].image[..., 0].astype(np.float64)
    shifts = random.integers(-2, 3, (9, 2))
    place = [slice(20, 20 + size) for size in shape]
    frames = np.stack([np.roll(big, tuple(shift), (0, 1))[*place] for shift in shifts])[..., None]
    noisy = (random.poisson(np.clip(frames - 200, 0, None) / 20) * 20 + 200).astype(np.uint16)
    plan = _calibrated(noisy, big[*place][..., None])
    dense = plan.expansion.expand(plan.solve(noisy)[0])
    assert dense.shape == (9, *shape, 2)
    if min(shape) > 16:
        np.testing.assert_allclose(dense.mean(axis=(1, 2)), shifts[:, ::-1], atol=0.3)
    assert np.abs(dense).max() < 16


@pytest.mark.parametrize(("frame", "image"), [(7.0, 7.0), (0.0, 0.0), (7.0, None), (None, 7.0), (np.nan, None)])
def test_nothing_to_see(frame: float | None, image: float | None) -> None:
    frames, reference, _ = movie()
    pixels = frames[:3] if frame is None else np.full((3, *frames.shape[1:]), frame, np.float32)
    target = reference.image if image is None else np.full_like(reference.image, image)
    fields, flags = _calibrated(pixels, target).solve(pixels)
    np.testing.assert_array_equal(fields, 0)
    assert (flags & Flag.NO_CONTRAST).all()


def test_frames_equal_to_the_reference_do_not_move() -> None:
    _, reference, _ = movie()
    frames = np.repeat(reference.image[None], 9, 0)
    plan = _calibrated(frames, reference.image)
    assert np.abs(plan.solve(frames)[0]).max() < 1e-3
    assert any("elastic motion is off" in remark for remark in plan.report.remarks)


def test_wrong_input() -> None:
    frames, reference, _ = movie()
    plan = _calibrated(frames[:2], reference)
    for bad in (frames[:, :64], frames[..., 0], frames.astype(complex), [1, 2]):
        with pytest.raises(OptionError):
            plan.solve(bad)  # type: ignore[arg-type]
        with pytest.raises(OptionError):
            BayesEstimator().calibrate(bad, reference)  # type: ignore[arg-type]
    for first, count in ((-1, 1), (0, 99), (2, 1), (0, -1)):
        with pytest.raises(OptionError, match="no such frames"):
            plan.solve(frames[:2], first=first, count=count)
    with pytest.raises(OptionError, match="learn"):
        BayesEstimator().calibrate(frames[:0], reference)
    with pytest.raises(OptionError, match="run"):
        BayesEstimator().calibrate(frames, reference, run_length=0)
    with pytest.raises(OptionError, match="weight"):
        _calibrated(frames, reference, channel_weights=(1, 1))
    with pytest.raises(OptionError, match="too small"):
        _calibrated(frames[:, :7], reference.image[:7])
    assert plan.solve(frames[:2], count=0)[0].shape == (0, *plan.expansion.solver_shape, 2)


def test_references() -> None:
    image = np.zeros((8, 9, 1))
    for bad in (image[0], image.astype(complex), np.zeros((0, 9, 1))):
        with pytest.raises(OptionError):
            Reference(bad)
    with pytest.raises(OptionError, match="halves"):
        Reference(image, (image, image[1:]))
    with pytest.raises(OptionError, match="at least one frame"):
        Reference(image, frame_count=0)


def test_meaning_of_flags() -> None:
    assert Flag(0).meaning == "nothing to say"
    assert all(flag.meaning for flag in Flag)
    assert (Flag.CLIPPED | Flag.NO_CONTRAST).meaning.count(";") == 1
