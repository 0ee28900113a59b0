"""Compression HUFFCODE_CHUNKS: several Huffman streams, each with a tree of its own, one after the other.

===========  =====  ==========================================
bytes        type   meaning
===========  =====  ==========================================
2            u16    number of chunks
4            u32    bytes of the stream of the first chunk
4            u32    bytes that it decodes to
as said             the stream
and so on           length, decoded length, stream, unaligned
===========  =====  ==========================================

Little endian. Nothing may follow the last chunk. Source: PZF wire format, section 4.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

from galvo.errors import Malformed, OptionError, Truncated

__all__ = ["Chunk", "join_chunks", "split_chunks"]

_COUNT = struct.Struct("<H")
_SIZES = struct.Struct("<II")
_MAX_BYTES = 0xFFFF_FFFF


class Chunk(NamedTuple):
    """One Huffman stream.

    Attributes
    ----------
    stream : memoryview or bytes
        Tree and codes.
    decoded_nbytes : int
        What the stream decodes to.
    offset_bytes : int
        Where the stream begins in the blob.
    """

    stream: memoryview | bytes
    decoded_nbytes: int
    offset_bytes: int = 0


def join_chunks(chunks: Sequence[Chunk]) -> bytes:
    """The payload that holds `chunks`.

    Raises
    ------
    OptionError
        A chunk of 4 GiB or more, which the format has no number for.
    """
    parts: list[memoryview | bytes] = [_COUNT.pack(len(chunks))]
    for stream, decoded_nbytes, _ in chunks:
        if max(len(stream), decoded_nbytes) > _MAX_BYTES:
            raise OptionError(
                "too many pixels for PZF's chunks",
                found=f"{decoded_nbytes} bytes in a chunk",
                expected=f"at most {_MAX_BYTES}",
                hint='Store the frame with compression="huffman" (--compression huffman)',
            )
        parts += _SIZES.pack(len(stream), decoded_nbytes), stream
    return b"".join(parts)


def split_chunks(payload: memoryview, *, path: str | PathLike[str] | None = None, offset_bytes: int = 0) -> list[Chunk]:
    """The chunks of `payload`; their sizes fit it, their streams have not been looked at.

    Parameters
    ----------
    payload : memoryview of bytes
        From the number of chunks to the end of the blob.
    path : path-like, optional
        Named in errors.
    offset_bytes : int
        Where `payload` begins in the blob.

    Raises
    ------
    Truncated
        The payload ends inside the table or a stream.
    Malformed
        Bytes follow the last chunk, or a chunk is to decode to more than its stream can hold: every symbol costs a
        bit or more.
    """
    size = len(payload)

    def need(position: int, nbytes: int, what: str) -> None:
        if nbytes > size - position:
            raise Truncated(
                f"the payload ends inside {what}",
                path=path,
                offset=offset_bytes + position,
                found=f"{size - position} bytes",
                expected=f"{nbytes} bytes",
            )

    need(0, _COUNT.size, "the number of chunks")
    (count,) = _COUNT.unpack_from(payload)
    position = _COUNT.size
    chunks = []
    for number in range(count):
        need(position, _SIZES.size, f"the sizes of chunk {number} of {count}")
        nbytes, decoded_nbytes = _SIZES.unpack_from(payload, position)
        position += _SIZES.size
        need(position, nbytes, f"chunk {number} of {count}")
        if decoded_nbytes > 8 * nbytes:
            raise Malformed(
                f"chunk {number} of {count} is to decode to more than its bits",
                path=path,
                offset=offset_bytes + position,
                found=f"{decoded_nbytes} bytes from {nbytes}",
                expected=f"at most {8 * nbytes}",
            )
        chunks.append(Chunk(payload[position : position + nbytes], decoded_nbytes, offset_bytes + position))
        position += nbytes
    if position != size:
        raise Malformed(
            "bytes follow the last chunk",
            path=path,
            offset=offset_bytes + position,
            found=f"{size - position} bytes",
            expected="none",
        )
    return chunks
