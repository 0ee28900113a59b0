"""Checksums of blocks and of metadata: CRC-32C (RFC 3720), which finds every single-bit error."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo import native

__all__ = ["StoredChecksums", "block_checksum"]


class StoredChecksums(Protocol):
    """The checksums that a file keeps of itself."""

    def blocks(self) -> list[tuple[tuple[slice, ...], int]]:
        """Index (T, C, Z, Y, X) and CRC-32C of each block."""

    def metadata_damage(self) -> list[str]:
        """What of the metadata does not match its checksum, one line each."""


def block_checksum(block: NDArray[Any]) -> int:
    """CRC-32C of the pixels of a block in C order, little endian.

    Parameters
    ----------
    block : ndarray
    """
    stored = np.ascontiguousarray(block, block.dtype.newbyteorder("<"))
    return native.crc32c(stored.reshape(-1).view(np.uint8))
