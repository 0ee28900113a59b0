"""Motion: displacement fields of frames against a reference, and frames warped by them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galvo.motion.averaging import BuiltReference, build_reference
    from galvo.motion.correction import Correction, open_correction
    from galvo.motion.custom import FunctionEstimator
    from galvo.motion.estimation import calibrate, estimate, load_calibration
    from galvo.motion.flags import Flag
    from galvo.motion.params import MotionParams, VariationalParams
    from galvo.motion.pipeline import correct, correct_fields
    from galvo.motion.reference import Reference
    from galvo.motion.stored import verify_motion
    from galvo.motion.warping import warp

_HOMES = {
    "build_reference": "averaging",
    "BuiltReference": "averaging",
    "correct": "pipeline",
    "correct_fields": "pipeline",
    "open_correction": "correction",
    "Correction": "correction",
    "calibrate": "estimation",
    "estimate": "estimation",
    "load_calibration": "estimation",
    "FunctionEstimator": "custom",
    "Flag": "flags",
    "MotionParams": "params",
    "VariationalParams": "params",
    "Reference": "reference",
    "verify_motion": "stored",
    "warp": "warping",
}

__all__ = [
    "BuiltReference",
    "Correction",
    "Flag",
    "FunctionEstimator",
    "MotionParams",
    "Reference",
    "VariationalParams",
    "build_reference",
    "calibrate",
    "correct",
    "correct_fields",
    "estimate",
    "load_calibration",
    "open_correction",
    "verify_motion",
    "warp",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'galvo.motion' has no attribute {name!r}")
    value = getattr(import_module(f"galvo.motion.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
