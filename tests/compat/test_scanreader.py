"""`galvo.compat.scanreader` against generated scans whose pixels are known in closed form."""

from __future__ import annotations

import pickle
import sys

import numpy as np
import pytest

import galvo
from galvo.compat import scanreader
from galvo.compat.scanreader.exceptions import (
    FieldDimensionMismatch,
    PathnameError,
    ScanImageVersionError,
    ScanReaderException,
)
from galvo.errors import GalvoError, GalvoWarning, Malformed, OptionError
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

VERSIONS = ("5.1", "5.2", "5.7", "2015", "2016b", "2018b", "2019b", "2020", "2021", "2022", "2023", "2025")


def roi(x: float = 0.0, y: float = 0.0, pixels=(24, 16), size=(4.0, 4.0), zs=(0.0,), **more) -> RoiRequest:
    field = ScanfieldRequest(center_deg=(x, y), size_deg=size, pixels=pixels)
    return RoiRequest(scanfields=(field,) * len(zs), zs=zs, **more)


@pytest.fixture
def scan_of(tmp_path):
    """Writes a recording and reads it; closed when the test ends."""
    opened = []

    def read(truth: ScanImageRecording, **options):
        truth.write(tmp_path)
        scan = scanreader.read_scan(str(tmp_path / "rec*.tif"), **options)
        opened.append(scan)
        return scan

    yield read
    for scan in opened:
        scan.close()


def as_scan(pixels: np.ndarray) -> np.ndarray:
    """(T, C, Z, Y, X) as (field, y, x, channel, frame)."""
    return pixels.transpose(2, 3, 4, 1, 0)


def field_pixels(truth: ScanImageRecording, **options) -> list[np.ndarray]:
    """Each field (y, x, channel, frame), cut out of the pages."""
    pages = as_scan(truth.expected(**options))
    return [
        pages[place.plane, place.rows.start : place.rows.stop, place.columns.start : place.columns.stop]
        for place in truth.placed_fields
    ]


VOLUMES = ScanImageRecording(height=9, width=7, slices=3, flyback=2, volumes=5, channels=(1, 3))


# ---- the page that users were given ----------------------------------------------------------------------------------


def test_what_the_documentation_shows(tmp_path):
    """The calls of the documentation, on strips that touch."""
    strips = [roi(x, pixels=(10, 40)) for x in (-4, 0, 4)]
    truth = ScanImageRecording.multi_roi(strips, frames=1030, frames_per_file=400, channels=(1, 2))
    truth.write(tmp_path, "strips")
    galvo.compat.install("scanreader")
    try:
        import scanreader as installed

        assert installed is scanreader
        apart = installed.read_scan(str(tmp_path / "strips_*.tif"))
        scan = installed.read_scan(str(tmp_path / "strips_*.tif"), dtype=np.float32, join_contiguous=True)
        assert (scan.version, scan.num_frames, scan.num_channels, scan.num_fields) == ("2021", 1030, 2, 1)
        expected = field_pixels(truth)
        for found, field in zip(apart, expected, strict=True):
            np.testing.assert_array_equal(found, field)
        whole = np.concatenate(expected, axis=1)
        (field,) = scan
        assert field.shape == (40, 30, 2, 1030)
        assert field.dtype == np.float32
        np.testing.assert_array_equal(scan[:], whole[None])
        np.testing.assert_array_equal(scan[0], whole)
        np.testing.assert_array_equal(apart[:2, :, :, 0, -1000:], np.stack(expected[:2])[..., 0, -1000:])
        np.testing.assert_array_equal(apart[1], expected[1])
        columns = scan.fields[0].output_xslices
        assert columns == [slice(0, 10), slice(10, 20), slice(20, 30)]
        inner = [k for part in columns for k in range(part.start + 1, part.stop - 1)]
        trimmed = scan[:, :, inner, 0, 2:15].squeeze()
        np.testing.assert_array_equal(trimmed, whole[:, inner, 0, 2:15])
        assert scan[:, :, :, 0, 2:15].squeeze().shape == (40, 30, 13)
        apart.close()
        scan.close()
    finally:
        galvo.compat.uninstall("scanreader")
    assert "scanreader" not in sys.modules


# ---- indexing --------------------------------------------------------------------------------------------------------

SINGLE = [0, -1, np.int16(1), slice(None), slice(1, None), slice(None, None, -1), slice(-2, 9, 2), [1, 0, -1], (0, 2)]


