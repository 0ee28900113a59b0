"""The warp against a plain NumPy loop in float64, closed forms, SciPy and the original."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from galvo.errors import OptionError
from galvo.motion.warping import warp

DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def keys(distance, a):
    """Cubic convolution kernel (Keys 1981)."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def expected(frames, fields, interpolation, a=-0.5):
    """Frames (T, Y, X, C) read at x + w with replicated edges, float64."""
    _, rows, columns, _ = frames.shape
    y, x = np.mgrid[:rows, :columns]
    px = np.clip(x + fields[..., 0].astype(np.float64), 0, columns - 1)
    py = np.clip(y + fields[..., 1].astype(np.float64), 0, rows - 1)
    taps = {"cubic": range(-1, 3), "linear": range(2), "nearest": range(1)}[interpolation]
    kernel = {
        "cubic": lambda d: keys(d, a),
        "linear": lambda d: np.maximum(0, 1 - np.abs(d)),
        "nearest": lambda d: np.ones_like(d),
    }[interpolation]
    offset = 0.5 if interpolation == "nearest" else 0.0
    fx, fy = np.floor(px + offset), np.floor(py + offset)
    out = np.zeros(frames.shape)
    t = np.arange(len(frames))[:, None, None]
    for j in taps:
        for i in taps:
            iy = np.clip(fy + j, 0, rows - 1).astype(int)
            ix = np.clip(fx + i, 0, columns - 1).astype(int)
            weight = kernel(py - fy - j) * kernel(px - fx - i)
            out += weight[..., None] * frames[t, iy, ix].astype(np.float64)
    return out


def random_case(seed, shape=(3, 17, 23, 2), dtype="u2", size=4.0):
    rng = np.random.default_rng(seed)
    frames = (rng.random(shape) * 200 - (100 if np.dtype(dtype).kind != "u" else 0)).clip(-100, 120).astype(dtype)
    return frames, rng.normal(0, size, (*shape[:3], 2)).astype(np.float32)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("interpolation", ["cubic", "linear", "nearest"])
def test_every_dtype_against_plain_numpy(dtype, interpolation):
    frames, fields = random_case(1, dtype=dtype)
    want = expected(frames, fields, interpolation)
    got = warp(frames, fields, interpolation=interpolation)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-3)
    same = warp(frames, fields, interpolation=interpolation, dtype="same")
    assert same.dtype == frames.dtype
    if np.dtype(dtype).kind in "iu":
        limits = np.iinfo(dtype)
        np.testing.assert_allclose(same, want.clip(limits.min, limits.max), rtol=0, atol=0.5 + 1e-3)
    else:
        np.testing.assert_allclose(same, want, rtol=1e-3 if dtype == "f2" else 1e-6, atol=1e-3)


def test_wide_pixels_keep_their_digits():
    frames = np.random.default_rng(2).integers(2**40, 2**41, (1, 9, 11, 1))
    np.testing.assert_array_equal(warp(frames, np.zeros((1, 9, 11, 2), "f4"), dtype="same"), frames)
    shifted = warp(frames, np.full((1, 9, 11, 2), 1, "f4"), dtype="same")
    np.testing.assert_array_equal(shifted[:, :-1, :-1], frames[:, 1:, 1:])


SIDES = st.integers(1, 40)


@given(SIDES, SIDES, st.integers(1, 4), st.integers(0, 2**31), st.sampled_from([0.3, 3.0, 60.0]))
def test_any_shape(rows, columns, channels, seed, size):
    frames, fields = random_case(seed, (2, rows, columns, channels), "u2", size)
    np.testing.assert_allclose(warp(frames, fields), expected(frames, fields, "cubic"), rtol=0, atol=2e-3)


@pytest.mark.parametrize("dtype", DTYPES[:8])
def test_no_displacement_changes_nothing(dtype):
    limits = np.iinfo(dtype)
    exact = 2**24 if np.dtype(dtype).itemsize > 4 else 0  # doubles do not hold the largest 64-bit integers
    frames = np.random.default_rng(3).integers(
        limits.min // 2**11 if exact else limits.min,
        limits.max // 2**11 if exact else limits.max,
        (2, 30, 37),
        endpoint=True,
        dtype=dtype,
    )
    for interpolation in ("cubic", "linear", "nearest"):
        still = warp(frames, np.zeros((30, 37, 2), "f4"), interpolation=interpolation, dtype="same")
        np.testing.assert_array_equal(still, frames)


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_overshoot_saturates(dtype):
    limits = np.iinfo(dtype)
    step = np.full((1, 8, 16), limits.min, dtype)
    step[..., 8:] = limits.max
    got = warp(step, np.full((8, 16, 2), (0.5, 0), "f4"), dtype="same")[0]
    assert (got[:, 6] == limits.min).all()
    assert (got[:, 8] == limits.max).all()
    assert (np.diff(got[0, :-1].astype(float)) >= 0).all()


