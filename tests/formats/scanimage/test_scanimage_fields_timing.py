"""When lines and pixels of fields are scanned, and lines scanned backwards put right."""

from __future__ import annotations

import math

import numpy as np
import pytest

import galvo
from galvo.formats.scanimage.packing import Scanner, flyback_rows
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording

FILL = 0.712867


def roi(x: float = 0.0, y: float = 0.0, pixels=(24, 16), size=(4.0, 4.0)) -> RoiRequest:
    return RoiRequest(scanfields=(ScanfieldRequest(center_deg=(x, y), size_deg=size, pixels=pixels),))


def seconds(row: int, column: int, width: int, period: float, *, backwards: bool = False) -> float:
    """The definition, one pixel at a time."""
    angle = math.pi / 2 * FILL * (2 * (column + 1) / (width + 1) - 1)
    within = (math.sin(angle) + 1) / 2
    return (row + (1 - within if backwards else within)) * period


def opened(folder, rois, **request) -> tuple[galvo.Recording, ScanImageRecording]:
    truth = ScanImageRecording.multi_roi(rois, **request)
    return galvo.open(truth.write(folder)[0]), truth


# ---- times -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bidirectional", [True, False])
def test_pixels_of_fields_of_different_widths(tmp_path, bidirectional):
    rec, truth = opened(tmp_path, [roi(), roi(pixels=(10, 8))], bidirectional=bidirectional, frames=2)
    with rec:
        period = 1 / truth.scanner_frequency_hz / (2 if bidirectional else 1)
        for field in rec.fields:
            first, width = field.field.rows.start, field.shape[4]
            lines, times = field.field.line_times_s(), field.field.pixel_times_s()
            np.testing.assert_allclose(lines, (first + np.arange(field.shape[3])) * period, rtol=1e-5)
            expected = [
                [seconds(first + y, x, width, period, backwards=bidirectional and y % 2 == 1) for x in range(width)]
                for y in range(field.shape[3])
            ]
            np.testing.assert_allclose(times, expected, rtol=1e-5)
            assert ((times > lines[:, None]) & (times < lines[:, None] + period)).all()


def test_each_depth_starts_after_page_and_flyback_of_the_one_before(tmp_path):
    rec, truth = opened(tmp_path, [roi(), roi(8)], zs=(0.0, 10.0, 20.0), volumes=2, repeats=1, flyback=1)
    with rec:
        frame_s = (truth.height + 26) * truth.line_period_s
        assert frame_s == pytest.approx(1 / truth.frame_rate_hz)
        for field in rec.fields:
            start = field.field.plane * frame_s + field.field.rows.start * truth.line_period_s
            assert field.field.line_times_s()[0] == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize(("lines", "rows"), [(1024, 24), (1026, 26), (1024.6, 24)])
def test_the_frame_period_decides_between_two_flybacks(lines, rows):
    # 12 periods and a little: 12, as the digits allow, or 13
    scanner = Scanner(
        resonant=True,
        bidirectional=True,
        frequency_hz=12000.0,
        line_period_s=1 / 24000,
        frame_period_s=lines / 24000,
        flyto_s=0.001,
        flyback_s=0.0010000001,
        fill_fraction=0.7,
    )
    assert scanner.rows(scanner.flyback_s) == (24, 26)
    assert flyback_rows(scanner, 1000) == rows


def test_frames_that_wait_for_z_are_longer(tmp_path, open_warned):
    rois = [roi(), roi(8)]
    plain = ScanImageRecording.multi_roi(rois, zs=(0.0, 10.0), volumes=2)
    # 140.99 periods of the mirror, as in a genuine recording: 282 lines
    waiting = {
        "SI.hFastZ.flybackTime": repr(140.99 / plain.scanner_frequency_hz),
        "SI.hRoiManager.scanFramePeriod": repr((plain.height + 282) * plain.line_period_s),
    }
    truth = ScanImageRecording.multi_roi(rois, zs=(0.0, 10.0), volumes=2, extra_header=waiting)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        start = rec.fields[2].field.line_times_s()[0]
        assert start == pytest.approx((plain.height + 282) * plain.line_period_s, rel=1e-5)
    flying = ScanImageRecording.multi_roi(rois, zs=(0.0, 10.0), volumes=2, flyback=1, extra_header=waiting)
    with open_warned(flying.write(tmp_path / "flying")[0], rf"make {plain.height + 26} lines.* {plain.height + 282}"):
        pass