@pytest.mark.parametrize("single", SINGLE, ids=str)
def test_a_key_on_each_axis(scan_of, single):
    scan, pixels = scan_of(VOLUMES), as_scan(VOLUMES.expected())
    as_numpy = list(single) if isinstance(single, tuple) else single
    for axis in range(5):
        if axis == 3 and isinstance(single, tuple):
            continue
        key = (slice(None),) * axis
        found = scan[(*key, single)]
        np.testing.assert_array_equal(found, pixels[(*key, as_numpy)])
        assert found.dtype == pixels.dtype
    if not isinstance(single, tuple):
        np.testing.assert_array_equal(scan[single], pixels[as_numpy])


@pytest.mark.parametrize(
    "key",
    [
        (0, 1, 2, 1, 3),
        (slice(None), 2, [0, 3, 3], 0, slice(1, 4)),
        ([2, 0], slice(0, 4), np.array([6, 0]), 1, [0, 4]),
        (1, [0], [1, 2], [1, 0], np.array([4, 0, 2], np.uint8)),
        (slice(2), slice(None), 0, slice(None, None, -1), -2),
        ((1, 1), slice(7, 2, -2), slice(3), np.uint8(1)),
    ],
    ids=str,
)
def test_several_keys_select_an_outer_product(scan_of, key):
    for truth in (VOLUMES, ScanImageRecording.multi_roi([roi(), roi(8), roi(16)], channels=(1, 2), frames=5)):
        pixels = as_scan(truth.expected()) if not truth.rois else np.stack(field_pixels(truth))
        lists = [[one] if isinstance(one, int | np.integer) else one for one in key] + [slice(None)] * (5 - len(key))
        grid = np.ix_(
            *(
                np.arange(length)[one if isinstance(one, slice) else list(one)]
                for one, length in zip(lists, pixels.shape, strict=True)
            )
        )
        dropped = tuple(axis for axis, one in enumerate(key) if isinstance(one, int | np.integer))
        found = scan_of(truth)[key]
        np.testing.assert_array_equal(found, pixels[grid].squeeze(dropped))


@pytest.mark.parametrize(
    "key", ["0", 0.0, True, np.True_, None, [True, False], [0.0], np.zeros(2), [[0, 1]], {0}, [None]]
)
@pytest.mark.parametrize("axis", [0, 4])
def test_keys_that_are_none(scan_of, key, axis):
    with pytest.raises(TypeError):
        scan_of(VOLUMES)[(0,) * axis + (key,)]


@pytest.mark.parametrize(
    "key",
    [
        3,
        -4,
        (0, 9),
        (0, 0, [0, 7]),
        (0, 0, 0, -3),
        (0, 0, 0, 0, 5),
        (0,) * 6,
        (0, [], 0, 0, 5),
        ([], 9),
        (2**70,),
        ([2**70],),
    ],
)
def test_out_of_bounds(scan_of, key):
    with pytest.raises(IndexError):
        scan_of(VOLUMES)[key]


def test_fields_of_several_sizes(scan_of):
    truth = ScanImageRecording.multi_roi([roi(), roi(8, pixels=(24, 12)), roi(16, pixels=(20, 16))], frames=2)
    scan, expected = scan_of(truth), field_pixels(truth)
    for key in (slice(None), ([0, 1],), ([0, 2],)):
        with pytest.raises(FieldDimensionMismatch, match="different"):
            scan[key]
    assert not hasattr(scan, "shape")
    with pytest.raises(IndexError):
        scan[:, 12]
    np.testing.assert_array_equal(scan[:, :12, -20:], np.stack([one[:12, -20:] for one in expected]))
    for found, field in zip(scan, expected, strict=True):
        np.testing.assert_array_equal(found, field)
    assert len(scan) == 3


def test_scans_pickle(scan_of):
    scan = scan_of(VOLUMES, dtype=np.float32)
    assert len(scan.tiff_files) == 1
    again = pickle.loads(pickle.dumps(scan))
    np.testing.assert_array_equal(again[1], scan[1])
    again.close()


# ---- files -----------------------------------------------------------------------------------------------------------


