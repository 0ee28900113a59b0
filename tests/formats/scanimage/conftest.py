"""Opening with the warnings that a test expects."""

from __future__ import annotations

import math
import re
import warnings

import numpy as np
import pytest

import galvo
from galvo.errors import GalvoWarning
from galvo.testing.scanimage import ScanImageRecording


@pytest.fixture
def open_warned():
    """Opens a source; each of the patterns must match one warning, and there may be no other."""

    def open_(source, *patterns, **options) -> galvo.Recording:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            rec = galvo.open(source, **options)
        messages = [str(warning.message) for warning in caught]
        try:
            assert all(issubclass(warning.category, GalvoWarning) for warning in caught)
            assert all(warning.filename == __file__ for warning in caught), "it points elsewhere"
            assert len(messages) == len(patterns), messages
            for pattern in patterns:
                assert sum(re.search(pattern, message) is not None for message in messages) == 1, (pattern, messages)
        except AssertionError:
            rec.close()
            raise
        return rec

    return open_


@pytest.fixture(scope="session")
def check_recording():
    """Compares an open recording with the truth about it: pixels, facts of frames, events, what is left out."""
    return _check


def _check(rec: galvo.Recording, truth: ScanImageRecording, repeat=None, flyback="drop") -> None:
    shown = {"slice_repeats": repeat, "flyback": flyback}
    expected = truth.expected(**shown)
    assert rec.shape == expected.shape
    assert rec.dtype == expected.dtype
    np.testing.assert_array_equal(rec[...], expected)
    np.testing.assert_array_equal(rec[-1], expected[-1])
    np.testing.assert_array_equal(rec.timestamps, truth.expected_timestamps(slice_repeats=repeat))
    if repeat != "mean" and truth.has_blocks:
        _check_table(rec, truth, truth.page_table(**shown) // len(truth.channels))
    _check_events(rec, truth.expected_events(**shown) if truth.has_blocks else [])
    np.testing.assert_array_equal(rec.z_um, truth.expected_z_um(flyback=flyback))
    assert rec.channel_names == truth.expected_channel_names
    times = truth.logged_repeats if repeat == "interleave" else 1
    rate = truth.expected_frame_rate_hz
    assert rec.frame_rate_hz == (rate and pytest.approx(rate * times, rel=1e-5))
    size = truth.expected_pixel_size_um
    assert rec.pixel_size_um == (size and pytest.approx(size, rel=1e-5))
    year, month, day, hour, minute, second = truth.epoch
    start = f"{year}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:06.3f}" if truth.has_blocks else None
    assert rec.metadata.start_time == start
    assert rec.metadata.texts.get("roi", "") == truth.roi_text()
    pages = math.prod(rec.shape[:3]) * (truth.logged_repeats if repeat == "mean" else 1)
    assert pages + sum(entry.page_count for entry in rec.left_out) == truth.page_count


def _check_table(rec: galvo.Recording, truth: ScanImageRecording, frames: np.ndarray) -> None:
    table = rec.frame_table()
    empty = truth.block_style == "empty"
    for column, name in (
        ("frame_number", "frame_number"),
        ("acquisition_number", "acquisition_number"),
        ("frame_number_in_acquisition", "acquisition_frame_number"),
        ("end_of_acquisition", "end_of_acquisition"),
        ("end_of_acquisition_mode", "end_of_mode"),
        ("timestamp_s", "timestamp_s"),
        ("acquisition_trigger_s", "trigger_timestamp_s"),
        ("next_file_marker_s", "next_file_marker_s"),
    ):
        want = getattr(truth.timeline, name)[frames]
        if column.endswith("_s") and empty:
            want = np.where(want == -1, np.nan, want)
        found = table[column].reshape(rec.shape[:3])
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-6, err_msg=column)


def _check_events(rec: galvo.Recording, expected: list) -> None:
    found = []
    for row in rec.events():
        data = row["data"][: row["data_nbytes"]].tobytes()
        assert not row["data"][row["data_nbytes"] :].any()
        found.append((int(row["t"]), int(row["z"]), str(row["kind"]), float(row["time_s"]), data))
    assert found == expected
