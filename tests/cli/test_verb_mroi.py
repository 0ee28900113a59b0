"""Multi-ROI recordings on the command line: settings for suite2p, fields to files, and what `info` says of them."""

from __future__ import annotations

import json

import numpy as np
import pytest

import galvo
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording


def roi(name: str, x: float, y: float, pixels=(24, 16), zs=(0.0,), *, discrete=False) -> RoiRequest:
    size = (pixels[0] / 6, pixels[1] / 4)
    fields = tuple(ScanfieldRequest(center_deg=(x, y), size_deg=size, pixels=pixels) for _ in zs)
    return RoiRequest(name=name, scanfields=fields, zs=zs, discrete=discrete)


ROIS = (roi("V1", 0, 0), roi("AL", 6, 2), roi("PM", -8, 5))


@pytest.fixture
def truth() -> ScanImageRecording:
    return ScanImageRecording.multi_roi(ROIS, zs=(0.0, 20.0), volumes=4, flyback=1, channels=(1, 2))


@pytest.fixture
def raw(tmp_path, truth):
    return truth.write(tmp_path / "raw", "meso")[0]


# ---- suite2p ---------------------------------------------------------------------------------------------------------


def test_settings_for_suite2p(run, raw, truth, tmp_path):
    result = run("mroi-json", raw)
    assert result.exit_code == 0, result.output
    settings = json.loads(result.stdout)
    assert settings.pop("fs") == pytest.approx(truth.frame_rate_hz / 3, rel=1e-5)
    assert settings == {
        "mesoscan": True,
        "input_format": "tif",
        "nplanes": 3,
        "nchannels": 2,
        "nrois": 3,
        "lines": [list(range(16)), list(range(42, 58)), list(range(84, 100))],
        # columns of 1/6 degree, rows of 1/4: the leftmost starts at -10, the uppermost at -2
        "dx": [48, 84, 0],
        "dy": [0, 8, 20],
        # plane z of ROI k is 3 z + k
        "ignore_flyback": [6, 7, 8],
    }


def test_settings_pick_the_same_pixels_from_the_pages_as_the_fields(run, raw, truth):
    """The reading that suite2p documents: pages of planes and channels alternate, and lines of each are ROIs."""
    settings = json.loads(run("mroi-json", raw).stdout)
    pages = truth.expected_pages()
    with galvo.open(raw) as rec:
        for number, field in enumerate(rec.fields):
            plane, roi_number = divmod(number, settings["nrois"])
            for channel in range(settings["nchannels"]):
                first = plane * settings["nchannels"] + channel
                own = pages[first :: settings["nplanes"] * settings["nchannels"]]
                np.testing.assert_array_equal(own[:, settings["lines"][roi_number]], field[:, channel, 0])


def test_settings_in_a_file(run, raw, tmp_path):
    out = tmp_path / "ops.json"
    result = run("mroi-json", raw, "-o", out)
    assert result.exit_code == 0, result.output
    assert "3 ROIs, 3 planes" in result.output
    assert json.loads(out.read_text()) == json.loads(run("mroi-json", raw).stdout)
    assert [path.name for path in tmp_path.glob("ops*")] == ["ops.json"]
    again = run("mroi-json", raw, "-o", out)
    assert again.exit_code == 1
    assert "exists" in again.stderr
    assert run("mroi-json", raw, "-o", out, "--overwrite").exit_code == 0
    assert run("mroi-json", raw, "-o", raw, "--overwrite").exit_code == 1
    assert run("mroi-json", raw, "-o", tmp_path / "absent" / "ops.json").exit_code == 1


def test_recordings_without_rois_have_no_settings(run, tmp_path):
    path = ScanImageRecording(frames=2).write(tmp_path)[0]
    result = run("mroi-json", path)
    assert result.exit_code != 0
    assert "multi-ROI" in result.stderr


def test_rois_that_differ_between_depths_have_none_either(run, tmp_path):
    rois = (roi("a", 0, 0, zs=(0.0,), discrete=True), roi("b", 9, 0))
    path = ScanImageRecording.multi_roi(rois, zs=(0.0, 20.0), volumes=2).write(tmp_path)[0]
    result = run("mroi-json", path)
    assert result.exit_code != 0
    assert "--fields split" in result.stderr


def test_places_that_differ_and_narrow_rois_are_told(run, tmp_path):
    moving = RoiRequest(
        zs=(0.0, 20.0), scanfields=(ScanfieldRequest(center_deg=(0, 0)), ScanfieldRequest(center_deg=(1, 0)))
    )
    rois = (moving, roi("narrow", 9, 0, (12, 16)))
    path = ScanImageRecording.multi_roi(rois, zs=(0.0, 20.0), volumes=2).write(tmp_path)[0]
    result = run("mroi-json", path)
    assert result.exit_code == 0
    assert "those of the first depth" in result.stderr
    assert "padded" in result.stderr


