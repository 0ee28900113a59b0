"""Fields of multi-ROI pages: where they lie, what they show, and what is told when a page does not hold them."""

from __future__ import annotations

import copy
import json
import math
import multiprocessing
import pickle
import sys
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import galvo
from galvo.formats.scanimage.packing import Scanner, pack
from galvo.formats.scanimage.rois import Roi, Scanfield, parse_rois
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

LEFT = RoiRequest(name="V1", scanfields=(ScanfieldRequest(center_deg=(-3, 1), size_deg=(4, 4), pixels=(24, 16)),))
RIGHT = RoiRequest(name="it's", scanfields=(ScanfieldRequest(center_deg=(5, -2), size_deg=(3, 6), pixels=(18, 24)),))
SMALL = RoiRequest(scanfields=(ScanfieldRequest(center_deg=(9, 9), size_deg=(1, 2), pixels=(10, 8)),))
ROIS = (LEFT, RIGHT, SMALL)


def check_fields(rec: galvo.Recording, truth: ScanImageRecording, **shown) -> None:
    """Everything that a field says and shows, against the request and the pages."""
    pages = truth.expected(**shown)
    placed = truth.placed_fields
    assert len(rec.fields) == len(placed)
    np.testing.assert_array_equal(rec[...], pages)
    for field, place in zip(rec.fields, placed, strict=True):
        box = (slice(place.plane, place.plane + 1), *(slice(a.start, a.stop) for a in (place.rows, place.columns)))
        np.testing.assert_array_equal(field[...], pages[:, :, *box])
        np.testing.assert_array_equal(field[-1, 0, 0, 1:-1, ::2], pages[-1, 0, place.plane][box[1:]][1:-1, ::2])
        where = field.field
        assert (where.name, where.rois, where.plane) == (place.name, (place.roi,), place.plane)
        assert (where.rows, where.columns) == (place.rows, place.columns)
        assert where.center_deg == pytest.approx(place.center_deg[::-1])
        assert where.size_deg == pytest.approx(place.size_deg[::-1])
        resolution = truth.objective_resolution
        assert where.center_um == pytest.approx([x * resolution for x in place.center_deg[::-1]])
        assert where.size_um == pytest.approx([x * resolution for x in place.size_deg[::-1]])
        assert where.z_um == truth.slice_z_um[place.plane]
        size = (where.size_um[0] / len(place.rows), where.size_um[1] / len(place.columns))
        assert field.pixel_size_um == pytest.approx(size)
        np.testing.assert_array_equal(field.timestamps, rec.isel(z=place.plane).timestamps)
        np.testing.assert_array_equal(field.z_um, [truth.slice_z_um[place.plane]])
        assert field.frame_rate_hz == rec.frame_rate_hz
        assert field.metadata.attributes["field"]["rows"] == [[place.rows.start, place.rows.stop]]
        assert field.fields == ()


# ---- packing ---------------------------------------------------------------------------------------------------------


def scanner(**given) -> Scanner:
    known = {"resonant": True, "bidirectional": True, "frequency_hz": 12012.9, "line_period_s": None}
    known |= {"frame_period_s": None, "flyto_s": 0.001, "flyback_s": 0.001, "fill_fraction": 0.7}
    return Scanner(**(known | given))


@pytest.mark.parametrize(
    ("seconds", "frequency_hz", "bidirectional", "rows"),
    [
        (0.001, 12012.9, True, 26),
        (0.002, 12012.9, True, 50),
        (0.004, 12012.9, True, 98),
        (0.001, 12012.9, False, 13),
        (0.002, 12012.9, False, 25),
        (0.005, 12016.2, True, 122),
        # 61.00000002 periods by the digits of a genuine header, and 61 on its pages
        (0.0050751085, 12019.44747, True, 122),
    ],
)
def test_gaps_as_measured(seconds, frequency_hz, bidirectional, rows):
    found = scanner(frequency_hz=frequency_hz, bidirectional=bidirectional).rows(seconds)
    assert found[0] == rows


def test_galvo_pages_have_no_gaps():
    assert scanner(resonant=False, frequency_hz=None).rows(0.004) == (0,)


