"""The ROI groups of a generated ScanImage file, as JSON.

A list of one element is collapsed to the element and an empty one becomes a typed null, as in observed files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from galvo.testing.scanimage_rois import RoiRequest, ScanfieldRequest

if TYPE_CHECKING:
    from galvo.testing.scanimage_request import ScanImageRequest

__all__ = ["roi_groups_text"]

_EMPTY: Final = {"_ArrayType_": "double", "_ArraySize_": [1, 0], "_ArrayData_": None}


def roi_groups_text(recording: ScanImageRequest) -> str:
    """Return the ROI group JSON of `recording`: its regions, or the one default scan field without multi-ROI."""
    if recording.rois:
        rois = [_roi(roi, f"roi {number}") for number, roi in enumerate(recording.rois)]
        imaging = _roi_group("MROI Imaging ROI Group", _collapsed(rois))
    else:
        whole = ScanfieldRequest(size_deg=recording.scan_size_deg, pixels=(recording.width, recording.height))
        default = RoiRequest(name="Default Imaging Roi", scanfields=(whole,), zs_json=0)
        imaging = _roi_group("Default Imaging ROI Group", _roi(default, "roi", "Default Imaging Scanfield"))
    groups = {
        "imagingRoiGroup": imaging,
        "photostimRoiGroups": None,
        "integrationRoiGroup": _roi_group("", _EMPTY),
    }
    return _layout({"RoiGroups": groups}) + "\n"


def _identifier(name: str) -> str:
    return hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()[:16].upper()


def _roi_group(name: str, rois: object) -> dict[str, object]:
    identifier = _identifier(name)
    return {
        "ver": 1,
        "classname": "scanimage.mroi.RoiGroup",
        "name": name,
        "UserData": None,
        "roiUuid": identifier,
        "roiUuiduint64": float(f"{int(identifier, 16):.10g}"),
        "rois": rois,
    }


def _collapsed(items: Sequence[Any]) -> Any:
    """A list as MATLAB's JSON has it: one element stands bare, none is a typed null."""
    return _EMPTY if not items else items[0] if len(items) == 1 else list(items)


def _roi(roi: RoiRequest, key: str, field_name: str = "") -> dict[str, Any]:
    fields = [_scanfield(field, f"{key} {number}", field_name) for number, field in enumerate(roi.scanfields)]
    return {
        "ver": 1,
        "classname": "scanimage.mroi.Roi",
        "name": roi.name,
        "UserData": None,
        "roiUuid": _identifier(key),
        "zs": _collapsed(roi.zs) if roi.zs_json is None else roi.zs_json,
        "scanfields": _collapsed(fields),
        "discretePlaneMode": int(roi.discrete),
        "powers": None,
        "pzAdjust": [],
        "enable": int(roi.enable),
    }


def _scanfield(field: ScanfieldRequest, key: str, name: str) -> dict[str, Any]:
    (width, height), (x, y), (columns, rows) = field.size_deg, field.center_deg, field.pixels
    step_x, step_y = width / columns, height / rows
    return {
        "ver": 1,
        "classname": "scanimage.mroi.scanfield.fields.RotatedRectangle",
        "name": name,
        "UserData": None,
        "roiUuid": _identifier(key),
        "centerXY": [x, y],
        "sizeXY": [width, height],
        "rotationDegrees": field.rotation_deg,
        "enable": 1,
        "pixelResolutionXY": [columns, rows],
        "pixelToRefTransform": [
            [step_x, 0, x - (width + step_x) / 2],
            [0, step_y, y - (height + step_y) / 2],
            [0, 0, 1],
        ],
        "affine": [[width, 0, x - width / 2], [0, height, y - height / 2], [0, 0, 1]],
    }


def _layout(value: object, indent: str = "") -> str:
    # Rows of numbers stay on one line, everything else is indented by two spaces.
    deeper = indent + "  "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(key)}: {_layout(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + indent + "}"
    if isinstance(value, list) and any(isinstance(item, list) for item in value):
        return "[\n" + ",\n".join(deeper + _layout(item, deeper) for item in value) + "\n" + indent + "]"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, list):
        return "[" + ",".join(_layout(item) for item in value) + "]"
    return json.dumps(value)