def test_names_of_files(tmp_path, monkeypatch):
    truth = ScanImageRecording(frames=7, frames_per_file=3)
    first, second, third = truth.write(tmp_path, "scan [a]")
    (tmp_path / "elsewhere").mkdir()
    moved = second.rename(tmp_path / "elsewhere" / second.name)
    monkeypatch.chdir(tmp_path)
    names = [str(third), str(moved), first.name, "*" + first.name[-5:]]
    scan = scanreader.read_scan(names)
    assert scan.filenames == [str(first), str(moved), str(third)]
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))
    assert [len(file.pages) for file in scan.tiff_files] == [3, 3, 1]
    scan.close()
    del scan


@pytest.mark.parametrize("pathnames", [None, 3, ("a.tif",), ["a.tif", 3], [b"a.tif"]])
def test_names_that_are_none(pathnames):
    with pytest.raises(TypeError):
        scanreader.read_scan(pathnames)


def test_errors_of_files(tmp_path):
    for names in (str(tmp_path / "none*.tif"), [str(tmp_path / "none.tif")], []):
        with pytest.raises(PathnameError) as caught:
            scanreader.read_scan(names)
        assert isinstance(caught.value, ScanReaderException)
        assert isinstance(caught.value, GalvoError)
    (tmp_path / "text.tif").write_text("no image")
    galvo.save(np.zeros((4, 8, 8), np.int16), tmp_path / "plain.h5")
    for name in ("text.tif", "plain.h5"):
        with pytest.raises(ScanImageVersionError, match=name):
            scanreader.read_scan(str(tmp_path / name))
    for version in ("3.8", "4.2"):
        (path,) = ScanImageRecording(version=version, frames=2).write(tmp_path, version.replace(".", "_"))
        with pytest.raises(ScanImageVersionError, match="5 and later"):
            scanreader.read_scan(str(path))


# ---- attributes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_facts_of_volumes(scan_of, version):
    truth = ScanImageRecording(
        version=version,
        slices=3,
        volumes=4,
        flyback=1,
        channels=(1, 2),
        height=8,
        width=12,
        zoom=2.0,
        fov_deg=(18.0, 12.0),
    )
    scan = scan_of(truth)
    facts = {
        "version": version,
        "is_multiROI": False,
        "is_slow_stack": False,
        "is_slow_stack_with_fastZ": False,
        "num_channels": 2,
        "num_fields": 3,
        "num_frames": 4,
        "num_requested_frames": 4,
        "num_scanning_depths": 3,
        "scanning_depths": [0, 2, 4],
        "requested_scanning_depths": [0, 2, 4],
        "field_depths": [0, 2, 4],
        "is_bidirectional": True,
        "scanner_frequency": truth.scanner_frequency_hz,
        "seconds_per_line": truth.line_period_s,
        "fps": 30 / 4,
        "spatial_fill_fraction": 0.9,
        "temporal_fill_fraction": 0.712867,
        "scanner_type": "RGG",
        "motor_position_at_zero": [12.5, -340.25, 180],
        "initial_secondary_z": None,
        "image_height": 8,
        "image_width": 12,
        "page_height": 8,
        "page_width": 12,
        "image_height_in_microns": 12 / 2 * 15,
        "image_width_in_microns": 18 / 2 * 15,
        "shape": (3, 8, 12, 2, 4),
        "zoom": 2.0,
        "power_percent": 12,
        "has_external_trigger": False,
        "_num_pages": 32,
        "_page_height": 8,
        "_page_width": 12,
        "dtype": np.int16,
        "ndim": 5,
    }
    for name, expected in facts.items():
        found = getattr(scan, name)
        assert found == (pytest.approx(expected, rel=1e-5) if isinstance(expected, float) else expected), name
    assert f"VERSION_MAJOR = {'' if version.isdigit() else chr(39)}"[:16] in scan.header
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))


@pytest.mark.parametrize("version", ["5.2", "2015", "2016b", "2019b", "2023"])
def test_regions_of_versions(scan_of, version):
    truth = ScanImageRecording.multi_roi(
        [roi(), roi(8)], version=version, zs=(0.0, 10.0), volumes=2, flyback=1, channels=(1, 2)
    )
    scan = scan_of(truth)
    assert (scan.version, scan.num_rois, scan.num_fields) == (version, 2, 4)
    np.testing.assert_array_equal(scan, np.stack(field_pixels(truth)))


