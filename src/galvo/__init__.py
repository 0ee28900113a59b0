"""galvo: every functional-imaging recording as one lazy T C Z Y X array.

>>> import galvo                                          # doctest: +SKIP
>>> rec = galvo.open("rec_00001_00001.tif")               # doctest: +SKIP
>>> green = rec[:100, "green"]                            # doctest: +SKIP
>>> galvo.convert("rec_00001_00001.tif", "rec.h5")        # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from galvo.batch import BatchResult, convert_folder
    from galvo.conversion import ConvertResult, convert, convert_fields, load, save
    from galvo.core.metadata import Damage, LeftOut, Metadata
    from galvo.core.recording import Recording
    from galvo.formats.opening import open_recording as open
    from galvo.limits import Limits
    from galvo.motion.correction import Correction, open_correction
    from galvo.motion.pipeline import correct, correct_fields
    from galvo.pictures.show import Preview, preview
    from galvo.qc.writing import report
    from galvo.recovery import RecoverResult, recover
    from galvo.verification import VerifyResult, verify

__version__ = "0.1.0"

_HOMES = {
    "open": "galvo.formats.opening:open_recording",
    "load": "galvo.conversion:load",
    "save": "galvo.conversion:save",
    "convert": "galvo.conversion:convert",
    "convert_fields": "galvo.conversion:convert_fields",
    "correct": "galvo.motion.pipeline:correct",
    "correct_fields": "galvo.motion.pipeline:correct_fields",
    "open_correction": "galvo.motion.correction:open_correction",
    "Correction": "galvo.motion.correction:Correction",
    "verify": "galvo.verification:verify",
    "report": "galvo.qc.writing:report",
    "preview": "galvo.pictures.show:preview",
    "Preview": "galvo.pictures.show:Preview",
    "convert_folder": "galvo.batch:convert_folder",
    "BatchResult": "galvo.batch:BatchResult",
    "ConvertResult": "galvo.conversion:ConvertResult",
    "VerifyResult": "galvo.verification:VerifyResult",
    "recover": "galvo.recovery:recover",
    "RecoverResult": "galvo.recovery:RecoverResult",
    "Recording": "galvo.core.recording:Recording",
    "Metadata": "galvo.core.metadata:Metadata",
    "LeftOut": "galvo.core.metadata:LeftOut",
    "Damage": "galvo.core.metadata:Damage",
    "Limits": "galvo.limits:Limits",
}

_MODULES = ("compat", "errors", "motion", "noise")

__all__ = [
    "BatchResult",
    "ConvertResult",
    "Correction",
    "Damage",
    "LeftOut",
    "Limits",
    "Metadata",
    "Preview",
    "Recording",
    "RecoverResult",
    "VerifyResult",
    "compat",
    "convert",
    "convert_fields",
    "convert_folder",
    "correct",
    "correct_fields",
    "errors",
    "load",
    "motion",
    "noise",
    "open",
    "open_correction",
    "preview",
    "recover",
    "report",
    "save",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"galvo.{name}")
    try:
        module, _, attribute = _HOMES[name].partition(":")
    except KeyError:
        raise AttributeError(f"module 'galvo' has no attribute {name!r}") from None
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
