"""ImageJ hyperstacks: axes, calibration, and files above 4 GB that have one IFD only."""

from __future__ import annotations

import itertools

import hypothesis
import numpy as np
import pytest
import tifffile
from hypothesis import strategies as st

import galvo
from galvo.errors import GalvoWarning, Truncated
from galvo.testing.tiff import Tag, TiffBuilder

HEIGHT, WIDTH = 9, 11
START = 12_000


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("t", "z", "c"), list(itertools.product((1, 2, 3), (1, 2, 4), (1, 2, 3))))
def test_axes_are_the_ones_written(tmp_path, t, z, c, order):
    data = np.arange(t * z * c * HEIGHT * WIDTH, dtype=np.uint16).reshape(t, z, c, HEIGHT, WIDTH)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, data, imagej=True, byteorder=order, metadata={"axes": "TZCYX"})
    with galvo.open(path) as rec:
        assert rec.shape == (t, c, z, HEIGHT, WIDTH)
        np.testing.assert_array_equal(rec[...], np.moveaxis(data, 2, 1))
        np.testing.assert_array_equal(rec[-1, c - 1, z - 1], data[-1, -1, -1])


def test_calibration(tmp_path):
    path = tmp_path / "a.tif"
    data = np.zeros((3, 2, HEIGHT, WIDTH), np.uint8)
    tifffile.imwrite(
        path,
        data,
        imagej=True,
        resolution=(2.0, 4.0),
        metadata={"axes": "TZYX", "spacing": 1.5, "finterval": 0.25, "unit": "um"},
    )
    with galvo.open(path) as rec:
        assert rec.frame_rate_hz == pytest.approx(4)
        assert rec.pixel_size_um == pytest.approx((0.25, 0.5))
        assert rec.z_um.tolist() == [0, 1.5]


