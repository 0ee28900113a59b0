"""Fields joined along their edges, and laid out in µm."""

from __future__ import annotations

import numpy as np
import pytest

import galvo
from galvo.core.join import join
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording


def roi(x: float, y: float, name: str = "", size=(4.0, 4.0), pixels=(24, 16), rotation=0.0) -> RoiRequest:
    field = ScanfieldRequest(center_deg=(x, y), size_deg=size, pixels=pixels, rotation_deg=rotation)
    return RoiRequest(name=name, scanfields=(field,))


@pytest.fixture
def opened(tmp_path):
    """Opens a recording of ROIs and gives it, its request, and the pixels of each ROI (T, C, Y, X)."""
    made = []

    def open_(rois, **request):
        truth = ScanImageRecording.multi_roi(rois, **{"frames": 3, **request})
        rec = galvo.open(truth.write(tmp_path / str(len(made)))[0])
        made.append(rec)
        pages = truth.expected()
        cut = [
            pages[:, :, place.plane, place.rows.start : place.rows.stop, : place.columns.stop]
            for place in truth.placed_fields
        ]
        return rec, truth, cut

    yield open_
    for rec in made:
        rec.close()


# ---- joined ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "axis", "order"),
    [((4, 0), -1, (0, 1)), ((-4, 0), -1, (1, 0)), ((0, 4), -2, (0, 1)), ((0, -4), -2, (1, 0))],
)
def test_two_fields_that_touch(opened, other, axis, order):
    rec, _, cut = opened([roi(0, 0, "a"), roi(*other, "b"), roi(30, 0, "far")])
    joined = rec.join_contiguous()
    assert [field.field.rois for field in joined.fields] == [(0, 1), (2,)]
    one, far = joined.fields
    np.testing.assert_array_equal(one[:, :, 0], np.concatenate([cut[k] for k in order], axis=axis))
    np.testing.assert_array_equal(far[:, :, 0], cut[2])
    where = one.field
    assert where.name == "a + b"
    assert where.center_deg == pytest.approx((other[1] / 2, other[0] / 2))
    assert where.size_deg == pytest.approx((8, 4) if axis == -2 else (4, 8))
    assert one.pixel_size_um == pytest.approx((60 / 16, 60 / 24))
    assert one.coverage().all()
    assert len(rec.fields) == 3
    np.testing.assert_array_equal(joined[...], rec[...])
    with pytest.raises(galvo.errors.OptionError, match="joined"):
        _ = where.rows


def test_a_joined_field_is_selected_as_any_other(opened):
    rec, _, cut = opened([roi(0, 0), roi(4, 0)], channels=(1, 2))
    field = rec.join_contiguous().fields[0]
    whole = np.concatenate(cut, axis=-1)[:, :, None]
    columns = [30, 2, 47, 2]
    np.testing.assert_array_equal(field[[2, 0], 1, :, ::-3, columns], whole[[2, 0], 1][..., ::-3, :][..., columns])
    part = field.isel(t=1, y=slice(3, 9), x=slice(20, 31))
    np.testing.assert_array_equal(part[...], whole[1:2, :, :, 3:9, 20:31])
    assert [(p.rows.start, p.columns, p.left) for p in part.field.parts] == [(3, range(20, 24), 0), (45, range(7), 4)]


def test_four_in_a_square_join_in_the_order_of_pairs(opened):
    rec, _, cut = opened([roi(4, 4), roi(0, 0), roi(4, 0), roi(0, 4)])
    (one,) = rec.join_contiguous().fields
    expected = np.concatenate([np.concatenate([cut[1], cut[2]], -1), np.concatenate([cut[3], cut[0]], -1)], -2)
    np.testing.assert_array_equal(one[:, :, 0], expected)
    # 0 touches 2 first, then nothing until 1 and 3 are one
    assert one.field.rois == (0, 2, 1, 3)


@pytest.mark.parametrize(
    "other",
    [
        roi(4, 1),
        roi(4.01, 0),
        roi(4, 0, size=(4, 5), pixels=(24, 20)),
        roi(4, 0, pixels=(24, 8)),
        roi(4, 0, pixels=(12, 16)),
        roi(4, 0, rotation=90),
        roi(8, 0),
    ],
    ids=["aside", "apart", "higher", "fewer rows", "wider pixels", "rotated", "far"],
)
def test_fields_that_do_not_touch_along_a_whole_edge_stay_apart(opened, other):
    rec, _, _ = opened([roi(0, 0), other])
    assert [field.field.rois for field in rec.join_contiguous().fields] == [(0,), (1,)]


