"""PYME.IO.PZFFormat: image frames as PZF bytes, with the original's names, arguments, results and errors.

What the original writes is written bit for bit, and what it reads is read as it reads it. Where it loses or invents
pixels, this does not (docs/coming-from/pyme.md has the list): values beyond the last code saturate, flags tell what was
done, and a blob that is cut or lies is an error of `galvo.errors`.

Source: PZF wire format, section 6, and runs of PYME 26.9.3 with pymecompress 0.3.6.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galvo.formats.pzf import blob
from galvo.formats.pzf.header import Blob, as_bytes

__all__ = [
    "DATA_COMP_HUFFCODE",
    "DATA_COMP_HUFFCODE_CHUNKS",
    "DATA_COMP_RAW",
    "DATA_FMTS",
    "DATA_FMTS_SIZES",
    "DATA_FMT_FLOAT32",
    "DATA_FMT_UINT8",
    "DATA_FMT_UINT16",
    "DATA_QUANT_NONE",
    "DATA_QUANT_SQRT",
    "FILE_FORMAT_ID",
    "FORMAT_VERSION",
    "HEADER_LENGTH",
    "HEADER_LENGTH_V3",
    "NUM_COMP_THREADS",
    "ChunkedHuffmanCompress",
    "ChunkedHuffmanCompress_o",
    "ChunkedHuffmanDecompress",
    "dumps",
    "header_dtype",
    "header_dtype_v3",
    "load_header",
    "loads",
]

FILE_FORMAT_ID = b"BD"
FORMAT_VERSION = 3

DATA_FMT_UINT8 = 0
DATA_FMT_UINT16 = 1
DATA_FMT_FLOAT32 = 2
DATA_FMTS = ["u1", "u2", "f4"]
DATA_FMTS_SIZES = [1, 2, 4]

DATA_COMP_RAW = 0
DATA_COMP_HUFFCODE = 1
DATA_COMP_HUFFCODE_CHUNKS = 2

DATA_QUANT_NONE = 0
DATA_QUANT_SQRT = 1

NUM_COMP_THREADS = 2

header_dtype = [
    ("ID", "S2"),
    ("Version", "u1"),
    ("DataFormat", "u1"),
    ("DataCompression", "u1"),
    ("DataQuantization", "u1"),
    ("DimOrder", "S1"),
    ("RESERVED0", "S1"),
    ("SequenceID", "i8"),
    ("FrameNum", "u4"),
    ("Width", "u4"),
    ("Height", "u4"),
    ("Depth", "u4"),
    ("FrameTimestamp", "u8"),
    ("QuantOffset", "f4"),
    ("QuantScale", "f4"),
]
header_dtype_v3 = [*header_dtype, ("DataOffset", "u4"), ("RESERVED1", "S12")]
HEADER_LENGTH = 48
HEADER_LENGTH_V3 = 64

_NATIVE = [np.dtype(code) for code in DATA_FMTS]
_NAMES: dict[int, Literal["raw", "huffman", "chunks"]] = {
    DATA_COMP_RAW: "raw",
    DATA_COMP_HUFFCODE: "huffman",
    DATA_COMP_HUFFCODE_CHUNKS: "chunks",
}


def dumps(
    data: NDArray[Any],
    sequenceID: int = 0,
    frameNum: int = 0,
    frameTimestamp: float = 0,
    compression: int = DATA_COMP_RAW,
    quantization: int = DATA_QUANT_NONE,
    quantizationOffset: float = 0,
    quantizationScale: float = 1,
) -> bytes:
    """A frame as PZF bytes.

    Parameters
    ----------
    data : ndarray
        2-D, or 3-D; uint8, uint16 or float32 in native byte order. The first axis is stored as Width.
    sequenceID : int
        64 bits, signed.
    frameNum : int
        32 bits.
    frameTimestamp : int or float
        64 bits, not negative; the fraction is cut off.
    compression : int
        One of the DATA_COMP codes. Any other stores RAW, as in the original.
    quantization : int
        One of the DATA_QUANT codes; SQRT takes uint16.
    quantizationOffset, quantizationScale : float
        Counts at no light; square roots of counts per code.

    Raises
    ------
    RuntimeError
        Another dtype or byte order; quantisation of anything but uint16, or a code for it that does not exist; more
        than three axes.
    IndexError
        Fewer than two axes.
    OverflowError, ValueError, TypeError
        A number that its field does not hold, or no number; of these, `galvo.errors.OptionError` for the quantisation.
    """
    if data.dtype not in _NATIVE:
        raise RuntimeError(f"PZF has no pixels of type {data.dtype}, only native uint8, uint16 and float32")
    if data.ndim < 2:
        raise IndexError(f"a PZF frame has two or three axes, not {data.ndim}")
    if data.ndim > 3:
        raise RuntimeError(f"a PZF frame has two or three axes, not {data.ndim}")
    if quantization and quantization != DATA_QUANT_SQRT:
        raise RuntimeError(f"unknown quantization {quantization!r}: {DATA_QUANT_NONE} and {DATA_QUANT_SQRT} exist")
    if quantization and data.dtype != _NATIVE[DATA_FMT_UINT16]:
        raise RuntimeError(f"only uint16 can be quantised, not {data.dtype}")
    # NumPy's own conversions and errors, as in the original
    numbers = np.zeros(1, header_dtype_v3)
    numbers["SequenceID"] = sequenceID
    numbers["FrameNum"] = frameNum
    numbers["FrameTimestamp"] = frameTimestamp
    return blob.dumps(
        data,
        sequence_id=int(numbers["SequenceID"][0]),
        frame_number=int(numbers["FrameNum"][0]),
        frame_timestamp=int(numbers["FrameTimestamp"][0]),
        compression=next((name for code, name in _NAMES.items() if compression == code), "raw"),
        quantize="sqrt" if quantization else None,
        quantize_offset=quantizationOffset,
        quantize_scale=quantizationScale,
    )


def load_header(datastring: Blob) -> NDArray[np.void]:
    """The header of a blob, whether or not it is one.

    Returns
    -------
    ndarray
        (1,), structured: `header_dtype_v3`, or `header_dtype` for a Version below 3. A view of `datastring`, read-only
        when that is.

    Raises
    ------
    IndexError
        Fewer than three bytes.
    ValueError
        Fewer bytes than a header.
    """
    data = as_bytes(datastring)
    layout, length = (header_dtype_v3, HEADER_LENGTH_V3) if data[2] >= 3 else (header_dtype, HEADER_LENGTH)
    if len(data) < length:
        raise ValueError(f"a PZF header has {length} bytes, here are {len(data)}")
    header: NDArray[np.void] = np.frombuffer(data, layout, 1)
    return header


def loads(datastring: Blob) -> tuple[NDArray[Any], NDArray[np.void]]:
    """The pixels of a blob, and its header.

    Returns
    -------
    data : ndarray
        3-D (Width, Height, Depth), Depth 1 for an image. Plain pixels are a view of `datastring`, read-only when that
        is; all others are an array of their own.
    header : ndarray
        As `load_header` gives it.

    Raises
    ------
    RuntimeError
        Not a PZF blob, or a DataCompression that does not exist.
    IndexError
        Fewer than three bytes, or a DataFormat that does not exist.
    ValueError
        Less than a header; a DimOrder that does not exist; a payload that does not fit the frame, of these
        `galvo.errors.Truncated` and `galvo.errors.Malformed`.
    galvo.errors.DamagedData
        A Huffman stream that cannot be decoded or ends early.
    """
    header = load_header(datastring)
    fields = header[0]
    if fields["ID"] != FILE_FORMAT_ID:
        raise RuntimeError(f"not a PZF frame: it begins with {fields['ID']!r}, not {FILE_FORMAT_ID!r}")
    if fields["DataFormat"] >= len(DATA_FMTS):
        raise IndexError(f"PZF has no DataFormat {fields['DataFormat']}")
    if int(fields["DataCompression"]) not in _NAMES:
        raise RuntimeError(f"PZF has no DataCompression {fields['DataCompression']}")
    pixels, found = blob.loads(datastring)
    return pixels.reshape(found.shape), header


def ChunkedHuffmanCompress(data: NDArray[Any], quantization: tuple[float, float] | None = None) -> bytes:
    """A HUFFCODE_CHUNKS payload: `NUM_COMP_THREADS` streams, cut along the first axis.

    Parameters
    ----------
    data : ndarray
        One axis or more; coded in C order.
    quantization : (float, float), optional
        Offset and scale of the square root quantisation, for uint16.

    Raises
    ------
    RuntimeError
        Quantisation of anything but native uint16.
    TypeError
        No axes.
    ValueError
        An offset or a scale that float32 does not hold, or a scale that is not above 0.
    """
    length = -(-len(data) // NUM_COMP_THREADS)
    parts = [np.ascontiguousarray(data[i * length : (i + 1) * length]).reshape(-1) for i in range(NUM_COMP_THREADS)]
    if quantization is None:
        return blob.encode_chunks([part.view(np.uint8) for part in parts], None)
    if data.dtype != _NATIVE[DATA_FMT_UINT16]:
        raise RuntimeError(f"only uint16 can be quantised, not {data.dtype}")
    offset, scale = quantization
    return blob.encode_chunks(parts, (offset, scale))


def ChunkedHuffmanCompress_o(data: NDArray[Any]) -> bytes:
    """`ChunkedHuffmanCompress` without quantisation."""
    return ChunkedHuffmanCompress(data)


def ChunkedHuffmanDecompress(datastring: Blob) -> NDArray[np.uint8]:
    """The bytes of a HUFFCODE_CHUNKS payload, (N,) uint8.

    Raises
    ------
    ValueError
        `galvo.errors.Truncated` and `galvo.errors.Malformed`: sizes that do not fit the payload.
    galvo.errors.DamagedData
        A stream that cannot be decoded or ends early.
    """
    return blob.decode_chunks(datastring)
