"""Sheets, measured in pixels."""

import numpy as np
import pytest

from galvo.preview.drawing import MARGIN, Band, Legend, Panel, ScaleBar, lay_out, scale_bar, text_strip


@pytest.mark.parametrize(
    ("width", "shown", "pixel_um", "expected"),
    [
        (512, 512, 0.5, (100, "50 µm")),
        (512, 256, 0.5, (50, "50 µm")),
        (128, 512, 1.0, (80, "20 µm")),
        (100, 100, 0.01, (20, "0.2 µm")),
        (1000, 500, 12.0, (83, "2000 µm")),
        (512, 512, None, (100, "100 px")),
        (20, 240, None, (60, "5 px")),
        (1, 400, None, (400, "1 px")),
        (64, 64, float("nan"), (10, "10 px")),
        (64, 64, 0.0, (10, "10 px")),
    ],
)
def test_scale_bars_are_round_and_true(width, shown, pixel_um, expected):
    found = scale_bar(width, shown, pixel_um)
    assert (found.width, found.text) == expected
    length, unit = found.text.split()
    pixels = float(length) / (pixel_um if unit == "µm" else 1)
    assert found.width == pytest.approx(pixels * shown / width, abs=0.5)
    assert pixels <= max(0.3 * width, 1)


def test_pictures_and_bars_lie_where_it_is_said(bright_runs):
    rng = np.random.default_rng(4)
    gray = rng.integers(0, 200, (60, 90), np.uint8)
    color = rng.integers(0, 200, (50, 301, 3), np.uint8)
    legend = Legend(-1.5, 2e4, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1))
    bands = [
        Band([Panel(gray, "left", legend, ScaleBar(73, "10 µm")), Panel(color, "right")], "first"),
        Band([Panel(gray)]),
    ]
    sheet, places = lay_out("title", ["one", "two"], bands)
    assert sheet.dtype == np.uint8
    assert not any(length % 2 for length in sheet.shape[:2])
    shown = [gray[..., None].repeat(3, 2), color, gray[..., None].repeat(3, 2)]
    for place, pixels in zip(places, shown, strict=True):
        height, width = pixels.shape[:2]
        np.testing.assert_array_equal(sheet[place.top : place.top + height, place.left : place.left + width], pixels)
    runs = [run for run in bright_runs(sheet[..., 0]) if run[0] > places[0].top]
    assert {(column, length) for _, column, length in runs} == {(MARGIN, 73)}
    assert len(runs) == 4
    assert places[0].top + 60 < runs[0][0] < places[2].top


@pytest.mark.parametrize(
    "text", ["", "plain", "tab\tand\nnewline\0", "日本 \u202e ё", "x" * 100_000, "µ" * 3000, "10 µm × 3 – é …"]
)
def test_any_text_can_be_written_and_none_leaves_its_room(text):
    panel = Panel(np.zeros((20, 20), np.uint8), text, None, ScaleBar(20, text[:20]))
    sheet, _ = lay_out(text, [text], [Band([panel], text)])
    background = sheet[0, 0]
    assert sheet.shape[1] < 300
    assert (sheet[:, -MARGIN:] == background).all()
    assert text_strip(text, 100).shape[1] == 100


def test_a_micro_sign_is_an_u_with_a_tail():
    u, micro = text_strip("u", 20).astype(int), text_strip("µ", 20).astype(int)
    below = np.flatnonzero((u > 60).any(1)).max() + 1
    np.testing.assert_array_equal(micro[: below - 2], u[: below - 2])
    assert (micro[below:] > 200).any()
    assert not (u[below:] > 60).any()
