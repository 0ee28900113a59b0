"""Blocks: every pixel once, in bounded parts, in the order that was asked for."""

from __future__ import annotations

from itertools import permutations

import hypothesis
import hypothesis.strategies as st
import numpy as np

from galvo.core.blocks import block_selections


@hypothesis.given(
    st.tuples(*[st.integers(1, 6)] * 5),
    st.integers(1, 4),
    st.integers(1, 5000),
    st.integers(1, 4),
    st.sampled_from(["".join(letters) for text in ("TCZ", "tCZ", "TcZ", "TCz") for letters in permutations(text)]),
)
@hypothesis.settings(max_examples=300)
def test_blocks(shape, itemsize, max_bytes, multiple, order):
    axes = ["TCZ".index(letter.upper()) for letter in order]
    seen, frames = np.zeros(shape, int), []
    for index in block_selections(shape, itemsize, max_bytes, multiple, order):
        seen[index] += 1
        lengths = [part.stop - part.start for part in index]
        least = shape[3] * shape[4] * itemsize * min(multiple, shape[0])
        assert np.prod(lengths) * itemsize <= max(max_bytes, least)
        assert index[0].start % multiple == 0
        assert all(lengths[axis] == 1 for axis, letter in zip(axes, order, strict=True) if letter in "cz")
        assert index[0].stop % multiple == 0 or index[0].stop == shape[0]
        inside = np.ndindex(*(lengths[axis] for axis in axes))
        frames += [tuple(index[axis].start + n for axis, n in zip(axes, place, strict=True)) for place in inside]
    assert (seen == 1).all()
    if multiple == 1 and order.isupper():
        # frames of one block after another are in the order of the axes
        assert frames == sorted(frames)


def test_axes_in_parentheses_stay_whole():
    blocks = list(block_selections((5, 3, 2, 4, 4), 1, 1, order="T(CZ)"))
    assert [[(part.start, part.stop) for part in index[:3]] for index in blocks] == [
        [(t, t + 1), (0, 3), (0, 2)] for t in range(5)
    ]
    larger = list(block_selections((5, 3, 2, 4, 4), 1, 3 * 6 * 16, order="T(CZ)"))
    assert [(index[0].start, index[0].stop) for index in larger] == [(0, 3), (3, 5)]
