"""Each decoding step against an implementation that is not galvo's, and on bytes that mean nothing."""

from __future__ import annotations

import lzma
import struct
import zlib

import imagecodecs
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from galvo.core.codec import RAW, Codec
from galvo.errors import DamagedData, OptionError
from galvo.testing.tiff import TiffBuilder

STEPS = (
    "zlib lzw packbits zstd lzma lzf fletcher32 shuffle difference float-difference reversed-bits".split()  # noqa: SIM905
)
RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 50, (6, 9)).astype("<u2")


def packbits(data):
    """TIFF 6.0 section 9, literal runs only."""
    parts = [data[at : at + 128] for at in range(0, len(data), 128)]
    return b"".join(bytes([len(part) - 1]) + part for part in parts)


def lzw(data):
    """TIFF 6.0 section 13 with a clear code before the table grows beyond 9 bits."""
    codes = [code for at in range(0, len(data), 200) for code in (256, *data[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def lzf(data):
    """LibLZF, literal runs of at most 32 bytes."""
    return b"".join(bytes([len(data[at : at + 32]) - 1]) + data[at : at + 32] for at in range(0, len(data), 32))


def sum_fletcher32(data):
    """Fletcher-32 as in HDF5: big-endian words of 16 bits, an odd byte last."""
    one = two = 0
    for at in range(0, len(data) - 1, 2):
        one = (one + (data[at] << 8 | data[at + 1])) % 65535
        two = (two + one) % 65535
    if len(data) % 2:
        one = (one + (data[-1] << 8)) % 65535
        two = (two + one) % 65535
    return two << 16 | one


ENCODERS = {
    "zlib": zlib.compress,
    "lzw": lzw,
    "packbits": packbits,
    "lzf": lzf,
    "lzma": lzma.compress,
    "zstd": imagecodecs.zstd_encode,
    "fletcher32": lambda data: data + struct.pack("<I", sum_fletcher32(data)),
    "shuffle": lambda data: np.frombuffer(data, np.uint8).reshape(-1, 2).T.tobytes(),
    "reversed-bits": lambda data: bytes(int(f"{byte:08b}"[::-1], 2) for byte in data),
}


@pytest.mark.parametrize("step", ENCODERS)
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_step(step, dtype):
    pixels = PIXELS.astype(dtype)
    got = Codec((step,)).decode(ENCODERS[step](pixels.tobytes()), (6, 9), pixels.dtype)
    assert got.dtype == pixels.dtype
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize("steps", [("shuffle", "zlib"), ("shuffle", "zlib", "fletcher32"), ("zlib", "reversed-bits")])
def test_steps_in_order(steps):
    data = PIXELS.tobytes()
    for step in steps:
        data = ENCODERS[step](data)
    np.testing.assert_array_equal(Codec(steps).decode(data, (6, 9), PIXELS.dtype), PIXELS)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", ">i4", "<u4", "<u8", ">u8"])
@pytest.mark.parametrize("samples", [None, 1, 3])
def test_horizontal_differences(dtype, samples):
    shape = (4, 7) if samples is None else (4, 7, samples)
    info = np.iinfo(dtype)
    pixels = RNG.integers(info.min, info.max, shape, info.dtype.newbyteorder("="), endpoint=True).astype(dtype)
    stored = pixels.copy()
    with np.errstate(over="ignore"):
        stored[:, 1:] = pixels[:, 1:] - pixels[:, :-1]
    got = Codec(("difference", "zlib")).decode(zlib.compress(stored.tobytes()), shape, pixels.dtype, 1)
    np.testing.assert_array_equal(got, pixels)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("samples", [1, 3])
def test_float_differences(dtype, samples):
    """TIFF Technical Note 3: byte planes of each row, most significant first, then differences of bytes."""
    pixels = RNG.normal(size=(4, 7, samples)).astype(dtype)
    size = pixels.dtype.itemsize
    rows = pixels.astype(pixels.dtype.newbyteorder(">")).reshape(4, -1).view(np.uint8).reshape(4, -1, size)
    planes = rows.transpose(0, 2, 1).reshape(4, -1)
    stored = planes.copy()
    stored[:, samples:] = planes[:, samples:] - planes[:, :-samples]
    shape, axis = (pixels.shape, 1) if samples > 1 else ((4, 7), 1)
    got = Codec(("float-difference", "zlib")).decode(zlib.compress(stored.tobytes()), shape, pixels.dtype, axis)
    np.testing.assert_array_equal(got, pixels.reshape(shape))


def test_raw():
    got = RAW.decode(PIXELS.tobytes() + b"more", (6, 9), PIXELS.dtype)
    np.testing.assert_array_equal(got, PIXELS)
    assert RAW.is_raw
    assert not Codec(("zlib",)).is_raw


@given(st.binary(max_size=300))
def test_fletcher32(data):
    stored = bytes(Codec(("fletcher32",)).encode(np.frombuffer(data, np.uint8)))
    assert stored == data + struct.pack("<I", sum_fletcher32(data))


@given(st.binary(max_size=300), st.integers(0, 9))
def test_deflate(data, level):
    stored = Codec(("zlib",)).encode(np.frombuffer(data, np.uint8), level)
    assert zlib.decompress(stored) == data


@pytest.mark.parametrize("step", ["", *ENCODERS])
def test_too_few_bytes_for_the_shape(step):
    codec = Codec((step,) if step else ())
    data = ENCODERS[step](PIXELS[:5].tobytes()) if step else PIXELS[:5].tobytes()
    with pytest.raises(DamagedData):
        codec.decode(data, (6, 9), PIXELS.dtype)


@pytest.mark.parametrize("step", [step for step in ENCODERS if step not in ("shuffle", "reversed-bits")])
@pytest.mark.parametrize("part", [0, 0.3, 0.7])
def test_cut_off(step, part):
    data = ENCODERS[step](PIXELS.tobytes())
    with pytest.raises(DamagedData):
        Codec((step,)).decode(data[: int(len(data) * part)], (6, 9), PIXELS.dtype)


@pytest.mark.parametrize("bit", range(0, 112 * 8, 37))
def test_checksum_finds_a_flipped_bit(bit):
    data = bytearray(ENCODERS["fletcher32"](PIXELS.tobytes()))
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(DamagedData):
        Codec(("fletcher32",)).decode(bytes(data), (6, 9), PIXELS.dtype)


def test_a_claimed_size_that_the_bytes_cannot_hold_is_never_allocated():
    for step in STEPS:
        with pytest.raises(DamagedData):
            Codec((step,)).decode(b"x" * 100, (1 << 40, 1 << 10), np.dtype("u1"))


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from(STEPS), max_size=3, unique=True),
    st.binary(max_size=200),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["u1", "<u2", ">i2", "<f4", ">f8", "<u4", "<c8"]),
    st.sampled_from(["", "zlib", "lzw", "packbits", "lzf", "zstd", "fletcher32"]),
)
def test_garbage_is_damage_and_nothing_else(steps, data, shape, dtype, wrapped):
    if wrapped:
        data = ENCODERS[wrapped](data)
        steps = [*[step for step in steps if step != wrapped], wrapped]
    try:
        pixels = Codec(tuple(steps)).decode(data, shape, np.dtype(dtype))
    except DamagedData:
        return
    assert pixels.shape == shape
    assert pixels.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">u2", "<f4", "<f8", "<c16"])
