"""What other readers get wrong about multi-ROI recordings, one test each; the names are those of our specification."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import galvo
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording


def roi(x: float, pixels=(24, 16), **given) -> RoiRequest:
    return RoiRequest(scanfields=(ScanfieldRequest(center_deg=(x, 0.0), pixels=pixels),), **given)


ROIS = (roi(0, name="a"), roi(8, (18, 12), name="b"))


def check(rec: galvo.Recording, truth: ScanImageRecording, **shown) -> None:
    pages = truth.expected(**shown)
    assert [(f.field.plane, f.field.rois) for f in rec.fields] == [(p.plane, (p.roi,)) for p in truth.placed_fields]
    for field, place in zip(rec.fields, truth.placed_fields, strict=True):
        rows, columns = place.rows, place.columns
        cut = pages[:, :, place.plane : place.plane + 1, rows.start : rows.stop, columns.start : columns.stop]
        np.testing.assert_array_equal(field[...], cut)


def test_s1_flyback_frames_belong_to_no_field(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 5.0, 10.0), volumes=5, flyback=2)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.fields[0].shape[0] == 5
        assert len(rec.fields) == 6
        check(rec, truth)


@pytest.mark.parametrize("stack_mode", ["fast", "slow"])
def test_s2_repeats_of_a_slice_are_no_fields(tmp_path, stack_mode):
    truth = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 5.0), volumes=4, repeats=3, stack_mode=stack_mode)
    for repeat in (0, 2, "interleave", "mean"):
        if repeat == "interleave":
            with pytest.warns(galvo.errors.GalvoWarning, match="uneven"):
                rec = galvo.open(truth.write(tmp_path)[0], slice_repeats=repeat)
        else:
            rec = galvo.open(truth.write(tmp_path)[0], slice_repeats=repeat)
        with rec:
            assert [field.field.z_um for field in rec.fields] == [0, 0, 5, 5]
            check(rec, truth, slice_repeats=repeat)


def test_s3_acquisitions_of_a_loop_are_times_of_the_same_fields(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, frames=4, acquisitions=3)
    with galvo.open(truth.write(tmp_path)[1]) as rec:
        assert len(rec.fields) == 2
        assert rec.fields[0].shape[0] == 12
        check(rec, truth)


def test_s4_volumes_of_a_slow_stack_are_no_depths(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 5.0, 10.0, 15.0), volumes=2, stack_mode="slow")
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert sorted({field.field.z_um for field in rec.fields}) == [0, 5, 10, 15]
        assert rec.fields[0].shape[0] == 2
        check(rec, truth)


def test_s5_files_of_channels_are_channels_of_the_fields(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, channels=(1, 3), frames=6, frames_per_file=2, file_per_channel=True)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.fields[1].shape[:2] == (6, 2)
        assert rec.fields[1].channel_names == ("Channel 1", "Channel 3")
        check(rec, truth)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_s6_galvo_pages_hold_fields_without_gaps(tmp_path, bidirectional):
    truth = ScanImageRecording.multi_roi(ROIS, scanner_type="galvo", bidirectional=bidirectional, frames=3)
    assert truth.height == 28
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check(rec, truth)


def test_s7_times_of_rois_of_different_widths(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert [field.field.pixel_times_s().shape for field in rec.fields] == [(16, 24), (12, 18)]
        # both sweep the same angle in the same time
        wide, narrow = (field.field.pixel_times_s()[0] - field.field.line_times_s()[0] for field in rec.fields)
        period = truth.line_period_s
        assert wide[0] < narrow[0] < period / 2 < narrow[-1] < wide[-1] < period


def test_s8_pixels_keep_their_type_and_nothing_selected_too(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, frames=3, dtype="uint16")
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        field = rec.fields[1]
        assert field.dtype == np.uint16
        assert field[...].max() > 40000
        assert field[:0].dtype == np.uint16
        assert field[:0].shape == (0, 1, 1, 12, 18)
        np.testing.assert_array_equal(field[..., np.uint8(3)], field[...][..., 3])
        assert np.asarray(field, dtype=np.float32).dtype == np.float32
        check(rec, truth)


@pytest.mark.parametrize(("enabled", "fields"), [("true", 2), ("1", 2), ("false", 0), ("0", 0)])
@pytest.mark.parametrize("version", ["2018b", "2027"])
def test_s9_every_spelling_in_every_version(tmp_path, enabled, fields, version, recwarn):
    wanted = {"SI.hRoiManager.mroiEnable": enabled}
    truth = ScanImageRecording.multi_roi(ROIS, frames=2, version=version, extra_header=wanted)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert len(rec.fields) == fields


def test_s10_no_private_part_of_another_library(tmp_path):
    paths = ScanImageRecording.multi_roi(ROIS, frames=2).write(tmp_path)
    code = "import galvo, sys; galvo.open(sys.argv[1]).fields[1][0]; sys.exit('tifffile' in sys.modules)"
    subprocess.run([sys.executable, "-c", code, str(paths[0])], check=True)


def test_mbo_gaps_are_rounded_up_and_not_to_the_nearest(tmp_path):
    # 24.02 periods: 50 rows on the page, where rounding makes 48 and moves the second field by a row
    truth = ScanImageRecording.multi_roi((roi(0, (24, 80)), roi(8, (24, 80))), flyto_periods=24.02, frames=2)
    assert truth.height == 210
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert [field.field.rows for field in rec.fields] == [range(80), range(130, 210)]
        check(rec, truth)


@pytest.mark.parametrize("stack_mode", ["fast", "slow"])
def test_mbo_slow_stacks_are_slow(tmp_path, stack_mode):
    truth = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 5.0), volumes=3, stack_mode=stack_mode)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        starts = np.diff(rec.timestamps)
        pause = 2 * truth.stage_move_s if stack_mode == "slow" else 0
        np.testing.assert_allclose(starts, 2 / truth.frame_rate_hz + pause, rtol=1e-6)
        check(rec, truth)
