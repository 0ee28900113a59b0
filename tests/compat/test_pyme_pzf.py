"""PYME.IO.PZFFormat: names, bytes, results and errors as the original's were observed."""

from __future__ import annotations

import inspect
import struct

import numpy as np
import pytest

from galvo.compat.pyme import PZFFormat
from galvo.errors import DamagedData, Malformed, OptionError, Truncated

IMAGE = np.arange(12, dtype="u2").reshape(3, 4)
BLOB = PZFFormat.dumps(IMAGE)

SIGNATURES = {
    "dumps": "data, sequenceID=0, frameNum=0, frameTimestamp=0, compression=0, quantization=0, quantizationOffset=0, "
    "quantizationScale=1",
    "loads": "datastring",
    "load_header": "datastring",
    "ChunkedHuffmanCompress": "data, quantization=None",
    "ChunkedHuffmanCompress_o": "data",
    "ChunkedHuffmanDecompress": "datastring",
}

CONSTANTS = {
    "FILE_FORMAT_ID": b"BD",
    "FORMAT_VERSION": 3,
    "DATA_FMT_UINT8": 0,
    "DATA_FMT_UINT16": 1,
    "DATA_FMT_FLOAT32": 2,
    "DATA_FMTS": ["u1", "u2", "f4"],
    "DATA_FMTS_SIZES": [1, 2, 4],
    "DATA_COMP_RAW": 0,
    "DATA_COMP_HUFFCODE": 1,
    "DATA_COMP_HUFFCODE_CHUNKS": 2,
    "DATA_QUANT_NONE": 0,
    "DATA_QUANT_SQRT": 1,
    "HEADER_LENGTH": 48,
    "HEADER_LENGTH_V3": 64,
    "NUM_COMP_THREADS": 2,
}


def with_bytes(blob, offset, layout, *values):
    changed = bytearray(blob)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures(name):
    parameters = inspect.signature(getattr(PZFFormat, name)).parameters.values()
    bare = [p.name if p.default is p.empty else f"{p.name}={p.default!r}" for p in parameters]
    assert ", ".join(bare) == SIGNATURES[name]
    assert all(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def test_names_and_constants():
    assert set(PZFFormat.__all__) == {*SIGNATURES, *CONSTANTS, "header_dtype", "header_dtype_v3"}
    for name, value in CONSTANTS.items():
        assert getattr(PZFFormat, name) == value
        assert type(getattr(PZFFormat, name)) is type(value)


def test_header_dtypes():
    assert isinstance(PZFFormat.header_dtype, list)
    short, long = np.dtype(PZFFormat.header_dtype), np.dtype(PZFFormat.header_dtype_v3)
    assert (short.itemsize, long.itemsize) == (48, 64)
    assert long.names[:-2] == short.names
    offsets = {name: long.fields[name][1] for name in long.names}
    assert offsets == {
        "ID": 0,
        "Version": 2,
        "DataFormat": 3,
        "DataCompression": 4,
        "DataQuantization": 5,
        "DimOrder": 6,
        "RESERVED0": 7,
        "SequenceID": 8,
        "FrameNum": 16,
        "Width": 20,
        "Height": 24,
        "Depth": 28,
        "FrameTimestamp": 32,
        "QuantOffset": 40,
        "QuantScale": 44,
        "DataOffset": 48,
        "RESERVED1": 52,
    }


def test_every_vector(golden_pzf):
    written = 0
    for name, vector in golden_pzf.vectors.items():
        blob, expected = golden_pzf.read(vector["file"]), golden_pzf.array(vector["expected"])
        pixels, header = PZFFormat.loads(blob)
        assert pixels.shape == expected.shape, name
        assert pixels.dtype == expected.dtype, name
        assert pixels.tobytes() == expected.tobytes(), name
        assert header.shape == (1,), name
        for field, value in vector["header"].items():
            assert header[field][0] == (value.encode() if isinstance(value, str) else value), (name, field)
        # the flag over plain pixels, the wrapped codes and the bytes behind the stream are the original's own
        own = name in ("v3_rawquant_unquantised", "quant_u2_ramp_wrap")
        if vector["origin"].startswith("PYME.dumps") and "dumps_kwargs" in vector and not own:
            array = golden_pzf.array(vector.get("input", vector["expected"]))
            array = np.asfortranarray(array) if vector["order"] == "F" else np.ascontiguousarray(array)
            assert PZFFormat.dumps(array, **vector["dumps_kwargs"]) == blob, name
            written += 1
    assert written == 34


def test_every_malformed_one(golden_pzf):
    kinds = {
        "bad_magic.pzf": RuntimeError,
        "bad_enum_comp.pzf": RuntimeError,
        "bad_enum_fmt.pzf": IndexError,
        "bad_trunc_payload.pzf": DamagedData,
        "bad_deep_tree.pzf": DamagedData,
    }
    for name in golden_pzf.malformed:
        with pytest.raises(kinds.get(name, ValueError)):
            PZFFormat.loads(golden_pzf.read(name))


@pytest.mark.parametrize("order", "CF")
@pytest.mark.parametrize("compression", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (2, 3, 2), (0, 5), (1, 1), (5, 0, 3)])
def test_three_axes_come_back(shape, dtype, compression, order):
    array = np.asarray(np.arange(np.prod(shape)).reshape(shape).astype(dtype), order=order)
    pixels, header = PZFFormat.loads(PZFFormat.dumps(array, 5, 6, 7, compression))
    assert pixels.shape == (*shape, 1)[:3]
    assert pixels.tobytes() == array.tobytes()
    assert pixels.dtype == dtype
    assert pixels.flags.writeable == (compression != 0)
    assert pixels.flags[f"{header['DimOrder'][0].decode()}_CONTIGUOUS"]
    fields = header[["SequenceID", "FrameNum", "FrameTimestamp", "DataCompression", "QuantScale"]]
    assert fields.tolist() == [(5, 6, 7, compression, 0)]
    assert header[["Width", "Height", "Depth"]].tolist() == [(*shape, 1)[:3]]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, lambda blob: np.frombuffer(blob, "u1")])