@pytest.mark.parametrize(
    ("unit", "factor"),
    [("micron", 1), ("um", 1), ("\\u00B5m", 1), ("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("inch", 25400)],
)
def test_units(tmp_path, unit, factor):
    path = tmp_path / "a.tif"
    data = np.zeros((3, 2, HEIGHT, WIDTH), np.uint8)
    metadata = {"axes": "TZYX", "spacing": 1.5, "finterval": 250, "tunit": "msec", "unit": unit}
    tifffile.imwrite(path, data, imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    with galvo.open(path) as rec:
        assert rec.pixel_size_um == pytest.approx((0.25 * factor, 0.5 * factor))
        assert rec.z_um.tolist() == pytest.approx([0, 1.5 * factor])
        assert rec.frame_rate_hz == pytest.approx(4)


@pytest.mark.parametrize("unit", ["pixel", "", "parsec"])
def test_lengths_without_a_known_unit_are_none(tmp_path, unit):
    path = tmp_path / "a.tif"
    metadata = {"axes": "ZYX", "spacing": 1.5} | ({"unit": unit} if unit else {})
    tifffile.imwrite(path, np.zeros((2, 4, 4), np.uint8), imagej=True, resolution=(2.0, 4.0), metadata=metadata)
    with galvo.open(path) as rec:
        assert rec.pixel_size_um is None
        assert rec.z_um is None


@pytest.mark.parametrize("order", ["<", ">"])
def test_notes(tmp_path, order):
    path = tmp_path / "a.tif"
    labels = [f"slice {number} µm" for number in range(3)]
    notes = {"axes": "ZYX", "Labels": labels, "Info": "a note\nof two lines", "Ranges": (0.0, 9.0), "ROI": b"Iout" * 9}
    data = np.zeros((3, HEIGHT, WIDTH), np.uint8)
    tifffile.imwrite(path, data, imagej=True, byteorder=order, metadata=notes)
    with galvo.open(path) as rec:
        assert rec.metadata.texts["imagej_labels"].split("\n") == labels
        assert rec.metadata.texts["imagej_info"] == notes["Info"]


@hypothesis.given(data=st.data())
@hypothesis.settings(suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_notes_that_are_damaged_do_no_harm(tmp_path, data):
    path = tmp_path / "a.tif"
    notes = {"axes": "ZYX", "Labels": ["a", "bc"], "Info": "text"}
    tifffile.imwrite(path, np.zeros((2, 4, 4), np.uint8), imagej=True, metadata=notes)
    with tifffile.TiffFile(path) as file:
        places = [file.pages[0].tags[code] for code in (50838, 50839)]
        spans = [range(tag.valueoffset, tag.valueoffset + (tag.count * (4 if tag.dtype == 4 else 1))) for tag in places]
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        span = spans[data.draw(st.integers(0, 1))]
        content[data.draw(st.sampled_from(span))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with galvo.open(path) as rec:
        assert rec.shape == (1, 1, 2, 4, 4)
        assert all(isinstance(text, str) for text in rec.metadata.texts.values())


@pytest.mark.parametrize("line", ["finterval=nan", "finterval=0", "fps=inf", "fps=-2", "fps=x", "finterval=1e999"])
def test_absurd_calibration_is_none(tmp_path, line):
    path = tmp_path / "a.tif"
    path.write_bytes(spread(3, f"ImageJ=1.53\nimages=3\n{line}\nspacing=nan\n").build())
    with galvo.open(path) as rec:
        assert rec.frame_rate_hz is None
        assert rec.z_um is None


def spread(count: int, text: str, cut: int = 0) -> TiffBuilder:
    """One IFD, `count` pages of pixels behind each other."""
    data = stack(count).tobytes()
    size = HEIGHT * WIDTH * 2
    description = Tag(code=270, type=2, values=text.encode() + b"\0")
    builder = TiffBuilder()
    places = [Tag(code=273, type=4, values=[START]), Tag(code=279, type=4, values=[size])]
    builder.image(WIDTH, HEIGHT, [], bits=16, replace=[description, *places])
    blob = builder.build()
    assert len(blob) < START
    builder.trailing = bytes(START - len(blob)) + data[: len(data) - cut]
    return builder


def stack(count: int) -> np.ndarray:
    return (np.arange(count * HEIGHT * WIDTH) * 7919 % 65521).astype("<u2").reshape(count, HEIGHT, WIDTH)


def test_one_ifd_for_many_pages(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(spread(12, "ImageJ=1.53\nimages=12\nchannels=2\nslices=3\nframes=2\nhyperstack=true\n").build())
    with galvo.open(path) as rec:
        assert rec.shape == (2, 2, 3, HEIGHT, WIDTH)
        np.testing.assert_array_equal(rec[...], stack(12).reshape(2, 3, 2, HEIGHT, WIDTH).swapaxes(1, 2))
        np.testing.assert_array_equal(rec[1, 0, 2, 8:2:-2, 3], stack(12)[10, 8:2:-2, 3])


@pytest.mark.parametrize("cut", [1, 100, HEIGHT * WIDTH * 2, HEIGHT * WIDTH * 2 + 1])
def test_one_ifd_and_too_few_pixels(tmp_path, cut):
    path = tmp_path / "a.tif"
    path.write_bytes(spread(12, "ImageJ=1.53\nimages=12\n", cut).build())
    with pytest.raises(Truncated, match="12 images") as caught:
        galvo.open(path)
    assert caught.value.path == str(path)
    kept = 12 - -(-cut // (HEIGHT * WIDTH * 2))
    with galvo.open(path, damaged="report") as rec:
        assert len(rec.damage) == 1
        assert rec.damage[0].path == str(path)
        np.testing.assert_array_equal(rec[:, 0, 0], stack(12)[:kept])


def test_a_cut_hyperstack_keeps_its_whole_volumes(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(spread(12, "ImageJ=1.53\nimages=12\nchannels=2\nslices=3\nframes=2\n", 10).build())
    with galvo.open(path, damaged="report") as rec:
        assert rec.shape == (1, 2, 3, HEIGHT, WIDTH)
        assert [(entry.what, entry.page_count) for entry in rec.left_out] == [("incomplete volume", 5)]
        np.testing.assert_array_equal(rec[0], stack(6).reshape(3, 2, HEIGHT, WIDTH).swapaxes(0, 1))


@pytest.mark.parametrize("value", ["²", "9" * 5000, "-3", "1e3", "", "0x10", "٣"])
def test_counts_that_are_no_numbers_do_not_matter(tmp_path, value):
    path = tmp_path / "a.tif"
    path.write_bytes(spread(1, f"ImageJ=1.53\nimages={value}\nslices={value}\n").build())
    with galvo.open(path) as rec:
        assert rec.shape == (1, 1, 1, HEIGHT, WIDTH)


def test_counts_that_contradict_the_pages_are_a_warning(tmp_path):
    path = tmp_path / "a.tif"
    data = np.zeros((5, HEIGHT, WIDTH), np.uint8)
    tifffile.imwrite(path, data, description="ImageJ=1.53\nchannels=2\nslices=2\nframes=2\n", metadata=None)
    with pytest.warns(GalvoWarning, match="2 channels x 2 slices x 2 frames.*5 pages"), galvo.open(path) as rec:
        assert rec.shape == (5, 1, 1, HEIGHT, WIDTH)


def test_interleaved_channels_as_an_option(tmp_path):
    path = tmp_path / "a.tif"
    data = np.arange(6 * 4 * 5, dtype=np.uint8).reshape(6, 4, 5)
    tifffile.imwrite(path, data, metadata=None)
    with galvo.open(path, channels=2) as rec:
        np.testing.assert_array_equal(rec[:, :, 0], data.reshape(3, 2, 4, 5))
    with pytest.raises(galvo.errors.OptionError, match="divisor of 6"):
        galvo.open(path, channels=4)