def test_fields_of_different_depths_stay_apart(opened):
    at = [
        RoiRequest(zs=(z,), discrete=True, scanfields=(ScanfieldRequest(center_deg=(x, 0)),))
        for z, x in ((0.0, 0), (10.0, 4), (10.0, 8))
    ]
    rec, _, cut = opened(at, zs=(0.0, 10.0), volumes=3)
    joined = rec.join_contiguous().fields
    assert [field.field.rois for field in joined] == [(0,), (1, 2)]
    np.testing.assert_array_equal(joined[1][:, :, 0], np.concatenate(cut[1:], -1))
    np.testing.assert_array_equal(joined[1].timestamps, rec.fields[1].timestamps)


# ---- stitched --------------------------------------------------------------------------------------------------------


def test_fields_with_the_same_pixels_are_copied_to_their_places(opened):
    # pixels of 1/6 x 1/4 degree: the second lies 30 columns and 8 rows on, the third 60 and 20
    rec, _, cut = opened([roi(0, 0), roi(5, 2), roi(10, 5)])
    canvas = np.zeros((3, 1, 36, 84), np.int16)
    covered = np.zeros((36, 84), bool)
    for pixels, (top, left) in zip(cut, ((0, 0), (8, 30), (20, 60)), strict=True):
        canvas[..., top : top + 16, left : left + 24] = pixels
        covered[top : top + 16, left : left + 24] = True
    shown = rec.stitched()
    assert shown.shape == (3, 1, 1, 36, 84)
    np.testing.assert_array_equal(shown[:, :, 0], canvas)
    np.testing.assert_array_equal(shown[1, 0, 0, 5:30:2, [80, 3, 3]], canvas[1, 0, 5:30:2][:, [80, 3, 3]])
    np.testing.assert_array_equal(shown.coverage(), covered[None])
    np.testing.assert_array_equal(shown.isel(y=slice(9, None, 3), x=[1, 40]).coverage()[0], covered[9::3, [1, 40]])
    assert shown.metadata.attributes["corner_um"] == [-30, -30]
    assert shown.metadata.attributes["uncovered_value"] == 0
    assert shown.metadata.attributes["resampled_fields"] == []
    assert shown.pixel_size_um == pytest.approx((15 / 4, 15 / 6))
    np.testing.assert_array_equal(shown.timestamps, rec.timestamps)


def test_the_later_field_shows_where_two_overlap(opened):
    rec, _, cut = opened([roi(0, 0), roi(2, 1)])
    shown = rec.stitched(0)
    np.testing.assert_array_equal(shown[:, :, 0, 4:20, 12:36], cut[1])
    np.testing.assert_array_equal(shown[:, :, 0, :4, :24], cut[0][..., :4, :])
    assert shown.coverage().sum() == 2 * 16 * 24 - 12 * 12


def test_places_between_pixels_go_to_the_nearest(opened):
    # a sixth of a degree is a column: 24.4 columns on is 24, 48.6 is 49
    rec, _, cut = opened([roi(0, 0), roi(24.4 / 6, 0), roi(48.6 / 6, 0)])
    shown = rec.stitched()
    assert shown.shape[4] == 73
    np.testing.assert_array_equal(shown[:, :, 0, :, 24:48], cut[1])
    np.testing.assert_array_equal(shown[:, :, 0, :, 49:73], cut[2])
    assert not shown.coverage()[0, :, 48].any()


def test_larger_pixels_are_repeated_and_that_is_told(opened):
    # of the second a pixel is 3 x 2 of the canvas
    rec, _, cut = opened([roi(0, 0), roi(6, 0, "coarse", size=(6, 4), pixels=(12, 8))])
    shown = rec.stitched()
    assert shown.shape[3:] == (16, 24 + 6 + 36)
    coarse = cut[1].repeat(2, axis=-2).repeat(3, axis=-1)
    np.testing.assert_array_equal(shown[:, :, 0, :, 30:], coarse)
    np.testing.assert_array_equal(shown[:, :, 0, :, :24], cut[0])
    np.testing.assert_array_equal(shown[:, :, 0, ::-2, 30::5], coarse[..., ::-2, ::5])
    assert shown.metadata.attributes["resampled_fields"] == ["coarse"]


