"""The ScanImage extractors of roiextractors.extractors.tiffimagingextractors."""

from galvo.compat.roiextractors.scanimagetiffimagingextractor import (
    ScanImageImagingExtractor,
    ScanImageLegacyImagingExtractor,
)

__all__ = ["ScanImageImagingExtractor", "ScanImageLegacyImagingExtractor"]
