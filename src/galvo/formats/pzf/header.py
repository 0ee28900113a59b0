"""The header of a PZF blob.

======  ====  =====  ====================  =====  ======================================================
offset  size  type   field                 since  values
======  ====  =====  ====================  =====  ======================================================
0       2     bytes  ID                    v0     ``BD``
2       1     u8     Version               v0     0 to 3; from 3 on the header has 64 bytes
3       1     u8     DataFormat            v0     0 uint8, 1 uint16, 2 float32
4       1     u8     DataCompression       v0     0 RAW, 1 HUFFCODE, 2 HUFFCODE_CHUNKS
5       1     u8     DataQuantization      v1     0 none, 1 SQRT
6       1     char   DimOrder              v2     C or F: the memory order of the pixels; before v2 always C
8       8     i64    SequenceID            v0
16      4     u32    FrameNum              v0
20      12    u32*3  Width, Height, Depth  v0     the array's shape, in the order of its axes
32      8     u64    FrameTimestamp        v0
40      8     f32*2  QuantOffset, -Scale   v1
48      4     u32    DataOffset            v3     where the payload begins; before v3 at 48
52      12           reserved              v3     0
======  ====  =====  ====================  =====  ======================================================

Little endian. The payload runs to the end of the blob; neither its length nor a checksum is stored. RAW is the pixels;
HUFFCODE one stream (tree, then codes, of the pixels' bytes or of one byte per quantised pixel); HUFFCODE_CHUNKS several
(`chunks`). SQRT: code ``round(sqrt(x - offset) / scale)`` in a byte, value ``(code * scale)**2 + offset`` truncated to
DataFormat; galvo saturates both ways.

Axes are never exchanged. The original calls the array's first axis X, hence the field names; an image (Y, X) in NumPy's
convention has its number of rows in Width, and comes back as (Y, X).

Sources: PZF wire format, sections 1 to 5 (v3 as written, v0 to v2 as read by PYME 72f7d55 with pymecompress 0.3.6).
Not read: compressions 3 and 4 (zstd), which a fork of the original writes and no document describes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from galvo.errors import Malformed, OptionError, Truncated, Unsupported

__all__ = [
    "COMPRESSIONS",
    "DTYPES",
    "LEVELS_OFFSET",
    "Blob",
    "PzfHeader",
    "as_bytes",
    "load_header",
    "pack_header",
    "parse_header",
]

Blob: TypeAlias = bytes | bytearray | memoryview | NDArray[np.uint8]

COMPRESSIONS = ("raw", "huffman", "chunks")
DTYPES = (np.dtype("u1"), np.dtype("<u2"), np.dtype("<f4"))
# Where QuantOffset and QuantScale are.
LEVELS_OFFSET = 40

_MAGIC = b"BD"
_VERSION = 3
_HEADER = struct.Struct("<2sBBBBcxqIIIIQff")
_HEADER_V3 = struct.Struct("<2sBBBBcxqIIIIQffI12x")
_FORKED = {3: "zstd", 4: "zstd in chunks"}
# The original hands the letter to NumPy, for which A means C here.
_ORDERS: dict[bytes, Literal["C", "F"]] = {b"C": "C", b"c": "C", b"A": "C", b"a": "C", b"F": "F", b"f": "F"}
_FIRST_WITH_ORDER = 2
_MAX_NBYTES = (1 << 63) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PzfHeader:
    """What a blob says of its frame.

    Attributes
    ----------
    version : int
        Of the format, 0 to 255; 3 is current.
    dtype : numpy.dtype
        uint8, or little-endian uint16 or float32.
    shape : tuple of int
        Width, Height and Depth: the stored array's axes in their order, Depth 1 for an image. An image (Y, X) has
        shape (Y, X, 1).
    compression : str
        "raw", "huffman" or "chunks".
    quantize : str or None
        "sqrt" where the pixels are stored as one byte each, with loss.
    order : {"C", "F"}
        The memory order of the stored pixels.
    sequence_id : int
        The sequence that the frame belongs to, 64 bits, signed.
    frame_number : int
        Position in the sequence, from 0.
    frame_timestamp : int
        The writer's own clock and unit.
    quantize_offset, quantize_scale : float
        In counts, and in square roots of counts per code; 0 where nothing is quantised.
    data_offset_bytes : int
        Where the payload begins.
    """

    version: int = _VERSION
    dtype: np.dtype[Any]
    shape: tuple[int, int, int]
    compression: str
    quantize: str | None
    order: Literal["C", "F"]
    sequence_id: int
    frame_number: int
    frame_timestamp: int
    quantize_offset: float
    quantize_scale: float
    data_offset_bytes: int = _HEADER_V3.size

    @property
    def pixel_count(self) -> int:
        """Pixels of the frame."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the frame once it is decoded."""
        return self.pixel_count * self.dtype.itemsize


