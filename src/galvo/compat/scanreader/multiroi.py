"""Regions and fields of multi-ROI scans."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.canvas import joined_fields
from galvo.core.scanfield import ScanField

__all__ = ["Field"]


class Field:
    """One scanned rectangle at one depth, or several of them that touch.

    Parameters
    ----------
    field : ScanField
    roi_ids : dict of int to int
        From positions in the vendor's list of regions to those in `scan.rois`.

    Notes
    -----
    Of each of its rectangles, `output[output_yslices[i], output_xslices[i]] = page[yslices[i], xslices[i]]`.
    """

    def __init__(self, field: ScanField, roi_ids: dict[int, int]) -> None:
        self._field = field
        self._roi_ids = roi_ids

    @property
    def name(self) -> str:
        """Of the region, as the user named it."""
        return self._field.name

    @property
    def height(self) -> int:
        """Rows."""
        return self._field.height

    @property
    def width(self) -> int:
        """Columns."""
        return self._field.width

    @property
    def depth(self) -> float | None:
        """Depth in µm."""
        return self._field.z_um

    @property
    def y(self) -> float:
        """Centre in degrees of scan angle."""
        return self._field.center_deg[0]

    @property
    def x(self) -> float:
        """Centre in degrees of scan angle."""
        return self._field.center_deg[1]

    y_center_coordinate = y
    x_center_coordinate = x

    @property
    def height_in_degrees(self) -> float:
        """Of scan angle."""
        return self._field.size_deg[0]

    @property
    def width_in_degrees(self) -> float:
        """Of scan angle."""
        return self._field.size_deg[1]

    @property
    def yslices(self) -> list[slice]:
        """Rows of the page, per rectangle."""
        return [slice(part.rows.start, part.rows.stop) for part in self._field.parts]

    @property
    def xslices(self) -> list[slice]:
        """Columns of the page, per rectangle."""
        return [slice(part.columns.start, part.columns.stop) for part in self._field.parts]

    @property
    def output_yslices(self) -> list[slice]:
        """Rows of the field, per rectangle."""
        return [slice(part.top, part.top + len(part.rows)) for part in self._field.parts]

    @property
    def output_xslices(self) -> list[slice]:
        """Columns of the field, per rectangle."""
        return [slice(part.left, part.left + len(part.columns)) for part in self._field.parts]

    @property
    def slice_id(self) -> int:
        """Position of its depth among the scanning depths."""
        return self._field.plane

    @property
    def roi_ids(self) -> list[int]:
        """Its regions in `scan.rois`, per rectangle."""
        return [self._roi_ids[number] for number in self._field.rois]

    @property
    def has_contiguous_subfields(self) -> bool:
        """Whether it was joined of several."""
        return len(self._field.parts) > 1

    @property
    def offsets(self) -> list[NDArray[np.float32]]:
        """`offset_mask` per rectangle, float32 (Y, X)."""
        mask = self.offset_mask
        return [mask[rows, columns] for rows, columns in zip(self.output_yslices, self.output_xslices, strict=True)]

    @property
    def offset_mask(self) -> NDArray[np.float32]:
        """Seconds from the start of the scan until each pixel is taken, float32 (Y, X)."""
        return self._field.pixel_times_s().astype(np.float32)

    @property
    def roi_mask(self) -> NDArray[Any]:
        """Which region each pixel is of, (Y, X) of int8; of wider integers where there are more regions."""
        ids = self.roi_ids
        mask = np.full((self.height, self.width), -1, np.promote_types(np.int8, np.min_scalar_type(-1 - max(ids))))
        for number, rows, columns in zip(ids, self.output_yslices, self.output_xslices, strict=True):
            mask[rows, columns] = number
        return mask

    def is_contiguous_to(self, other: Field) -> bool:
        """Whether both are at one depth and touch along a whole edge."""
        return len(joined_fields([self._field, other._field])) == 1

    def join_with(self, other: Field) -> None:
        """Take in a field that touches this one; nothing happens where it does not.

        What the scan reads stays as `read_scan(..., join_contiguous)` said.
        """
        if self.is_contiguous_to(other):
            (self._field,) = joined_fields([self._field, other._field])

    def __repr__(self) -> str:
        return f"<Field {self.name!r} {self.height} x {self.width} at {self.depth} µm>"
