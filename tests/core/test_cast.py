"""Pixels of another type: exactly what was asked for, or an error."""

from __future__ import annotations

import pickle

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

import galvo
from galvo import Recording
from galvo.core.cast import Cast
from galvo.errors import OptionError

TYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def movie(pixels):
    return Recording.from_array(np.asarray(pixels).reshape(1, 1, -1))


@hypothesis.given(
    st.lists(st.one_of(st.integers(-(1 << 63), (1 << 64) - 1), st.integers(-300, 70000)), min_size=1, max_size=5),
    st.sampled_from(TYPES[:8]),
)
@hypothesis.settings(max_examples=300)
def test_integers_are_kept_or_refused(values, wanted):
    """Against Python's own integers."""
    kind = np.uint64 if min(values) >= 0 else np.int64
    hypothesis.assume(max(values) <= np.iinfo(kind).max and min(values) >= np.iinfo(kind).min)
    pixels = np.array(values, kind)
    limits = np.iinfo(wanted)
    clipped = [min(max(value, int(limits.min)), int(limits.max)) for value in values]
    assert Cast(wanted, "clip").apply(pixels).tolist() == clipped
    wrapped = [(value - int(limits.min)) % (1 << 8 * limits.dtype.itemsize) + int(limits.min) for value in values]
    assert Cast(wanted, "wrap").apply(pixels).tolist() == wrapped
    if clipped == values:
        made = Cast(wanted).apply(pixels)
        assert made.dtype == np.dtype(wanted)
        assert made.tolist() == values
    else:
        with pytest.raises(OptionError, match="do not fit"):
            Cast(wanted).apply(pixels)


@hypothesis.given(st.lists(st.floats(width=32), min_size=1, max_size=5), st.sampled_from(TYPES[:8]))
@hypothesis.settings(max_examples=300)
def test_floats_become_integers_only_where_they_are_whole(values, wanted):
    pixels = np.array(values, np.float32)
    limits = np.iinfo(wanted)
    finite = bool(np.isfinite(pixels).all())
    whole = finite and all(float(v).is_integer() and limits.min <= int(float(v)) <= limits.max for v in pixels)
    if whole:
        assert Cast(wanted).apply(pixels).tolist() == [int(float(v)) for v in pixels]
    else:
        with pytest.raises(OptionError, match="do not fit"):
            Cast(wanted).apply(pixels)
    if np.isnan(pixels).any():
        with pytest.raises(OptionError, match="NaN"):
            Cast(wanted, "clip").apply(pixels)
        return
    bounds = int(limits.min), int(limits.max)
    expected = [
        bounds[float(v) > 0] if not np.isfinite(v) else min(max(round(float(v)), bounds[0]), bounds[1]) for v in pixels
    ]
    assert Cast(wanted, "clip").apply(pixels).tolist() == expected


def test_floats_are_rounded_to_floats_but_never_overflow():
    assert Cast("f4").apply(np.array([1 / 3, -np.inf, np.nan]))[0] == np.float32(1 / 3)
    with pytest.raises(OptionError, match="do not fit"):
        Cast("f4").apply(np.array([1e300]))
    assert Cast("f4", "clip").apply(np.array([1e300])) == np.finfo("f4").max
    with pytest.raises(OptionError, match="complex"):
        Cast("f8").apply(np.array([1j]))
    assert Cast("c8").apply(np.array([0.5])).dtype == np.complex64


@pytest.mark.parametrize(("scale", "expected"), [((0, 100), [0, 26, 128, 255, 255]), ("minmax", [0, 13, 64, 128, 255])])
def test_a_scale(scale, expected):
    """By hand: 10 of 0 to 100 is 25.5, which rounds to the even 26."""
    pixels = np.array([0, 10, 50, 100, 200], np.int16)
    made = movie(pixels).astype("u1", scale=scale)
    assert made[...].ravel().tolist() == expected
    assert made.dtype == np.uint8
    assert "scaled from 0 to" in made.metadata.attributes["converted"]


def test_percentiles_are_those_of_numpy():
    pixels = np.random.default_rng(0).normal(1000, 200, (500, 8, 9)).astype(np.float32)
    low, high = np.percentile(pixels[np.unique(np.linspace(0, 499, 64).astype(int))], [0.1, 99.9])
    expected = np.rint(np.clip((pixels.astype(float) - low) / (high - low) * 255, 0, 255)).astype(np.uint8)
    np.testing.assert_array_equal(Recording.from_array(pixels).astype("u1", "percentile")[:, 0, 0], expected)


