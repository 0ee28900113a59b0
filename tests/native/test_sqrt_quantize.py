"""Square root quantisation against NumPy's float32."""

from typing import Any

import numpy as np
import pytest

from galvo import native

Array = np.ndarray[Any, np.dtype[Any]]

PIXELS = np.arange(65536, dtype=np.uint16)
CODES = np.arange(256, dtype=np.uint8)
SETTINGS = [
    (0, 1),
    (100, 0.5),
    (99.25, 0.47),
    (0, 0.2),
    (-32768, 1.5),
    (65535, 1),
    (70000.5, 2),
    (0, 4 / 3.5),
    (3.3, 1e-3),
    (10, 1e30),
    # scales whose inverse differs in float32 and in float64, and with it some codes
    (0, 0.06349206349206349),
    (0, 1.0684931506849316),
]


def reference_codes(offset: float, scale: float, pixels: Array = PIXELS) -> Array:
    above = np.maximum(pixels.astype(np.float32) - np.float32(offset), np.float32(0))
    root = np.float32(1) / np.float32(scale) * np.sqrt(above)
    whole = np.trunc(root)
    return np.minimum(whole + (root - whole >= np.float32(0.5)), 255).astype(np.uint8)


def reference_pixels(codes: Array, offset: float, scale: float, dtype: str) -> Array:
    with np.errstate(over="ignore"):
        root = codes.astype(np.float32) * np.float32(scale)
        values = root * root + np.float32(offset)
    if dtype == "f4":
        return values
    return np.trunc(np.clip(values, 0, np.iinfo(dtype).max)).astype(dtype)


@pytest.mark.parametrize(("offset", "scale"), SETTINGS)
def test_every_pixel_and_code(offset: float, scale: float) -> None:
    codes = np.empty(PIXELS.size, np.uint8)
    native.sqrt_quantize(PIXELS, offset, scale, codes)
    np.testing.assert_array_equal(codes, reference_codes(offset, scale))
    for dtype in ("u1", "u2", "f4"):
        out = np.empty(CODES.size, dtype)
        native.sqrt_dequantize(CODES, offset, scale, out)
        np.testing.assert_array_equal(out, reference_pixels(CODES, offset, scale, dtype))


def test_no_wrap_at_either_end() -> None:
    codes = np.empty(3, np.uint8)
    native.sqrt_quantize(np.array([0, 65280, 65535], np.uint16), 0, 1, codes)
    assert codes.tolist() == [0, 255, 255]
    out = np.empty(1, np.uint16)
    native.sqrt_dequantize(np.array([171], np.uint8), 0, 1.5, out)
    assert out.tolist() == [65535]


def test_every_length_and_alignment() -> None:
    expected = reference_codes(5, 0.7)
    for shift in range(4):
        for size in range(100):
            pixels = PIXELS[900 + shift : 900 + shift + size]
            room = np.full(size + 12, 77, np.uint8)
            native.sqrt_quantize(pixels, 5, 0.7, room[shift : shift + size])
            assert (room[shift : shift + size] == expected[900 + shift : 900 + shift + size]).all()
            assert (np.delete(room, np.s_[shift : shift + size]) == 77).all()
            back = np.full(size + 12, 77, np.uint16)
            native.sqrt_dequantize(CODES[shift : shift + size], 5, 0.7, back[shift : shift + size])
            assert (back[shift : shift + size] == reference_pixels(CODES[shift : shift + size], 5, 0.7, "u2")).all()
            assert (np.delete(back, np.s_[shift : shift + size]) == 77).all()


@pytest.mark.parametrize("count", [0, 1, 500, 70_001, 1_100_000])
@pytest.mark.parametrize("threads", [1, 2, 3, 4, 5])
def test_fused_is_one_after_the_other(count: int, threads: int) -> None:
    pixels = np.random.default_rng(count).poisson(200, count).astype(np.uint16)
    codes = np.empty(count, np.uint8)
    native.sqrt_quantize(pixels, 20, 0.5, codes)
    stream = native.sqrt_encode(pixels, 20, 0.5, threads)
    assert stream == native.huffman_encode(codes)
    for dtype in ("u1", "u2", "f4"):
        expected, out = np.empty(count, dtype), np.empty(count, dtype)
        native.sqrt_dequantize(codes, 20, 0.5, expected)
        assert native.sqrt_decode(stream + b"junk", 20, 0.5, out, threads) == len(stream)
        np.testing.assert_array_equal(out, expected)
    if count > 1:
        with pytest.raises(ValueError, match=f"^the stream ends at bit .* of {count} symbols$"):
            native.sqrt_decode(stream[:-1], 20, 0.5, np.empty(count, np.uint16), threads)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf, 1e-46, 1e-39, 1e39])
def test_bad_scales(scale: float) -> None:
    message = r"^scale must be above 0 and finite as float32, and so must be 1 / scale$"
    for call in calls(0, scale):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("offset", [np.nan, -np.inf, 1e39])
def test_bad_offsets(offset: float) -> None:
    for call in calls(offset, 1):
        with pytest.raises(ValueError, match=r"^offset must be finite as float32$"):
            call()


def calls(offset: float, scale: float) -> list[Any]:
    pixels, codes = np.zeros(4, np.uint16), np.zeros(4, np.uint8)
    return [
        lambda: native.sqrt_quantize(pixels, offset, scale, codes),
        lambda: native.sqrt_dequantize(codes, offset, scale, pixels),
        lambda: native.sqrt_encode(pixels, offset, scale),
        lambda: native.sqrt_decode(b"\x80\x00", offset, scale, codes),
    ]


def test_lengths_and_types() -> None:
    pixels, codes = np.zeros(4, np.uint16), np.zeros(5, np.uint8)
    with pytest.raises(ValueError, match=r"^out has 5 values, pixels has 4$"):
        native.sqrt_quantize(pixels, 0, 1, codes)
    with pytest.raises(ValueError, match=r"^out has 4 values, codes has 5$"):
        native.sqrt_dequantize(codes, 0, 1, pixels)
    with pytest.raises(TypeError):
        native.sqrt_quantize(pixels.astype(np.int16), 0, 1, codes[:4])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        native.sqrt_encode(pixels.reshape(2, 2), 0, 1)
    with pytest.raises(TypeError):
        native.sqrt_decode(b"\x80\x00", 0, 1, np.zeros(1, np.float64))  # type: ignore[arg-type]
