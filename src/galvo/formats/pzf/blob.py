"""One frame as PZF bytes, and back: `loads` and `dumps`.

Sources: PZF wire format, sections 2 to 5 and 8; `header` and `chunks` have the bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from operator import index
from os import PathLike
from typing import Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo import native
from galvo.errors import DamagedData, Malformed, OptionError, Truncated
from galvo.formats.pzf.chunks import Chunk, join_chunks, split_chunks
from galvo.formats.pzf.header import (
    COMPRESSIONS,
    DTYPES,
    LEVELS_OFFSET,
    Blob,
    PzfHeader,
    as_bytes,
    pack_header,
    parse_header,
)

__all__ = ["decode_chunks", "dumps", "encode_chunks", "loads"]

_LEVELS = struct.Struct("<ff")
_CHUNK_COUNT = 2
_MAX_U32 = (1 << 32) - 1
_MAX_THREADS = 1 << 16
_USABLE = "numbers that float32 holds, the scale above 0"


def loads(blob: Blob, *, threads: int = 1, path: str | PathLike[str] | None = None) -> tuple[NDArray[Any], PzfHeader]:
    """The pixels of a blob, and its header.

    Parameters
    ----------
    blob : bytes or buffer
        Contiguous, the whole file and nothing else.
    threads : int
        At most this many, the caller's included.
    path : path, optional
        Where the bytes are from, named in errors.

    Returns
    -------
    pixels : ndarray
        (Y, X) for Depth 1, otherwise the stored axes (Width, Height, Depth), never transposed; in the stored memory
        order. Unquantised RAW is a view of `blob`, read-only when `blob` is; everything else is an array of its own.
        Quantised uint16 and uint8 saturate.
    header : PzfHeader
        As stored, except that `quantize` is None where the flag was set over plain pixels (Notes).

    Raises
    ------
    Truncated
        Fewer bytes than the frame needs.
    Malformed
        A header that has no meaning, or sizes that contradict each other.
    DamagedData
        A Huffman stream that cannot be decoded or ends early.
    Unsupported
        A compression that only a fork of the original writes.
    OptionError
        `blob` is not bytes-like, or `threads` is not a positive integer.

    Notes
    -----
    Bytes behind a HUFFCODE stream are ignored, as the original does; RAW and HUFFCODE_CHUNKS must end where they say.
    The original's writer sets the quantisation flag over plain pixels when nothing is compressed; where the length
    shows it (uint16 and float32), the pixels are taken as they are. For uint8 it cannot show, and the flag is followed.
    """
    data = as_bytes(blob)
    threads = _integer("threads", threads, 1, _MAX_THREADS)
    header = parse_header(data, path)
    at = header.data_offset_bytes
    if at > len(data):
        raise Truncated("the payload is missing", path=path, offset=len(data), expected=f"a payload at byte {at}")
    payload = data[at:]

    count = header.pixel_count
    if header.compression == "chunks":
        chunks = split_chunks(payload, path=path, offset_bytes=at)
    elif header.compression == "raw":
        chunks = [Chunk(payload, len(payload), at)]
    else:
        nbytes = count if header.quantize else header.nbytes
        if nbytes > 8 * len(payload):
            raise Truncated(
                "the frame needs more bits than there are",
                path=path,
                offset=at,
                found=f"{len(payload)} bytes",
                expected=f"{-(-nbytes // 8)} bytes or more",
            )
        chunks = [Chunk(payload, nbytes, at)]

    stored = sum(chunk.decoded_nbytes for chunk in chunks)
    if header.quantize and stored == header.nbytes != count:
        header = replace(header, quantize=None)
    expected = count if header.quantize else header.nbytes
    if stored != expected:
        kind, more = (Truncated, "fewer") if stored < expected else (Malformed, "more")
        raise kind(
            f"{more} bytes than the frame has",
            path=path,
            offset=at,
            found=f"{stored} bytes",
            expected=f"{expected} bytes for {header.shape} of {header.dtype}",
        )
    # Depth 1: an image
    shape = header.shape[:2] if header.shape[2] == 1 else header.shape
    if header.compression == "raw" and not header.quantize:
        plain: NDArray[Any] = np.ndarray(shape, header.dtype, buffer=payload, order=header.order)
        return plain, header
    flat = _decode(chunks, header, threads, path)
    return flat.reshape(shape, order=header.order), header


def dumps(
    array: ArrayLike,
    *,
    sequence_id: int = 0,
    frame_number: int = 0,
    frame_timestamp: int = 0,
    compression: Literal["huffman", "raw", "chunks"] = "huffman",
    quantize: Literal["sqrt"] | None = None,
    quantize_offset: float = 0.0,
    quantize_scale: float = 1.0,
    threads: int = 1,
) -> bytes:
    """A frame as PZF bytes, version 3.

    Parameters
    ----------
    array : array
        Image (Y, X), or three axes, which the format calls Width, Height and Depth. uint8, uint16 or float32 of
        either byte order; stored little-endian, in the array's own memory order where it is contiguous.
    sequence_id : int
        What the frames of one sequence share; 64 bits, signed.
    frame_number : int
        Position in the sequence, from 0; 32 bits.
    frame_timestamp : int
        In whatever whole unit the sequence uses; 64 bits, not negative.
    compression : {"huffman", "raw", "chunks"}
        One Huffman stream, plain pixels, or two Huffman streams, which the original can neither write nor read today.
    quantize : "sqrt", optional
        uint16 only: one byte per pixel, the square root of the counts above `quantize_offset` in steps of
        `quantize_scale`. Lossy. Values beyond the last code, ``(255.5 * scale)**2 + offset``, are stored as code 255,
        values below the offset as 0.
    quantize_offset : float
        Counts at no light, finite.
    quantize_scale : float
        Square roots of counts per code, above 0. Where one photon gives g counts, photon noise is 0.5 * sqrt(g) in
        the square root at any brightness; a scale of that size adds 4 % to it (``sqrt(1 + 1 / 12)``).
    threads : int
        At most this many, the caller's included. The bytes do not depend on it.

    Returns
    -------
    bytes
        Header of 64 bytes and payload. Equal to what the original writes for "raw" and "huffman", and for "sqrt" as
        its scalar build writes it, as long as no value is beyond the last code.

    Raises
    ------
    OptionError
        Another dtype, another number of axes, or an option that does not exist or fit.

    Examples
    --------
    >>> import numpy as np
    >>> from galvo.formats import pzf
    >>> image = np.arange(12, dtype="uint16").reshape(3, 4)
    >>> blob = pzf.dumps(image, frame_number=7)
    >>> pixels, header = pzf.loads(blob)
    >>> bool((pixels == image).all()), header.shape, header.frame_number
    (True, (3, 4, 1), 7)
    """
    pixels = _storable(array)
    threads = _integer("threads", threads, 1, _MAX_THREADS)
    if compression not in COMPRESSIONS:
        raise OptionError("unknown compression", found=repr(compression), expected=", ".join(COMPRESSIONS))
    if quantize not in (None, "sqrt"):
        raise OptionError("unknown quantize", found=repr(quantize), expected='None or "sqrt"')
    levels = None
    if quantize:
        if pixels.dtype != DTYPES[1]:
            raise OptionError(
                "only uint16 can be quantised",
                found=str(pixels.dtype),
                expected="uint16",
                hint="Leave quantize out, or convert the array where no value is lost",
            )
        if not _usable(quantize_offset, quantize_scale):
            raise OptionError(
                "quantize_offset and quantize_scale do not fit",
                found=f"{quantize_offset!r} and {quantize_scale!r}",
                expected=_USABLE,
            )
        levels = float(quantize_offset), float(quantize_scale)

    fortran = bool(pixels.flags.f_contiguous)
    lengths = [_integer("the length of an axis", length, 0, _MAX_U32) for length in pixels.shape]
    header = pack_header(
        PzfHeader(
            dtype=pixels.dtype,
            shape=(lengths[0], lengths[1], lengths[2] if len(lengths) > 2 else 1),
            compression=compression,
            quantize=quantize,
            order="F" if fortran else "C",
            sequence_id=_integer("sequence_id", sequence_id, -(1 << 63), (1 << 63) - 1),
            frame_number=_integer("frame_number", frame_number, 0, _MAX_U32),
            frame_timestamp=_integer("frame_timestamp", frame_timestamp, 0, (1 << 64) - 1),
            quantize_offset=levels[0] if levels else 0.0,
            quantize_scale=levels[1] if levels else 0.0,
        )
    )
    # a view of what is contiguous either way
    flat: NDArray[Any] = pixels.reshape(-1, order="F") if fortran else np.ascontiguousarray(pixels).reshape(-1)
    data = flat if levels else flat.view(np.uint8)
    if compression == "raw":
        return b"".join((header, (_quantized(data, levels) if levels else data).data))
    if compression == "huffman":
        return header + _encode(data, levels, threads)
    half = -(-data.size // _CHUNK_COUNT)
    return header + encode_chunks((data[:half], data[half:]), levels, threads)


def encode_chunks(pieces: Sequence[NDArray[Any]], levels: tuple[float, float] | None, threads: int = 1) -> bytes:
    """A HUFFCODE_CHUNKS payload with a stream for each of `pieces`.

    Parameters
    ----------
    pieces : sequence of ndarray
        1-D and contiguous: uint16 pixels with `levels`, otherwise uint8.
    levels : (float, float), optional
        Offset and scale of the square root quantisation.
    threads : int
        For each stream.

    Raises
    ------
    OptionError
        A piece of 4 GiB or more.
    ValueError
        `levels` that float32 does not hold, or a scale that is not above 0.
    """
    return join_chunks([Chunk(_encode(piece, levels, threads), piece.size) for piece in pieces])


def decode_chunks(payload: Blob, threads: int = 1) -> NDArray[np.uint8]:
    """The bytes that a HUFFCODE_CHUNKS payload holds, (N,) uint8.

    Raises
    ------
    Truncated, Malformed
        The sizes do not fit the payload.
    DamagedData
        A stream that cannot be decoded or ends early.
    """
    chunks = split_chunks(as_bytes(payload))
    out = np.empty(sum(chunk.decoded_nbytes for chunk in chunks), np.uint8)
    _fill(out, chunks, None, threads, None)
    return out


def _quantized(pixels: NDArray[Any], levels: tuple[float, float]) -> NDArray[np.uint8]:
    codes = np.empty(pixels.size, np.uint8)
    native.sqrt_quantize(pixels, *levels, codes)
    return codes


def _encode(data: NDArray[Any], levels: tuple[float, float] | None, threads: int) -> bytes:
    try:
        return native.sqrt_encode(data, *levels, threads) if levels else native.huffman_encode(data, threads)
    except RuntimeError as error:
        raise OptionError(
            f"the pixels cannot be encoded: {error}",
            hint="Keep other threads from writing to the array, or pass a copy",
        ) from error


def _decode(chunks: Sequence[Chunk], header: PzfHeader, threads: int, path: str | PathLike[str] | None) -> NDArray[Any]:
    """Pixels in stored order, 1-D."""
    if not header.quantize:
        pixels = np.empty(header.pixel_count, header.dtype)
        _fill(pixels.view(np.uint8), chunks, None, threads, path)
        return pixels
    levels = header.quantize_offset, header.quantize_scale
    if not _usable(*levels):
        raise Malformed(
            "quantised with impossible numbers",
            path=path,
            offset=LEVELS_OFFSET,
            found=f"offset {levels[0]}, scale {levels[1]}",
            expected=_USABLE,
        )
    # the native module computes in the machine's own byte order
    pixels = np.empty(header.pixel_count, header.dtype.newbyteorder("="))
    if header.compression == "raw":
        # np.frombuffer takes no empty buffer
        codes: NDArray[np.uint8] = np.ndarray(pixels.shape, np.uint8, buffer=chunks[0].stream)
        native.sqrt_dequantize(codes, *levels, pixels)
    else:
        _fill(pixels, chunks, levels, threads, path)
    return pixels


def _fill(
    out: NDArray[Any],
    chunks: Sequence[Chunk],
    levels: tuple[float, float] | None,
    threads: int,
    path: str | PathLike[str] | None,
) -> None:
    start = 0
    for stream, size, offset_bytes in chunks:
        part = out[start : start + size]
        start += size
        if not size:
            continue
        try:
            if levels:
                native.sqrt_decode(stream, *levels, part, threads)
            else:
                native.huffman_decode(stream, part, threads)
        except ValueError as error:
            raise DamagedData(
                f"the Huffman stream cannot be decoded: {error}",
                path=path,
                offset=offset_bytes,
                hint="The file was cut or changed; take it from its source again",
            ) from error


def _storable(array: ArrayLike) -> NDArray[Any]:
    """`array`, little-endian, once the format has a place for it."""
    pixels = np.asarray(array)
    stored = pixels.dtype.newbyteorder("<")
    if stored not in DTYPES:
        raise OptionError(
            "PZF has no such pixels",
            found=str(pixels.dtype),
            expected="uint8, uint16 or float32",
            hint='Convert the array where no value is lost: astype("uint16") holds 0 to 65535, astype("float32") whole '
            "numbers to 16777216; negative int16 values need a shift of 32768 first",
        )
    if pixels.ndim not in (2, 3):
        raise OptionError(
            "PZF holds single frames",
            found=f"shape {pixels.shape}",
            expected="2 or 3 axes",
            hint="Store the frames one by one",
        )
    return pixels.astype(stored, copy=False)


def _usable(offset: float, scale: float) -> bool:
    """Whether float32, in which the original computes, holds both and the inverse of the scale."""
    try:
        numbers = _LEVELS.unpack(_LEVELS.pack(offset, scale))
        _LEVELS.pack(1 / numbers[1], 0)
    except (struct.error, OverflowError, ZeroDivisionError):
        return False
    return all(map(math.isfinite, numbers)) and numbers[1] > 0


def _integer(name: str, value: SupportsIndex, low: int, high: int) -> int:
    try:
        number = index(value)
    except TypeError:
        number = low - 1
    if not low <= number <= high:
        raise OptionError(f"{name} does not fit", found=repr(value), expected=f"a whole number, {low} to {high}")
    return number