def test_a_recording_of_one_value_has_a_scale():
    assert movie([7, 7]).astype("u1", "minmax")[...].ravel().tolist() == [0, 0]


@pytest.mark.parametrize("scale", ["nonsense", (1,), (5, 1), (0, np.nan), "wrap", object])
def test_scales_that_are_none(scale):
    with pytest.raises(OptionError):
        movie([1.5, 2]).astype("u1", scale)[...]


@pytest.mark.parametrize("dtype", ["U3", "O", "M8[s]", "V4"])
def test_types_that_are_no_pixels(dtype):
    with pytest.raises(OptionError):
        movie([1, 2]).astype(dtype)


def test_it_is_lazy_selects_and_pickles():
    pixels = np.arange(5 * 2 * 3 * 4 * 6, dtype=np.int32).reshape(5, 2, 3, 4, 6)
    whole = Recording.from_array(pixels)
    part = whole.isel(t=slice(1, 4), c=1).astype("f4")
    for one in (part, pickle.loads(pickle.dumps(part))):
        np.testing.assert_array_equal(one[...], pixels[1:4, 1:2])
        np.testing.assert_array_equal(one.isel(t=[2, 0], x=slice(None, None, -2))[...], pixels[[3, 1], 1:2, ..., ::-2])
        assert one.dtype == np.float32
    assert whole.astype(np.int32) is whole


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=60)
def test_folding_against_numpy(data):
    pixels = np.arange(3 * 2 * 4 * 2 * 3, dtype=np.uint16).reshape(3, 2, 4, 2, 3)
    axes = data.draw(st.sampled_from(["C", "Z", "CZ", "zc"]))
    expected = {
        "C": pixels.transpose(0, 1, 2, 3, 4).reshape(6, 1, 4, 2, 3),
        "Z": pixels.transpose(0, 2, 1, 3, 4).reshape(12, 2, 1, 2, 3),
        "CZ": pixels.transpose(0, 2, 1, 3, 4).reshape(24, 1, 1, 2, 3),
    }["".join(sorted(axes.upper()))]
    folded = Recording.from_array(pixels).fold(axes)
    assert folded.shape == expected.shape
    np.testing.assert_array_equal(folded[...], expected)
    picks = data.draw(st.lists(st.integers(0, folded.shape[0] - 1), min_size=1, max_size=5))
    part = pickle.loads(pickle.dumps(folded.isel(t=picks, y=slice(1, None))))
    np.testing.assert_array_equal(part[...], expected[picks][:, :, :, 1:])


def test_folding_a_part_with_its_facts(tmp_path):
    """Times and places are those of the frames, whatever was selected before."""
    from galvo.testing.scanimage import ScanImageRecording

    truth = ScanImageRecording(height=6, width=5, slices=3, flyback=1, volumes=4, channels=(1, 2))
    with galvo.open(truth.write(tmp_path)[0]) as whole:
        part = whole.isel(t=slice(1, None, 2), c=[1, 0], z=[2, 0])
        table = {(row["t"], row["c"], row["z"]): row for row in part.frame_table()}
        folded = part.fold("CZ")
        for row in folded.frame_table():
            rest, c = divmod(int(row["t"]), 2)
            t, z = divmod(rest, 2)
            source = table[t, c, z]
            assert (row["file"], row["page"], row["timestamp_s"]) == (
                source["file"],
                source["page"],
                source["timestamp_s"],
            )
            np.testing.assert_array_equal(folded[int(row["t"]), 0, 0], part[t, c, z])
        assert folded.frame_rate_hz is None
        assert folded.z_um is None
        folded.prove()


def test_converting_with_them(tmp_path):
    pixels = np.arange(3 * 2 * 4 * 5 * 6, dtype=np.int32).reshape(3, 2, 4, 5, 6) - 20
    path = tmp_path / "out.h5"
    galvo.convert(pixels, path, axes="TYX", dtype="u1", scale="clip", verify=True)
    expected = np.clip(pixels.transpose(0, 2, 1, 3, 4).reshape(24, 5, 6), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(galvo.load(path), expected)
    with galvo.open(path) as made:
        assert made.metadata.attributes["converted"] == "|u1, by clip"
        assert made.metadata.attributes["folded"] == "CZ into T"
    wrong_axes = ({"axes": letters} for letters in ("YX", "TYQ", "TTYX", "TY"))
    for options in ({"dtype": "u1"}, {"scale": "clip"}, *wrong_axes):
        with pytest.raises(OptionError):
            galvo.convert(pixels, path, overwrite=True, **options)
    np.testing.assert_array_equal(galvo.load(path), expected)