def test_slices_of_several_frames_have_none(run, tmp_path):
    path = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 20.0), volumes=2, repeats=2).write(tmp_path)[0]
    result = run("mroi-json", path, "--slice-repeats", "0")
    assert result.exit_code != 0
    assert "one frame per slice" in result.stderr


# ---- convert ---------------------------------------------------------------------------------------------------------


def test_each_field_to_a_file_of_its_own(run, raw, tmp_path):
    result = run("convert", raw, "-o", tmp_path / "area.h5", "--fields", "split", "--verify", "--channels", "2")
    assert result.exit_code == 0, result.output
    names = [f"area_field{number}.h5" for number in range(1, 7)]
    assert sorted(path.name for path in tmp_path.glob("area*")) == names
    with galvo.open(raw) as rec:
        for field, name in zip(rec.fields, names, strict=True):
            with galvo.open(tmp_path / name, series=False) as out:
                np.testing.assert_array_equal(out[...], field[:, 1:])
                assert out.pixel_size_um == pytest.approx(field.pixel_size_um)
                assert out.z_um == field.z_um
                assert out.metadata.attributes["field"]["name"] == field.field.name
                assert out.metadata.attributes["field"]["center_um"] == pytest.approx(field.field.center_um)
    assert "flyback" in result.output


def test_no_output_is_replaced_and_nothing_written_when_one_exists(run, raw, tmp_path):
    (tmp_path / "area_field4.h5").write_bytes(b"mine")
    for arguments in ((), ("--dry-run",)):
        result = run("convert", raw, "-o", tmp_path / "area.h5", "--fields", "split", *arguments)
        assert result.exit_code == 1
        assert "exists" in result.stderr
        assert [path.name for path in tmp_path.glob("area*")] == ["area_field4.h5"]
    assert run("convert", raw, "-o", tmp_path / "area.h5", "--fields", "split", "--overwrite").exit_code == 0
    assert len(list(tmp_path.glob("area*"))) == 6


def test_what_is_there_is_left_when_resuming(run, raw, tmp_path):
    done = []
    with galvo.open(raw) as rec:
        galvo.convert(rec.fields[0], tmp_path / "area_field1.h5")
        before = (tmp_path / "area_field1.h5").stat().st_mtime_ns
        results = galvo.convert_fields(
            rec, tmp_path / "area.h5", resume=True, progress=lambda *progress: done.append(progress)
        )
    assert len(results) == 5
    assert done[-1] == (sum(result.pixel_bytes for result in results),) * 2
    assert [now for now, _ in done] == sorted(now for now, _ in done)
    assert (tmp_path / "area_field1.h5").stat().st_mtime_ns == before
    result = run("convert", raw, "-o", tmp_path / "area.h5", "--fields", "split", "--resume")
    assert result.exit_code == 0
    assert "6 fields: there already" in result.output


def test_folders_of_fields(run, raw, tmp_path):
    part = ("--channels", "1", "--frames", "0:2")
    result = run("convert", raw, "-o", tmp_path / "area.v1", "-t", "pzf", "--fields", "split", *part)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in tmp_path.glob("area*")) == [f"area.v1_field{number}" for number in range(1, 7)]


def test_fields_on_one_canvas_per_depth(run, raw, tmp_path):
    out = tmp_path / "canvas.h5"
    result = run("convert", raw, "-o", out, "--fields", "stitch", "--verify")
    assert result.exit_code == 0, result.output
    with galvo.open(raw) as rec, galvo.open(out) as written:
        canvas = rec.stitched()
        assert canvas.shape == (4, 2, 2, 36, 108)
        np.testing.assert_array_equal(written[...], canvas[...])
        assert written.metadata.attributes["corner_um"] == pytest.approx([-30, -150])
        assert written.pixel_size_um == pytest.approx((3.75, 2.5))


def test_recordings_without_fields_are_refused(run, tmp_path):
    path = ScanImageRecording(frames=2).write(tmp_path)[0]
    for fields in ("split", "stitch"):
        result = run("convert", path, "-o", tmp_path / "out.h5", "--fields", fields)
        assert result.exit_code != 0
        assert "no fields" in result.stderr
    with pytest.raises(galvo.errors.OptionError, match="convert_fields"):
        galvo.convert(path, tmp_path / "out.h5", fields="split")
    assert not list(tmp_path.glob("out*"))
    assert run("convert", tmp_path, "-o", f"{tmp_path}/all/", "-t", "hdf5", "--fields", "split").exit_code == 2


# ---- info ------------------------------------------------------------------------------------------------------------


def test_fields_in_info(run, raw):
    facts = json.loads(run("info", "--json", raw).stdout)
    assert [(field["name"], field["z_um"]) for field in facts["fields"]] == [
        (name, [z]) for z in (0, 20) for name in ("V1", "AL", "PM")
    ]
    assert facts["fields"][1]["rows"] == [[42, 58]]
    assert facts["fields"][1]["center_um"] == [30, 90]
    text = run("info", raw).output
    assert "2 AL at 0 µm: 16 x 24 pixels, 60 x 60 µm around 30 x 90 µm" in " ".join(text.split())