@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("periods", [0.3, 12.4, 24.5, 25.0])
def test_fields_of_different_sizes(tmp_path, bidirectional, periods):
    truth = ScanImageRecording.multi_roi(
        ROIS, bidirectional=bidirectional, flyto_periods=periods, channels=(1, 3), frames=4
    )
    gap = {0.3: 1, 12.4: 13, 24.5: 25, 25.0: 25}[periods] * (2 if bidirectional else 1)
    assert truth.height == 16 + 24 + 8 + 2 * gap
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)
        assert [field.field.rows.start for field in rec.fields] == [0, 16 + gap, 40 + 2 * gap]
        assert rec.pixel_size_um is None


@pytest.mark.parametrize("version", ["2015", "5.1", "2016b", "2019b", "2023"])
def test_every_version_that_has_roi_groups(tmp_path, version):
    truth = ScanImageRecording.multi_roi(ROIS, version=version, frames=3)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)


def test_json_headers(tmp_path):
    truth = ScanImageRecording.multi_roi(ROIS, json_header=True, frames=3)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)


def test_no_fields_without_multi_roi(tmp_path):
    with galvo.open(ScanImageRecording(frames=2).write(tmp_path)[0]) as rec:
        assert rec.fields == ()
        assert rec.field is None
        assert rec.join_contiguous().fields == ()
        assert rec.coverage().all()
        with pytest.raises(galvo.errors.OptionError, match="no fields"):
            rec.stitched()


def discrete(name: str, zs: tuple[float, ...], pixels: tuple[int, int]) -> RoiRequest:
    fields = tuple(ScanfieldRequest(center_deg=(len(name), z / 50), pixels=pixels) for z in zs)
    return RoiRequest(name=name, zs=zs, scanfields=fields, discrete=True)


@pytest.mark.parametrize("flyback", [0, 2])
def test_discrete_rois_at_their_own_depths(tmp_path, flyback):
    rois = (discrete("a", (0.0, 30.0), (20, 12)), discrete("bb", (30.0,), (24, 16)), SMALL)
    truth = ScanImageRecording.multi_roi(rois, zs=(0.0, 12.5, 30.0), volumes=3, flyback=flyback)
    assert [(place.plane, place.roi) for place in truth.placed_fields] == [
        (0, 0), (0, 2), (1, 2), (2, 0), (2, 1), (2, 2),
    ]  # fmt: skip
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)


def test_depths_with_fewer_digits_in_the_header(tmp_path):
    rois = (discrete("a", (123.4567891,), (20, 12)), SMALL)
    truth = ScanImageRecording.multi_roi(rois, zs=(123.4567891, 200.0), volumes=2, version="2021")
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.z_um[0] == 123.457
        assert [field.field.rois for field in rec.fields] == [(0,), (1,), (1,)]


def test_interpolated_rois(tmp_path):
    ends = (
        ScanfieldRequest(center_deg=(0, 0), size_deg=(4, 4), pixels=(20, 12)),
        ScanfieldRequest(center_deg=(8, -4), size_deg=(6, 8), pixels=(40, 24)),
    )
    rois = (RoiRequest(name="slope", zs=(10.0, 50.0), scanfields=ends), SMALL)
    truth = ScanImageRecording.multi_roi(rois, zs=(0.0, 10.0, 20.0, 30.0, 50.0, 60.0), volumes=2)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)
        sloping = [field for field in rec.fields if field.field.rois == (0,)]
        assert [field.field.z_um for field in sloping] == [10, 20, 30, 50]
        # 20 + (40 - 20) / 4 = 25 columns: 26 is nearest of the even ones, as 24 is; 12 + 12 / 4 = 15 rows: 16, as 14 is
        assert [field.shape[3:] for field in sloping] == [(12, 20), (16, 26), (18, 30), (24, 40)]
        assert sloping[1].field.center_deg == (-1, 2)
        assert sloping[1].field.size_deg == (5, 4.5)