def test_facts_of_linear_scans(scan_of):
    scan = scan_of(ScanImageRecording(scanner_type="galvo", frames=3, height=8, bidirectional=False))
    assert np.isnan(scan.scanner_frequency)
    assert scan.seconds_per_line == pytest.approx(1 / 30 / 8, rel=1e-5)
    assert not scan.is_bidirectional
    assert scan.is_slow_stack
    assert scan.scanning_depths == [0]


@pytest.mark.parametrize(
    ("keys", "name", "expected"),
    [
        ({"SI.hStackManager.framesPerSlice": "Inf"}, "num_requested_frames", 10**9),
        ({"SI.hMotors.motorPosition": "[1 2 3 4.5]"}, "initial_secondary_z", 4.5),
        ({"SI.hMotors.motorPosition": "[1 2 3 4.5]"}, "motor_position_at_zero", [1, 2, 3]),
        (
            {"SI.hMotors.motorPosition": "[1 NaN 3]"},
            "motor_position_at_zero",
            [1, pytest.approx(np.nan, nan_ok=True), 3],
        ),
        ({"SI.hBeams.powers": "[3 4]"}, "power_percent", [3, 4]),
        ({"SI.extTrigEnable": "1"}, "has_external_trigger", True),
        ({"SI.hStackManager.slowStackWithFastZ": "true"}, "is_slow_stack_with_fastZ", True),
        ({"SI.hStackManager.stackActuator": "'fastZ'"}, "is_slow_stack_with_fastZ", True),
    ],
)
def test_facts_that_headers_seldom_state(scan_of, keys, name, expected):
    assert getattr(scan_of(ScanImageRecording(frames=3, extra_header=keys)), name) == expected


def test_facts_of_regions(scan_of):
    rois = [roi(4, 2, name="V1", zs=(0.0, 10.0), discrete=True), roi(-4, pixels=(10, 8), size=(2.0, 1.0))]
    truth = ScanImageRecording.multi_roi([roi(zs_json="none"), *rois], zs=(0.0, 10.0, 20.0), volumes=2, flyback=1)
    with pytest.warns(GalvoWarning, match="no sense"):
        scan = scan_of(truth)
    with pytest.warns(GalvoWarning, match="no sense"):
        assert scan.num_rois == len(scan.rois) == 2
    assert [one.name for one in scan.rois] == ["V1", "ROI 3"]
    assert scan.is_multiROI
    assert scan.num_fields == len(scan.fields) == 5
    assert scan.field_heights == [16, 8, 16, 8, 8]
    assert scan.field_widths == [24, 10, 24, 10, 10]
    assert scan.field_depths == [0, 0, 10, 10, 20]
    assert scan.field_slices == [0, 0, 1, 1, 2]
    assert scan.field_rois == [[0], [1], [0], [1], [1]]
    assert scan.field_heights_in_microns == [60, 15, 60, 15, 15]
    assert scan.field_widths_in_microns == [60, 30, 60, 30, 30]
    assert [int(mask[0, 0]) for mask in scan.field_masks] == [0, 1, 0, 1, 1]
    assert {mask.dtype for mask in scan.field_masks} == {np.dtype(np.int8)}
    assert {mask.dtype for mask in scan.field_offsets} == {np.dtype(np.float32)}
    assert scan.scanning_depths == [0, 10, 20]
    assert scan.join_contiguous is False
    field = scan.fields[3]
    assert (field.height, field.width, field.depth, field.slice_id) == (8, 10, 10, 1)
    assert (field.y, field.x, field.y_center_coordinate, field.x_center_coordinate) == (0, -4, 0, -4)
    assert (field.height_in_degrees, field.width_in_degrees) == (1, 2)
    assert not field.has_contiguous_subfields
    top = 16 + truth.gap_rows
    assert (field.yslices, field.xslices) == ([slice(top, top + 8)], [slice(0, 10)])
    assert (field.output_yslices, field.output_xslices) == ([slice(0, 8)], [slice(0, 10)])
    with pytest.raises(AttributeError):
        _ = scan.image_height


def test_stale_switch_of_the_fast_z_device(scan_of):
    truth = ScanImageRecording(slices=3, volumes=2, flyback=1, extra_header={"SI.hFastZ.enable": "false"})
    assert not scan_of(truth).is_slow_stack


def test_unknown_positions_in_json(scan_of):
    keys = {"SI.hMotors.samplePosition": "[1, null, 3]"}
    x, y, z = scan_of(ScanImageRecording(frames=2, json_header=True, extra_header=keys)).motor_position_at_zero
    assert (x, np.isnan(y), z) == (1, True, 3)


