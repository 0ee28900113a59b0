"""Numbers of frames against NumPy's own, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from galvo.motion.quality import QUALITY, frame_quality


def expected(frame, field, reference):
    lengths = np.hypot(field[..., 0].astype(np.float64), field[..., 1])
    height, width = frame.shape[:2]
    border_y, border_x = (min(int(np.ceil(np.float32(lengths.max()))), side // 4) for side in (height, width))
    inner = np.s_[border_y : height - border_y, border_x : width - border_x]
    correlations, residuals, crispness = [], [], []
    for channel in range(frame.shape[2]):
        moving, fixed = frame[inner][..., channel].astype(np.float64), reference[inner][..., channel].astype(np.float64)
        known = np.isfinite(moving) & np.isfinite(fixed)
        slope, level = np.polyfit(fixed[known], moving[known], 1)
        residuals.append((moving - slope * fixed - level)[known].std())
        correlations.append(np.corrcoef(moving[known], fixed[known])[0, 1])
        steps = [np.diff(moving, axis=axis) for axis in (0, 1)]
        crispness.append(np.sqrt(sum(np.nanmean(step**2) for step in steps)))
    gradient = np.diff(field[..., 0].astype(np.float64), axis=1).mean() + np.diff(field[..., 1], axis=0).mean()
    means = map(np.mean, (correlations, residuals, crispness))
    return dict(zip(QUALITY, (*means, lengths.mean(), lengths.max(), gradient), strict=True))


@pytest.mark.parametrize("shape", [(40, 56, 1), (33, 21, 2), (64, 9, 3)])
@pytest.mark.parametrize("offset", [0, 30000], ids=["", "on a large offset"])
def test_against_numpy(shape, offset):
    rng = np.random.default_rng(sum(shape))
    reference = (rng.gamma(2, 50, shape) + offset).astype(np.float32)
    frames = (0.7 * reference + rng.normal(0, [[[[20]]], [[[90]]], [[[500]]]], (3, *shape))).astype(np.float32)
    fields = rng.normal(0, 0.8, (3, *shape[:2], 2)).astype(np.float32).cumsum(axis=2) * 0.1
    found = frame_quality(frames, fields, reference, threads=2)
    assert list(found) == list(QUALITY)
    for t in range(3):
        wanted = expected(frames[t], fields[t], reference)
        for name, value in wanted.items():
            assert found[name].dtype == np.float32
            assert found[name][t] == pytest.approx(value, rel=3e-5, abs=1e-6), name


def test_pixels_that_are_no_numbers_are_left_out():
    rng = np.random.default_rng(1)
    reference = rng.gamma(2, 50, (24, 30, 2)).astype(np.float32)
    frames = (reference + rng.normal(0, 9, (1, 24, 30, 2))).astype(np.float32)
    frames[0, ::5, ::7] = np.nan
    frames[0, 3, 4, 0] = np.inf
    reference[10, 10, 1] = np.nan
    fields = np.zeros((1, 24, 30, 2), np.float32)
    found = frame_quality(frames, fields, reference)
    steps = frames[0].copy()
    steps[3, 4, 0] = np.nan
    for name, value in expected(steps, fields[0], reference).items():
        assert found[name][0] == pytest.approx(value, rel=3e-5, abs=1e-6), name


def test_without_contrast_and_without_size():
    flat = np.full((2, 8, 8, 1), 5, np.float32)
    fields = np.full((2, 8, 8, 2), (3, 4), np.float32)
    found = frame_quality(flat, fields, np.arange(64, dtype=np.float32).reshape(8, 8, 1))
    assert found["correlation"].tolist() == found["residual"].tolist() == found["crispness"].tolist() == [0, 0]
    assert found["mean_px"].tolist() == found["max_px"].tolist() == [5, 5]
    small = frame_quality(flat[:, :1, :1], fields[:, :1, :1], flat[0, :1, :1])
    assert small["max_px"].tolist() == [5, 5]
    assert all(np.isfinite(values).all() for values in small.values())
    assert all(values.shape == (0,) for values in frame_quality(flat[:0], fields[:0], flat[0]).values())


SCRIPT = """
import zlib, numpy as np
from galvo.motion.quality import frame_quality
rng = np.random.default_rng(7)
for shape in ((3, 50, 37, 1), (2, 19, 64, 2)):
    frames, fields = rng.gamma(2, 50, shape).astype("f4"), rng.normal(0, 1, (*shape[:3], 2)).astype("f4")
    for threads in (1, 3):
        found = frame_quality(frames, fields, frames[0] + 1, threads=threads)
        print(zlib.crc32(b"".join(values.tobytes() for values in found.values())))
"""


def test_equal_on_every_instruction_set(digests_of):
    words = digests_of(SCRIPT, None)
    assert words[0] == words[1] != words[2] == words[3]
    assert digests_of(SCRIPT, "baseline") == words