def test_the_page_decides_between_two_even_numbers(tmp_path):
    ends = (ScanfieldRequest(pixels=(24, 12)), ScanfieldRequest(pixels=(24, 22)))
    rois = (RoiRequest(zs=(0.0, 10.0), scanfields=ends), LEFT)
    # 17 rows halfway: 18 or 16, and the page at this depth is the only one
    for height, rows in ((18, range(18, 19)), (16, range(16, 17))):
        folder = tmp_path / str(height)
        truth = ScanImageRecording(
            rois=rois, zs=(5.0, 5.0), volumes=2, height=height + 26 + 16, width=24, flyto_periods=12.4
        )
        with galvo.open(truth.write(folder)[0]) as rec:
            assert rec.fields[0].shape[3] == rows.start
            assert rec.fields[1].field.rows == range(height + 26, height + 42)


def test_scanfields_of_one_depth_the_last_counts():
    text = (
        '{"RoiGroups": {"imagingRoiGroup": {"rois": {"name": "", "zs": [5, 5], "discretePlaneMode": 1, "scanfields": ['
        '{"centerXY": [0, 0], "sizeXY": [1, 1], "pixelResolutionXY": [8, 8]},'
        '{"centerXY": [1, 2], "sizeXY": [1, 1], "pixelResolutionXY": [16, 4], "rotationDegrees": 30}]}}}}'
    )
    (roi,) = parse_rois(text, "a.tif")
    assert roi.name == "ROI 1"
    assert roi.at(5.0) == Scanfield((1.0, 2.0), (1.0, 1.0), (16.0, 4.0), 30.0)
    assert roi.at(6.0) is None
    assert roi.at(None) is None


def test_interpolation_reaches_the_ends_only():
    one, two = Scanfield((0, 0), (1, 1), (10, 11)), Scanfield((2, 4), (3, 5), (14, 13), 10.0)
    roi = Roi(0, "", "between", ((10.0, one), (20.0, two)))
    assert roi.at(9.99) is None
    assert roi.at(20.01) is None
    assert roi.at(10.0) is one
    assert roi.at(15.0) == Scanfield((1, 2), (2, 3), (12, 12), 5.0)
    assert roi.at(12.5, "up").pixels == (12, 12)
    assert roi.at(12.5, "even").pixels == (12, 12)
    ends = tuple((depth, Scanfield((0, 0), (1, 1), (count, count))) for depth, count in ((0.0, 16), (10.0, 18)))
    half = Roi(0, "", "between", ends)
    assert half.at(5.0, "up").pixels == (18, 18)
    assert half.at(5.0, "even").pixels == (16, 16)
    # 2 + 50 x 0.58 is 31, and 30.999999999999996 in floating point: a tie all the same
    ends = tuple((depth, Scanfield((0, 0), (1, 1), (count, count))) for depth, count in ((0.0, 2), (10.0, 52)))
    assert Roi(0, "", "between", ends).at(5.8, "up").pixels == (32, 32)


@pytest.mark.parametrize("zs", ["deep", None, [], [1, 2], ["a"], [[]], True])
def test_a_roi_with_malformed_depths_is_named_and_left_out(tmp_path, open_warned, zs):
    empty = {"_ArrayType_": "double", "_ArraySize_": [1, 0], "_ArrayData_": None}
    broken = RoiRequest(name="broken", zs_json=empty if zs is None else zs)
    truth = ScanImageRecording.multi_roi((LEFT, broken, SMALL), frames=2)
    with open_warned(truth.write(tmp_path)[0], r"\b2 \(broken\)") as rec:
        check_fields(rec, truth)
        assert [field.field.rois for field in rec.fields] == [(0,), (2,)]


def test_a_roi_that_is_switched_off_takes_no_rows(tmp_path):
    off = RoiRequest(name="off", enable=False)
    truth = ScanImageRecording.multi_roi((LEFT, off, SMALL), frames=2)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)


def test_one_roi_stands_bare_in_the_file(tmp_path):
    truth = ScanImageRecording.multi_roi((RIGHT,), frames=2)
    assert '"rois": {' in truth.roi_text()
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        check_fields(rec, truth)