def test_more_regions_than_int8_counts(scan_of):
    truth = ScanImageRecording.multi_roi([roi(8 * x, pixels=(4, 2)) for x in range(130)], frames=1)
    scan = scan_of(truth)
    assert [int(mask[0, 0]) for mask in scan.field_masks] == list(range(130))
    np.testing.assert_array_equal(scan[-1], field_pixels(truth)[-1])


def test_joined_fields(scan_of):
    rois = [roi(4), roi(0), roi(0, 20), roi(-4), roi(0, 40)]
    truth = ScanImageRecording.multi_roi(rois, frames=3, channels=(1, 2))
    apart, expected = scan_of(truth), field_pixels(truth)
    scan = scan_of(truth, join_contiguous=True)
    assert scan.field_rois == [[0, 1, 3], [2], [4]]
    joined = scan.fields[0]
    assert joined.has_contiguous_subfields
    assert (joined.height, joined.width, joined.x, joined.y) == (16, 72, 0, 0)
    np.testing.assert_array_equal(scan[0], np.concatenate([expected[3], expected[1], expected[0]], axis=1))
    page = as_scan(truth.expected())[0]
    output = np.empty((16, 72, 2, 3), np.int16)
    for oy, ox, y, x in zip(joined.output_yslices, joined.output_xslices, joined.yslices, joined.xslices, strict=True):
        output[oy, ox] = page[y, x]
    np.testing.assert_array_equal(scan[0], output)
    np.testing.assert_array_equal(joined.roi_mask, np.repeat([3, 1, 0], 24)[None] * np.ones((16, 1)))
    np.testing.assert_array_equal(
        joined.offset_mask, np.concatenate([apart.field_offsets[number] for number in (3, 1, 0)], axis=1)
    )
    for number, offsets in zip((0, 1, 3), joined.offsets, strict=True):
        np.testing.assert_array_equal(offsets, apart.fields[number].offset_mask)
    one, two, other = apart.fields[:3]
    assert one.is_contiguous_to(two)
    assert not one.is_contiguous_to(other)
    one.join_with(other)
    assert one.width == 24
    one.join_with(two)
    assert (one.width, one.roi_ids) == (48, [0, 1])


@pytest.mark.parametrize("bidirectional", [True, False])
def test_offsets_of_pages(scan_of, bidirectional):
    truth = ScanImageRecording(
        slices=2, volumes=1, repeats=3, stack_mode="slow", height=6, width=5, bidirectional=bidirectional
    )
    with pytest.warns(GalvoWarning, match="uneven"):
        scan = scan_of(truth)
    angles = np.pi / 2 * 0.712867 * np.linspace(-1, 1, 7)[1:-1]
    line = (np.sin(angles) + 1) / 2
    page = np.array([row + (line[::-1] if bidirectional and row % 2 else line) for row in range(6)])
    found = scan.field_offsets
    for plane in range(2):
        start = plane * 3 / truth.frame_rate_hz
        np.testing.assert_allclose(found[plane], start + page * truth.line_period_s, rtol=1e-5)
        assert found[plane].dtype == np.float32


@pytest.mark.parametrize(
    ("pattern", "cycle", "frames", "fps"),
    [
        ("volumetric_single_channel_multi_file/*.tif", 16, 40, 32.7454),
        ("volumetric_single_channel_single_file_no_flyback/*.tif", 9, 10, 8.86703),
    ],
)
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
def test_genuine_volumes(sample_data, pattern, cycle, frames, fps):
    scan = scanreader.read_scan(str(sample_data / "scanimage" / "catalystneuro" / pattern))
    pages = np.concatenate([file.asarray().reshape(-1, 20, 20) for file in scan.tiff_files])
    volumes = pages.reshape(frames, cycle, 20, 20)[:, :9]
    assert scan._num_pages == len(pages)
    np.testing.assert_array_equal(scan, volumes.transpose(1, 2, 3, 0)[:, :, :, None])
    assert scan.scanning_depths == list(range(92, 110, 2))
    assert (scan.version, scan.scanner_type, scan.zoom, scan.fps) == ("2021", "RGG", 8, fps)
    scan.close()


# ---- S1 to S10: where the original is wrong --------------------------------------------------------------------------