def test_kinds_of_bytes(kind):
    blob = kind(BLOB)
    pixels, header = PZFFormat.loads(blob)
    assert np.array_equal(pixels[..., 0], IMAGE)
    writable = isinstance(blob, bytearray)
    assert pixels.flags.writeable == header.flags.writeable == writable
    assert header.dtype == PZFFormat.header_dtype_v3
    assert np.shares_memory(pixels, np.frombuffer(blob, "u1"))


def test_the_header_of_older_blobs():
    for version in range(3):
        older = BLOB[:2] + bytes([version]) + BLOB[3:48] + BLOB[64:]
        pixels, header = PZFFormat.loads(older)
        assert header.dtype == PZFFormat.header_dtype
        assert np.array_equal(pixels[..., 0], IMAGE)


def test_a_header_is_read_from_anything():
    header = PZFFormat.load_header(b"XX" + BLOB[2:3] + b"\x09" + BLOB[4:64])
    assert header["ID"] == b"XX"
    assert header["DataFormat"] == 9


@pytest.mark.parametrize("size", [0, 1, 2])
def test_less_than_a_version(size):
    for function in (PZFFormat.loads, PZFFormat.load_header):
        with pytest.raises(IndexError):
            function(BLOB[:size])


@pytest.mark.parametrize("size", [3, 47, 48, 63])
def test_less_than_a_header(size):
    for function in (PZFFormat.loads, PZFFormat.load_header):
        with pytest.raises(ValueError, match="64 bytes"):
            function(BLOB[:size])


@pytest.mark.parametrize(
    ("offset", "layout", "value", "kind"),
    [
        (0, "2s", b"XX", RuntimeError),
        (3, "B", 3, IndexError),
        (4, "B", 9, RuntimeError),
        (4, "B", 3, RuntimeError),
        (6, "c", b"\0", ValueError),
        (6, "c", b"K", ValueError),
        (6, "c", b"X", ValueError),
        (20, "<I", 4, ValueError),
        (48, "<I", 10000, ValueError),
        (48, "<I", 65, ValueError),
        (48, "<I", 0, ValueError),
    ],
)
def test_fields_that_cannot_be(offset, layout, value, kind):
    with pytest.raises(kind):
        PZFFormat.loads(with_bytes(BLOB, offset, layout, value))


