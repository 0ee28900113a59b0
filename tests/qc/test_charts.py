"""Traces that are thinned out, and axes with round numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galvo.qc.charts import Band, Dots, Line, Ticks, chart, decimated, round_steps


@given(st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(float("nan"))), max_size=300), st.integers(2, 40))
def test_a_thinned_trace_keeps_its_extremes(values, most):
    positions, kept = decimated(values, most)
    given_values = np.array(values, float)
    assert kept.size <= max(most, 0)
    assert (np.diff(positions) > 0).all()
    assert np.array_equal(given_values[positions.astype(int)], kept, equal_nan=True)
    if np.isfinite(given_values).any():
        assert np.nanmin(kept) == np.nanmin(given_values)
        assert np.nanmax(kept) == np.nanmax(given_values)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.integers(3, 9))
def test_steps_are_round_and_few(low, span, most):
    steps = round_steps(low, low + span, most)
    assert 1 <= len(steps) <= most
    assert all(low - span * 1e-6 <= step <= low + span * (1 + 1e-6) for step in steps)
    for step in np.diff(steps):
        digits = f"{step:.3e}"
        assert digits.split("e")[0].rstrip("0").rstrip(".") in ("1", "2", "5"), steps


@pytest.mark.parametrize("values", [[], [np.nan] * 4, [0, 0, 0], [1e300, 1e300], [1, np.nan, 2, np.nan, np.nan, 3]])
def test_any_values_can_be_drawn(values):
    x = np.arange(len(values))
    drawn = chart("t", [Line(x, values), Band(x, values, values), Dots(x, values), Ticks(x)], (0, max(1, len(values))))
    assert "nan" not in drawn
    assert "inf" not in drawn