@pytest.mark.parametrize("compression", [None, "zlib", "zstd", "lzf"])
@pytest.mark.parametrize("noise", [False, True])
def test_what_is_encoded_decodes(dtype, compression, noise):
    random = np.random.default_rng(3)
    pixels = (random.integers(0, 255, (2, 31, 17)) if noise else np.full((2, 31, 17), 7)).astype(dtype)
    for steps in [(), ("shuffle",), ("fletcher32",), ("shuffle", "fletcher32")]:
        at = steps.index("fletcher32") if "fletcher32" in steps else len(steps)
        codec = Codec(steps[:at] + ((compression,) if compression else ()) + steps[at:])
        stored = bytes(codec.encode(pixels))
        assert np.array_equal(codec.decode(stored, pixels.shape, pixels.dtype), pixels)


def test_steps_that_are_only_read():
    with pytest.raises(OptionError, match="does not write packbits"):
        Codec(("packbits",)).encode(np.zeros(3, np.uint8))


@pytest.mark.parametrize("dtype", ["u1", "<i2", "<u4", "<f4", "<f8"])
@pytest.mark.parametrize("compression", ["zlib", "lzw", "zstd"])
def test_written_as_tifffile_reads(tmp_path, compression, dtype):
    """Strips (Y, X) with a predictor."""
    pixels = RNG.integers(0, 200, (7, 9)).astype(dtype)
    step, predictor = ("float-difference", 3) if dtype[1] == "f" else ("difference", 2)
    codec = Codec((step, compression))
    builder = TiffBuilder()
    builder.image(
        9,
        7,
        [bytes(codec.encode(pixels))],
        bits=8 * pixels.itemsize,
        sample_format={"u": 1, "i": 2, "f": 3}[pixels.dtype.kind],
        compression={"zlib": 8, "lzw": 5, "zstd": 50000}[compression],
        predictor=predictor,
    )
    (tmp_path / "strip.tif").write_bytes(builder.build())
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "strip.tif"), pixels)
    np.testing.assert_array_equal(codec.decode(codec.encode(pixels), pixels.shape, pixels.dtype), pixels)
