"""Pictures, read back by Pillow and compared with NumPy's percentiles."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from galvo.errors import OptionError
from galvo.preview.picture import VIRIDIS, colored, data_uri, display_limits, fitted, png_bytes, to_uint8


def test_limits_are_percentiles_of_what_is_finite():
    image = np.random.default_rng(1).normal(50, 9, (60, 70)).astype(np.float32)
    known = image.copy()
    image[:3] = np.nan
    image[3] = np.inf
    assert display_limits(image) == pytest.approx(np.percentile(known[4:], (0.5, 99.8)), rel=1e-6)
    assert display_limits(image, (10, 90)) == pytest.approx(np.percentile(known[4:], (10, 90)), rel=1e-6)


def test_limits_where_percentiles_say_nothing():
    sparse = np.zeros((100, 100), np.uint16)
    sparse[3, 4] = 900
    assert display_limits(sparse) == (0, 900)
    assert display_limits(np.full((4, 4), np.nan)) == (0, 1)
    for value in (0, 7, -3, 1e30):
        low, high = display_limits(np.full((4, 4), value))
        assert low == value < high


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int64", "float32", "float64"])
def test_levels_go_from_black_to_white(dtype):
    image = np.arange(-100 if np.dtype(dtype).kind in "if" else 0, 101, dtype=dtype)[None]
    levels = to_uint8(image, (0, 51))
    assert levels.dtype == np.uint8
    np.testing.assert_array_equal(levels[0], np.clip(image[0] * 5.0, 0, 255))


def test_levels_of_what_is_not_finite():
    levels = to_uint8(np.array([[np.nan, np.inf, -np.inf, 5.0]]), (0, 10))
    assert levels.tolist() == [[0, 255, 0, 128]]
    assert to_uint8(np.array([-1.7e308, 0, 1.7e308]), (-1.7e308, 1.7e308)).tolist() == [0, 128, 255]
    assert (to_uint8(np.full((3, 3), 5)) == 0).all()
    with pytest.raises(OptionError, match="limits"):
        to_uint8(np.zeros((2, 2)), (1, 1))


def test_the_colour_map_grows_lighter_step_by_step_for_every_eye():
    # lightness L* of CIE 1976 by the luminance of sRGB (IEC 61966-2-1)
    linear = ((VIRIDIS / 255 + 0.055) / 1.055) ** 2.4
    lightness = 116 * np.cbrt(linear @ [0.2126, 0.7152, 0.0722]) - 16
    # over 8 levels: single ones are rounded to whole numbers
    steps = (lightness[8:] - lightness[:-8]) / 8
    assert (steps > 0.6 * steps.mean()).all()
    assert (steps < 1.5 * steps.mean()).all()
    assert lightness[0] < 20 < 85 < lightness[-1]
    assert colored(np.array([[0, 255]], np.uint8)).tolist() == [[[0x44, 0x01, 0x54], [0xFD, 0xE7, 0x25]]]


def test_png_is_read_back():
    rng = np.random.default_rng(2)
    for shape in ((5, 7), (5, 7, 3), (1, 1)):
        pixels = rng.integers(0, 256, shape, np.uint8)
        data = png_bytes(pixels)
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == "PNG"
            np.testing.assert_array_equal(np.asarray(image), pixels)
        uri = data_uri(data)
        assert uri.startswith("data:image/png;base64,")
        assert base64.b64decode(uri.partition(",")[2], validate=True) == data
    for wrong in (np.zeros((2, 2), np.uint16), np.zeros((2, 2, 4), np.uint8), np.zeros((0, 2), np.uint8)):
        with pytest.raises(OptionError):
            png_bytes(wrong)


def test_pictures_are_enlarged_by_whole_pixels_and_averaged_down():
    small = np.array([[0, 255, 9]], np.uint8)
    np.testing.assert_array_equal(fitted(small, 7), np.kron(small, np.ones((2, 2), np.uint8)))
    np.testing.assert_array_equal(fitted(small, 7, enlarge=False), small)
    large = np.random.default_rng(3).integers(0, 256, (60, 120, 3), np.uint8)
    made = fitted(large, 40)
    assert made.shape == (20, 40, 3)
    np.testing.assert_allclose(made, large.reshape(20, 3, 40, 3, 3).mean((1, 3)), atol=1)
    assert fitted(np.zeros((1, 1000), np.uint8), 10).shape == (1, 10)