@pytest.mark.parametrize("stack_mode", ["fast", "slow"])
def test_depths_with_several_frames_start_after_all_of_them(tmp_path, stack_mode):
    rois = [roi(), roi(8)]
    truth = ScanImageRecording.multi_roi(
        rois, zs=(0.0, 10.0), volumes=2, repeats=6, log_average_factor=2, stack_mode=stack_mode
    )
    path = truth.write(tmp_path)[0]
    for choice, frames in ((0, 0), (2, 4), ("mean", 0)):
        with galvo.open(path, slice_repeats=choice) as rec:
            assert [field.field.plane for field in rec.fields] == [0, 0, 1, 1]
            starts = [field.field.line_times_s()[0] * truth.frame_rate_hz for field in rec.fields[::2]]
            assert starts == pytest.approx([frames, 6 + frames], rel=1e-5)


def test_galvo_fields_start_after_their_flights(tmp_path):
    rec, truth = opened(tmp_path, [roi(), roi(8)], scanner_type="galvo", frames=2)
    with rec:
        starts = [field.field.line_times_s()[0] for field in rec.fields]
        assert starts == pytest.approx([0, 16 * truth.line_period_s + 0.001], rel=1e-5)


def test_joined_fields_keep_the_times_of_their_pixels(tmp_path):
    rec, _ = opened(tmp_path, [roi(4, 0), roi(0, 0), roi(0, 20), roi(0, 24)], frames=2)
    with rec:
        apart = [field.field.pixel_times_s() for field in rec.fields]
        beside, below = (field.field for field in rec.join_contiguous().fields)
        np.testing.assert_array_equal(beside.pixel_times_s(), np.concatenate([apart[1], apart[0]], axis=1))
        np.testing.assert_array_equal(below.pixel_times_s(), np.concatenate(apart[2:], axis=0))
        lines = [field.field.line_times_s() for field in rec.fields[2:]]
        np.testing.assert_array_equal(below.line_times_s(), np.concatenate(lines))
        with pytest.raises(galvo.errors.OptionError, match="side by side"):
            beside.line_times_s()


def test_unknown_line_periods_are_not_invented(tmp_path):
    omitted = ("SI.hRoiManager.linePeriod", "SI.hScan2D.scannerFrequency")
    rec, _ = opened(tmp_path, [roi(), roi(8)], frames=2, scanner_type="galvo", omit_header=omitted)
    with rec:
        assert len(rec.fields) == 2
        for times in (rec.fields[0].field.line_times_s, rec.fields[0].field.pixel_times_s):
            with pytest.raises(galvo.errors.OptionError, match="how long a line takes"):
                times()


# ---- phase -----------------------------------------------------------------------------------------------------------

WIDTH = 96


