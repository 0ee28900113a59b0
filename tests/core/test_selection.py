"""Index algebra against NumPy: an outer product over the axes, integers drop theirs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galvo import Metadata, Recording
from galvo.core.selection import Selection, compact, parse_axis, parse_key
from galvo.errors import SelectionError

SHAPES = st.tuples(*[st.integers(0, 7)] * 5)
NAMES = ("green", "red", "blue", "deep red", "far", "near", "dark")


def array_of(shape):
    return np.arange(np.prod(shape), dtype=np.int64).reshape(shape)


@st.composite
def axis_key(draw, length, names=()):
    whole = st.integers(-length, length - 1) if length else st.just(0)
    bound = st.none() | st.integers(-length - 3, length + 3)
    step = st.none() | st.integers(-4, 4).filter(bool)
    kinds = [
        st.builds(slice, bound, bound, step),
        st.lists(whole, max_size=6 if length else 0),
        st.lists(whole, max_size=6 if length else 0).map(lambda items: np.array(items, np.int32)),
        st.lists(st.booleans(), min_size=length, max_size=length).map(lambda items: np.array(items, np.bool_)),
    ]
    if length:
        kinds += [whole, whole.map(np.int16), st.lists(st.booleans(), min_size=length, max_size=length)]
        kinds.append(st.lists(whole, min_size=1, max_size=4).map(tuple))
    if names:
        kinds += [st.sampled_from(names), st.lists(st.sampled_from(names), min_size=1, max_size=4)]
    return draw(st.one_of(*kinds))


@st.composite
def shape_and_key(draw, names=False):
    shape = draw(SHAPES)
    given_axes = draw(st.integers(0, 5))
    ellipsis = draw(st.none() | st.integers(0, given_axes))
    axes = list(range(given_axes))
    if ellipsis is not None:
        axes = [axis if axis < ellipsis else axis + 5 - given_axes for axis in axes]
    known = NAMES[: shape[1]] if names else ()
    parts = [draw(axis_key(shape[axis], known if axis == 1 else ())) for axis in axes]
    if ellipsis is not None:
        parts.insert(ellipsis, ...)
    single = len(parts) == 1 and not isinstance(parts[0], tuple) and draw(st.booleans())
    return shape, parts[0] if single else tuple(parts)


def outer(array, key, names=()):
    """What `key` means, one axis after the other from the last, each by NumPy alone."""
    parts = list(key) if isinstance(key, tuple) else [key]
    at = next((number for number, part in enumerate(parts) if part is Ellipsis), None)
    if at is None:
        at = len(parts)
        parts.append(...)
    parts[at : at + 1] = [slice(None)] * (6 - len(parts))
    for axis in range(4, -1, -1):
        part = parts[axis]
        if isinstance(part, str):
            part = names.index(part)
        elif isinstance(part, list | tuple):
            part = [names.index(item) if isinstance(item, str) else item for item in part]
            part = np.asarray(part, np.int64) if not part else np.asarray(part)
        array = array[(slice(None),) * axis + (part,)]
    return array


@settings(max_examples=200)
@given(shape_and_key())
def test_key_selects_what_numpy_does(case):
    shape, key = case
    array = array_of(shape)
    got = Recording.from_array(array)[key]
    expected = outer(array, key)
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got, expected)


@given(shape_and_key(names=True))
def test_channels_by_name(case):
    shape, key = case
    array = array_of(shape)
    metadata = Metadata(format="array", channel_names=NAMES[: shape[1]])
    got = Recording.from_array(array, metadata=metadata)[key]
    np.testing.assert_array_equal(got, outer(array, key, NAMES[: shape[1]]))


def kept(key):
    """The key under which NumPy keeps an axis that `isel` keeps."""
    return np.array([key], np.int64) if isinstance(key, int | np.integer) else key


@given(st.data())
def test_isel_composes(data):
    shape = data.draw(SHAPES)
    array = array_of(shape)
    recording, expected = Recording.from_array(array), array
    for _ in range(data.draw(st.integers(1, 3))):
        chosen = data.draw(st.sets(st.sampled_from("tczyx")))
        keys = {axis: data.draw(axis_key(recording.shape["tczyx".index(axis)])) for axis in sorted(chosen)}
        recording = recording.isel(**keys)
        expected = outer(expected, tuple(kept(keys.get(axis, slice(None))) for axis in "tczyx"))
        assert recording.shape == expected.shape
    key = tuple(data.draw(axis_key(length)) for length in recording.shape)
    np.testing.assert_array_equal(recording[...], expected)
    np.testing.assert_array_equal(recording[key], outer(expected, key))


@given(st.lists(st.integers(0, 20), max_size=8))
def test_compact_keeps_positions_and_order(positions):
    array = np.array(positions, np.int64)
    result = compact(array)
    assert list(result) == positions
    steps = set(np.diff(array).tolist())
    assert isinstance(result, range) == (len(steps) < 2 and steps != {0})


def test_evenly_spaced_parts_of_lists_become_ranges():
    listed = Selection.whole((9, 1, 1, 1, 1)).take(Selection(np.array([0, 5, 7]), *[range(1)] * 4))
    part = listed.take(Selection(range(1, 3), *[range(1)] * 4))
    assert part.t == range(5, 8, 2)


KEYS_WITHOUT_MEANING = [
    5,
    -6,
    10**30,
    -(10**30),
    1.0,
    "green",
    None,
    True,
    np.True_,
    np.array(True),
    {0: 1},
    {1, 2},
    b"ab",
    1j,
    object,
    [0, 5],
    [0, -6],
    [10**30],
    [2**63, -1],
    [0.0, 1.0],
    [None],
    [[0], [1]],
    [[0], [1, 2]],
    [True, False],
    np.ones((5, 1), bool),
    np.zeros((1, 1), int),
    np.array(["2026-01-01"], "M8[D]"),
    np.array([0], object),
    slice("a", None),
    slice(None, None, 0),
    slice(0.5, None),
    (0, 0, 0, 0, 0, 0),
    (..., ...),
    (..., 0, 0, 0, 0, 0, 0),
    (0, "green"),
    (0, ["green"]),
]


@pytest.mark.parametrize("key", KEYS_WITHOUT_MEANING, ids=lambda key: repr(key)[:40])
def test_keys_without_meaning(key):
    recording = Recording.from_array(array_of((5, 2, 1, 3, 4)))
    with pytest.raises(SelectionError) as caught:
        recording[key]
    assert isinstance(caught.value, IndexError)


@pytest.mark.parametrize("key", KEYS_WITHOUT_MEANING[:-6], ids=lambda key: repr(key)[:40])
def test_keys_without_meaning_for_isel(key):
    if key is None:
        return
    with pytest.raises(SelectionError):
        Recording.from_array(array_of((5, 2, 1, 3, 4))).isel(t=key)


def test_names_of_channels():
    metadata = Metadata(format="array", channel_names=("green", "red", "red"))
    recording = Recording.from_array(array_of((2, 3, 1, 2, 2)), metadata=metadata)
    assert recording.isel(c="green").channel_names == ("green",)
    assert recording[0, "green"].shape == (1, 2, 2)
    with pytest.raises(SelectionError, match="several channels"):
        recording[:, "red"]
    with pytest.raises(SelectionError, match="no channel of that name"):
        recording[:, "blue"]
    with pytest.raises(SelectionError, match=r"has no names.*A channel is the second index: rec"):
        recording["green"]


def test_wide_masks_and_small_integer_types():
    recording = Recording.from_array(np.zeros((300, 1, 1, 1, 1)))
    assert recording[np.array([255, 0], np.uint8)].shape[0] == 2
    assert recording[np.array([-1, 127], np.int8)].shape[0] == 2
    assert recording[np.ones(300, bool)].shape[0] == 300
    with pytest.raises(SelectionError):
        recording[np.array([2**63], np.uint64)]


def test_whole_and_shape():
    assert Selection.whole((1, 2, 3, 4, 5)).shape == (1, 2, 3, 4, 5)
    assert parse_key((), (1, 2, 3, 4, 5))[0].shape == (1, 2, 3, 4, 5)
    assert parse_axis(np.int8(-1), 4, "T") == (range(3, 4), True)


def test_a_range_beyond_memory_is_no_problem():
    selection, _ = parse_key(slice(2**40, 2**40 + 3), (2**50, 1, 1, 1, 1))
    assert selection.t == range(2**40, 2**40 + 3)
