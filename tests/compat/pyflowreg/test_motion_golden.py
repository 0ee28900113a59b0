"""Whole runs of the original by the facade's own calls, as its outputs say that they were made."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.compat.pyflowreg.motion_correction import OFOptions, compensate_arr
from galvo.compat.pyflowreg.util.io import get_video_file_reader


@pytest.fixture(scope="module")
def golden(sample_data):
    path = sample_data.parent / "golden" / "pyflowreg" / "pyflowreg_golden.npz"
    if not path.is_file():
        pytest.skip("no outputs of the original: golden/pyflowreg beside the genuine recordings is absent")
    with np.load(path) as arrays:
        return dict(arrays)


def compare(golden, name, options, count=6):
    frames, fields = compensate_arr(golden["frames"][:count], golden["reference"], OFOptions(buffer_size=4, **options))
    expected, displaced = golden[f"arr_{name}_reg"][:count], golden[f"arr_{name}_w"][:count]
    # the original gives doubles by default, kept here as singles
    assert (frames.dtype, frames.shape) == (np.float64, expected.shape)
    assert (fields.dtype, fields.shape) == (np.float32, displaced.shape)
    assert np.abs(fields - displaced).mean() < 2e-2
    assert (np.abs(frames - expected) <= 0.01 * np.ptp(golden[f"arr_{name}_reg"])).mean() > 0.99


@pytest.mark.parametrize("name", ["quality", "balanced", "fast"])
def test_movies_in_memory(golden, name):
    compare(golden, name, {"quality_setting": name})


def test_channels_apart_and_filtered_over_time(golden):
    """The first batch: the original's filter ends there, galvo's sees the next one, so that both must end with it.

    That the reference follows into the next batch as the original's does is tested without the facade.
    """
    options = {"update_reference": True, "channel_normalization": "separate", "sigma": [[1, 1, 0.5], [2, 2, 1]]}
    compare(golden, "updref", {"quality_setting": "fast", **options}, 4)


def test_reference_of_chosen_frames(golden):
    options = OFOptions(input_file=golden["frames"], quality_setting="fast", reference_frames=list(range(6)))
    found = options.get_reference_frame(get_video_file_reader(golden["frames"]))
    expected = golden["prereg_reference"]
    assert found.shape == expected.shape
    assert (np.abs(found - expected) <= 0.01 * np.ptp(expected)).mean() > 0.99
    assert np.abs(found - expected).mean() < 2e-3 * np.ptp(expected)
