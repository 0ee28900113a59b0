"""Several recordings as one along T and along C."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import galvo
from galvo import LeftOut, Metadata, Recording
from galvo.core.array import ArrayReader
from galvo.core.join import join
from galvo.errors import FormatError, OptionError, SelectionError
from galvo.testing.scanimage import ScanImageRecording

METADATA = Metadata(format="array", frame_rate_hz=10.0, pixel_size_um=(1.0, 2.0), z_um=(0.0, 3.0))


def pixels(t, c=2, seed=0, dtype=np.int16):
    return np.random.default_rng(seed).integers(0, 100, (t, c, 2, 4, 5)).astype(dtype)


class Facts:
    def __init__(self, first):
        self.first = first

    def read(self, t, c, z):
        return {"timestamp_s": self.first + t / 10, "frame_number": (t + 1).astype(np.int32)}


class Placed(ArrayReader):
    def place(self, t, c, z):
        return {"file": np.zeros_like(t), "page": t * 4 + z * 2 + c}


PARTS = [pixels(3, seed=1), pixels(1, seed=2), pixels(0), pixels(4, seed=3)]
WHOLE = np.concatenate(PARTS)

KEYS = [
    ...,
    slice(None, None, -1),
    [7, 0, 3, 3, 2],
    (slice(2, 5), 1, ..., slice(None, None, 2)),
    ([True] * 4 + [False] * 4, [1, 0]),
    (slice(3, 4), slice(None), 1),
    slice(4, 8),
    (..., [3, 0, 0], [4, 1]),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_along_t(key):
    joined = join([Recording.from_array(part) for part in PARTS])
    assert joined.shape == WHOLE.shape
    expected = WHOLE
    parts = key if isinstance(key, tuple) else (key,)
    at = parts.index(...) if ... in parts else len(parts)
    full = [*parts[:at], *[slice(None)] * (5 - len(parts) + (at < len(parts))), *parts[at + 1 :]]
    for axis in range(4, -1, -1):
        expected = expected[(slice(None),) * axis + (full[axis],)]
    np.testing.assert_array_equal(joined[key], expected)


@given(st.lists(st.integers(0, 7), max_size=12), st.lists(st.integers(0, 3), max_size=6))
def test_any_positions(t, c):
    wide = [np.concatenate([part, part + 1], axis=1) for part in PARTS]
    along_t = join([Recording.from_array(part) for part in wide])
    whole = np.concatenate(wide)
    np.testing.assert_array_equal(along_t[t, c], whole[t][:, c])
    along_c = join([Recording.from_array(WHOLE), Recording.from_array(WHOLE + 1)], "c")
    np.testing.assert_array_equal(along_c[t, c], whole[t][:, c])


def test_along_c():
    first, second = pixels(3, 1, 1), pixels(3, 2, 2)
    names = [replace(METADATA, channel_names=("green",)), replace(METADATA, channel_names=("red", "far"))]
    parts = [Recording.from_array(first, metadata=names[0]), Recording.from_array(second, metadata=names[1])]
    joined = join(parts, "c")
    assert joined.channel_names == ("green", "red", "far")
    np.testing.assert_array_equal(joined[...], np.concatenate([first, second], axis=1))
    np.testing.assert_array_equal(joined[1, "red"], second[1, 0])
    assert joined.metadata == replace(METADATA, channel_names=("green", "red", "far"))
    assert join([parts[0], Recording.from_array(second)], "c").channel_names == ()


def test_parts_of_joined_and_joined_parts():
    joined = join([Recording.from_array(part).isel(y=[3, 1], t=slice(None, None, -1)) for part in PARTS])
    whole = np.concatenate([part[::-1, :, :, [3, 1]] for part in PARTS])
    np.testing.assert_array_equal(joined[...], whole)
    np.testing.assert_array_equal(joined.isel(t=slice(1, 7), c=1).isel(t=[5, 0])[...], whole[[6, 1], 1:])
    twice = join([joined, joined])
    np.testing.assert_array_equal(twice[...], np.concatenate([whole, whole]))


@pytest.mark.parametrize(
    ("one", "other", "axis", "what"),
    [
        (pixels(2), pixels(2, 1), "t", "C 2 and 1"),
        (pixels(2), pixels(2)[..., :3], "t", "X 5 and 3"),
        (pixels(2), pixels(3), "c", "T 2 and 3"),
        (pixels(2), pixels(2, dtype=np.uint16), "t", "dtype int16 and uint16"),
        (pixels(2), pixels(2)[:, :, :1, :2], "t", "Z 2 and 1, Y 4 and 2"),
    ],
)
def test_what_does_not_fit(one, other, axis, what):
    with pytest.raises(FormatError, match=what):
        join([Recording.from_array(one), Recording.from_array(other)], axis)


def test_wrong_calls():
    with pytest.raises(OptionError):
        join([])
    with pytest.raises(OptionError):
        join([Recording.from_array(pixels(1))], "z")
    one = Recording.from_array(pixels(1))
    assert join([one]) is one


def test_facts_that_disagree_are_unknown():
    parts = [
        Recording.from_array(pixels(2), metadata=METADATA),
        Recording.from_array(pixels(2), metadata=replace(METADATA, frame_rate_hz=11.0, z_um=(0.0, 4.0))),
    ]
    joined = join(parts)
    assert joined.frame_rate_hz is None
    assert joined.z_um is None
    assert joined.pixel_size_um == (1.0, 2.0)


def test_unknown_depths_agree():
    parts = [
        Recording.from_array(pixels(2), metadata=replace(METADATA, z_um=(1.0, float("nan")))) for _ in range(2)
    ]
    np.testing.assert_array_equal(join(parts).z_um, [1, np.nan])


def with_facts(array, first, files):
    return Recording(
        Placed(array), METADATA, facts=Facts(first), files=files, left_out=[LeftOut("flyback", len(files), "z")]
    )


def test_frame_table_and_times():
    parts = [with_facts(PARTS[0], 0.0, ["a.bin"]), with_facts(PARTS[3], 100.0, ["b.bin", "c.bin"])]
    joined = join(parts)
    np.testing.assert_allclose(joined.timestamps, [0, 0.1, 0.2, 100, 100.1, 100.2, 100.3])
    table = joined.isel(t=[5, 1], c=1, z=0).frame_table()
    assert table["file"].tolist() == [1, 0]
    assert table["page"].tolist() == [9, 5]
    assert table["frame_number"].tolist() == [3, 2]
    assert table["frame_number"].dtype == np.int32
    assert [path.name for path in joined.files] == ["a.bin", "b.bin", "c.bin"]
    assert [entry.page_count for entry in joined.left_out] == [1, 2]


def test_times_of_a_part_that_has_none():
    joined = join([with_facts(PARTS[0], 0.0, ["a.bin"]), Recording.from_array(PARTS[1], metadata=METADATA)])
    times = joined.timestamps
    np.testing.assert_allclose(times[:3], [0, 0.1, 0.2])
    assert math.isnan(times[3])
    assert joined.frame_table().size == 4 * 4


def test_closing_closes_all():
    closed = []

    class Watched(ArrayReader):
        def close(self):
            closed.append(1)

    with join([Recording(Watched(part), METADATA) for part in PARTS]):
        pass
    assert len(closed) == len(PARTS)


def test_out_of_bounds():
    with pytest.raises(SelectionError):
        join([Recording.from_array(part) for part in PARTS])[8]


def test_events_of_the_parts_follow_each_other(tmp_path):
    parts = []
    for number in range(2):
        made = ScanImageRecording(height=4, width=4, frames=6, aux_triggers={number + 1: {0: [0.25 * (number + 1)]}})
        (path,) = made.write(tmp_path, f"part{number}")
        parts.append(galvo.open(path))
    whole = join(parts)
    events = whole.events()
    assert events["t"].tolist() == [part.events()["t"][0] + 6 * number for number, part in enumerate(parts)]
    assert events["time_s"].tolist() == [0.25, 0.5]
    assert whole.isel(t=slice(6, None)).events()["t"].tolist() == [events["t"][1] - 6]
    whole.close()
