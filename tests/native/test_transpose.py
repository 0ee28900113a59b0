"""The kernel and what chooses it: NumPy says what is right."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from galvo import native
from galvo.core.transpose import transpose_into

WIDTHS = ("u1", "<u2", ">u2", "<f4", "<f8", "<c8", "<c16", "?")


def images(shape, dtype, seed=0):
    raw = np.random.default_rng(seed).integers(0, 2 if dtype == "?" else 256, (*shape, np.dtype(dtype).itemsize), "u1")
    return raw.view(dtype)[..., 0]


@pytest.mark.parametrize("dtype", WIDTHS)
def test_every_size_around_the_tiles(dtype):
    """Whole tiles, whole vectors and what is left over, of both sides."""
    lengths = (1, 2, 3, 15, 16, 17, 63, 64, 65, 130)
    for rows, columns in itertools.product(lengths, lengths):
        stored = images((columns, rows), dtype)
        out = images((rows, columns), dtype, seed=1)
        native.transpose(stored.T, out)
        assert out.tobytes() == stored.T.tobytes(), (rows, columns)


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<f4", "<f8", "<c16"])
def test_strides(dtype):
    """Nothing is written beside the output, whatever the distance and the order of its rows and images."""
    stored = images((3, 2, 90, 80), dtype)[::-1, :, 5:80, 3:73]
    whole = images((4, 5, 90, 100), dtype, seed=1)
    expected = whole.copy()
    for into in (whole, expected):
        part = into[3:0:-1, 1::3, 80:10:-1, 20:95]
        if into is whole:
            native.transpose(stored.swapaxes(2, 3), part)
        else:
            part[...] = stored.swapaxes(2, 3)
    assert whole.tobytes() == expected.tobytes()


def test_nothing_to_copy():
    for shape in ((0, 4), (4, 0), (0, 4, 4), (3, 0, 0)):
        native.transpose(np.empty(shape[:-2] + shape[:-3:-1], "u2").swapaxes(-1, -2), np.empty(shape, "u2"))


@pytest.mark.parametrize(
    ("source", "out"),
    [
        (np.zeros((4, 4), "u2"), np.zeros((4, 4), "u2")),
        (np.zeros((4, 4), "u2").T, np.zeros((4, 4), "u2").T),
        (np.zeros((4, 5), "u2").T, np.zeros((4, 5), "u2")),
        (np.zeros((4, 4), "u2").T, np.zeros((4, 4), "u4")),
        (np.zeros((4, 4), "u2").T, np.zeros((1, 4, 4), "u2")),
        (np.zeros((4, 4), "V3").T, np.zeros((4, 4), "V3")),
        (np.zeros(4, "u2"), np.zeros(4, "u2")),
        (np.zeros((), "u2"), np.zeros((), "u2")),
    ],
    ids=["rows", "columns", "shape", "width", "axes", "odd width", "one axis", "no axis"],
)
def test_what_it_refuses(source, out):
    with pytest.raises(ValueError, match=r"must lie side by side|differ in shape or width"):
        native.transpose(source, out)


def test_what_must_not_be_written():
    out = np.zeros((4, 4), "u2")
    out.flags.writeable = False
    with pytest.raises((ValueError, BufferError), match="read-only"):
        native.transpose(np.zeros((4, 4), "u2").T, out)
    assert not out.any()


@pytest.mark.parametrize(
    ("stored", "shown"), [("<u2", "<u2"), (">u2", "<u2"), ("u1", "<f8"), ("u1", "?"), ("<f4", "<f4")]
)
@pytest.mark.parametrize("turned", ["source", "target", "both", "neither"])
def test_into_any_order_and_type(stored, shown, turned):
    source = images((3, 300, 200), stored)
    if turned in ("source", "both"):
        source = np.ascontiguousarray(source.swapaxes(1, 2)).swapaxes(1, 2)
    target = np.empty((3, 300, 200), shown)
    if turned in ("target", "both"):
        target = np.empty((3, 200, 300), shown).swapaxes(1, 2)
    expected = source.astype(shown)
    transpose_into(target, source)
    assert np.array_equal(target, expected, equal_nan=target.dtype.kind == "f")
    transpose_into(target[1], source[0])
    assert np.array_equal(target[1], expected[0], equal_nan=target.dtype.kind == "f")


def test_one_image_for_all():
    target = np.empty((3, 100, 90), "u2")
    one = images((90, 100), "<u2").T
    transpose_into(target, one)
    assert np.array_equal(target, np.stack([one] * 3))
    line = np.empty(90, "u2")
    transpose_into(line, one[0])
    assert np.array_equal(line, one[0])