@pytest.mark.parametrize("letter", "CcAaFf")
def test_letters_of_the_order(letter):
    pixels, header = PZFFormat.loads(with_bytes(BLOB, 6, "c", letter.encode()))
    assert np.array_equal(pixels[..., 0], IMAGE.reshape(-1).reshape(3, 4, order=letter))
    assert header["DimOrder"] == letter.encode()


@pytest.mark.parametrize("dtype", [">u2", "i2", "?", "f8", "u4", "i1", "f2"])
def test_other_pixels(dtype):
    with pytest.raises(RuntimeError, match=np.dtype(dtype).name if dtype[0] != ">" else dtype):
        PZFFormat.dumps(IMAGE.astype(dtype))


@pytest.mark.parametrize("shape", [(), (12,)])
def test_too_few_axes(shape):
    with pytest.raises(IndexError):
        PZFFormat.dumps(np.zeros(shape, "u2"))


def test_what_is_no_array():
    with pytest.raises(AttributeError):
        PZFFormat.dumps([[1, 2]])


@pytest.mark.parametrize(
    ("numbers", "kind"),
    [
        ({"frameNum": -1}, OverflowError),
        ({"frameNum": 1 << 32}, OverflowError),
        ({"sequenceID": 1 << 63}, OverflowError),
        ({"frameTimestamp": -1}, OverflowError),
        ({"frameTimestamp": -2.5}, OverflowError),
        ({"frameTimestamp": 1 << 64}, OverflowError),
        ({"frameTimestamp": float("nan")}, ValueError),
        ({"sequenceID": "x"}, ValueError),
        ({"frameNum": None}, TypeError),
    ],
    ids=str,
)
def test_numbers_that_do_not_fit(numbers, kind):
    with pytest.raises(kind):
        PZFFormat.dumps(IMAGE, **numbers)


def test_numbers_are_cut_to_whole_ones():
    header = PZFFormat.load_header(PZFFormat.dumps(IMAGE, 1.7, "7", 1.9))
    assert header[["SequenceID", "FrameNum", "FrameTimestamp"]].tolist() == [(1, 7, 1)]


@pytest.mark.parametrize("compression", [9, -1, 300, "x", None])
def test_an_unknown_compression_stores_plain_pixels(compression):
    assert PZFFormat.dumps(IMAGE, compression=compression) == BLOB


@pytest.mark.parametrize("compression", [1, True, 1.0])
def test_what_equals_a_code(compression):
    assert PZFFormat.dumps(IMAGE, compression=compression) == PZFFormat.dumps(IMAGE, compression=1)


@pytest.mark.parametrize("dtype", ["u1", "f4"])
@pytest.mark.parametrize("compression", [0, 1, 2])
def test_only_uint16_is_quantised(dtype, compression):
    with pytest.raises(RuntimeError, match="only uint16"):
        PZFFormat.dumps(IMAGE.astype(dtype), compression=compression, quantization=1)


# where galvo differs


@pytest.mark.parametrize("compression", [0, 2])
def test_quantised_without_compression_or_in_chunks_is_quantised(compression):
    options = {"quantization": 1, "quantizationOffset": 0, "quantizationScale": 1}
    expected, _ = PZFFormat.loads(PZFFormat.dumps(IMAGE, compression=1, **options))
    pixels, header = PZFFormat.loads(PZFFormat.dumps(IMAGE, compression=compression, **options))
    assert np.array_equal(pixels, expected)
    assert header[["DataCompression", "DataQuantization"]].tolist() == [(compression, 1)]


@pytest.mark.parametrize("quantization", [2, -1, "x"])
def test_a_quantisation_that_does_not_exist(quantization):
    with pytest.raises(RuntimeError, match="unknown quantization"):
        PZFFormat.dumps(IMAGE, compression=1, quantization=quantization)