def test_halves_are_rounded_to_even():
    frames = np.array([[[0, 1, 2, 3, 4, 5, 6, 7]]], np.uint8)
    half = np.full((1, 8, 2), (0.5, 0), "f4")
    assert warp(frames, half, interpolation="linear", dtype="same")[0, 0, :7].tolist() == [0, 2, 2, 4, 4, 6, 6]


def test_keys_kernel_is_exact_for_a_quadratic_image():
    y, x = np.mgrid[:40, :50].astype(float)

    def image(y, x):
        return 3 + 0.5 * x - 0.25 * y + 0.01 * x * x - 0.02 * y * y

    fields = np.random.default_rng(4).uniform(-2, 2, (40, 50, 2)).astype("f4")
    got = warp(image(y, x)[None], fields, dtype="same")[0]
    want = image(y + fields[..., 1].astype(float), x + fields[..., 0].astype(float))
    np.testing.assert_allclose(got[4:-4, 4:-4], want[4:-4, 4:-4], rtol=0, atol=2e-5)


def test_linear_equals_scipy():
    frames, fields = random_case(5, (1, 31, 29, 1), "f8")
    y, x = np.mgrid[:31, :29]
    want = ndimage.map_coordinates(
        frames[0, :, :, 0], (y + fields[0, ..., 1], x + fields[0, ..., 0]), order=1, mode="nearest"
    )
    np.testing.assert_allclose(warp(frames, fields, interpolation="linear", dtype="same")[0, ..., 0], want, atol=2e-5)


def test_positions_are_as_exact_far_from_the_origin():
    ramp = np.tile(np.arange(8192, dtype=np.float64) % 7, (1, 4, 1))
    fields = np.full((4, 8192, 2), (0.123456789, 0), "f4")
    got = warp(ramp, fields, dtype="same")[0, 0]
    np.testing.assert_array_equal(got[70:77], got[8120:8127])


def test_fill():
    frames, _ = random_case(6, (2, 20, 24, 2))
    fields = np.zeros((2, 20, 24, 2), "f4")
    fields[:, 3, 4] = (-4.6, 0)
    fields[:, 5, 6] = (0, np.nan)
    fields[:, 7, 8] = (np.inf, 0)
    fields[:, 9, 23] = (0.49, 0)
    outside = np.zeros((20, 24), bool)
    outside[[3, 5, 7], [4, 6, 8]] = True
    image = np.random.default_rng(7).random((20, 24, 2)).astype("f4")
    still = frames.astype("f4")
    for fill, want in [(-1.5, -1.5), (np.nan, np.nan), (image, image[outside])]:
        got = warp(frames, fields, fill=fill)
        np.testing.assert_array_equal(got[:, ~outside], still[:, ~outside])
        np.testing.assert_array_equal(got[:, outside], np.broadcast_to(want, got[:, outside].shape))
    assert warp(frames, fields, fill=-7, reach=(5, 5))[0, 3, 4, 0] == still[0, 3, 0, 0]
    fields[:, 5, 6] = fields[:, 7, 8] = 0
    assert warp(frames, fields)[1, 3, 4, 1] == still[1, 3, 0, 1]


def test_one_field_for_all_frames():
    frames, fields = random_case(8, (5, 20, 24, 1))
    np.testing.assert_array_equal(warp(frames, fields[0]), warp(frames, np.repeat(fields[:1], 5, axis=0)))
    np.testing.assert_array_equal(warp(frames[..., 0], fields), warp(frames, fields)[..., 0])
    assert warp(frames[:0], fields[:0]).shape == (0, 20, 24, 1)


def test_one_shift_for_all_pixels_of_a_frame():
    """A field that is broadcast is not spread out in memory."""
    frames, fields = random_case(8, (5, 20, 24, 1))
    shifts = np.broadcast_to(fields[:, :1, :1], fields.shape)
    np.testing.assert_array_equal(warp(frames, shifts), warp(frames, shifts.copy()))
    rows = np.broadcast_to(fields[:, :1], fields.shape)
    np.testing.assert_array_equal(warp(frames, rows, fill=9), warp(frames, rows.copy(), fill=9))
    np.testing.assert_array_equal(warp(frames, rows[2]), warp(frames, rows[2].copy()))


