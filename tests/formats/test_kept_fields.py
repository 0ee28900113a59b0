"""Scan fields of multi-ROI pages in every format that keeps what is beside the pixels."""

from __future__ import annotations

import json
import math
import pickle

import h5py
import numpy as np
import pytest

import galvo
from galvo.errors import Malformed
from galvo.formats import REGISTRY
from galvo.formats.kept_fields import kept_fields, plain_fields
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

SHAPE = (1, 1, 2, 100, 24)
WRITABLE = [name for name, entry in REGISTRY.all().items() if entry.sink is not None]
# what an output is called, and its options, where that is not the format's suffix and nothing
OUTPUTS = {"pzf": ("copy", {}), "video": ("copy.mkv", {"codec": "ffv1"})}
# formats that hold one channel of one plane
PLAIN = ("video", "gif")


def roi(name: str, x: float, y: float, pixels=(24, 16), **more) -> RoiRequest:
    size = (pixels[0] / 6, pixels[1] / 4)
    zs = more.get("zs", (0.0,))
    fields = tuple(ScanfieldRequest(center_deg=(x, y + z / 20), size_deg=size, pixels=pixels) for z in zs)
    return RoiRequest(name=name, scanfields=fields, **more)


# one moves with depth and is scanned between two depths, one is at a depth of its own, one is narrower
ROIS = (
    roi("V1", 0, 0),
    roi("AL µ", 6, 2, zs=(0.0, 40.0)),
    roi("PM", -8, 5, (12, 16)),
    roi("deep", -8, 9, (12, 16), zs=(20.0,), discrete=True),
)


@pytest.fixture
def raw(tmp_path):
    recording = ScanImageRecording.multi_roi(
        ROIS, zs=(0.0, 20.0, 40.0), volumes=3, repeats=2, flyback=1, channels=(1, 2), dtype="uint8"
    )
    with galvo.open(recording.write(tmp_path / "raw")[0], slice_repeats=1) as rec:
        yield rec


def _equal(copy, source):
    assert len(copy.fields) == len(source.fields) > 0
    assert copy.scan_fields == source.scan_fields
    for one, other in zip(copy.fields, source.fields, strict=True):
        np.testing.assert_array_equal(one[...], other[...])
        np.testing.assert_array_equal(one.field.pixel_times_s(), other.field.pixel_times_s())
        assert one.pixel_size_um == other.pixel_size_um
        assert one.metadata.attributes["field"] == other.metadata.attributes["field"] | {"plane": one.field.plane}


@pytest.mark.parametrize("format", WRITABLE)
def test_a_copy_has_the_fields_of_its_source(raw, tmp_path, format):
    name, options = OUTPUTS.get(format) or (f"copy{REGISTRY.get(format).suffixes[0]}", {})
    source = raw.isel(c=0, z=[1]) if format in PLAIN else raw
    galvo.convert(source, tmp_path / name, format=format, verify=True, **options)
    with galvo.open(tmp_path / name) as copy:
        _equal(copy, source)


def test_the_fields_of_the_planes_that_were_written(raw, tmp_path):
    part = raw.isel(t=slice(0, 2), c="Channel 2", z=[2, 1])
    galvo.convert(part, tmp_path / "part.h5")
    with galvo.open(tmp_path / "part.h5") as copy:
        _equal(copy, part)
        assert [field.plane for field in copy.scan_fields] == [0, 0, 0, 1, 1, 1, 1]
        assert [field.z_um for field in copy.scan_fields] == [40.0] * 3 + [20.0] * 4


def test_a_copy_is_as_good_as_its_source(raw, tmp_path):
    """Joined, stitched, with its lines put right, split into files, sent to another process, copied once more."""
    galvo.convert(raw, tmp_path / "one.h5")
    with galvo.open(tmp_path / "one.h5") as copy:
        galvo.convert(copy, tmp_path / "two.h5")
        np.testing.assert_array_equal(copy.stitched(0)[...], raw.stitched(0)[...])
        np.testing.assert_array_equal(copy.with_bidirectional_phase(2)[...], raw.with_bidirectional_phase(2)[...])
        assert copy.join_contiguous().scan_fields == raw.join_contiguous().scan_fields
        results = galvo.convert_fields(copy, tmp_path / "area.h5", verify=True)
        for result, field in zip(results, raw.fields, strict=True):
            with galvo.open(result.path) as split:
                np.testing.assert_array_equal(split[...], field[...])
        with pickle.loads(pickle.dumps(copy.fields[1])) as field:
            np.testing.assert_array_equal(field[...], raw.fields[1][...])
    with galvo.open(tmp_path / "two.h5") as copy:
        _equal(copy, raw)