def scene(height: int, width: int, shift: float, seed: int = 0) -> np.ndarray:
    """A smooth scene known between pixels too, (Y, X), odd rows seen `shift` pixels to the right."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width].astype(float)
    x = x - np.where(np.arange(height) % 2 == 1, shift, 0)[:, None]
    image = np.full((height, width), 1000.0)
    for fy, fx, phase, amplitude in rng.uniform([-0.15, -0.9, 0, 20], [0.15, 0.9, 7, 60], (60, 4)):
        image += amplitude * np.sin(fy * y + fx * x + phase)
    return image


def shifted(folder, shift: float, noise: float = 0.0, frames: int = 8) -> galvo.Recording:
    """Two fields of different widths whose lines are scanned with a wrong phase."""
    rois = [roi(pixels=(WIDTH, 64)), roi(8, pixels=(64, 48))]
    truth = ScanImageRecording.multi_roi(rois, frames=frames)
    rng = np.random.default_rng(1)

    def pixels(first: int, stop: int) -> np.ndarray:
        out = np.zeros((stop - first, 1, truth.height, truth.width), np.int16)
        for seed, place in enumerate(truth.placed_fields):
            rows, columns = place.rows, place.columns
            image = scene(len(rows), len(columns), shift, seed)
            noisy = image + rng.normal(0, noise, (stop - first, 1, *image.shape))
            out[:, :, rows.start : rows.stop, columns.start : columns.stop] = np.rint(noisy)
        return out

    return galvo.open(truth.write(folder, pixels=pixels)[0])


@pytest.mark.parametrize("shift", [0.0, 1.0, -2.0, 5.0, 0.4, -1.3])
def test_the_phase_is_found_to_a_fraction_of_a_pixel(tmp_path, shift):
    with shifted(tmp_path, shift, noise=100) as rec:
        assert rec.estimate_bidirectional_phase() == pytest.approx(shift, abs=0.1)
        for field in rec.fields:
            assert field.estimate_bidirectional_phase() == pytest.approx(shift, abs=0.2)
        part = rec.fields[0].isel(y=slice(1, None), x=slice(4, 90))
        assert part.estimate_bidirectional_phase() == pytest.approx(shift, abs=0.2)


def test_noise_and_nothing_have_no_phase(tmp_path):
    rng = np.random.default_rng(0)
    for pixels in (rng.normal(0, 50, (20, 64, 96)).astype(np.int16), np.full((4, 64, 96), 7, np.uint8)):
        assert galvo.open(pixels).estimate_bidirectional_phase() == 0.0
    assert galvo.open(np.zeros((4, 2, 3), np.int16)).estimate_bidirectional_phase() == 0.0


@pytest.mark.parametrize("shift", [2, -3])
def test_whole_shifts_move_the_pixels_of_odd_rows_and_no_others(tmp_path, shift):
    with shifted(tmp_path, shift) as rec:
        right = rec.with_bidirectional_phase()
        assert right.metadata.attributes["bidirectional_phase"] == shift
        assert right.dtype == rec.dtype
        pages = rec[...].copy()
        for field in rec.fields:
            rows, columns = field.field.rows, field.field.columns
            for row in rows[1::2]:
                line = pages[..., row, columns.start : columns.stop].copy()
                index = np.clip(np.arange(len(columns)) + shift, 0, len(columns) - 1)
                pages[..., row, columns.start : columns.stop] = line[..., index]
        np.testing.assert_array_equal(right[...], pages)
        np.testing.assert_array_equal(right[3:, 0, 0, 100:5:-3, [60, 1, 1]], pages[3:, 0, 0, 100:5:-3][..., [60, 1, 1]])
        for field in right.fields:
            rows, columns = field.field.rows, field.field.columns
            np.testing.assert_array_equal(field[...], pages[..., rows.start : rows.stop, columns.start : columns.stop])
            inner = (slice(None), slice(abs(shift), -abs(shift)))
            still = scene(*field.shape[3:], 0.0, seed=0 if rows.start == 0 else 1)
            np.testing.assert_array_equal(field[0, 0, 0][inner], np.rint(still[inner]))
        assert "bidirectional_phase" not in rec.metadata.attributes
        assert right.with_bidirectional_phase(-1).metadata.attributes["bidirectional_phase"] == shift - 1
        assert rec.estimate_bidirectional_phase() == pytest.approx(shift, abs=0.1)


def test_fractions_interpolate_between_two_pixels():
    pixels = np.arange(4 * 6, dtype=np.int16).reshape(1, 4, 6) * 10
    right = galvo.open(pixels).with_bidirectional_phase(0.26)
    expected = pixels[None, None].astype(float)
    expected[..., 1::2, :-1] += 2.6
    np.testing.assert_array_equal(right[...][0], np.rint(expected)[0])
    floats = galvo.open(pixels.astype(np.float64)).with_bidirectional_phase(0.26)
    np.testing.assert_allclose(floats[...][0], expected[0])


def test_a_canvas_has_no_lines(tmp_path):
    with shifted(tmp_path, 0.0) as rec:
        for act in (galvo.Recording.estimate_bidirectional_phase, galvo.Recording.with_bidirectional_phase):
            with pytest.raises(galvo.errors.OptionError, match="canvas has no lines"):
                act(rec.stitched())
        with pytest.raises(galvo.errors.OptionError, match="follow each other"):
            rec.isel(y=[1, 5, 2]).estimate_bidirectional_phase()
        with pytest.raises(galvo.errors.OptionError, match="number of pixels"):
            rec.with_bidirectional_phase(math.nan)