def load_header(blob: Blob, *, path: str | PathLike[str] | None = None) -> PzfHeader:
    """The header of a blob; its payload is not looked at and need not be there.

    Parameters
    ----------
    blob : bytes or buffer
        Contiguous; 64 bytes suffice.
    path : path, optional
        Where the bytes are from, named in errors.

    Raises
    ------
    Truncated
        Less than a header.
    Malformed
        Not PZF, or a field that has no meaning.
    Unsupported
        A compression that only a fork of the original writes.
    OptionError
        `blob` is not bytes-like.
    """
    return parse_header(as_bytes(blob), path)


def pack_header(header: PzfHeader) -> bytes:
    """The 64 bytes of a version 3 header, whatever `version` and `data_offset_bytes` are; numbers must fit."""
    return _HEADER_V3.pack(
        _MAGIC,
        _VERSION,
        DTYPES.index(header.dtype),
        COMPRESSIONS.index(header.compression),
        int(header.quantize is not None),
        header.order.encode(),
        header.sequence_id,
        header.frame_number,
        *header.shape,
        header.frame_timestamp,
        header.quantize_offset,
        header.quantize_scale,
        _HEADER_V3.size,
    )


def parse_header(data: memoryview, path: str | PathLike[str] | None) -> PzfHeader:
    """`load_header` of what is known to be bytes."""
    size = len(data)
    if bytes(data[:2]) != _MAGIC[:size]:
        raise Malformed("not a PZF frame", path=path, offset=0, found=bytes(data[:2]), expected=_MAGIC)
    modern = size > 2 and data[2] >= _VERSION
    layout = _HEADER_V3 if modern else _HEADER
    if size < layout.size:
        raise Truncated(
            "the header is cut off", path=path, offset=size, found=f"{size} bytes", expected=f"{layout.size} bytes"
        )
    fields = layout.unpack_from(data)
    _, version, format_code, compression_code, quantize_code, order_code = fields[:6]
    sequence_id, frame_number, *lengths, frame_timestamp, quantize_offset, quantize_scale = fields[6:14]
    data_offset_bytes = fields[14] if modern else _HEADER.size

    def wrong(what: str, at: int, found: object, expected: str) -> Malformed:
        return Malformed(f"impossible {what}", path=path, offset=at, found=found, expected=expected)

    if format_code >= len(DTYPES):
        raise wrong("DataFormat", 3, format_code, "0, 1 or 2")
    if compression_code in _FORKED:
        raise Unsupported(
            f"compression {compression_code} ({_FORKED[compression_code]}) is of a fork of PZF",
            path=path,
            offset=4,
            hint="Store the frame again with the program that wrote it, plain or Huffman coded",
        )
    if compression_code >= len(COMPRESSIONS):
        raise wrong("DataCompression", 4, compression_code, "0, 1 or 2")
    if quantize_code > 1:
        raise wrong("DataQuantization", 5, quantize_code, "0 or 1")
    order = _ORDERS.get(order_code) if version >= _FIRST_WITH_ORDER else "C"
    if order is None:
        raise wrong("DimOrder", 6, order_code, "C or F")
    dtype, shape = DTYPES[format_code], (lengths[0], lengths[1], lengths[2])
    if math.prod(length or 1 for length in shape) * dtype.itemsize > _MAX_NBYTES:
        raise wrong("size of the frame", 20, f"{shape} of {dtype}", f"at most {_MAX_NBYTES} bytes")
    if data_offset_bytes < layout.size:
        raise wrong("DataOffset", 48, data_offset_bytes, f"{layout.size} or more, behind the header")
    return PzfHeader(
        version=version,
        dtype=dtype,
        shape=shape,
        compression=COMPRESSIONS[compression_code],
        quantize="sqrt" if quantize_code else None,
        order=order,
        sequence_id=sequence_id,
        frame_number=frame_number,
        frame_timestamp=frame_timestamp,
        quantize_offset=quantize_offset,
        quantize_scale=quantize_scale,
        data_offset_bytes=data_offset_bytes,
    )


def as_bytes(blob: Blob) -> memoryview:
    """`blob` as 1-D bytes, without a copy.

    Raises
    ------
    OptionError
        Not bytes-like, not bytes, or not contiguous.
    """
    try:
        view = memoryview(blob)  # type: ignore[arg-type]
    except TypeError:
        raise OptionError("not bytes", found=type(blob).__name__, expected="bytes, or an array of uint8") from None
    if view.format not in ("B", "b", "c") or not view.c_contiguous:
        raise OptionError(
            "not contiguous bytes", found=f"format {view.format!r}", expected="bytes, or a contiguous array of uint8"
        )
    # memoryview.cast refuses what is empty
    return view.cast("B") if view.nbytes else memoryview(b"")
