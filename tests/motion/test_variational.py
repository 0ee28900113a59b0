"""The variational estimator: fields of the original, known motion, and what must never change a field."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy import ndimage

from galvo.errors import OptionError
from galvo.motion.flags import Flag
from galvo.motion.params import MotionParams, VariationalParams
from galvo.motion.reference import Reference
from galvo.motion.variational import VariationalEstimator, displacement

SETTINGS = {
    "default": {"alpha": (2, 2), "levels": 50},
    "q_a1p5": {},
    "balanced": {"min_level": 4},
    "fast": {"min_level": 6},
    "aniso": {"alpha": (1, 4), "levels": 50},
    "asmooth": {"alpha": (2, 2), "levels": 50, "a_smooth": 0.5},
    "gray": {"alpha": (0.05, 0.05), "levels": 50, "data_term": "brightness"},
    "cs": {"alpha": (2, 2), "levels": 50, "data_term": "census"},
    "gnc": {"alpha": (2, 2), "levels": 50, "gnc_schedule": (0, 0.5, 1), "warping_steps": 2},
    "uv": {"alpha": (2, 2), "levels": 50},
    "w1d": {"alpha": (2, 2), "levels": 50},
    "eta": {"alpha": (2, 2), "levels": 50, "eta": 0.5},
    "levels3": {"alpha": (2, 2), "levels": 3},
    "lag1": {"alpha": (2, 2), "levels": 50, "update_lag": 1, "iterations": 20},
    "1ch": {"alpha": (2, 2), "levels": 50},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_fields_of_the_original(golden, name):
    fixed, moving = golden["fixed"], golden["moving"]
    options = {}
    if name == "uv":
        options["start"] = np.broadcast_to(np.float32([0.7, -0.4]), (96, 112, 2))
    elif name == "w1d":
        options["weights"] = [0.8, 0.2]
    elif name == "1ch":
        fixed, moving = fixed[..., 0], moving[..., :1].squeeze(2)
    params = VariationalParams(schedule="compat", **{"alpha": (1.5, 1.5), **SETTINGS[name]})
    difference = np.abs(displacement(fixed, moving, params, **options) - golden[f"disp_{name}"])
    assert difference.mean() < 1e-2
    assert difference.max() < 0.15


def texture(shape, seed=0, sigma=1.5):
    image = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), sigma)
    return (image - image.min()) / np.ptp(image)


def smooth_field(shape, size, seed=0):
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    terms = [np.ones_like(x), x, y, np.sin(2 * x + 1), np.cos(2 * y), np.sin(x + 2 * y)]
    field = sum(rng.normal(size=2) * term[..., None] for term in terms)
    return (field * size / np.abs(field).max()).astype("f4")


def scene(shape=(96, 112), channels=1, size=2.5, frame_count=2, dtype="u2", noise=0.0):
    """A reference, frames that show it under known fields, and the fields: frame(x + w) = reference(x)."""
    rng = np.random.default_rng(7)
    pad = 24
    wide = np.stack([texture((shape[0] + 2 * pad, shape[1] + 2 * pad), seed) for seed in range(channels)], axis=2)
    y, x = (grid.astype(float) for grid in np.mgrid[: shape[0], : shape[1]])
    frames, fields = [], []
    for t in range(frame_count):
        w = smooth_field(shape, size, t)
        # frame(z) = reference(z - w(x)) with z = x + w(x), the inverse by a fixed point
        back = np.zeros_like(w, dtype=float)
        for _ in range(20):
            for c in range(2):
                at = (y + back[..., 1], x + back[..., 0])
                back[..., c] = -ndimage.map_coordinates(w[..., c].astype(float), at, order=3, mode="nearest")
        places = (y + back[..., 1] + pad, x + back[..., 0] + pad)
        frame = np.stack([ndimage.map_coordinates(wide[..., c], places, order=5) for c in range(channels)], axis=2)
        frames.append(frame + noise * rng.normal(size=frame.shape))
        fields.append(w)
    reference = wide[pad:-pad, pad:-pad]
    scaled = (np.array([reference, *frames]) * 3000 + 500).clip(0)
    if np.dtype(dtype).kind in "iu":
        scaled = scaled.round()
    scaled = scaled.astype(dtype)
    return scaled[0], scaled[1:], np.array(fields)


def plan_of(reference, frames, preset="quality", weights=None, **options):
    params = MotionParams(
        estimator="variational", preset=preset, channel_weights=weights, variational=VariationalParams(**options)
    )
    return VariationalEstimator(params).calibrate(frames, Reference(reference))


def dense(plan, frames, **options):
    return plan.expansion.expand(plan.solve(frames, **options)[0])


def error(plan, frames, fields, margin=12):
    found = dense(plan, frames)
    return np.linalg.norm(found - fields, axis=-1)[:, margin:-margin, margin:-margin].mean()


@pytest.mark.parametrize(
    ("options", "preset", "limit"),
    [
        ({"alpha": (5, 5)}, "quality", 0.05),
        ({"alpha": (5, 5)}, "balanced", 0.15),
        ({"alpha": (5, 5)}, "fast", 0.25),
        ({"schedule": "compat", "alpha": (5, 5)}, "quality", 0.05),
        ({"alpha": (0.02, 0.02), "data_term": "brightness"}, "quality", 0.05),
        ({"alpha": (0.3, 0.3), "data_term": "census"}, "quality", 0.3),
        ({"alpha": (5, 5), "a_smooth": 0.5}, "quality", 0.05),
        ({"alpha": (5, 5), "gnc_schedule": (0, 1), "warping_steps": 3}, "quality", 0.05),
    ],
)
def test_known_motion(options, preset, limit):
    reference, frames, fields = scene()
    assert error(plan_of(reference, frames, preset, **options), frames, fields) < limit


def test_channels_help_each_other():
    reference, frames, fields = scene(channels=2, noise=0.15)
    both = error(plan_of(reference, frames), frames, fields)
    assert both < 0.9 * error(plan_of(reference, frames, weights=(1.0, 0.0)), frames, fields)
    one = plan_of(reference, frames, weights=(1.0, 0.0)).solve(frames)[0]
    spoilt = frames.copy()
    spoilt[..., 1] = 0
    np.testing.assert_array_equal(plan_of(reference, frames, weights=(1.0, 0.0)).solve(spoilt)[0], one)


def test_weight_maps():
    reference, frames, fields = scene(channels=2)
    fixed, moving = (image / 4000 for image in (reference, frames[0]))
    moving[:, :56, 0] = fixed[:, :56, 0]
    moving[:, 56:, 1] = fixed[:, 56:, 1]
    maps = np.zeros((*fixed.shape[:2], 2))
    maps[:, 60:, 0] = maps[:, :52, 1] = 1
    params = VariationalParams(alpha=(5, 5))
    found = displacement(fixed, moving, params, weights=maps)
    assert np.abs(found - fields[0])[12:-12, 12:-12].mean() < 0.1
    assert np.abs(displacement(fixed, moving, params) - fields[0])[12:-12, 12:-12].mean() > 0.2
    np.testing.assert_array_equal(
        displacement(fixed, moving, params, weights=np.full((96, 112), 0.5)), displacement(fixed, moving, params)
    )


@pytest.mark.parametrize("schedule", ["lean", "compat"])
@pytest.mark.parametrize("shape", [(16, 16), (17, 64), (61, 16), (33, 47)])
def test_small_and_odd_sizes(shape, schedule):
    reference, frames, fields = scene(shape, size=0.7)
    for preset in ("fast", "quality"):
        plan = plan_of(reference, frames, preset, schedule=schedule, alpha=(5, 5))
        found = dense(plan, frames)
        assert found.shape == (2, *shape, 2)
        assert np.linalg.norm(found - fields, axis=-1).mean() < 0.5 * np.linalg.norm(fields, axis=-1).mean() + 0.05


@pytest.mark.parametrize("schedule", ["lean", "compat"])
def test_cuts_threads_and_layouts_change_nothing(schedule):
    reference, frames, _ = scene(channels=2, frame_count=5)
    plan = plan_of(reference, frames, "balanced", schedule=schedule)
    want = plan.solve(frames, threads=1)[0]
    assert want.dtype == np.float32
    assert want.shape == (5, *plan.expansion.solver_shape, 2)
    for threads in (2, 4, None):
        np.testing.assert_array_equal(plan.solve(frames, threads=threads)[0], want)
    for t in range(5):
        np.testing.assert_array_equal(plan.solve(frames[t : t + 1])[0], want[t : t + 1])
    np.testing.assert_array_equal(plan.solve(frames, first=1, count=3)[0], want[1:4])
    np.testing.assert_array_equal(plan.solve(frames, first=3)[0], want[3:])
    planes = np.moveaxis(np.ascontiguousarray(np.moveaxis(frames, 3, 1)), 1, 3)
    np.testing.assert_array_equal(plan.solve(planes)[0], want)
    np.testing.assert_array_equal(plan.expansion.expand(want, threads=1), plan.expansion.expand(want))
    assert plan.solve(frames[:0])[0].shape == (0, *plan.expansion.solver_shape, 2)
    assert plan.halo == 0


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "u4", "i8", "u8", "i2"])
def test_every_dtype_gives_the_same_field(dtype):
    reference, frames, _ = scene((40, 48))
    want = plan_of(reference, frames, "fast").solve(frames)[0]
    got = plan_of(reference.astype(dtype), frames, "fast").solve(frames.astype(dtype))[0]
    np.testing.assert_allclose(got, want, atol=0.01)


def test_brightness_offset_and_gain_change_nothing():
    reference, frames, _ = scene((40, 48), dtype="f8")
    want = plan_of(reference, frames, "fast").solve(frames)[0]
    np.testing.assert_allclose(plan_of(reference * 9 - 50, frames, "fast").solve(frames * 9 - 50)[0], want, atol=0.01)


def test_start():
    reference, frames, fields = scene(size=14.0, frame_count=1)
    plan = plan_of(reference, frames, alpha=(5, 5))
    near = (fields[0] + 0.3).astype("f4")
    with_start = dense(plan, frames, start=near)[0]
    assert np.linalg.norm(with_start - fields[0], axis=-1)[30:-30, 30:-30].mean() < 0.1


@pytest.mark.parametrize("schedule", ["lean", "compat"])
def test_unknown_pixels_say_nothing(schedule):
    reference, frames, fields = scene(dtype="f4", noise=0.001)
    holes = frames.copy()
    holes[:, 40:44, 50:54] = np.nan
    holes[:, 70, 20] = np.inf
    plan = plan_of(reference, frames, schedule=schedule, alpha=(5, 5))
    found = dense(plan, holes)
    assert np.isfinite(found).all()
    assert np.linalg.norm(found - fields, axis=-1)[:, 12:-12, 12:-12].mean() < 0.3
    nothing = plan.solve(np.full_like(frames, np.nan))[0]
    assert np.abs(nothing).max() < 1e-3
    with pytest.raises(OptionError):
        plan_of(holes[0], frames)


def test_equal_images_do_not_move():
    reference, _, _ = scene(channels=2)
    for schedule in ("lean", "compat"):
        assert not plan_of(reference, reference[None], schedule=schedule).solve(reference[None])[0].any()
    flat = np.full((40, 40, 1), 7, "u2")
    assert not plan_of(flat, flat[None]).solve(flat[None])[0].any()


def test_flags_and_pickles():
    reference, frames, _ = scene((40, 48), channels=2, dtype="f4", frame_count=4)
    frames[1] = 5
    frames[2, 3, 4, 1] = np.nan
    frames[3, ..., 1] = 0
    plan = plan_of(reference, frames)
    fields, flags = plan.solve(frames)
    assert flags.dtype == np.uint32
    assert flags.tolist() == [0, Flag.NO_CONTRAST, Flag.NOT_FINITE, 0]
    again, _ = pickle.loads(pickle.dumps(plan)).solve(frames)
    np.testing.assert_array_equal(again, fields)
    assert (plan.learned(), plan.to_bytes()) == ({}, b"")


def test_constant_is_a_shift_of_one_pixel():
    reference, frames, _ = scene((40, 48))
    plan = plan_of(reference, frames, "balanced")
    field = np.stack([plan.expansion.constant * 3, plan.expansion.constant * -2], axis=-1)[None]
    np.testing.assert_allclose(plan.expansion.expand(field), np.broadcast_to([3, -2], (1, 40, 48, 2)), rtol=1e-6)


SCRIPT = """
import hashlib
import numpy as np
from galvo import native
from galvo.motion.flags import Flag
from galvo.motion.params import MotionParams, VariationalParams
from galvo.motion.reference import Reference
from galvo.motion.reference import Reference
from galvo.motion.variational import VariationalEstimator
print(native.isa())
rng = np.random.default_rng(0)
frames = rng.integers(0, 4000, (2, 37, 45, 2)).astype("u2")
for options in (
    {}, {"schedule": "compat", "alpha": (1.5, 1.5)}, {"data_term": "census"}, {"data_term": "brightness"},
    {"a_smooth": 0.5}, {"gnc_schedule": (0, 1), "warping_steps": 2},
):
    for preset in ("fast", "quality"):
        params = MotionParams(preset=preset, variational=VariationalParams(**options))
        plan = VariationalEstimator(params).calibrate(frames, Reference(frames.mean(0)))
        field = plan.expansion.expand(plan.solve(frames)[0])
        assert np.isfinite(field).all()
        print(hashlib.sha256(field.tobytes()).hexdigest())