@pytest.mark.parametrize("quantization", [0, None, False])
def test_no_quantisation(quantization):
    assert PZFFormat.dumps(IMAGE, quantization=quantization, quantizationScale=0) == BLOB


@pytest.mark.parametrize("scale", [0, -1, float("nan"), float("inf")])
def test_a_scale_that_cannot_be(scale):
    with pytest.raises(OptionError):
        PZFFormat.dumps(IMAGE, compression=1, quantization=1, quantizationScale=scale)


def test_four_axes():
    with pytest.raises(RuntimeError, match="two or three axes, not 4"):
        PZFFormat.dumps(np.zeros((3, 2, 2, 1), "u2"), compression=1)


def test_no_payload_is_no_frame_of_zeros():
    with pytest.raises(Truncated):
        PZFFormat.loads(PZFFormat.dumps(IMAGE, compression=1)[:64])


def test_a_cut_payload_is_no_garbage():
    blob = PZFFormat.dumps(IMAGE, compression=1)
    for size in range(65, len(blob)):
        with pytest.raises((Truncated, DamagedData)):
            PZFFormat.loads(blob[:size])


def test_sizes_that_wrap_around():
    with pytest.raises(Truncated):
        PZFFormat.loads(with_bytes(PZFFormat.dumps(IMAGE, compression=1), 20, "<II", 1 << 16, 1 << 16))


def test_codes_saturate():
    white = np.full((2, 2), 65535, "u2")
    pixels, _ = PZFFormat.loads(PZFFormat.dumps(white, compression=1, quantization=1))
    assert (pixels == 255**2).all()


# chunks, which the original neither writes nor reads with current NumPy


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", ">u2"])
@pytest.mark.parametrize("shape", [(5,), (4, 3), (3, 2, 2), (1, 1), (0, 3)])
def test_chunks(shape, dtype):
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    payload = PZFFormat.ChunkedHuffmanCompress(array)
    assert payload == PZFFormat.ChunkedHuffmanCompress_o(array)
    count, _, raw = struct.unpack_from("<HII", payload)
    assert count == 2
    # cut along the first axis, the larger half first
    assert raw == array[: -(-shape[0] // 2)].nbytes
    data = PZFFormat.ChunkedHuffmanDecompress(payload)
    assert data.dtype == "u1"
    assert data.ndim == 1
    assert data.tobytes() == array.tobytes()


def test_chunks_quantised():
    payload = PZFFormat.ChunkedHuffmanCompress(IMAGE, quantization=(1, 0.5))
    codes = np.floor(np.sqrt(np.maximum(IMAGE.astype("f4") - 1, 0)) / 0.5 + 0.5)
    assert PZFFormat.ChunkedHuffmanDecompress(payload).tolist() == codes.ravel().tolist()
    with pytest.raises(RuntimeError, match="only uint16"):
        PZFFormat.ChunkedHuffmanCompress(IMAGE.astype("u1"), quantization=(0, 1))
    with pytest.raises(ValueError, match="scale"):
        PZFFormat.ChunkedHuffmanCompress(IMAGE, quantization=(0, 0))


def test_chunks_of_a_blob(golden_pzf):
    blob = golden_pzf.read("chunks_u2.pzf")
    expected = golden_pzf.array("chunks_u2.npy")
    assert PZFFormat.ChunkedHuffmanDecompress(blob[64:]).tobytes() == expected.tobytes()
    assert PZFFormat.ChunkedHuffmanCompress(expected.ravel()) == blob[64:]


def test_chunks_that_are_none():
    with pytest.raises(TypeError):
        PZFFormat.ChunkedHuffmanCompress(np.zeros((), "u1"))
    assert PZFFormat.ChunkedHuffmanDecompress(b"\0\0").size == 0
    for payload in (b"", b"\1", b"\1\0\1"):
        with pytest.raises(Truncated):
            PZFFormat.ChunkedHuffmanDecompress(payload)
    with pytest.raises(Malformed):
        PZFFormat.ChunkedHuffmanDecompress(b"\0\0\0")