def test_s1_flyback_is_no_frame(scan_of):
    truth = ScanImageRecording(slices=3, volumes=5, flyback=2, height=8, width=8)
    scan = scan_of(truth)
    assert scan.num_frames == 5
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))


def test_s2_repeats_are_frames(scan_of):
    truth = ScanImageRecording(slices=3, volumes=2, repeats=4, flyback=1, height=8, width=8)
    with pytest.warns(GalvoWarning, match="uneven"):
        scan = scan_of(truth)
    assert scan.shape == (3, 8, 8, 1, 8)
    assert scan.scanning_depths == [0, 2, 4]
    np.testing.assert_array_equal(scan, as_scan(truth.expected(slice_repeats="interleave")))


def test_s2_depths_of_slow_stacks(scan_of):
    truth = ScanImageRecording(slices=3, volumes=1, repeats=4, stack_mode="slow", channels=(1, 2), height=8, width=8)
    with pytest.warns(GalvoWarning, match="uneven"):
        scan = scan_of(truth)
    assert scan.is_slow_stack
    assert scan.shape == (3, 8, 8, 2, 4)
    assert scan.scanning_depths == scan.field_depths == [0, 2, 4]
    assert scan.fps == pytest.approx(30)
    np.testing.assert_array_equal(scan, as_scan(truth.expected(slice_repeats="interleave")))


def test_s3_acquisitions_of_a_loop_follow_each_other(scan_of):
    truth = ScanImageRecording(frames=4, acquisitions=3, channels=(1, 2), height=8, width=8)
    scan = scan_of(truth)
    assert (scan.num_fields, scan.num_scanning_depths, scan.num_frames) == (1, 1, 12)
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))


def test_s4_slow_volumes_are_frames(scan_of):
    truth = ScanImageRecording(slices=4, volumes=2, stack_mode="slow", height=8, width=8)
    scan = scan_of(truth)
    assert scan.shape == (4, 8, 8, 1, 2)
    assert scan.scanning_depths == [0, 2, 4, 6]
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))


def test_interrupted_slow_stacks_have_the_fields_that_are_whole(scan_of):
    truth = ScanImageRecording(slices=4, volumes=1, repeats=3, stack_mode="slow", height=8, width=8, drop_pages=5)
    with pytest.warns(GalvoWarning):
        scan = scan_of(truth)
    assert (scan.scanning_depths, scan.num_frames) == ([0, 2], 3)
    np.testing.assert_array_equal(scan[..., 0, :].transpose(0, 3, 1, 2), truth.expected_pages(0, 6).reshape(2, 3, 8, 8))


@pytest.mark.parametrize("acquisitions", [1, 2])
def test_s5_a_file_per_channel(scan_of, acquisitions):
    truth = ScanImageRecording(
        frames=7, frames_per_file=3, acquisitions=acquisitions, file_per_channel=True, channels=(1, 2, 4)
    )
    scan = scan_of(truth)
    assert (scan.num_channels, scan.num_frames) == (3, 7 * acquisitions)
    np.testing.assert_array_equal(scan, as_scan(truth.expected()))


def test_s6_linear_regions_have_no_gap(scan_of):
    truth = ScanImageRecording.multi_roi([roi(), roi(8, pixels=(24, 20))], scanner_type="galvo", frames=3)
    for found, field in zip(scan_of(truth), field_pixels(truth), strict=True):
        np.testing.assert_array_equal(found, field)


def test_s7_regions_of_several_widths(scan_of):
    truth = ScanImageRecording.multi_roi([roi(), roi(8, pixels=(10, 8))], frames=2)
    masks = scan_of(truth).field_offsets
    assert [mask.shape for mask in masks] == [(16, 24), (8, 10)]
    first, middle = 16 + truth.gap_rows, np.sin(np.pi / 2 * 0.712867 / 11)
    expected = (first + (1 - middle) / 2) * truth.line_period_s
    assert masks[1][0, 4] == pytest.approx(expected, rel=1e-5)


def test_s8_pixels_are_not_cast(scan_of):
    truth = ScanImageRecording(dtype="uint16", frames=4)
    scan, pixels = scan_of(truth), as_scan(truth.expected())
    assert pixels.max() > 32767
    assert scan.dtype == np.uint16
    np.testing.assert_array_equal(scan, pixels)
    refused = scan_of(truth, dtype=np.int16)
    with pytest.raises(OptionError):
        refused[:]
    np.testing.assert_array_equal(scan_of(truth, dtype=np.int32), pixels)