@pytest.mark.parametrize("dtype", ["u2", "f2", ">i2"])
def test_views_and_a_place_for_the_result(dtype):
    frames, fields = random_case(11, (3, 20, 24, 2))
    frames = frames.astype(dtype)
    planes = np.ascontiguousarray(np.moveaxis(frames, 3, 1))
    view = np.moveaxis(planes, 1, 3)[::-1, ::2, ::-1]
    fields = fields[:, : view.shape[1]]
    want = warp(np.ascontiguousarray(view), fields, dtype="same")
    np.testing.assert_array_equal(warp(view, fields, dtype="same"), want)
    target = np.zeros((5, 3, *view.shape[1:3]), np.dtype(dtype).newbyteorder("="))
    place = np.moveaxis(target[:2].transpose(1, 0, 2, 3), 1, 3)
    assert warp(view.astype(place.dtype), fields, dtype="same", out=place) is place
    np.testing.assert_array_equal(place, want)
    assert not target[2:].any()


def test_equal_for_any_thread_count():
    frames, fields = random_case(9, (7, 40, 50, 2))
    one = warp(frames, fields, threads=1)
    for threads in (2, 5, None):
        np.testing.assert_array_equal(warp(frames, fields, threads=threads), one)


SCRIPT = """
import hashlib
import numpy as np
from galvo import native
from galvo.motion.warping import warp
print(native.isa())
rng = np.random.default_rng(10)
rough = rng.normal(0, 5, (2, 37, 53, 2)).astype("f4")
smooth = (4 * np.sin(np.arange(37 * 53 * 4).reshape(2, 37, 53, 2) / 300)).astype("f4")
for dtype in ("u1", "u2", "i2", "i4", "f4", "f8"):
    frames = (rng.random((2, 37, 53, 2)) * 100).astype(dtype)
    for interpolation in ("cubic", "linear", "nearest"):
        for kind in ("same", "f4"):
            for fields in (rough, smooth):
                out = warp(frames, fields, interpolation=interpolation, dtype=kind, fill=3)
                print(hashlib.sha256(out.tobytes()).hexdigest())
"""


def test_instruction_sets_agree(digests_of):
    best, baseline = digests_of(SCRIPT, None), digests_of(SCRIPT, "baseline")
    assert baseline[0] == "baseline"
    assert len(best) == 73
    assert baseline[1:] == best[1:]


@pytest.mark.parametrize(
    ("frames", "fields", "options"),
    [
        (np.zeros((2, 5, 6)), np.zeros((2, 6, 5, 2), "f4"), {}),
        (np.zeros((2, 5, 6)), np.zeros((3, 5, 6, 2), "f4"), {}),
        (np.zeros((2, 5, 6)), np.zeros((1, 5, 6, 2), "f4"), {}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "i4"), {}),
        (np.zeros((5, 6)), np.zeros((5, 6, 2), "f4"), {}),
        (np.zeros((2, 5, 6), "c8"), np.zeros((5, 6, 2), "f4"), {}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"interpolation": "spline"}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"fill": "zeros"}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"fill": np.zeros((6, 5))}),
        (np.zeros((2, 5, 6), "u1"), np.zeros((5, 6, 2), "f4"), {"fill": 256, "dtype": "same"}),
        (np.zeros((2, 5, 6), "u1"), np.zeros((5, 6, 2), "f4"), {"fill": np.nan, "dtype": "same"}),
        (np.zeros((2, 5, 6), "u1"), np.zeros((5, 6, 2), "f4"), {"dtype": "u2"}),
        (np.zeros((2, 5, 6)), np.full((5, 6, 2), np.nan, "f4"), {}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"threads": 0}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"out": np.zeros((2, 5, 6))}),
        (np.zeros((2, 5, 6)), np.zeros((5, 6, 2), "f4"), {"out": np.zeros((2, 6, 5), "f4")}),
    ],
)
def test_what_does_not_fit_is_refused(frames, fields, options):
    with pytest.raises(OptionError):
        warp(frames, fields, **options)


def test_original(golden):
    """Positions of the original are rounded to 1/32 pixel; rounded likewise, ours agree but where the edge is met."""
    frames, truth, reference = golden["frames"][:1], golden["truth"][0], golden["reference"]
    rounded = np.round(truth * 32) / 32
    common = {"fill": reference, "reach": (0, 1)}
    for name, options in [("warp_cubic", {"cubic_a": -0.75}), ("warp_linear", {"interpolation": "linear"})]:
        exact = np.abs(warp(frames, truth, **common, **options)[0] - golden[name])
        scale = golden["warp_cubic"].max()
        assert exact.max() < 0.01 * scale
        alike = np.abs(warp(frames, rounded, **common, **options)[0] - golden[name])
        assert np.percentile(alike, 99.5) < 1e-6 * scale
    words = warp(frames, truth, fill=np.trunc(reference), reach=(0, 1), cubic_a=-0.75, dtype="same")[0]
    assert np.abs(words - golden["warp_cubic_u16"].astype(float)).max() < 0.01 * scale