"""


def test_instruction_sets_agree(digests_of):
    best, baseline = digests_of(SCRIPT, None), digests_of(SCRIPT, "baseline")
    assert baseline[0] == "baseline"
    assert len(best) == 13
    assert baseline[1:] == best[1:]


def test_what_does_not_fit_is_refused():
    reference, frames, _ = scene((40, 48), channels=2)
    plan = plan_of(reference, frames)
    params = VariationalParams()
    for call in (
        lambda: plan.solve(frames[..., :1]),
        lambda: plan.solve(frames[:, :-1]),
        lambda: plan.solve(frames.astype("c8")),
        lambda: plan.solve(frames, threads=0),
        lambda: plan_of(reference, frames, weights=(1.0,)),
        lambda: plan_of(reference[..., 0], frames),
        lambda: displacement(reference, frames[0, 1:], params),
        lambda: displacement(reference, frames[0], params, weights=[1.0, -1.0]),
        lambda: displacement(reference, frames[0], params, weights=np.ones((48, 40))),
        lambda: displacement(reference, frames[0], params, start=np.zeros((48, 40, 2))),
        lambda: displacement(reference, frames[0], params, a_data=[0.45]),
        lambda: displacement(np.zeros(5), np.zeros(5), params),
    ):
        with pytest.raises(OptionError):
            call()