@pytest.mark.parametrize("text", ["{", '{"RoiGroups": 3}', '{"RoiGroups": {"imagingRoiGroup": {"rois": 7}}}', "[1]"])
def test_roi_groups_that_make_no_sense(tmp_path, text, recwarn):
    class Broken(ScanImageRecording):
        def roi_text(self) -> str:
            return text

    truth = Broken(rois=ROIS, frames=2)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        assert rec.fields == ()
        np.testing.assert_array_equal(rec[...], truth.expected())
    assert all(issubclass(warning.category, galvo.errors.GalvoWarning) for warning in recwarn)


ROI_TEXT = ScanImageRecording.multi_roi(ROIS, frames=1).roi_text()
JUNK = [None, True, -1, 0, 1e300, 10**400, math.inf, math.nan, "x", [], {}, [[]], [1, 2, 3], {"_ArrayType_": 1}]


def places(node, above=()):
    """Every path into a tree of dicts and lists."""
    for key in sorted(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ():
        yield (*above, key)
        yield from places(node[key], (*above, key))


@given(data=st.data())
def test_no_roi_groups_raise(data):
    """Whatever stands anywhere in the ROI groups, there are regions with whole scanfields, or there is a warning."""
    tree = json.loads(ROI_TEXT)
    for _ in range(data.draw(st.integers(1, 2))):
        *above, last = data.draw(st.sampled_from(list(places(tree["RoiGroups"]["imagingRoiGroup"]))))
        node = tree["RoiGroups"]["imagingRoiGroup"]
        for key in above:
            node = node[key]
        node[last] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", galvo.errors.GalvoWarning)
        rois = parse_rois(json.dumps(tree), "a.tif")
        for roi in rois:
            for z in (None, -1.0, 0.0, 0.5, 1e9):
                field = roi.at(z)
                assert field is None or all(count == int(count) > 0 for count in field.pixels)
        pack(rois, [0.0, 1.0], scanner(), (100, 24), "a.tif")


def test_more_fields_than_anyone_scans(tmp_path, open_warned, monkeypatch):
    monkeypatch.setattr("galvo.formats.scanimage.fields._MOST_FIELDS", 5)
    truth = ScanImageRecording.multi_roi(ROIS, zs=(0.0, 10.0), volumes=2)
    with open_warned(truth.write(tmp_path)[0], "3 ROIs at 2 depths are too many") as rec:
        assert rec.fields == ()


# ---- identities ------------------------------------------------------------------------------------------------------


def test_another_gap_that_fits_is_used_and_both_numbers_are_told(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2)
    wrong = {"SI.hScan2D.flytoTimePerScanfield": repr(truth.flyto_s * 3)}
    paths = ScanImageRecording.multi_roi(ROIS, frames=2, extra_header=wrong).write(tmp_path)
    with open_warned(paths[0], rf"{truth.height} rows.* 76 rows.* {16 + 24 + 8 + 152}; gaps of 26 rows fit") as rec:
        check_fields(rec, truth)


def test_pages_that_no_gap_explains_are_not_split_and_both_numbers_are_told(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2)
    short = ScanImageRecording(rois=ROIS, frames=2, height=truth.height - 1, width=truth.width)
    with open_warned(short.write(tmp_path)[0], rf"{truth.height - 1} rows.* {truth.height}; .* not split") as rec:
        assert rec.fields == ()
        np.testing.assert_array_equal(rec[...], short.expected())


def test_pages_of_averaged_lines_are_not_split_though_other_gaps_would_fit(tmp_path, open_warned):
    """Two small ROIs of 16 + 26 + 8 rows, of which every two lines were averaged: 25 rows, as with a gap of 1 row."""
    rois = (ROIS[0], ROIS[2])
    truth = ScanImageRecording.multi_roi(rois, frames=2)
    assert truth.height == 16 + 26 + 8
    period = repr((truth.height + 26) * truth.line_period_s)
    stated = {"SI.hRoiManager.scanFramePeriod": period, "SI.hRoiManager.linePeriod": repr(truth.line_period_s)}
    asked = {"rois": rois, "frames": 2, "height": 25, "width": truth.width, "extra_header": stated}
    with open_warned(
        ScanImageRecording(**asked).write(tmp_path)[0], r"25 rows.* 50, as if 2 lines were averaged; .*rec\.isel\(y="
    ) as rec:
        assert rec.fields == ()


def test_pages_narrower_than_a_roi_are_not_split(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2, width=20)
    with open_warned(truth.write(tmp_path)[0], r"20 columns.* 24\b") as rec:
        assert rec.fields == ()


def test_pages_wider_than_every_roi_are_told(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2, width=30)
    with open_warned(truth.write(tmp_path)[0], r"30 columns.* 24$") as rec:
        check_fields(rec, truth)


def test_a_frame_period_of_other_lines_is_told_with_both_numbers(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2)
    lines = truth.height + 26
    late = {"SI.hRoiManager.scanFramePeriod": repr((lines + 2) * truth.line_period_s)}
    paths = ScanImageRecording.multi_roi(ROIS, frames=2, extra_header=late).write(tmp_path)
    with open_warned(paths[0], rf"make {lines} lines.* {lines + 2}\.00 lines") as rec:
        check_fields(rec, truth)


def test_a_galvo_frame_shorter_than_its_lines_is_told(tmp_path, open_warned):
    truth = ScanImageRecording.multi_roi(ROIS, frames=2, scanner_type="galvo")
    short = {"SI.hRoiManager.scanFramePeriod": repr((truth.height - 8) * truth.line_period_s)}
    paths = ScanImageRecording.multi_roi(ROIS, frames=2, scanner_type="galvo", extra_header=short).write(tmp_path)
    with open_warned(paths[0], rf"{truth.height} lines.* {truth.height - 8}\.00 lines") as rec:
        check_fields(rec, truth)


def test_rois_at_other_depths_only(tmp_path, open_warned):
    truth = ScanImageRecording(rois=(discrete("a", (500.0,), (20, 12)),), frames=2)
    with open_warned(truth.write(tmp_path)[0], "no ROI is scanned") as rec:
        assert rec.fields == ()


@pytest.mark.parametrize(
    ("text", "version", "said"),
    [
        ("", "2021", "nowhere in the file"),
        ("<scanimage.mroi.RoiGroup>", "2021", "serialised"),
        ("<scanimage.mroi.RoiGroup>", "5.0", "serialised"),
        # as bytes that are no text, so that nothing of them is kept
        ("\0\x01<RoiGroup>", "5.0", "serialised"),
    ],
)
def test_no_roi_groups_at_all(tmp_path, open_warned, text, version, said):
    class Without(ScanImageRecording):
        def roi_text(self) -> str:
            return text

    truth = Without(rois=ROIS, frames=2, version=version)
    with open_warned(truth.write(tmp_path)[0], rf"{said}.*not split into fields: .*rec\.isel\(y=") as rec:
        assert rec.fields == ()
        np.testing.assert_array_equal(rec[...], truth.expected())


# ---- parts, processes ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    rois = (discrete("a", (0.0, 30.0), (20, 12)), RIGHT, SMALL)
    truth = ScanImageRecording.multi_roi(rois, zs=(0.0, 12.5, 30.0), volumes=6, channels=(1, 2), flyback=1)
    with galvo.open(truth.write(tmp_path_factory.mktemp("volumes"))[0]) as rec:
        yield rec, truth


def test_what_is_selected_of_the_recording_is_selected_of_its_fields(volumes):
    rec, _ = volumes
    part = rec.isel(t=[4, 1], c="Channel 2")
    assert len(part.fields) == len(rec.fields)
    for some, whole in zip(part.fields, rec.fields, strict=True):
        np.testing.assert_array_equal(some[...], whole[[4, 1], 1:])
    planes = rec.isel(z=[2, 0])
    assert [field.field.plane for field in planes.fields] == [2, 2, 2, 0, 0, 0]
    np.testing.assert_array_equal(planes.fields[3][...], rec.fields[0][...])
    assert rec.isel(y=slice(1, None)).fields == ()
    assert rec.isel(x=slice(None, None, -1)).fields == ()


def test_single_frames_of_fields_however_they_are_shown(volumes):
    """Where most of a row is shown one frame is read at once, elsewhere as any selection."""
    rec, truth = volumes
    pages = truth.expected()
    for field, place in zip(rec.fields, truth.placed_fields, strict=True):
        rows, columns = place.rows, place.columns
        own = pages[:, :, place.plane, rows.start : rows.stop, columns.start : columns.stop]
        np.testing.assert_array_equal(field[3, 1, 0], own[3, 1])
        np.testing.assert_array_equal(field[-1, 0][0], own[-1, 0])
        assert field[3, 1, 0].flags.c_contiguous
        for y, x in np.s_[::-1, :], np.s_[2:6, 1:4], np.s_[1:, 2:], np.s_[:, ::2]:
            np.testing.assert_array_equal(field.isel(y=y, x=x)[2, 1, 0], own[2, 1, y, x])
        scattered = field.isel(y=slice(0, None, 3), x=[4, 4, 1])
        np.testing.assert_array_equal(scattered[2, 0, 0], own[2, 0, ::3][:, [4, 4, 1]])
        assert field.isel(y=slice(0, 0))[2, 0, 0].shape == (0, len(columns))


def test_a_part_of_a_field_knows_where_it_lies(volumes):
    rec, _ = volumes
    field = rec.fields[1]
    part = field.isel(y=slice(4, 10), x=slice(3, 15))
    where, whole = part.field, field.field
    assert where.rows == range(whole.rows.start + 4, whole.rows.start + 10)
    assert where.size_deg == pytest.approx((1.5, 2.0))
    assert where.center_deg == pytest.approx((-2 + (7 - 12) * 0.25, 5 + (9 - 9) / 6))
    assert where.pixel_size_um == pytest.approx(whole.pixel_size_um)
    np.testing.assert_allclose(where.pixel_times_s(), whole.pixel_times_s()[4:10, 3:15], rtol=0, atol=1e-15)
    np.testing.assert_allclose(where.line_times_s(), whole.line_times_s()[4:10], rtol=0, atol=1e-15)
    assert field.isel(y=slice(None, None, 2)).field is None


def every_kind(rec: galvo.Recording) -> list[galvo.Recording]:
    return [
        rec.fields[3],
        rec.isel(t=slice(5, None, -2), z=[2, 0]).fields[4],
        rec.stitched(),
        rec.join_contiguous().fields[0],
        rec.with_bidirectional_phase(1).fields[1],
        rec.with_bidirectional_phase(0.25).stitched(1),
    ]


def test_all_of_them_can_be_pickled(volumes):
    rec, _ = volumes
    for one in every_kind(rec):
        with pickle.loads(pickle.dumps(one)) as other:
            np.testing.assert_array_equal(other[...], one[...])
            assert other.metadata.scan_field == one.metadata.scan_field


def _sum_of(kind: int) -> int:
    return int(_SHARED[kind][...].astype(np.int64).sum())


_SHARED: list[galvo.Recording] = []


@pytest.mark.skipif(sys.platform != "linux", reason="processes are not forked here")
def test_all_of_them_can_be_read_in_a_forked_process(volumes):
    rec, _ = volumes
    _SHARED[:] = every_kind(rec)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(_sum_of, range(len(_SHARED)))
    assert found == [_sum_of(kind) for kind in range(len(_SHARED))]
    _SHARED.clear()


@pytest.mark.skipif(sys.platform != "linux", reason="counts the bytes that Linux was asked for")
def test_a_field_reads_its_own_rows_only(tmp_path):
    rois = [RoiRequest(scanfields=(ScanfieldRequest(pixels=(256, 128)),)) for _ in range(4)]
    truth = ScanImageRecording.multi_roi(rois, frames=50)

    def read_bytes() -> int:
        with open("/proc/self/io") as counts:
            return int(dict(line.split(": ") for line in counts)["rchar"])

    with galvo.open(truth.write(tmp_path)[0]) as rec:
        field = rec.fields[2]
        before = read_bytes()
        pixels = field[...]
        spent = read_bytes() - before
        assert pixels.nbytes <= spent < 1.1 * pixels.nbytes
