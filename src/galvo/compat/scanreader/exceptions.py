"""What scanreader raises."""

from __future__ import annotations

from galvo.errors import GalvoError

__all__ = ["FieldDimensionMismatch", "PathnameError", "ScanImageVersionError", "ScanReaderException"]


class ScanReaderException(GalvoError):
    """Base of the exceptions of this package."""


class PathnameError(ScanReaderException):
    """No file has such a name."""


class ScanImageVersionError(ScanReaderException):
    """The file does not name a ScanImage version from 5 on."""


class FieldDimensionMismatch(ScanReaderException):
    """Fields of different heights or widths were asked for in one array."""
