"""Names of roiextractors.imagingextractor: the installed original's, or galvo's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galvo.compat.roiextractors import base, views

__all__ = ["ImagingExtractor", "SampleSlicedImagingExtractor"]

if TYPE_CHECKING:
    ImagingExtractor = base.ImagingExtractor
    SampleSlicedImagingExtractor = views.SampleSlicedImagingExtractor
else:
    ImagingExtractor = base.original_class("ImagingExtractor") or base.ImagingExtractor
    SampleSlicedImagingExtractor = (
        base.original_class("SampleSlicedImagingExtractor") or views.SampleSlicedImagingExtractor
    )