@pytest.mark.parametrize(
    ("key", "shape"),
    [
        (slice(0), (0, 9, 7, 2, 5)),
        ([], (0, 9, 7, 2, 5)),
        ((0, [], 0), (0, 2, 5)),
        ((slice(None), 1, slice(3, 3), 0), (3, 0, 5)),
        ((0, 0, 0, 0, ()), (0,)),
    ],
    ids=str,
)
def test_s8_empty_selections(scan_of, key, shape):
    regions = ScanImageRecording.multi_roi([roi(pixels=(7, 9))] * 3, frames=5, channels=(1, 2))
    for truth in (VOLUMES, regions):
        found = scan_of(truth)[key]
        assert found.shape == shape
        assert found.dtype == np.int16


def test_s8_keys_and_protocol_of_numpy(scan_of):
    scan, pixels = scan_of(VOLUMES), as_scan(VOLUMES.expected())
    np.testing.assert_array_equal(scan[..., 0], pixels[..., 0])
    np.testing.assert_array_equal(scan[1, ..., 1, :], pixels[1, ..., 1, :])
    np.testing.assert_array_equal(scan[0, 0, 0, 0, 0, ...], pixels[0, 0, 0, 0, 0])
    with pytest.raises(IndexError):
        scan[..., 0, ...]
    np.testing.assert_array_equal(scan[np.uint16(2), :, np.array([1, 2], np.uint8)], pixels[2, :, 1:3])
    np.testing.assert_array_equal(scan[0, [1, 2], np.array([3, 4])], pixels[0, 1:3, 3:5])
    assert np.array(scan).dtype == np.int16
    converted = np.asarray(scan, dtype=np.float64)
    assert converted.dtype == np.float64
    np.testing.assert_array_equal(converted, pixels)
    np.testing.assert_array_equal(np.array(scan, copy=True), pixels)
    with pytest.raises(ValueError, match="copy"):
        scan.__array__(copy=False)


@pytest.mark.parametrize("spelled", ["1", "true"])
@pytest.mark.parametrize("json_header", [False, True])
def test_s9_spellings_of_multi_roi(scan_of, spelled, json_header):
    truth = ScanImageRecording.multi_roi(
        [roi(), roi(8)], frames=2, json_header=json_header, extra_header={"SI.hRoiManager.mroiEnable": spelled}
    )
    scan = scan_of(truth)
    assert scan.is_multiROI
    np.testing.assert_array_equal(scan, np.stack(field_pixels(truth)))


def test_s9_a_region_reads_its_rows_only(scan_of):
    psutil = pytest.importorskip("psutil")
    truth = ScanImageRecording.multi_roi([roi(x, pixels=(256, 128)) for x in (0, 8, 16, 24)], frames=40)
    scan = scan_of(truth)
    scan[0, ..., 0]
    before = psutil.Process().io_counters().read_chars
    field = scan[2]
    read_nbytes = psutil.Process().io_counters().read_chars - before
    np.testing.assert_array_equal(field, field_pixels(truth)[2])
    assert field.nbytes <= read_nbytes < 1.5 * field.nbytes


def test_s9_pages_of_many_files(scan_of):
    truth = ScanImageRecording(frames=121, frames_per_file=1, channels=(1, 2), height=4, width=4)
    wanted = [120, 0, 60, 61]
    np.testing.assert_array_equal(scan_of(truth)[..., wanted], as_scan(truth.expected())[..., wanted])


def test_s10_nothing_of_tifffile_is_needed(scan_of, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "tifffile"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tifffile", None)
    truth = ScanImageRecording.multi_roi([roi(), roi(8)], frames=2)
    scan = scan_of(truth)
    assert (scan.num_rois, scan.field_depths) == (2, [0, 0])
    np.testing.assert_array_equal(scan, np.stack(field_pixels(truth)))


# ---- refused ---------------------------------------------------------------------------------------------------------


def test_pages_that_do_not_hold_the_fields(scan_of):
    truth = ScanImageRecording.multi_roi([roi()], frames=2, height=15)
    with pytest.warns(GalvoWarning, match="15 rows"), pytest.raises(Malformed, match="multi-ROI is on"):
        scan_of(truth)