def test_all_depths_have_one_canvas(opened):
    at = [
        RoiRequest(zs=(z,), discrete=True, scanfields=(ScanfieldRequest(center_deg=(x, 0)),))
        for z, x in ((0.0, 0), (20.0, 8))
    ]
    rec, _, cut = opened(at, zs=(0.0, 20.0), volumes=3, flyback=1)
    shown = rec.stitched()
    assert shown.shape == (3, 1, 2, 16, 72)
    np.testing.assert_array_equal(shown[:, :, 0, :, :24], cut[0])
    np.testing.assert_array_equal(shown[:, :, 1, :, 48:], cut[1])
    np.testing.assert_array_equal(shown.z_um, [0, 20])
    assert shown.coverage().sum(axis=(1, 2)).tolist() == [16 * 24] * 2
    np.testing.assert_array_equal(rec.stitched(1)[...], shown[:, :, 1:])
    np.testing.assert_array_equal(rec.stitched([1, 0])[0, 0], shown[0, 0, ::-1])
    # of one plane only what lies on it makes the canvas
    assert rec.isel(z=1).stitched().shape == (3, 1, 1, 16, 24)


def test_flyback_planes_and_planes_without_rois_have_no_canvas(tmp_path):
    at = [RoiRequest(zs=(z,), discrete=True, scanfields=(ScanfieldRequest(),)) for z in (0.0, 20.0)]
    truth = ScanImageRecording.multi_roi(at, zs=(0.0, 10.0, 20.0), volumes=3, flyback=2)
    with galvo.open(truth.write(tmp_path)[0], flyback="keep") as rec:
        assert rec.shape[2] == 5
        shown = rec.stitched()
        np.testing.assert_array_equal(shown.z_um, [0, 20])
        np.testing.assert_array_equal(shown[:, :, 1], rec.fields[1][:, :, 0])


def test_floats_have_nan_where_nothing_was_scanned(opened):
    rec, _, cut = opened([roi(0, 0), roi(8, 0)])
    shown = rec.astype("float32").stitched()
    pixels = shown[:, :, 0]
    np.testing.assert_array_equal(pixels[..., 48:], cut[1])
    np.testing.assert_array_equal(np.isnan(pixels[0, 0]), ~shown.coverage()[0])
    assert np.isnan(shown.metadata.attributes["uncovered_value"])


def test_the_coverage_stays_whatever_is_made_of_a_canvas(opened):
    rec, _, _ = opened([roi(0, 0), roi(8, 2)], zs=(0.0, 10.0), volumes=3)
    canvas = rec.stitched()
    covered = canvas.coverage()
    assert not covered.all()
    np.testing.assert_array_equal(canvas.astype("float64").coverage(), covered)
    np.testing.assert_array_equal(canvas.fold("Z").coverage(), covered[:1])
    np.testing.assert_array_equal(canvas.isel(z=1, y=[3, 20]).fold("C").coverage(), covered[1:, [3, 20]])
    np.testing.assert_array_equal(join([canvas, canvas]).coverage(), covered)
    with pytest.raises(galvo.errors.OptionError, match="canvas has no lines"):
        canvas.astype("float64").with_bidirectional_phase(1)


def test_recordings_that_follow_each_other_keep_the_fields_that_they_share(opened):
    rec, _, cut = opened([roi(0, 0), roi(8, 2)])
    other, _, _ = opened([roi(0, 0), roi(8, 3)])
    both = join([rec, rec])
    np.testing.assert_array_equal(both.fields[1][:, :, 0], np.concatenate([cut[1], cut[1]]))
    assert join([rec, other]).fields == ()
    assert join([rec.fields[0], rec.fields[0]]).field is None
    assert rec.fields[0].fold("C").field is None


def test_joined_fields_can_be_stitched(opened):
    rec, _, _ = opened([roi(0, 0), roi(4, 0), roi(10, 3)])
    np.testing.assert_array_equal(rec.join_contiguous().stitched()[...], rec.stitched()[...])


def test_rotated_fields_are_not_stitched(opened):
    rec, _, _ = opened([roi(0, 0), roi(8, 0, "turned", rotation=15)])
    with pytest.raises(galvo.errors.OptionError, match=r"rotated.*turned"):
        rec.stitched()


def test_without_a_resolution_there_are_no_micrometres(tmp_path):
    truth = ScanImageRecording.multi_roi([roi(0, 0), roi(8, 0)], frames=2, omit_header=("SI.objectiveResolution",))
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.fields[0].field.center_um is None
        assert rec.fields[0].pixel_size_um is None
        with pytest.raises(galvo.errors.OptionError, match="resolution"):
            rec.stitched()


def test_fields_that_are_worlds_apart_make_no_canvas(opened):
    rec, _, _ = opened([roi(0, 0), roi(1e7, 0)])
    with pytest.raises(galvo.errors.OptionError, match="too far apart"):
        rec.stitched()
