"""The ScanImage extractors of roiextractors, over galvo."""

from galvo.compat.roiextractors.imagingextractor import ImagingExtractor
from galvo.compat.roiextractors.scanimagetiffimagingextractor import (
    ScanImageImagingExtractor,
    ScanImageLegacyImagingExtractor,
)

__all__ = ["ImagingExtractor", "ScanImageImagingExtractor", "ScanImageLegacyImagingExtractor"]