def test_fields_that_are_missing_are_a_difference(raw, tmp_path):
    galvo.convert(raw, tmp_path / "copy.h5", verify=True)
    with h5py.File(tmp_path / "copy.h5", "a") as file:
        del file["galvo/fields"]
    with galvo.open(tmp_path / "copy.h5") as copy:
        assert copy.fields == ()
        assert galvo.verify(raw, against=copy).differences == ("scan fields differ: 10 against 0",)
    assert "checksum of the metadata" in str(galvo.verify(tmp_path / "copy.h5").differences)


def test_joined_fields_stay_joined(tmp_path):
    strips = [roi(str(number), 4.0 * number, 0) for number in range(3)]
    recording = ScanImageRecording.multi_roi(strips, frames=2)
    with galvo.open(recording.write(tmp_path)[0]) as rec:
        joined = rec.join_contiguous()
        assert len(joined.fields) == 1
        galvo.convert(joined, tmp_path / "joined.h5")
        with galvo.open(tmp_path / "joined.h5") as copy:
            _equal(copy, joined)


def test_what_shows_no_pages_has_no_fields(raw, tmp_path):
    canvas, field = raw.stitched(), raw.fields[0]
    for name, source in (("canvas", canvas), ("field", field), ("rows", raw.isel(y=slice(2, 40)))):
        galvo.convert(source, tmp_path / f"{name}.h5")
        with h5py.File(tmp_path / f"{name}.h5") as file:
            assert "fields" not in file["galvo"]
        with galvo.open(tmp_path / f"{name}.h5") as copy:
            assert copy.fields == () == copy.scan_fields
            assert copy.metadata.texts["roi"] == raw.metadata.texts["roi"]


def test_pages_of_other_formats_have_no_settings_for_suite2p(raw, tmp_path):
    from galvo.errors import OptionError
    from galvo.formats.scanimage.mesoscope import mesoscope_settings

    galvo.convert(raw, tmp_path / "copy.h5")
    with galvo.open(tmp_path / "copy.h5") as copy, pytest.raises(OptionError, match="multi-ROI"):
        mesoscope_settings(copy)


def _with(path, value):
    """One field as it is kept, but for one value."""
    part = {"rows": [84, 100], "columns": [0, 12], "line_pixels": 12, "top": 0, "left": 0, "start_s": 0.25}
    clock = {"line_period_s": 6e-5, "bidirectional": True, "fill_fraction": 0.9}
    field = {"name": "V1", "rois": [0], "plane": 1, "z_um": None, "center_deg": [0.5, -1], "size_deg": [1, 2.5]}
    field |= {"parts": [part], "rotation_deg": 0, "um_per_deg": 15.0, "clock": clock}
    inner = field
    for step in path[:-1]:
        inner = inner[step]
    if path:
        inner[path[-1]] = value
    return json.loads(json.dumps([field]))


def test_plain_values_and_back():
    (field,) = kept_fields(_with((), None), SHAPE, "x")
    assert (field.rows, field.columns, field.plane, field.size_um) == (range(84, 100), range(12), 1, (15.0, 37.5))
    assert kept_fields(json.loads(json.dumps(plain_fields([field]))), SHAPE, "x") == (field,)
    assert kept_fields(None, SHAPE, "x") == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("plane",), 2),
        (("plane",), -1),
        (("plane",), True),
        (("rois",), [0.5]),
        (("size_deg",), [0, 1]),
        (("center_deg",), [1, 2, 3]),
        (("center_deg",), [math.nan, 0]),
        (("rotation_deg",), "0"),
        (("um_per_deg",), -1),
        (("parts",), []),
        (("parts",), None),
        (("parts", 0), {}),
        (("parts", 0, "rows"), [84, 101]),
        (("parts", 0, "rows"), [84, 84]),
        (("parts", 0, "rows"), [-1, 8]),
        (("parts", 0, "columns"), [0, 25]),
        (("parts", 0, "columns"), [0]),
        (("parts", 0, "line_pixels"), 11),
        (("parts", 0, "line_pixels"), 1 << 40),
        (("parts", 0, "top"), 17),
        (("parts", 0, "left"), 1 << 40),
        (("parts", 0, "start_s"), math.inf),
        (("clock", "line_period_s"), 0),
        (("clock", "fill_fraction"), None),
        (("clock",), [1]),
    ],
)
def test_fields_that_are_none(path, value):
    with pytest.raises(Malformed, match="galvo's own field 0"):
        kept_fields(_with(path, value), SHAPE, "x")
    with pytest.raises(Malformed, match="no list"):
        kept_fields({}, SHAPE, "x")
