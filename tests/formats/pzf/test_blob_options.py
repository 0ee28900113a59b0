"""What `dumps` takes and refuses, and what `loads` shares with its argument."""

from __future__ import annotations

import dataclasses
import pickle

import numpy as np
import pytest

from galvo.errors import OptionError
from galvo.formats import pzf

IMAGE = np.arange(12, dtype="u2").reshape(3, 4)


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "i2", ">i2", "i4", "u4", "i8", "u8", "f2", "f8", "c8", "S3", "M8[s]", "O"]
)
def test_other_pixels_are_refused_with_what_converts_them(dtype):
    with pytest.raises(
        OptionError, match=r'no such pixels; found .*; expected uint8, uint16 or float32.*astype\("uint16'
    ):
        pzf.dumps(IMAGE.astype(dtype) if dtype not in ("O", "S3", "M8[s]") else np.zeros((3, 4), dtype))


@pytest.mark.parametrize("dtype", [">u2", ">f4"])
@pytest.mark.parametrize("order", "CF")
def test_big_endian_pixels_keep_their_values(dtype, order):
    native = np.asarray(IMAGE.astype(np.dtype(dtype).newbyteorder("=")) + 300, order=order)
    swapped = native.astype(dtype, order="K")
    assert swapped.dtype.byteorder == ">"
    for compression in ("raw", "huffman"):
        assert pzf.dumps(swapped, compression=compression) == pzf.dumps(native, compression=compression)
    if dtype == ">u2":
        assert pzf.dumps(swapped, quantize="sqrt") == pzf.dumps(native, quantize="sqrt")


@pytest.mark.parametrize("shape", [(), (12,), (3, 2, 2, 1), (1, 1, 1, 3, 4)])
def test_other_numbers_of_axes_are_refused(shape):
    with pytest.raises(OptionError, match="PZF holds single frames"):
        pzf.dumps(np.zeros(shape, "u2"))


@pytest.mark.parametrize(
    "options",
    [
        {"sequence_id": 1 << 63},
        {"sequence_id": -(1 << 63) - 1},
        {"sequence_id": 1.0},
        {"frame_number": -1},
        {"frame_number": 1 << 32},
        {"frame_number": "7"},
        {"frame_timestamp": -1},
        {"frame_timestamp": 1 << 64},
        {"frame_timestamp": 0.5},
        {"compression": "zstd"},
        {"compression": 1},
        {"compression": None},
        {"quantize": True},
        {"quantize": "log"},
        {"threads": 0},
        {"threads": -1},
        {"threads": 1.5},
        {"quantize": "sqrt", "quantize_scale": 0},
        {"quantize": "sqrt", "quantize_scale": -1},
        {"quantize": "sqrt", "quantize_scale": float("nan")},
        {"quantize": "sqrt", "quantize_scale": float("inf")},
        {"quantize": "sqrt", "quantize_scale": 1e-60},
        {"quantize": "sqrt", "quantize_scale": 1e-42},
        {"quantize": "sqrt", "quantize_scale": 1e60},
        {"quantize": "sqrt", "quantize_scale": "1"},
        {"quantize": "sqrt", "quantize_scale": None},
        {"quantize": "sqrt", "quantize_offset": float("nan")},
        {"quantize": "sqrt", "quantize_offset": -1e60},
    ],
    ids=str,
)
def test_options_that_do_not_fit(options):
    with pytest.raises(OptionError, match=next(reversed(options))):
        pzf.dumps(IMAGE, **options)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("compression", ["raw", "huffman", "chunks"])
def test_only_uint16_is_quantised(dtype, compression):
    with pytest.raises(OptionError, match="only uint16 can be quantised"):
        pzf.dumps(IMAGE.astype(dtype), quantize="sqrt", compression=compression)


@pytest.mark.parametrize("blob", ["BD", None, 7, IMAGE, np.zeros(200, "u1")[::2], [66, 68]], ids=repr)
def test_what_is_not_bytes(blob):
    for function in (pzf.loads, pzf.load_header):
        with pytest.raises(OptionError, match=r"^not (contiguous )?bytes"):
            function(blob)


def test_threads_that_do_not_fit():
    with pytest.raises(OptionError, match="threads"):
        pzf.loads(pzf.dumps(IMAGE), threads=0)


def test_plain_pixels_are_a_view():
    blob = pzf.dumps(IMAGE, compression="raw")
    pixels, _ = pzf.loads(blob)
    assert not pixels.flags.writeable
    assert np.shares_memory(pixels, np.frombuffer(blob, "u1"))
    own = bytearray(blob)
    pixels, _ = pzf.loads(own)
    pixels[0, 0] = 77
    assert own[64] == 77


@pytest.mark.parametrize("options", [{}, {"quantize": "sqrt"}, {"compression": "chunks"}])
def test_decoded_pixels_are_their_own(options):
    blob = pzf.dumps(IMAGE, **options)
    pixels, _ = pzf.loads(blob)
    assert pixels.flags.writeable
    assert not np.shares_memory(pixels, np.frombuffer(blob, "u1"))


def test_an_unaligned_view():
    blob = pzf.dumps(IMAGE, compression="raw")
    pixels, _ = pzf.loads(memoryview(b"x" + blob)[1:])
    assert np.array_equal(pixels, IMAGE)


def test_the_source_is_left_alone():
    for array in (IMAGE.copy(), np.asfortranarray(IMAGE), IMAGE[::-1]):
        before = array.copy()
        for options in ({}, {"quantize": "sqrt"}, {"compression": "raw", "quantize": "sqrt"}):
            array.flags.writeable = False
            pzf.dumps(array, **options)
        assert np.array_equal(array, before)


def test_a_header_alone():
    blob = pzf.dumps(IMAGE, frame_number=3)
    header = pzf.load_header(blob[:64])
    assert header == pzf.loads(blob)[1]
    assert header == pickle.loads(pickle.dumps(header))
    assert dataclasses.replace(header, frame_number=4).frame_number == 4
    with pytest.raises(dataclasses.FrozenInstanceError):
        header.frame_number = 5


def test_the_largest_numbers():
    extremes = {"sequence_id": -(1 << 63), "frame_number": (1 << 32) - 1, "frame_timestamp": (1 << 64) - 1}
    header = pzf.load_header(pzf.dumps(IMAGE, **extremes))
    assert {name: getattr(header, name) for name in extremes} == extremes
    # NumPy's integers are integers
    assert pzf.load_header(pzf.dumps(IMAGE, frame_number=np.uint8(9))).frame_number == 9


def test_an_axis_that_no_header_holds():
    with pytest.raises(OptionError, match="the length of an axis does not fit; found 4294967296"):
        pzf.dumps(np.broadcast_to(np.uint8(0), (1 << 32, 0)))


@pytest.mark.parametrize("options", [{}, {"quantize": "sqrt"}, {"compression": "chunks"}])
def test_pixels_that_change_meanwhile(options, monkeypatch):
    """The native module notices between its two passes, when it happens to; here it always does."""

    def noticed(*_):
        raise RuntimeError("the data changed meanwhile")

    monkeypatch.setattr("galvo.native.huffman_encode", noticed)
    monkeypatch.setattr("galvo.native.sqrt_encode", noticed)
    with pytest.raises(OptionError, match=r"the data changed meanwhile\. Keep other threads"):
        pzf.dumps(IMAGE, **options)
